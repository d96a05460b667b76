"""Predictions that need no training: the baselines that every model is compared with.

Each is made from the same training examples as the model; what has to be chosen is chosen on dev. BASELINES describes
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.records import Example
from terakoya.scoring.baselines.label_counts import label_count_predictor
from terakoya.scoring.baselines.nearest_neighbour import nearest_neighbour
from terakoya.scoring.metrics import Metric
from terakoya.text import normalise_source

BatchPredict = Callable[[Sequence[str]], list[str | None]]
Rule = Callable[[str], str | None]

HYBRID = "hybrid"  # name in scores.json of the rule, with the model wherever the rule abstains
_MAX_ROWS = 1000  # training rows on which constants are tried
_MAX_CANDIDATES = 30  # most frequent targets or labels that are tried


@dataclass(frozen=True)
class BaselineInfo:
    """What people read of a baseline: its name and one sentence, each in both languages."""

    title: str
    summary: str


BASELINES: Mapping[str, BaselineInfo] = MappingProxyType(
    {
        "constant": BaselineInfo(
            both("constant", "定数"),
            both(
                "The one prediction that scores best on the training examples, in the task's own metric.",
                "学習データでタスクの指標が最も高くなる、ただ一つの予測を常に出力する。",
            ),
        ),
        "most frequent": BaselineInfo(
            both("most frequent", "最頻"),
            both("The most frequent training target.", "学習データで最も多い正解を常に出力する。"),
        ),
        "nearest neighbour": BaselineInfo(
            both("nearest neighbour", "最近傍"),
            both(
                "The target of the most similar training source: cosine of TF-IDF weighted character 1- to 3-grams.",
                "最も似た学習入力の正解を出力する（文字 1〜3-gram の TF-IDF のコサイン類似度）。",
            ),
        ),
        "copy": BaselineInfo(
            both("copy", "写し"),
            both("The source itself, where it is a legal target.", "入力が正解の形式に合えばそのまま出力する。"),
        ),
        "rule": BaselineInfo(
            both("rule", "規則"),
            both("The rule that the task brings, where it brings one.", "タスクが規則を持つ場合、その規則の出力。"),
        ),
        "word table": BaselineInfo(
            both("word table", "語の表"),
            both(
                "For sets of labels: the largest smoothed share P(label | word) over the words of the source; the "
                "strength of the smoothing and the threshold are chosen on dev.",
                "ラベル集合用。入力の各語について平滑化した P(ラベル | 語) の最大値を使う。"
                "平滑化の強さとしきい値は検証データで選ぶ。",
            ),
        ),
        "name lexicon": BaselineInfo(
            both("name lexicon", "名前の辞書"),
            both(
                "For sets of labels with names: the labels whose names occur in the source.",
                "名前のあるラベルの集合用。入力に名前が現れるラベルを出力する。",
            ),
        ),
        HYBRID: BaselineInfo(
            both("hybrid", "併用"),
            both(
                "The task's rule, and the model's prediction wherever the rule abstains; shown, never a baseline of "
                "the verdict.",
                "タスクの規則を使い、規則が棄権した問題ではモデルの予測を使う。表示のみで、判定のベースラインにはしない。",
            ),
        ),
    }
)


def baseline_title(name: str) -> str:
    """A baseline's name in both languages; a task's own baseline has one name only.

    name  as scores.json has it
    """
    return BASELINES[name].title if name in BASELINES else name


@dataclass(frozen=True)
class Baseline:
    """A predictor by name. `predict(sources)` gives canonical predictions, None where it abstains; calling it with one
    `source` gives one.
    """

    name: str
    predict: BatchPredict

    def __call__(self, source: str) -> str | None:
        return self.predict([source])[0]


def _one_by_one(rule: Rule) -> BatchPredict:
    return lambda sources: [rule(source) for source in sources]


def _always(prediction: str | None) -> BatchPredict:
    return lambda sources: [prediction for _ in sources]


def evenly_spaced(examples: Sequence[Example], most: int) -> list[Example]:
    """A sample that does not depend on the order of rows: evenly spaced in the order of fingerprints.

    examples  to choose from
    most      size of the sample; fewer examples are all taken
    """
    ordered = sorted(examples, key=lambda example: example.fingerprint)
    return ordered if len(ordered) <= most else [ordered[i * len(ordered) // most] for i in range(most)]


def _by_frequency(texts: Sequence[str]) -> list[str]:
    counts = Counter(texts)
    return sorted(counts, key=lambda text: (-counts[text], text))


def best_constant(train: Sequence[Example], metric: Metric, *, labels: bool = False) -> str:
    """The one prediction that scores best on the training examples, in the task's own metric.

    train   examples with canonical targets; at most 1,000 of them are scored
    metric  the task's own
    labels  True where targets are sets: the set is built greedily, the best label first, then the label that helps
            most, until none helps
    Tried are the 30 most frequent targets or labels.
    """
    rows = [(example.target, *example.accepted) for example in evenly_spaced(train, _MAX_ROWS)]

    def mean(prediction: str) -> float:
        return sum(metric.score(prediction, targets) for targets in rows) / len(rows)

    targets = [example.target for example in train]
    if not labels:
        return max(_by_frequency(targets)[:_MAX_CANDIDATES], key=mean)  # the first, so the more frequent, wins a tie
    frequent = _by_frequency([label for target in targets for label in target.split()])[:_MAX_CANDIDATES]
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
    """A rule that predicts the labels whose names occur in the source; it abstains where none does.

    names  label → its names. The longest name is matched first, none inside a longer one
    train  decides between labels that share a name (the more frequent one) and bounds a prediction: as many labels as
           the largest training target has (5 without training examples)
    """
    counts = Counter(label for example in train for label in example.target.split())
    most = max((len(example.target.split()) for example in train), default=5)
    labels: dict[str, str] = {}
    for label in sorted(names, key=lambda label: (-counts[label], label)):
        for name in names[label]:
            if form := normalise_source(name):
                labels.setdefault(form, label)
    sizes = sorted({len(name) for name in labels}, reverse=True)

    def predict(source: str) -> str | None:
        text, at, hits = normalise_source(source), 0, list[str]()
        while at < len(text):
            size = next((size for size in sizes if text[at : at + size] in labels), 0)
            if size:
                hits.append(labels[text[at : at + size]])
            at += size or 1
        return " ".join(list(dict.fromkeys(hits))[:most]) or None

    return predict


def make_baselines(
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

    train      training examples
    dev        chooses what a baseline has to choose
    metric     the task's own, in which the constant is the best
    canonical  the codec's canonical form; every prediction is given in it (raises DataError for what is no target)
    labels     True where targets are sets of labels, separated by white space in canonical form
    rule       the task's own rule, None without one
    names      label → names, for the name lexicon
    more       the task's own baselines by name: train examples → rule
    refit      True: the model was refitted on train and dev, so baselines are too

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
    training = tuple(_with_canonical_targets(example, canonical) for example in train)
    held_out = tuple(_with_canonical_targets(example, canonical) for example in dev)
    fitted, original = training, tuple(train)
    if refit:
        fitted, original = (*training, *held_out), (*original, *dev)
    made: dict[str, BatchPredict] = {
        "constant": _always(best_constant(fitted, metric, labels=labels)),
        "most frequent": _always(_by_frequency([example.target for example in fitted])[0]),
        "nearest neighbour": nearest_neighbour(fitted),
        "copy": list,
    }
    if labels:
        made["word table"] = label_count_predictor(training, held_out, metric, refit=refit)
    if labels and names:
        made["name lexicon"] = _one_by_one(name_lexicon(names, fitted))
    if rule is not None:
        made["rule"] = _one_by_one(rule)
    for name, make in (more or {}).items():
        made[name] = _one_by_one(make(original))
    return {name: Baseline(name, _in_canonical_form(predict, canonical)) for name, predict in made.items()}


def _in_canonical_form(predict: BatchPredict, canonical: Callable[[str], str]) -> BatchPredict:
    """Predictions in canonical form; one that is no legal target becomes None."""

    def form(prediction: str | None) -> str | None:
        try:
            return None if prediction is None else canonical(prediction)
        except DataError:
            return None

    return lambda sources: [form(prediction) for prediction in predict(sources)]


def _with_canonical_targets(example: Example, canonical: Callable[[str], str]) -> Example:
    accepted = tuple(canonical(target) for target in example.accepted)
    return replace(example, target=canonical(example.target), accepted=accepted)
