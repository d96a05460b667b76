"""What a user brings: examples, how an answer is written, how it is judged.

A new task is a function that returns a `Task`. Nothing in the house asks for a task by its name: where
two tasks differ, they differ in a value here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType

from terakoya.codec import Codec, TextCodec
from terakoya.records import Example, Finding, Prediction, Split
from terakoya.scoring.metrics import Metric, exact

# A rule answers a source with a target, or None where it abstains.
Rule = Callable[[str], str | None]


@dataclass(frozen=True)
class Task:
    """A skill to be taught.

    examples    a fixed set, in any order; () when everything is drawn
    draw        makes one fresh training example by rule. It gets a Random and the progress of the training
                (0 at the first step, 1 at the last), by which a curriculum may go. The loop asks again
                whenever an example falls on the dev or exam side of the split, so nothing held out is taught
    split       a split of the task's own; None lets the house part `examples` as the config says
    metrics     the first is the one that chooses checkpoints and gives the verdict
    rule        solves part (or all) of it without a model; shown as a baseline
    rule_exempt the rule baseline is shown but needs not be beaten
    reverse     every written form that may stand for a target: verified decoding asks it
    always_taught  items of the exam that are taught on purpose (scored apart, as recall)
    error_kind  names what is wrong with a wrong answer, for the table of errors
    instruction what a pretrained model is told before every source
    label_names for codecs with labels: label → names and keywords from which a meaning can start
    baselines   further baselines by name: train examples → rule
    checks      the task's own audit: split → findings
    """

    name: str
    examples: tuple[Example, ...] = ()
    codec: Codec = field(default_factory=TextCodec)
    metrics: Mapping[str, Metric] = field(default_factory=lambda: MappingProxyType({"exact": exact}))
    draw: Callable[[Random, float], Example] | None = None
    split: Split | None = None
    rule: Rule | None = None
    rule_exempt: bool = False
    reverse: Callable[[str, str], bool] | None = None  # (source, target) → can this target have produced this source?
    always_taught: Callable[[Example], bool] | None = None
    error_kind: Callable[[Example, Prediction], str] | None = None
    instruction: str = ""
    label_names: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    baselines: Mapping[str, Callable[[tuple[Example, ...]], Rule]] = field(default_factory=lambda: MappingProxyType({}))
    checks: tuple[Callable[[Split], list[Finding]], ...] = ()
    teaches: str = ""  # one sentence for `terakoya list`

    @property
    def metric(self) -> str:
        return next(iter(self.metrics))

    def is_recall(self, item: Example) -> bool:
        """Whether this item of an exam is taught on purpose, whatever part it stands in; then it is no leak."""
        return item.part == "recall" or (self.always_taught is not None and self.always_taught(item))
