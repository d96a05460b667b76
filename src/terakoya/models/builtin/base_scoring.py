"""What a saved set model says of the pretrained base whose scores of labels it uses; readable without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Shots = tuple[tuple[str, str], ...]  # examples of one prompt: a text and its labels, separated by spaces


@dataclass(frozen=True)
class BaseScoring:
    """The base, its prompts, and how much it counts.

    base         folder, GGUF file or Hub name
    revision     of a Hub name, else ""
    fingerprint  of the weights; "" for a Hub name
    template     of one text, which stands in place of {source}; labels follow it
    shots        the examples of each prompt; scores are the mean over the prompts
    prior        (L,) mean log-probability of each label after texts without content
    alpha        share of the prior that is subtracted
    weight       of the base's scores beside the logits of the ensemble
    """

    base: str
    revision: str
    fingerprint: str
    template: str
    shots: tuple[Shots, ...]
    prior: tuple[float, ...]
    alpha: float
    weight: float

    def to_json(self) -> dict[str, Any]:
        """The value of "base_scores" in config.json."""
        return {**vars(self), "prior": [round(value, 6) for value in self.prior]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], labels: int) -> BaseScoring:
        """What `to_json` described.

        data    the value of "base_scores"
        labels  number of labels of the model
        Raises KeyError, TypeError or ValueError for other data.
        """
        shots = tuple(tuple((str(text), str(target)) for text, target in prompt) for prompt in data["shots"])
        prior = tuple(float(value) for value in data["prior"])
        alpha, weight = float(data["alpha"]), float(data["weight"])
        if len(prior) != labels or not shots or not all(map(math.isfinite, (*prior, alpha, weight))):
            raise ValueError("prior")
        base, revision, fingerprint, template = (
            str(data[name]) for name in ("base", "revision", "fingerprint", "template")
        )
        return cls(base, revision, fingerprint, template, shots, prior, alpha, weight)
