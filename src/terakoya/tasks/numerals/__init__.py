"""The task `numerals`: Japanese written numbers → number, 0 to 10^16 − 1, made by rule with an exact oracle.

Rules are perfect on pure numerals, and the record says so: the rule baseline is shown and exempt. What the
task teaches is whether a small model, from nothing, gets there too; what rules do not cover starts from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from random import Random
from types import MappingProxyType

from terakoya.codec.number import number_codec
from terakoya.config import SplitConfig
from terakoya.errors import ConfigError, nearest
from terakoya.i18n import both
from terakoya.records import Example, Finding, Split
from terakoya.scoring.metrics import exact
from terakoya.task import Task
from terakoya.tasks.numerals.exam import EXAMS, held_out, parted
from terakoya.tasks.numerals.holes import holes
from terakoya.tasks.numerals.kinds import always_known
from terakoya.tasks.numerals.metrics import digit_accuracy, error_kind
from terakoya.tasks.numerals.reader import read
from terakoya.tasks.numerals.sampler import Sampler
from terakoya.tasks.numerals.small import small_split
from terakoya.tasks.numerals.writer import FORMS, can_stand_for

__all__ = ["FORMS", "can_stand_for", "read", "task"]

REGIMES = ("drawn", "160")
_ITEMS = 2000
_METRICS = MappingProxyType({"exact": exact, "digit_accuracy": digit_accuracy})


def task(
    *,
    notation: str = "groups",
    exam: str = "fresh",
    items: int = 0,
    exam_seed: int = 0,
    regime: str | int = "drawn",
    forms: Iterable[str] = (),
    curriculum: bool = True,
    split: SplitConfig | None = None,
) -> Task:
    """Numerals to be taught.

    notation   how answers are written: plain, bracketed, groups, short-groups, pds, exponent, reversed
    exam       "fresh": `items` numbers (2,000 where 0) that were never taught, balanced over forms and magnitudes,
               beside them recall and kannume-200 as parts of their own; "kannume-200": those 200 alone
    exam_seed  another seed, another exam (and in the regime "160" other rows); a run's seed changes neither
    regime     "drawn": fresh examples by rule without end; "160": the numerals log's 160 rows and 40 to test
    forms      the written forms to teach and ask (names in FORMS); () is all of them
    curriculum small magnitudes first
    split      shares and salt by which numbers are held out
    """
    _one_of("exam", exam, EXAMS)
    _one_of("regime", regime, REGIMES)
    for name, value in (("items", items), ("exam_seed", exam_seed)):
        if not isinstance(value, int) or value < 0:
            raise ConfigError(
                both(f"'{name}' cannot be {value!r}", f"'{name}' を {value!r} にはできない"),
                where="[task.options]",
                do=both("Write a whole number from 0 on.", "0 以上の整数を書くこと。"),
            )
    base = Task(
        name="numerals",
        codec=number_codec(notation),
        metrics=_METRICS,
        rule=oracle,
        rule_exempt=True,
        reverse=reverse,
        error_kind=error_kind,
        instruction="次の数を算用数字で書いてください。",
        teaches="Japanese written numbers in every form → digits, from 0 to 10^16 − 1",
    )
    if str(regime) == "160":
        _refuse_without_effect(items=items, forms=tuple(forms), exam=exam != EXAMS[0])
        return replace(base, split=small_split(exam_seed))
    if exam != EXAMS[0]:
        _refuse_without_effect(items=items)
    sampler = _sampler(split or SplitConfig(), _chosen(forms), curriculum)
    return replace(
        base,
        split=parted(sampler, exam, items or _ITEMS, exam_seed),
        draw=sampler.draw,
        always_taught=is_recall,
        checks=(partial(no_systematic_hole, sampler),),
    )


def oracle(source: str) -> str | None:
    """The rule baseline: exact where it reads, None where it abstains."""
    number = read(source)
    return None if number is None else str(number)


def reverse(source: str, target: str) -> bool:
    """Whether that answer can have produced that source, for verified decoding. False for an unreadable source."""
    return target.isdecimal() and can_stand_for(source, int(target))


def is_recall(item: Example) -> bool:
    """Items of the exam that are taught on purpose: numbers below 1,000 and what a bare unit stands for."""
    return item.target.isdecimal() and always_known(int(item.target))


def no_systematic_hole(sampler: Sampler, split: Split) -> list[Finding]:
    """No magnitude, pattern or shape of numbers is held out as a whole, by hash or by the exam."""
    asked = {int(item.target) for item in (*split.dev, *split.exam) if not is_recall(item)}

    def is_taught(number: int) -> bool:
        return number not in asked and number not in sampler.held_out and sampler.side_of(number) == "train"

    return holes(is_taught, Random(f"holes {sampler.parting.salt}"))


def _sampler(parting: SplitConfig, forms: tuple[str, ...], curriculum: bool) -> Sampler:
    if parting.method != "hash" or parting.folds:
        raise ConfigError(
            both(
                "numerals are drawn without end; only a hash says of each number on which side it stands",
                "数詞は限りなく生成される。それぞれの数がどの側にあるかを決められるのはハッシュだけである",
            ),
            where="[split]",
            do=both(
                'Set split.method = "hash" and split.folds = 0.',
                'split.method = "hash" と split.folds = 0 にすること。',
            ),
        )
    numbers, sources = held_out()
    return Sampler(forms, parting, numbers, sources, curriculum)


def _chosen(forms: Iterable[str]) -> tuple[str, ...]:
    chosen = (forms,) if isinstance(forms, str) else tuple(forms)
    for form in chosen:
        _one_of("forms", form, tuple(FORMS))
    if set(chosen) == {"bare"}:
        raise ConfigError(
            both("the forms are only 'bare', which writes six numbers", "形が 'bare' だけでは六つの数しか書けない"),
            where="[task.options]",
            do=both("Name another form beside it.", "別の形も指定すること。"),
        )
    return chosen or tuple(FORMS)


def _refuse_without_effect(**settings: object) -> None:
    for name, value in settings.items():
        if value:
            raise ConfigError(
                both(
                    f"'{name}' has no effect on an exam whose items are fixed",
                    f"'{name}' は問題が固定された試験には効果がない",
                ),
                where="[task.options]",
                do=both(
                    f"Leave out '{name}' (or score.exam_items), or choose the exam fresh and the regime drawn.",
                    f"'{name}'（または score.exam_items）を外すか、exam = fresh と regime = drawn を選ぶこと。",
                ),
            )


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if str(value) not in known:  # `regime = 160` is a number in TOML and means the same
        raise ConfigError(
            both(f"'{name}' cannot be {value!r}", f"'{name}' を {value!r} にはできない"),
            where="[task.options]",
            do=nearest(str(value), known),
        )
