"""A generated sequence, and the state in which a model generates it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from terakoya.codec import Codec
from terakoya.errors.third_party import broken_contract
from terakoya.i18n import _
from terakoya.models.protocol import Model


@dataclass(frozen=True, slots=True)
class DecodedSequence:
    """The output of a model with a sequence head.

    raw          the generated text, not yet decoded by the codec
    probability  the product of the probabilities of all tokens, the end token included, before temperature, penalties
                 and constraints; 0.0 for an unfinished sequence
    finished     whether the model generated the end token within the limit
    """

    raw: str
    probability: float
    finished: bool


def read(sequence: DecodedSequence, codec: Codec) -> str | None:
    """The target that `codec` reads in `sequence`; None where that is unreadable or was never finished."""
    if not sequence.finished:
        return None
    text = codec.read(sequence.raw)
    if text is not None and not isinstance(text, str):
        raise broken_contract(codec.read, _("a codec must read text or None, and read {given}", given=repr(text)))
    return text


@contextmanager
def evaluation_mode(model: Model) -> Iterator[None]:
    """Dropout off and no gradients for `model` inside; afterwards its mode is as it was before."""
    training = model.module.training
    model.module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.module.train(training)


def move_to_device(model: Model, device: str = "auto") -> Model:
    """Move `model` in place, and return it.

    device  a device of torch; "auto" is the first of cuda, mps and cpu that exists
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    model.module.to(device)
    return model
