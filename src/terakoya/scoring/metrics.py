"""Metrics: one item at a time in [0, 1], so that runs can be compared item by item.

A metric sees canonical targets (the codec's canonical form) and the prediction; an unreadable prediction scores 0.
A set of labels is written as text with one space between labels; order and repetition carry no meaning.
Where several targets are acceptable, the one that the prediction matches best counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from terakoya.errors import ConfigError
from terakoya.errors.third_party import broken_contract, check_call, load_plugin
from terakoya.i18n import _
from terakoya.records import fingerprint
from terakoya.scoring.chrf import BETA, ORDER, chrf_score

Score = Callable[[str | None, Sequence[str]], float]
_ARGUMENTS = ("prediction", "targets")  # of every metric's function


@dataclass(frozen=True)
class Metric:
    """A score of single predictions, with a signature that says how it is made.

    name        as configs, tables and scores.json name it: "jaccard"
    score       `score(prediction, targets)` → a number in [0, 1]. `prediction` is canonical text, None where it is
                unreadable; `targets` are all acceptable targets in canonical form, of which the best match counts
    graded      False (default): every score is 0 or 1 (Wilson interval, McNemar test); True: anything between
                (bootstrap interval, permutation test)
    version     part of the signature: raise it whenever the same predictions would score differently
    parameters  part of the signature: (short name, value) of everything that changes a score
    full_name   what the signature begins with, where `name` alone would be ambiguous: "chrf-sentence"
    summary     one sentence in each language, for docs/metrics.md
    """

    name: str
    score: Score
    graded: bool = False
    version: int = 1
    parameters: tuple[tuple[str, str], ...] = ()
    full_name: str = ""
    summary: str = ""

    @property
    def signature(self) -> str:
        """How its scores are made, "chrf-sentence|nc:6|beta:2|space:no|v:1": only equal signatures are compared."""
        settings = (f"{key}:{value}" for key, value in self.parameters)
        return "|".join((self.full_name or self.name, *settings, f"v:{self.version}"))


def current_signature(signature: str) -> str:
    """A metric's signature in today's form, so that scores of older run folders can still be compared.

    signature  as scores.json has it; older folders say name and version only: "jaccard/1", "chrf/1"
    Returns "jaccard|v:1", "chrf-sentence|nc:6|beta:2|space:no|v:1"; today's form is returned as it is.
    """
    name, slash, version = signature.rpartition("/")
    if not slash or "|" in signature or not version.isdecimal():
        return signature
    known = METRICS.get(name)
    return known.signature if known and str(known.version) == version else f"{name}|v:{version}"


def labels_of(text: str) -> frozenset[str]:
    """The set of labels in a canonical prediction or target.

    text  labels separated by white space
    """
    return frozenset(text.split())


def _exact(prediction: str | None, targets: Sequence[str]) -> float:
    return float(prediction is not None and prediction in targets)


def _best(score: Callable[[str, str], float]) -> Callable[[str | None, Sequence[str]], float]:
    """A score against one target becomes the best score over all targets; an unreadable prediction scores 0."""

    def best_score(prediction: str | None, targets: Sequence[str]) -> float:
        return 0.0 if prediction is None else max((score(prediction, target) for target in targets), default=0.0)

    return best_score


def _on_sets(score: Callable[[frozenset[str], frozenset[str]], float]) -> Callable[[str | None, Sequence[str]], float]:
    return _best(lambda prediction, target: score(labels_of(prediction), labels_of(target)))


def _jaccard(prediction: frozenset[str], target: frozenset[str]) -> float:
    union = len(prediction | target)
    return len(prediction & target) / union if union else 1.0


def _precision(prediction: frozenset[str], target: frozenset[str]) -> float:
    return len(prediction & target) / len(prediction) if prediction else float(not target)


def _recall(prediction: frozenset[str], target: frozenset[str]) -> float:
    return len(prediction & target) / len(target) if target else float(not prediction)


def _f1(prediction: frozenset[str], target: frozenset[str]) -> float:
    size = len(prediction) + len(target)
    return 2 * len(prediction & target) / size if size else 1.0


def _set_exact(prediction: frozenset[str], target: frozenset[str]) -> float:
    return float(prediction == target)


exact = Metric(
    "exact",
    _exact,
    summary=_("1 where the prediction equals an acceptable target in the codec's canonical form, else 0."),
)
jaccard = Metric(
    "jaccard",
    _on_sets(_jaccard),
    graded=True,
    summary=_("Labels in both sets over labels in either (Jaccard 1901)."),
)
precision = Metric(
    "precision",
    _on_sets(_precision),
    graded=True,
    summary=_("Share of the predicted labels that are right."),
)
recall = Metric(
    "recall",
    _on_sets(_recall),
    graded=True,
    summary=_("Share of the right labels that were predicted."),
)
f1 = Metric(
    "f1",
    _on_sets(_f1),
    graded=True,
    summary=_("Harmonic mean of precision and recall, item by item."),
)
set_exact = Metric(
    "set_exact",
    _on_sets(_set_exact),
    summary=_("1 where the predicted set of labels equals an acceptable set, else 0."),
)
chrf = Metric(
    "chrf",
    _best(chrf_score),
    graded=True,
    parameters=(("nc", str(ORDER)), ("beta", f"{BETA:g}"), ("space", "no")),
    full_name="chrf-sentence",
    summary=_(
        "Character n-gram F-score of single texts (Popović 2015): n-grams up to nc, recall weighted by beta, white "
        "space left out."
    ),
)

METRICS: Mapping[str, Metric] = MappingProxyType(
    {metric.name: metric for metric in (exact, jaccard, precision, recall, f1, set_exact, chrf)}
)
# Names of the metrics that fit sets of labels, the one that decides by default first.
LABEL_METRICS: tuple[str, ...] = ("jaccard", "precision", "recall", "f1", "set_exact")


def metric(name: str) -> Metric:
    """The metric that a config names.

    name  one of METRICS, or of an entry point of the group "terakoya.metrics"
    Raises ConfigError, which offers the nearest name, where there is none; PluginError where an installed one cannot be
    loaded or is no metric.
    """
    if name in METRICS:
        return METRICS[name]
    unknown = _("unknown metric '{name}'", name=name)
    return as_metric(name, load_plugin("metrics", name, own=METRICS, unknown=unknown))


def as_metric(name: str, given: Any) -> Metric:
    """A metric, or a plain function, as a metric of this name.

    name   as configs, tables and scores.json name it
    given  a Metric; or a function of (prediction, targets) → number in [0, 1], which becomes a graded metric whose
           signature names it, with a fingerprint of its source: "near|function:greetings.near|source:1f3a9c05|v:1"
    Raises PluginError, naming file and line, where it is neither.
    """
    what = _("the metric '{name}'", name=name)
    if isinstance(given, Metric):
        check_call(given.score, _ARGUMENTS, what)
        full_name = given.full_name if given.name == name else given.full_name or given.name
        return replace(given, score=_checked(name, given.score), name=name, full_name=full_name)
    check_call(given, _ARGUMENTS, what)
    return Metric(name, _checked(name, given), graded=True, parameters=_parameters(given))


def _parameters(function: Any) -> tuple[tuple[str, str], ...]:
    """Name and source of a plain function, for the signature: another function gives scores of another kind."""
    import inspect

    defined = inspect.unwrap(function) if hasattr(function, "__code__") else type(function)
    try:
        file, source = inspect.getsourcefile(defined), inspect.getsource(defined)
    except (OSError, TypeError):  # typed at a prompt, or written in C
        return (("function", f"{defined.__module__}.{defined.__qualname__}"),)
    name = f"{Path(file or '').stem}.{defined.__qualname__}"
    return (("function", name), ("source", fingerprint(source)[:8]))


def _checked(name: str, score: Score) -> Score:
    """A third party's function that gives a number in [0, 1] or raises PluginError, naming its file and line."""
    if isinstance(score, _CheckedScore) or str(getattr(score, "__module__", "")).startswith("terakoya."):
        return score
    return _CheckedScore(name, score)


