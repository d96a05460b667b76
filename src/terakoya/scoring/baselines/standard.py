"""Predictions that need no training: the baselines that every model is compared with.

Each is made from the same training examples as the model; what has to be chosen is chosen on dev. BASELINES describes
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from terakoya.codec.text import normalise_source
from terakoya.errors import ConfigError, DataError
from terakoya.errors.third_party import broken_contract, check_call, load_plugin
from terakoya.i18n import _
from terakoya.records import Example
from terakoya.scoring.baselines.label_counts import label_count_predictor
from terakoya.scoring.baselines.nearest_neighbour import nearest_neighbour
from terakoya.scoring.metrics import Metric

BatchPredict = Callable[[Sequence[str]], list[str | None]]
Rule = Callable[[str], str | None]
FitBaseline = Callable[[tuple[Example, ...]], Rule]  # train split → rule

UNTRAINED = "untrained base"  # name in scores.json of the pretrained base as it was before training
HYBRID = "hybrid"  # name in scores.json of the rule, with the model wherever the rule abstains
ANNOTATORS = "annotators"  # name in scores.json of those who annotated the exam, each against the others
_MAX_ROWS = 1000  # training rows on which constants are tried
_MAX_CANDIDATES = 30  # most frequent targets or labels that are tried


@dataclass(frozen=True)
class BaselineInfo:
    """What people read of a baseline: its name and one sentence, both messages."""

    title: str
    summary: str


BASELINES: Mapping[str, BaselineInfo] = MappingProxyType(
    {
        "constant": BaselineInfo(
            _("constant"),
            _("The one prediction that scores best on the training examples, in the task's own metric."),
        ),
        "most frequent": BaselineInfo(
            _("most frequent"),
            _("The most frequent training target."),
        ),
        "nearest neighbour": BaselineInfo(
            _("nearest neighbour"),
            _("The target of the most similar training source: cosine of TF-IDF weighted character 1- to 3-grams."),
        ),
        "copy": BaselineInfo(
            _("copy"),
            _("The source itself, where it is a legal target."),
        ),
        "rule": BaselineInfo(
            _("rule"),
            _("The rule that the task brings, where it brings one."),
        ),
        "word table": BaselineInfo(
            _("word table"),
            _(
                "For sets of labels: the largest smoothed share P(label | word) over the words of the source; the "
                "strength of the smoothing and the threshold are chosen on dev."
            ),
        ),
        "name lexicon": BaselineInfo(
            _("name lexicon"),
            _("For sets of labels with names: the labels whose names occur in the source."),
        ),
        UNTRAINED: BaselineInfo(
            _("untrained base"),
            _(
                "The pretrained base before any training, zero-shot or with examples of the training side in its "
                "prompt (Brown et al. 2020), whichever does best on dev; labels are scored one by one, less a share of "
                "what the base would say anyway (Zhao et al. 2021; Holtzman et al. 2021)."
            ),
        ),
        HYBRID: BaselineInfo(
            _("hybrid"),
            _(
                "The task's rule, and the model's prediction wherever the rule abstains; shown, never a baseline of "
                "the verdict."
            ),
        ),
        ANNOTATORS: BaselineInfo(
            _("annotators (ceiling)"),
            _(
                "Where an exam has targets of several annotators: each one's target, scored against those of all the "
                "others: how far they agree. Shown, never a baseline of the verdict."
            ),
        ),
    }
)


def baseline_title(name: str) -> str:
    """A baseline's name as a message; a task's own baseline has one name only.

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
    def predict(sources: Sequence[str]) -> list[str | None]:
        predictions = [rule(source) for source in sources]
        for prediction in predictions:
            if prediction is not None and not isinstance(prediction, str):
                raise broken_contract(
                    rule, _("a rule must give text or None, and gave {given}", given=repr(prediction))
                )
        return predictions

    return predict


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
    more: Mapping[str, FitBaseline] | None = None,
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
            _("baselines need training examples"),
            do=_("Draw some where a task makes its examples by rule."),
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
        fitted_rule = make(original)
        check_call(fitted_rule, ("source",), _("what the baseline '{name}' returns", name=name), maker=make)
        made[name] = _one_by_one(fitted_rule)
    return {name: Baseline(name, _in_canonical_form(predict, canonical)) for name, predict in made.items()}


def installed_baselines(names: Sequence[str]) -> Mapping[str, FitBaseline]:
    """The baselines that installed packages bring, as a config names them in `score.baselines`.

    names  of entry points of the group "terakoya.baselines"
    Returns name → function from the train split to a rule. Raises ConfigError, which offers the nearest name, where
    there is none, and PluginError where one cannot be loaded or takes other arguments.
    """
    found = {}
    for name in names:
        unknown = _("there is no installed baseline '{name}'", name=name)
        if name in BASELINES:
            raise ConfigError(
                unknown, where="score.baselines", do=_("'{name}' is always computed: leave it out.", name=name)
            )
        found[name] = load_plugin("baselines", name, own=(), unknown=unknown, where="score.baselines")
        check_call(found[name], ("train",), _("the baseline '{name}'", name=name))
    return found


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
