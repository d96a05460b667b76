"""From predictions to scores: every item under every metric, then means with their intervals.

`ScoredPredictions` holds the predictions of one system (the model or a baseline) on one exam, item by item. The main
subset of the exam ("") decides; others ("recall": memorised on purpose, or a user's own) are scored apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

from terakoya.codec import Codec
from terakoya.errors import DataError
from terakoya.errors.third_party import broken_contract
from terakoya.i18n import _
from terakoya.records import Example, Prediction, Score, Signature, fingerprint, set_fingerprint
from terakoya.scoring.baselines.nearest_neighbour import NearestRow
from terakoya.scoring.metrics import Metric
from terakoya.scoring.statistics import intervals

MAIN = ""  # the subset of an exam that decides


@dataclass(frozen=True)
class ScoredPrediction:
    """One item of the exam: its example, the prediction, metric name → score, the group of items that it belongs to
    ("": it is independent of all others), and its acceptable targets in the codec's canonical form."""

    example: Example
    prediction: Prediction
    scores: Mapping[str, float]
    group: str = ""
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoredPredictions:
    """The scored predictions of one system, in the exam's order.

    system  "model", or a baseline's name
    items   one for each item of the exam
    """

    system: str
    items: tuple[ScoredPrediction, ...]

    def subset(self, name: str) -> ScoredPredictions:
        """The items of one subset of the exam.

        name  "" for the main one
        """
        return ScoredPredictions(self.system, tuple(item for item in self.items if item.example.subset == name))

    def subsets(self) -> list[str]:
        """Names of the subsets in the order in which they occur in the exam, the main one first."""
        seen = dict.fromkeys(item.example.subset for item in self.items)
        return sorted(seen, key=lambda name: name != MAIN)

    def item_scores(self, metric: str) -> list[float]:
        """The scores of all items, in order.

        metric  its name
        """
        return [item.scores[metric] for item in self.items]

    @property
    def groups(self) -> list[str]:
        """The group of each item, in order."""
        return [item.group for item in self.items]


def score_predictions(
    system: str,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    codec: Codec,
    metrics: Mapping[str, Metric],
    *,
    group_of: Callable[[Example], str] = attrgetter("group"),
) -> ScoredPredictions:
    """Every prediction compared with all acceptable targets of its item, in the codec's canonical form.

    system       whose predictions they are: "model", or a baseline's name
    examples     the items of the exam
    predictions  one for each example, in the same order
    codec        gives targets their canonical form
    metrics      by name
    group_of     the group that an item belongs to (its own; "": it is independent of all others)
    Raises DataError where numbers of examples and predictions differ, or a target has no canonical form.
    """
    if len(examples) != len(predictions):
        given, wanted = len(predictions), len(examples)
        raise DataError(
            _("{given} predictions for {wanted} exam items", given=given, wanted=wanted),
            do=_("Predict every item once."),
        )
    canonical = _CanonicalTargets(codec)
    items = []
    for example, prediction in zip(examples, predictions, strict=True):
        targets = [canonical(target) for target in (example.target, *example.accepted)]
        scores = {name: metric.score(prediction.text, targets) for name, metric in metrics.items()}
        items.append(ScoredPrediction(example, prediction, scores, group_of(example), tuple(targets)))
    return ScoredPredictions(system, tuple(items))


def canonical_targets(codec: Codec, targets: Sequence[str]) -> list[str]:
    """The targets in the form in which predictions are compared; what the codec cannot read is left out.

    codec    gives the canonical form
    targets  as data has them
    """
    found = []
    for target in targets:
        with suppress(DataError):
            found.append(codec.canonical(target))
    return found


def make_signature(
    examples: Sequence[Example], metric: Metric, *, decoding: str, codec: Codec, labels: Sequence[str] = ()
) -> Signature:
    """How a score was made: only scores with equal signatures may be compared.

    examples  the items of the exam; their order does not matter
    metric    its signature is taken over
    decoding  how predictions were decoded: "greedy"
    codec     gives the normal form of predictions
    labels    the label set, () where predictions are no labels
    """
    return Signature(
        exam=set_fingerprint(examples),
        metric=metric.signature,
        decoding=decoding,
        normal=codec.name.partition(":")[0],
        labels=fingerprint(*sorted(labels)) if labels else "",
    )


