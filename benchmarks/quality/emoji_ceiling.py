"""How well the annotators of the emoji exam agree: the ceiling beside which its scores are read.

    python -m benchmarks.quality.emoji_ceiling

Each annotator's set is scored like a prediction, in Jaccard: against the sets of all others (the ceiling that a record
shows), and against the exam's own sets, exactly as a model's prediction is. The exam's own alternative sets against
each other are the older, single-writer figure. Writes benchmarks/results/emoji_ceiling.md and .json.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from statistics import mean

from benchmarks.reporting import machine_summary, markdown_table, write_results
from terakoya.codec.labels import LabelsCodec
from terakoya.records import Example
from terakoya.scoring.annotator_agreement import OWN, annotations_of, leave_one_out
from terakoya.scoring.metrics import jaccard
from terakoya.scoring.statistics.intervals import Interval, mean_interval
from terakoya.tasks.emoji import ANNOTATORS, annotator, hand_written_exam

SEEN = 140  # of these first sentences the further annotators knew the exam's own sets
Annotations = dict[str, tuple[str, ...]]


def own_alternatives(annotations: Annotations) -> float:
    """Each of the exam's own sets against its other ones: what one writer's alternatives have in common."""
    sets = annotations[OWN]
    return mean(jaccard.score(one, [*sets[:at], *sets[at + 1 :]]) for at, one in enumerate(sets))


def against_the_exam(name: str) -> Callable[[Annotations], float]:
    """One annotator's set against the exam's own, as a prediction is scored."""
    return lambda annotations: jaccard.score(annotations[name][0], annotations[OWN])


def against_the_others(name: str) -> Callable[[Annotations], float]:
    """One annotator's set against those of all the others."""
    return lambda annotations: leave_one_out(annotations, jaccard)[name]


def ceiling(annotations: Annotations) -> float:
    """The mean over annotators of the score against the others."""
    return mean(leave_one_out(annotations, jaccard).values())


FIGURES: dict[str, Callable[[Annotations], float]] = {
    "ceiling: each annotator against the others": ceiling,
    "the exam's writer against the others": against_the_others(OWN),
    **{f"{name} against the others": against_the_others(name) for name in ANNOTATORS},
    **{f"{name} against the exam's own sets, as a model is scored": against_the_exam(name) for name in ANNOTATORS},
    "the exam's own sets against each other, one writer": own_alternatives,
}


def measure(exam: Sequence[Example]) -> dict[str, Interval]:
    """Every figure over these items, with its 95% interval by items."""
    annotators = {name: annotator(name) for name in ANNOTATORS}
    labels = {one for example in exam for one in _labels(example)}
    codec = LabelsCodec(tuple(sorted(labels)), emoji=True)
    annotations = [annotations_of(example, annotators, codec) for example in exam]
    return {title: mean_interval([figure(one) for one in annotations]) for title, figure in FIGURES.items()}


def _labels(example: Example) -> list[str]:
    further = (annotator(name)(example.source) or "" for name in ANNOTATORS)
    return list(chain.from_iterable(one.split() for one in (example.target, *example.accepted, *further)))


def _shown(one: Interval) -> str:
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def main() -> None:
    exam = hand_written_exam()
    every, unseen = measure(exam), measure(exam[SEEN:])
    rows = [(title, _shown(every[title]), _shown(unseen[title])) for title in FIGURES]
    head = ("Jaccard", f"all (n = {len(exam)})", f"sets not seen before (n = {len(exam) - SEEN})")
    page = (
        f"# The ceiling of the emoji exam\n\nMade by `python -m benchmarks.quality.emoji_ceiling`; "
        f"{machine_summary(('numpy',))}. 95% intervals by items (BCa). Annotators: the exam's writer (target and "
        "accepted sets), and one further writer from two points of view, `things` and `mood`.\n\n"
        + markdown_table(head, rows)
    )
    values = {
        name: {title: {"value": one.value, "low": one.low, "high": one.high, "n": one.n} for title, one in part.items()}
        for name, part in (("all", every), ("unseen", unseen))
    }
    print(write_results("emoji_ceiling", page, values).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
