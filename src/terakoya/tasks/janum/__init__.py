"""The task `janum`: Japanese number expressions of every kind → the number (第一 1, 一割五分 0.15, 四六時中 24).

What is made of parts a rule can read; idioms have to be memorised. So the exam has three subsets, and beside rule and
model the report shows the hybrid: the rule where it is sure, the model where the rule abstains.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from terakoya.codec.number import number_codec
from terakoya.config import SplitConfig
from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.records import Example, Prediction
from terakoya.scoring.metrics import exact
from terakoya.task import Rule, Task
from terakoya.tasks.janum.exam import IDIOMS, build_split, log_list
from terakoya.tasks.janum.rule import read_expression
from terakoya.tasks.janum.sampler import ExpressionSampler
from terakoya.tasks.options import hash_split_config, require_count, require_one_of, require_unset

__all__ = ["make_rule", "read_expression", "task"]

LISTS = ("drawn", "log")
NOTATIONS = ("plain", "bracketed", "exponent", "calculator")
_ITEMS = 900
_METRICS = MappingProxyType({"exact": exact})
ERROR_KINDS = ("unreadable", "sign lost", "power of ten", "half lost", "digit wrong")


def task(
    *,
    notation: str = "plain",
    items: int = 0,
    exam_seed: int = 0,
    rows: str = "drawn",
    split: SplitConfig | None = None,
) -> Task:
    """The task of reading number expressions.

    notation   how targets are written: plain, bracketed, exponent, or calculator, where dozens and fractions are
               written as a working (the other notations have no decimals)
    items      composed expressions in the main subset of the exam (900 where 0), balanced over 15 forms
    exam_seed  another seed, another exam; a run's seed does not change it
    rows       "drawn": fresh expressions by rule, and the lexicon; "log": 50 rows in the numerals log's order, split
               as the config says
    split      shares and salt by which expressions are held out; None is the default
    Raises ConfigError for an option that is unknown, out of range or without effect.
    """
    require_one_of("rows", rows, LISTS)
    require_count(items=items, exam_seed=exam_seed)
    codec = number_codec(notation)
    if notation not in NOTATIONS:
        known = ", ".join(NOTATIONS)
        raise ConfigError(
            _("the notation '{notation}' knows no decimals and no negatives", notation=notation),
            where="[task]",
            do=_("Choose one of {known}.", known=known),
        )
    base = Task(
        name="janum",
        codec=codec,
        metrics=_METRICS,
        rule=read_expression,
        rule_exempt=True,
        reverse=reverse,
        error_kind=error_kind,
        instruction="次の表現が表す数を算用数字で書いてください。【】があれば、その中の表現だけを見てください。",
        summary=_("Japanese number expressions of every kind, idioms included → number"),
    )
    if rows == "log":
        require_unset(items=items)
        return replace(base, examples=log_list())
    split_config = hash_split_config(
        split,
        _("expressions"),
        do=_('Set split.method = "hash" and split.folds = 0, or the option rows = "log".'),
    )
    sampler = ExpressionSampler(split_config, workings=codec.name == "number:calculator")
    return replace(
        base, draw=sampler.draw, split=build_split(sampler, items or _ITEMS, exam_seed), memorised=is_memorised
    )


def make_rule(**options: object) -> Rule:
    """The rule of this task without its data.

    options  of the task; none changes the rule
    """
    return read_expression


def reverse(source: str, target: str) -> bool:
    """Whether this target is what the rule reads in this source, for verified decoding; idioms are never verified.

    source  an expression, or a sentence with one in 【】
    target  a predicted number
    """
    return read_expression(source) == target


def is_memorised(item: Example) -> bool:
    """Whether an item belongs to the closed list, which is in the training set on purpose.

    item  of the exam
    """
    return item.subset == IDIOMS


def error_kind(example: Example, prediction: Prediction) -> str:
    """What is wrong with a wrong number: its sign, its power of ten, a missing half, or its digits.

    example     with the target
    prediction  the model's; without a text it is "unreadable"
    Returns one of ERROR_KINDS.
    """
    if prediction.text is None:
        return "unreadable"
    wanted, given = example.target, prediction.text
    if wanted.lstrip("-") == given.lstrip("-"):
        return "sign lost"
    if _digits(wanted) == _digits(given):
        return "power of ten"
    return "half lost" if wanted == f"{given}.5" else "digit wrong"


def _digits(number: str) -> str:
    return number.replace(".", "").replace("-", "").strip("0")
