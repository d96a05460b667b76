"""What a task author brings: examples, a codec and metrics, and optionally rules that solve part of the task.

A new task is a function that returns a `Task`. Its keyword arguments are the keys of `[task.options]` in the config,
and an argument `split` receives the section `[split]` (tasks/options.py has the checks that such functions need).
Nothing in the package looks at a task's name: two tasks differ only in the values here.

    def task(*, items: int = 0) -> Task:
        return Task(name="greetings", examples=read_my_examples(items), metrics={"exact": exact})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from types import MappingProxyType
from typing import Any

from terakoya.codec import Codec, TextCodec
from terakoya.codec.choose import check_codec, choose_codec
from terakoya.errors.third_party import broken_contract, check_call
from terakoya.i18n import _
from terakoya.records import MEMORISED, Example, Finding, Prediction, Split
from terakoya.scoring.metrics import Metric, as_metric, exact, metric

# Predicts a target from a source without a model; None where it abstains.
Rule = Callable[[str], str | None]


@dataclass(frozen=True)
class Task:
    """One skill: what a model is trained and evaluated on. Only `name` and either `examples` or `split` are needed.

    name         names the task in reports and run folders
    examples     a fixed set of examples, in any order; () where `draw` and `split` make all of them. When `split` is
                 None the config's `[split]` cuts this set into train, dev and exam
    codec        how targets are written for the model and read back; default: as plain text
    metrics      name → metric, in this order in every table. The first one chooses the checkpoint on dev and gives the
                 verdict on the exam; default: {"exact": exact}. A plain function of (prediction, targets) → number in
                 [0, 1] is accepted: it becomes a graded Metric whose signature names it
    draw         (rng, progress) → one training example, made by rule. Called for every training row while the model
                 trains; `rng` is a `random.Random` seeded by the run, `progress` goes from 0.0 at the first step to
                 1.0 at the last, for a curriculum. An example whose group (records.Example.group, by default its
                 normalised source) is in dev or exam is discarded and another drawn (DataError after 1,000 in a row),
                 unless it is memorised. None: training uses the train split alone
    split        the task's own split, used as it is; required with `draw` where there are no examples. None: made from
                 `examples` as the config says
    augment      (training example, rng) → another example with its exact target, made from this one by rule, or None.
                 Called where `task.augment` in the config wants further rows; what is in dev or the exam is
                 discarded. None: the shipped rules for numerals, ingredient lines and emoji are tried
    rule         source → target, or None where it abstains. Called once for each exam item; reported as the baseline
                 "rule", and together with the model as "hybrid" (the rule where it is sure, the model elsewhere)
    rule_exempt  whether the model may be "learned" without beating the rule, for tasks that rules solve completely;
                 default: it must beat it
    reverse      (source, target) → whether this target can have produced this source. Called with predictions when
                 verified decoding is on; a prediction that fails is withheld. None: no verification
    memorised    exam item → whether training shows it on purpose. Such items are no leak and are scored apart. Called
                 for each exam item, in addition to items whose subset is "memorised"; None: no further ones
    error_kind   (example, prediction) → a short name of what is wrong, which the report counts. Called for each wrong
                 exam prediction that could be read ("unreadable" and "withheld" are named without it). None: "wrong"
    instruction  what stands before every source in the prompt of a pretrained model; "" is nothing. Models trained from
                 nothing do not see it
    label_names  label → its names and keywords, for codecs with labels: a label without training examples can then be
                 predicted by its meaning. Default: none
    baselines    name → function from the train split to a rule. Each is fitted once per evaluation and reported with
                 that name; default: only the standard baselines
    annotators   name → function from a source to this annotator's target, None without one. Each one's targets are
                 scored against those of the others and of the exam: the ceiling, reported beside the scores and never
                 a baseline of the verdict; default: none
    checks       functions from the split to findings: the task's own audit. Called once before training
    summary      one line for `terakoya list`, as a message (i18n.Message) or a plain string; default: ""
    """

    name: str
    examples: tuple[Example, ...] = ()
    codec: Codec = field(default_factory=TextCodec)
    metrics: Mapping[str, Metric] = field(default_factory=lambda: MappingProxyType({"exact": exact}))
    draw: Callable[[Random, float], Example] | None = None
    split: Split | None = None
    augment: Callable[[Example, Random], Example | None] | None = None
    rule: Rule | None = None
    rule_exempt: bool = False
    reverse: Callable[[str, str], bool] | None = None
    memorised: Callable[[Example], bool] | None = None
    error_kind: Callable[[Example, Prediction], str] | None = None
    instruction: str = ""
    label_names: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    baselines: Mapping[str, Callable[[tuple[Example, ...]], Rule]] = field(default_factory=lambda: MappingProxyType({}))
    annotators: Mapping[str, Rule] = field(default_factory=lambda: MappingProxyType({}))
    checks: tuple[Callable[[Split], list[Finding]], ...] = ()
    summary: str = ""

    def __post_init__(self) -> None:
        """Plain functions among the metrics become metrics. Raises TypeError where a value is of another type."""
        for values, kind, name in (
            (self.examples, Example, "examples"),
            ((self.split,) if self.split is not None else (), Split, "split"),
        ):
            for at, value in enumerate(values):
                if not isinstance(value, kind):
                    given = type(value).__name__
                    raise TypeError(f"Task.{name}: item {at} is of type {given}, not {kind.__name__}")
        if not self.metrics:
            raise TypeError("Task.metrics is empty: a task needs at least one metric")
        metrics = {name: as_metric(name, given) for name, given in self.metrics.items()}
        object.__setattr__(self, "examples", tuple(self.examples))
        object.__setattr__(self, "metrics", MappingProxyType(metrics))

    @property
    def metric(self) -> str:
        """Name of the first metric, which chooses the checkpoint and gives the verdict."""
        return next(iter(self.metrics))

    def is_memorised(self, item: Example) -> bool:
        """Whether training shows this exam item on purpose, whatever its subset; then it is no leak.

        item  of the dev or exam split
        """
        return item.subset == MEMORISED or (self.memorised is not None and self.memorised(item))


def replace_parts(task: Task, *, codec: str = "", first: str = "", separator: str = "", notation: str = "") -> Task:
    """The task with another codec and main metric, as a config names them.

    task       a task
    codec      name of a codec; "" leaves the task's own
    first      name of the main metric; "" leaves the task's own
    separator  between labels, for the codec "labels"
    notation   of numbers, for the codec "number"
    Raises ConfigError for a name that is neither ours, nor the task's, nor installed.
    """
    if codec:
        examples = task.examples or (task.split.train if task.split else ())
        targets = [example.target for example in examples]
        # A task may have an option `notation` of its own.
        of_numbers = notation if codec == "number" else ""
        task = replace(task, codec=choose_codec(codec, targets, notation=of_numbers, separator=separator))
    if first:
        chosen = task.metrics.get(first) or metric(first)
        task = replace(task, metrics={first: chosen, **task.metrics})
    return task


# What a task may bring → what it is called with.
_FUNCTIONS = {
    "draw": ("rng", "progress"),
    "augment": ("example", "rng"),
    "rule": ("source",),
    "reverse": ("source", "target"),
    "memorised": ("item",),
    "error_kind": ("example", "prediction"),
}


def check_task(task: Any, what: str, factory: Any) -> Task:
    """The task itself, if all that it brings can be called as it will be.

    task     what the factory returned
    what     what it is, in words
    factory  the function that returned it
    Raises PluginError, naming file and line of what is wrong.
    """
    if not isinstance(task, Task):
        kind = type(task).__name__
        raise broken_contract(factory, _("{what} must return a Task, and returned {kind}", what=what, kind=kind))
    if not task.examples and task.split is None:
        raise broken_contract(factory, _("{what} has neither examples nor a split", what=what))
    check_codec(task.codec, _("the codec of {what}", what=what), factory)
    for name, arguments in _FUNCTIONS.items():
        if getattr(task, name) is not None:
            check_call(getattr(task, name), arguments, _("'{name}' of {what}", name=name, what=what))
    for name, make in task.baselines.items():
        check_call(make, ("train",), _("the baseline '{name}' of {what}", name=name, what=what))
    for name, annotator in task.annotators.items():
        check_call(annotator, ("source",), _("the annotator '{name}' of {what}", name=name, what=what))
    for check in task.checks:
        check_call(check, ("split",), _("a check of {what}", what=what))
    return task
