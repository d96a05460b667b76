"""A metric: a `Metric`, or a plain function of (prediction, targets) that gives a number in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

from terakoya.scoring.metrics import Metric

_HOUR = 60


def _score(prediction: str | None, targets: Sequence[str]) -> float:
    """1 where the time is right, 0 where it is an hour off or more, or unreadable."""
    if prediction is None:
        return 0.0
    return max(1.0 - min(_minutes_between(prediction, target), _HOUR) / _HOUR for target in targets)


def _minutes_between(first: str, second: str) -> int:
    apart = abs(_minutes(first) - _minutes(second))
    return min(apart, 24 * 60 - apart)


def _minutes(time: str) -> int:
    hour, minute = time.split(":")
    return int(hour) * 60 + int(minute)


minutes = Metric(
    "minutes",
    _score,
    graded=True,
    parameters=(("within", str(_HOUR)),),
    summary="1 where the time is right, falling to 0 where it is an hour off.",
)
