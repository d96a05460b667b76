"""The task `janum`: Japanese number expressions of every kind → the number (第一 1, 一割五分 0.15, 四六時中 24).

What is made of parts a rule can read; idioms have to be known. So the exam has three parts, and beside rule and model
stands the hybrid: rules where they are sure, the model where they abstain.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from terakoya.codec.number import number_codec
from terakoya.config import SplitConfig
from terakoya.errors import ConfigError, nearest
from terakoya.i18n import both
from terakoya.records import Example, Prediction
from terakoya.scoring.metrics import exact
from terakoya.task import Task
from terakoya.tasks.janum.exam import IDIOMS, log_list, parted
from terakoya.tasks.janum.rule import answer
from terakoya.tasks.janum.sampler import Sampler

__all__ = ["answer", "task"]

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
    """Number expressions to be taught.

    notation   how answers are written: plain, bracketed, exponent, or calculator, where dozens and fractions are
               answered with a working (the others know no decimals)
    items      composed expressions in the main part of the exam (900 where 0), balanced over 15 forms
    exam_seed  another seed, another exam; a run's seed does not change it
    rows       "drawn": fresh expressions by rule, and the lexicon; "log": 50 rows in the numerals log's order, parted
               as the config says
    split      shares and salt by which expressions are held out
    """
    if rows not in LISTS:
        raise ConfigError(
            both(f"'rows' cannot be {rows!r}", f"'rows' を {rows!r} にはできない"),
            where="[task.options]",
            do=nearest(str(rows), LISTS),
        )
    for name, value in (("items", items), ("exam_seed", exam_seed)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ConfigError(
                both(f"'{name}' cannot be {value!r}", f"'{name}' を {value!r} にはできない"),
                where="[task.options]",
                do=both("Write a whole number from 0 on.", "0 以上の整数を書くこと。"),
            )
    codec = number_codec(notation)
    if notation not in NOTATIONS:
        raise ConfigError(
            both(
                f"the notation '{notation}' knows no decimals and no negatives",
                f"書き方 '{notation}' は小数も負の数も扱わない",
            ),
            where="[task]",
            do=both(f"Choose one of {', '.join(NOTATIONS)}.", f"{'・'.join(NOTATIONS)} のいずれかを選ぶこと。"),
        )
    about = Task(
        name="janum",
        codec=codec,
        metrics=_METRICS,
        rule=answer,
        rule_exempt=True,
        error_kind=error_kind,
        instruction="次の表現が表す数を算用数字で書いてください。【】があれば、その中の表現だけを見てください。",
        teaches="Japanese number expressions of every kind, idioms included → number",
    )
    if rows == "log":
        return _from_log(about, items)
    return _drawn(about, split or SplitConfig(), items, exam_seed)


def _from_log(about: Task, items: int) -> Task:
    if items:
        raise ConfigError(
            both("'items' has no effect on fixed rows", "'items' は固定された行には効果がない"),
            where="[task.options]",
            do=both("Leave it out, or set split.exam_items.", "外すか、split.exam_items を設定すること。"),
        )
    return replace(about, examples=log_list())


def _drawn(about: Task, parting: SplitConfig, items: int, exam_seed: int) -> Task:
    if parting.method != "hash" or parting.folds:
        raise ConfigError(
            both(
                "expressions are drawn without end; only a hash says of each on which side it stands",
                "表現は限りなく生成される。それぞれがどの側にあるかを決められるのはハッシュだけである",
            ),
            where="[split]",
            do=both(
                'Set split.method = "hash" and split.folds = 0, or the option rows = "log".',
                'split.method = "hash" と split.folds = 0 にするか、オプション rows = "log" とすること。',
            ),
        )
    sampler = Sampler(parting, workings=about.codec.name == "number:calculator")
    return replace(
        about,
        draw=sampler.draw,
        split=parted(sampler, items or _ITEMS, exam_seed),
        always_taught=is_recall,
    )


def is_recall(item: Example) -> bool:
    """The closed list is taught on purpose."""
    return item.part == IDIOMS


def error_kind(example: Example, prediction: Prediction) -> str:
    """What is wrong with a wrong number: its sign, its size, a half that is missing, or its digits."""
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
