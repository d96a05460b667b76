"""Metrics: one item at a time in [0, 1], so that runs can be compared item by item.

A metric sees canonical targets (the codec's canonical form) and the prediction; an unreadable answer scores 0.
A set of labels stands as text with one space between labels; order and repetition carry no meaning.
Where several targets are acceptable, the one that suits the answer best counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from terakoya.errors import ConfigError, DataError, nearest
from terakoya.i18n import both
from terakoya.scoring.chrf import chrf_of


@dataclass(frozen=True)
class Metric:
    """`judge(text, targets)`: the answer (canonical, None when unreadable) against all acceptable targets, best counts.

    `graded` metrics take values between 0 and 1; the others are 0 or 1, which decides the interval and the test.
    `version` goes into every signature: change it whenever the same answers would score differently.
    """

    name: str
    judge: Callable[[str | None, Sequence[str]], float]
    graded: bool = False
    version: int = 1

    @property
    def signature(self) -> str:
        return f"{self.name}/{self.version}"


Answers = Sequence[str | None]
Targets = Sequence[Sequence[str]]  # of every item, all acceptable targets


def labels_of(text: str) -> frozenset[str]:
    """The set of labels in a canonical answer."""
    return frozenset(text.split())


def _exact(text: str | None, targets: Sequence[str]) -> float:
    return float(text is not None and text in targets)


def _best(judge: Callable[[str, str], float]) -> Callable[[str | None, Sequence[str]], float]:
    """A judgement against one target, made one against all: the best counts, an unreadable answer scores 0."""

    def judged(text: str | None, targets: Sequence[str]) -> float:
        return 0.0 if text is None else max((judge(text, target) for target in targets), default=0.0)

    return judged


def _set(judge: Callable[[frozenset[str], frozenset[str]], float]) -> Callable[[str | None, Sequence[str]], float]:
    return _best(lambda answer, target: judge(labels_of(answer), labels_of(target)))


def _jaccard(answer: frozenset[str], target: frozenset[str]) -> float:
    union = len(answer | target)
    return len(answer & target) / union if union else 1.0


def _precision(answer: frozenset[str], target: frozenset[str]) -> float:
    return len(answer & target) / len(answer) if answer else float(not target)


def _recall(answer: frozenset[str], target: frozenset[str]) -> float:
    return len(answer & target) / len(target) if target else float(not answer)


def _f1(answer: frozenset[str], target: frozenset[str]) -> float:
    size = len(answer) + len(target)
    return 2 * len(answer & target) / size if size else 1.0


def _set_exact(answer: frozenset[str], target: frozenset[str]) -> float:
    return float(answer == target)


exact = Metric("exact", _exact)
jaccard = Metric("jaccard", _set(_jaccard), graded=True)
precision = Metric("precision", _set(_precision), graded=True)
recall = Metric("recall", _set(_recall), graded=True)
f1 = Metric("f1", _set(_f1), graded=True)
set_exact = Metric("set_exact", _set(_set_exact))
chrf = Metric("chrf", _best(chrf_of), graded=True)

METRICS: Mapping[str, Metric] = MappingProxyType(
    {metric.name: metric for metric in (exact, jaccard, precision, recall, f1, set_exact, chrf)}
)


def metric(name: str) -> Metric:
    """The metric of this name. Raises ConfigError that offers the nearest one."""
    if name not in METRICS:
        raise ConfigError(both(f"unknown metric '{name}'", f"知らない指標 '{name}'"), do=nearest(name, METRICS))
    return METRICS[name]


def category(categories: Mapping[str, str]) -> Metric:
    """Half right is seen: Jaccard between the categories of the labels (label → category) instead of the labels.

    A label without a category is a category of its own.
    """

    def places(labels: frozenset[str]) -> frozenset[str]:
        return frozenset(categories.get(label, label) for label in labels)

    return Metric("category", _set(lambda answer, target: _jaccard(places(answer), places(target))), graded=True)


# Figures of the whole exam, which are no means over items.


def _closest(answer: str | None, targets: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The labels answered and those of the acceptable set that suits them best (by F1); unreadable is empty."""
    if not targets:
        raise DataError(
            both("an exam item has no target", "正解のない試験問題がある"),
            do=both("Fill in its target, or leave the item out.", "正解を埋めるか、その問題を外すこと。"),
        )
    given = labels_of(answer or "")
    return given, max((labels_of(target) for target in targets), key=lambda target: _f1(given, target))


@dataclass(frozen=True)
class Counts:
    """Labels answered rightly, answered in all, and wanted in all."""

    right: int
    answered: int
    wanted: int

    @property
    def precision(self) -> float:
        return self.right / self.answered if self.answered else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.wanted if self.wanted else 0.0

    @property
    def f1(self) -> float:
        both = self.answered + self.wanted
        return 2 * self.right / both if both else 0.0


def label_counts(answers: Answers, targets: Targets) -> Mapping[str, Counts]:
    """For every label that was wanted or answered: how often rightly, how often at all, how often wanted."""
    right: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for answer, acceptable in zip(answers, targets, strict=True):
        given, best = _closest(answer, acceptable)
        right.update(given & best)
        answered.update(given)
        wanted.update(best)
    return {label: Counts(right[label], answered[label], wanted[label]) for label in sorted(answered | wanted)}


def label_figures(answers: Answers, targets: Targets) -> Mapping[str, float]:
    """Precision, recall and F1 over the whole exam.

    micro: every label answered or wanted counts once, so frequent labels decide.
    macro: every label that the targets want counts once, however rare.
    """
    counts = label_counts(answers, targets)
    total = Counts(*(sum(getattr(c, field) for c in counts.values()) for field in ("right", "answered", "wanted")))
    wanted = [c for c in counts.values() if c.wanted]

    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(wanted) if wanted else 0.0

    return {
        "precision_micro": total.precision,
        "recall_micro": total.recall,
        "f1_micro": total.f1,
        "precision_macro": mean(c.precision for c in wanted),
        "recall_macro": mean(c.recall for c in wanted),
        "f1_macro": mean(c.f1 for c in wanted),
    }


def lengths(answers: Answers, *, characters: bool = False) -> Mapping[int, float]:
    """Share of readable answers by length: in labels (or words), or in characters."""
    sizes = Counter(len(a) if characters else len(a.split()) for a in answers if a is not None)
    return {size: sizes[size] / sizes.total() for size in sorted(sizes)}
