"""How well people agree on an exam that several annotators have annotated: the ceiling of its scores.

Where people put different targets to one item, not even a person reaches 1, and a model's score says little without
knowing what a person's would be. Each annotator's target is scored like a prediction, against the targets of all the
others (leave-one-out, as human scores are made for image captions: Chen et al. 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from terakoya.codec import Codec
from terakoya.records import Example, Prediction, Score, Signature
from terakoya.scoring.baselines.standard import ANNOTATORS
from terakoya.scoring.metrics import Metric
from terakoya.scoring.score_predictions import ScoredPrediction, ScoredPredictions, aggregate_scores

# source → the annotator's target, None where there is none
Annotator = Callable[[str], str | None]
OWN = ""  # whoever gave the exam its targets


def annotations_of(example: Example, annotators: Mapping[str, Annotator], codec: Codec) -> dict[str, tuple[str, ...]]:
    """Annotator → canonical targets of one item, the best one first; whoever wrote the exam's targets is `OWN`.

    example     the item
    annotators  the others, by name; one without a target for this item is left out
    codec       gives the canonical form
    """
    further = {name: annotator(example.source) for name, annotator in annotators.items()}
    given = {name: (target,) for name, target in further.items() if target is not None}
    every: dict[str, tuple[str, ...]] = {OWN: (example.target, *example.accepted), **given}
    return {name: tuple(codec.canonical(target) for target in targets) for name, targets in every.items()}


def leave_one_out(annotations: Mapping[str, Sequence[str]], metric: Metric) -> dict[str, float]:
    """Annotator → score of the best target against every target of the other annotators.

    annotations  annotator → canonical targets of one item, the best one first
    metric       by which they are scored
    """
    return {
        name: metric.score(own[0], [target for other in annotations if other != name for target in annotations[other]])
        for name, own in annotations.items()
    }


def annotator_scores(
    exam: Sequence[Example],
    annotators: Mapping[str, Annotator],
    codec: Codec,
    metrics: Mapping[str, Metric],
    signature_of: Callable[[Metric], Signature],
    *,
    group_of: Callable[[Example], str],
    **interval_options: Any,
) -> list[Score]:
    """What an annotator's targets score against those of the others: the mean over annotators, then over items.

    exam              its items; those with targets of one annotator only are left out
    annotators        by name, beside whoever gave the exam its targets
    codec             gives targets their canonical form
    metrics           by name
    signature_of      metric → signature of its scores
    group_of          the group that an item belongs to
    interval_options  `seed` and `resamples` of the intervals
    Returns one Score of `ANNOTATORS` for each subset and metric, [] without items. Its signature counts the
    annotators: they are scored against each other, a model against the exam's own targets.
    """
    items = []
    for example in exam:
        annotations = annotations_of(example, annotators, codec)
        if len(annotations) > 1:
            by_metric = {name: list(leave_one_out(annotations, metric).values()) for name, metric in metrics.items()}
            scores = {name: sum(values) / len(values) for name, values in by_metric.items()}
            nothing = Prediction(example.source, "", None)
            items.append(ScoredPrediction(example, nothing, scores, group_of(example)))
    if not items:
        return []
    marked = ("annotators", str(len(annotators) + 1))
    used = {name: replace(metric, parameters=(*metric.parameters, marked)) for name, metric in metrics.items()}
    return aggregate_scores(ScoredPredictions(ANNOTATORS, tuple(items)), used, signature_of, **interval_options)
