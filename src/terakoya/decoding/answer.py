"""What comes back when a model is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from terakoya.codec import Codec
from terakoya.models.protocol import Model


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote, how probable the model itself holds the whole answer, and whether it came to its end.

    The probability is the product of the tokens' probabilities, its end included, before temperature, penalties and
    constraint; 0 for what was not finished.
    """

    raw: str
    probability: float
    finished: bool


def read(answer: Answer, codec: Codec) -> str | None:
    """What the codec reads in an answer; None where it is unreadable or was never finished."""
    return codec.read(answer.raw) if answer.finished else None


@contextmanager
def asking(model: Model) -> Iterator[None]:
    """Dropout off and no gradients while a model is asked; afterwards as before."""
    training = model.module.training
    model.module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.module.train(training)


def placed(model: Model, device: str = "auto") -> Model:
    """The model where it shall answer: a config's device, "auto" being the first of cuda, mps and the processor."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    model.module.to(device)
    return model
