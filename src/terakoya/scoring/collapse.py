"""When a training has collapsed: the model ignores its input and predicts what is frequent on average.

A collapsed model has a dev loss near the entropy of the label prior, which looks like success. Two dev values tell it
apart: few distinct predictions, and a loss that stays the same when every input is exchanged for another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# Collapse begins at the first of CONSECUTIVE evaluations that are all as low as this.
MAX_DISTINCT_SHARE = 0.05  # distinct predictions, as a share of all
MAX_INPUT_GAIN = 0.002  # nats: loss with exchanged inputs, less the loss with the right ones
CONSECUTIVE = 3


def collapse_onset(evaluations: Sequence[Mapping[str, float]]) -> int | None:
    """Where a collapse began: the index of the first of three consecutive collapsed evaluations, None without one.

    evaluations  dev values in order, each with "distinct_share" and "gain" (nats)
    """
    low = [one["distinct_share"] < MAX_DISTINCT_SHARE and one["gain"] <= MAX_INPUT_GAIN for one in evaluations]
    return next((i for i in range(len(low) - CONSECUTIVE + 1) if all(low[i : i + CONSECUTIVE])), None)
