"""What a learning curve says, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from terakoya.evaluation.learning_curve import LearningCurve
from terakoya.i18n import _, in_every_language
from terakoya.training.train_dev_gap import GAP

UNDERFIT = 0.5  # mean score on rows that were trained on, below which more rows are not what is missing


def curve_values(curve: LearningCurve) -> dict[str, Any]:
    """The curve as a run folder keeps it, with its sentences in every language.

    curve  of a task
    """
    words = [in_every_language(one) for one in curve_messages(curve)]
    return {**curve.to_dict(), "gap": curve.gap, "words": words}


def curve_messages(curve: LearningCurve) -> Iterator[str]:
    """The curve in sentences, as messages.

    curve  of a task
    """
    last, doubled = curve.points[-1], curve.doubled
    gain = doubled.value - last.value
    values = {"metric": curve.metric, "rows": doubled.rows, "value": doubled.value, "low": doubled.low}
    yield _(
        "With twice the rows ({rows}) {metric} {value:.3f} is expected [{low:.3f}, {high:.3f}]: {gain:+.3f} "
        "(power law through {points} sizes; trainings of each: {seeds}; dev items: {items}).",
        **values,
        high=doubled.high,
        gain=gain,
        points=len(curve.points),
        seeds=curve.seeds,
        items=curve.items,
    )
    if curve.seeds == 1:
        yield _("Each size is one training: another seed may differ, which the interval does not contain.")
    if last.trained < UNDERFIT:
        yield _(
            "Even on rows that it was trained on the model scores only {trained:.3f}: it was trained too short, or is "
            "too small, and the curve says little about rows.",
            trained=last.trained,
        )
    if curve.gap > GAP:
        yield _(
            "On rows that it was trained on the model scores {trained:.3f}, on dev {value:.3f}: it has memorised more "
            "than it generalises.",
            trained=last.trained,
            value=last.value,
        )
    if curve.suspects:
        first = curve.suspects[0]
        yield _(
            "{count} training rows look wrong to a model that was not trained on them; the first: {source} has "
            "{target}, and the model says {instead}.",
            count=len(curve.suspects),
            source=repr(first.source[:40]),
            target=repr(first.target[:40]),
            instead=repr(first.instead[:40]),
        )
    if curve.unlearned:
        yield _(
            "{count} rows are predicted wrongly although they were trained on; the first: {source} with {target}.",
            count=len(curve.unlearned),
            source=repr(curve.unlearned[0].source[:40]),
            target=repr(curve.unlearned[0].target[:40]),
        )
