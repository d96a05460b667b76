"""Which teacher makes which row: by the content of its sentence and the weights, by weighted rendezvous hashing.

Nothing else decides, neither the order of the rows nor which other rows there are, so every shard and every resumed
generation assigns alike. Another weight or a further teacher moves only the rows that it must. Source: Thaler and
Ravishankar (1998); with weights Schindelhauer and Schomaker (2005).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from terakoya.records import fingerprint

_RANGE = 1 << 64  # of a fingerprint


def preferred_teachers(source: str, weights: Mapping[str, float]) -> list[str]:
    """Names of the teachers for one sentence, the one that it is assigned to first, then those that stand in for it.

    source   fingerprint of the sentence
    weights  name of a teacher → its weight; one of weight 0 is left out
    The first is drawn with a probability in proportion to the weights: of several waiting times, each exponential with
    its weight as the rate, the shortest.
    """
    return sorted(
        (name for name, weight in weights.items() if weight > 0), key=lambda name: _time(source, name, weights)
    )


def _time(source: str, name: str, weights: Mapping[str, float]) -> tuple[float, str]:
    uniform = (int(fingerprint("teacher/1", name, source), 16) + 0.5) / _RANGE
    return -math.log(uniform) / weights[name], name