@dataclass(frozen=True)
class _CheckedScore:
    name: str
    function: Score

    @property
    def __wrapped__(self) -> Score:
        """Where `inspect` finds the third party's own function."""
        return self.function

    def __call__(self, prediction: str | None, targets: Sequence[str]) -> float:
        value = self.function(prediction, targets)
        number = float(value) if isinstance(value, (int, float)) or hasattr(value, "__float__") else float("nan")
        if not 0.0 <= number <= 1.0:
            name, given = self.name, repr(value)
            raise broken_contract(
                self.function,
                _("the metric '{name}' must give a number in [0, 1], and gave {given}", name=name, given=given),
            )
        return number


def metric_with_signature(signature: str) -> Metric | None:
    """The metric that has this signature today, built in or installed; None where there is none.

    signature  as scores.json has it
    """
    for known in METRICS.values():
        if known.signature == signature:
            return known
    try:
        found = metric(signature.partition("|")[0])
    except ConfigError:
        return None
    return found if found.signature == signature else None


def category(categories: Mapping[str, str]) -> Metric:
    """A metric that gives credit for the right kind of label: Jaccard between the categories of the labels.

    categories  label → category; a label without one is a category of its own
    """

    def categories_of(labels: frozenset[str]) -> frozenset[str]:
        return frozenset(categories.get(label, label) for label in labels)

    return Metric(
        "category",
        _on_sets(lambda prediction, target: _jaccard(categories_of(prediction), categories_of(target))),
        graded=True,
        summary=_("Jaccard between the categories of the labels instead of the labels."),
    )