def aggregate_scores(
    scored: ScoredPredictions,
    metrics: Mapping[str, Metric],
    signature_of: Callable[[Metric], Signature],
    **interval_options: Any,
) -> list[Score]:
    """A Score (mean, 95% interval, n, signature) for every subset of the exam and every metric.

    scored            predictions of one system
    metrics           by name
    signature_of      metric → signature of its scores
    interval_options  `seed` and `resamples` of the intervals
    """
    return [
        intervals.make_score(
            scored.system,
            metric.name,
            subset.item_scores(metric.name),
            signature_of(metric),
            subset=name,
            groups=subset.groups,
            **interval_options,
        )
        for name in scored.subsets()
        for subset in (scored.subset(name),)
        for metric in metrics.values()
    ]


def prediction_lines(
    scored: ScoredPredictions,
    metric: str,
    error_kind: Callable[[Example, Prediction], str] | None,
    baseline: ScoredPredictions | None = None,
    nearest: Sequence[NearestRow | None] = (),
) -> list[dict[str, Any]]:
    """The lines of predictions.jsonl, one for each item.

    scored      the model's predictions
    metric      name of the metric whose score is written ("verdict" in the file)
    error_kind  names the error of a prediction that is not fully right; None: "wrong"
    baseline    scored predictions of a baseline, written beside the model's ("beside" in the file)
    nearest     the most similar training row of each item; () where there are none
    """
    lines = []
    others = baseline.items if baseline else (None,) * len(scored.items)
    rows = nearest or (None,) * len(scored.items)
    for item, other, near in zip(scored.items, others, rows, strict=True):
        example, prediction, value = item.example, item.prediction, item.scores[metric]
        line: dict[str, Any] = {
            "source": example.source,
            "target": example.target,
            "raw": prediction.raw,
            "prediction": prediction.text,
            "verdict": value,
            "subset": example.subset,
            "tags": dict(example.tags),
            "probability": prediction.probability,
            "fingerprint": example.fingerprint,
            "group": item.group,
        }
        line |= {"accepted": list(example.accepted)} if example.accepted else {}
        line |= {"canonical": item.targets[0]} if item.targets and item.targets[0] != example.target else {}
        line |= {"nearest": asdict(near)} if near else {}
        line |= {"turns": [[turn.role, turn.content] for turn in example.turns]} if example.turns else {}
        line |= {"withheld": prediction.withheld} if prediction.withheld else {}
        line |= {"unknown": prediction.unknown} if prediction.unknown else {}
        line |= {"uncalibrated": prediction.uncalibrated} if prediction.uncalibrated is not None else {}
        line |= {"novel": True} if prediction.novel else {}
        if baseline and other:
            line["beside"] = {
                "who": baseline.system,
                "prediction": other.prediction.text,
                "verdict": other.scores[metric],
            }
        if value < 1:
            line["error"] = _error(item, error_kind)
        lines.append(line)
    return lines


def _error(item: ScoredPrediction, error_kind: Callable[[Example, Prediction], str] | None) -> str:
    if item.prediction.withheld:
        return f"withheld: {item.prediction.withheld}"
    if item.prediction.text is None:
        return "unreadable"
    return error_kind(item.example, item.prediction) if error_kind else "wrong"


class _CanonicalTargets:
    """The codec's canonical form, cached: exams repeat their targets."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.cache: dict[str, str] = {}

    def __call__(self, target: str) -> str:
        if target not in self.cache:
            form = self.codec.canonical(target)
            if not isinstance(form, str):
                raise broken_contract(
                    self.codec.canonical,
                    _("a codec's canonical form must be text, and is {form}", form=repr(form)),
                )
            self.cache[target] = form
        return self.cache[target]
