"""The calibration of a set head as data, in the description of a saved model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from terakoya.models.protocol import LabelPenalty


def calibration_to_json(inverse_temperature: float, penalties: Sequence[LabelPenalty]) -> dict[str, Any]:
    """What a saved model keeps of its calibration, under the keys of format 1.

    inverse_temperature  by which label logits are multiplied
    penalties            one per label whose share is capped
    """
    listed = [{"label": one.label, "price": one.weight, "share": one.cap} for one in penalties]
    return {"scale": inverse_temperature, "tolls": listed}


def calibration_from_json(about: Mapping[str, Any]) -> tuple[float, tuple[LabelPenalty, ...]]:
    """Inverse temperature and penalties from `about`, the description of a saved model.

    Raises KeyError, TypeError or ValueError where it does not hold them.
    """
    listed = (LabelPenalty(int(one["label"]), float(one["price"]), float(one["share"])) for one in about["tolls"])
    return float(about["scale"]), tuple(listed)
