"""What can be had without learning: the answers that every model is held against.

constant, most frequent, nearest neighbour, copy and rule for every task; for sets of labels also a word table and,
where labels have names, a name lexicon. Each is made from the same training examples as the model; what has to be
chosen is chosen on dev.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.records import Example
from terakoya.scoring.baselines.label_counts import word_table
from terakoya.scoring.baselines.nearest_neighbour import nearest_neighbour
from terakoya.scoring.metrics import Metric
from terakoya.text import source_form

Many = Callable[[Sequence[str]], list[str | None]]
Rule = Callable[[str], str | None]

_ROWS = 1000  # training rows on which constants are tried
_TRIED = 30  # most frequent answers or labels that are tried

# As Japanese sentences and tables name them; a task's own baseline has its own name.
NAMES_JA = {
    "constant": "定数",
    "most frequent": "最頻",
    "nearest neighbour": "最近傍",
    "copy": "写し",
    "rule": "規則",
    "word table": "語の表",
    "name lexicon": "名前の辞書",
}


@dataclass(frozen=True)
class Baseline:
    """Answers a source with a canonical target, or None where it abstains; `many` answers a whole exam at once."""

    name: str
    many: Many

    def __call__(self, source: str) -> str | None:
        return self.many([source])[0]


def _one_by_one(rule: Rule) -> Many:
    return lambda sources: [rule(source) for source in sources]


def _always(answer: str | None) -> Many:
    return lambda sources: [answer for _ in sources]


def evenly(examples: Sequence[Example], most: int) -> list[Example]:
    """At most this many examples, evenly spaced in the order of their fingerprints: the order of rows has no say."""
    ordered = sorted(examples, key=lambda example: example.fingerprint)
    return ordered if len(ordered) <= most else [ordered[i * len(ordered) // most] for i in range(most)]


def _frequent(answers: Sequence[str]) -> list[str]:
    counts = Counter(answers)
    return sorted(counts, key=lambda answer: (-counts[answer], answer))


def best_constant(train: Sequence[Example], metric: Metric, *, labels: bool = False) -> str:
    """The one answer that scores best on the training examples, in the task's own metric.

    A set is built greedily: the best label first, then the label that helps most, until none helps. Tried are the 30
    most frequent answers or labels, on at most 1,000 rows.
    """
    rows = [(example.target, *example.accepted) for example in evenly(train, _ROWS)]

    def mean(answer: str) -> float:
        return sum(metric.judge(answer, targets) for targets in rows) / len(rows)

    targets = [example.target for example in train]
    if not labels:
        return max(_frequent(targets)[:_TRIED], key=mean)  # the first, so the more frequent, wins a tie
    frequent = _frequent([label for target in targets for label in target.split()])[:_TRIED]
    chosen: list[str] = []
    score = -1.0
    while left := [label for label in frequent if label not in chosen]:
        best = max(left, key=lambda label: mean(" ".join([*chosen, label])))
        reached = mean(" ".join([*chosen, best]))
        if reached <= score:
            break
        chosen, score = [*chosen, best], reached
    return " ".join(chosen)


def name_lexicon(names: Mapping[str, Sequence[str]], train: Sequence[Example] = ()) -> Rule:
    """The labels whose names occur in the source, longest name first, none inside a longer one; else it abstains.

    A name that several labels share means the most frequent of them in training. At most as many labels are answered
    as the largest training target has (5 without training examples).
    """
    counts = Counter(label for example in train for label in example.target.split())
    most = max((len(example.target.split()) for example in train), default=5)
    labels: dict[str, str] = {}
    for label in sorted(names, key=lambda label: (-counts[label], label)):
        for name in names[label]:
            if form := source_form(name):
                labels.setdefault(form, label)
    sizes = sorted({len(name) for name in labels}, reverse=True)

    def found(source: str) -> str | None:
        text, at, hits = source_form(source), 0, list[str]()
        while at < len(text):
            size = next((size for size in sizes if text[at : at + size] in labels), 0)
            if size:
                hits.append(labels[text[at : at + size]])
            at += size or 1
        return " ".join(list(dict.fromkeys(hits))[:most]) or None

    return found


def baselines(
    train: Sequence[Example],
    dev: Sequence[Example],
    *,
    metric: Metric,
    canonical: Callable[[str], str] = str,
    labels: bool = False,
    rule: Rule | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
    more: Mapping[str, Callable[[tuple[Example, ...]], Rule]] | None = None,
    refit: bool = False,
) -> Mapping[str, Baseline]:
    """Every baseline that fits the task, by name.

    metric     the task's own, in which the constant is the best
    canonical  the codec's canonical form; every answer is given in it (raises DataError for what is no target)
    labels     targets are sets of labels, parted by white space in canonical form
    rule, names, more   the task's `rule`, `label_names` and `baselines`
    refit      the model beside them was taught dev too, so they are

    Raises DataError without training examples, and where a training target is no legal target.
    """
    if not train:
        raise DataError(
            both("baselines need training examples", "ベースラインには学習の例が必要である"),
            do=both(
                "Draw some where a task makes its examples by rule.",
                "規則で例を作るタスクでは、いくつか生成しておくこと。",
            ),
        )
    taught = tuple(_canonical(example, canonical) for example in train)
    asked = tuple(_canonical(example, canonical) for example in dev)
    chosen_on, given = taught, tuple(train)
    if refit:
        taught, given = (*taught, *asked), (*given, *dev)
    made: dict[str, Many] = {
        "constant": _always(best_constant(taught, metric, labels=labels)),
        "most frequent": _always(_frequent([example.target for example in taught])[0]),
        "nearest neighbour": nearest_neighbour(taught),
        "copy": list,
    }
    if labels:
        made["word table"] = word_table(chosen_on, asked, metric, refit=refit)
    if labels and names:
        made["name lexicon"] = _one_by_one(name_lexicon(names, taught))
    if rule is not None:
        made["rule"] = _one_by_one(rule)
    for name, make in (more or {}).items():
        made[name] = _one_by_one(make(given))
    return {name: Baseline(name, _in_form(many, canonical)) for name, many in made.items()}


def _in_form(many: Many, canonical: Callable[[str], str]) -> Many:
    """Answers in canonical form; what is no legal target is no answer."""

    def form(answer: str | None) -> str | None:
        try:
            return None if answer is None else canonical(answer)
        except DataError:
            return None

    return lambda sources: [form(answer) for answer in many(sources)]


def _canonical(example: Example, canonical: Callable[[str], str]) -> Example:
    from dataclasses import replace

    accepted = tuple(canonical(target) for target in example.accepted)
    return replace(example, target=canonical(example.target), accepted=accepted)
