"""The task `quantities`: ingredient lines scaled by a factor, with exact fractions (大さじ1/2 を3倍 → 大さじ3/2).

Rules are perfect on lines that are drawn by rule, and the record says so: the rule baseline is shown and exempt. What
the task teaches is reading: which numbers scale and which belong to a name, a size or a time. The computing is the
codec's.
"""

from __future__ import annotations

import re
from functools import partial

from terakoya.codec.quantity import QuantityCodec, quantity_codec
from terakoya.config import SplitConfig
from terakoya.errors import ConfigError
from terakoya.i18n import both
from terakoya.records import Example, Prediction
from terakoya.task import Task
from terakoya.tasks.quantities.exam import parted
from terakoya.tasks.quantities.sampler import Sampler
from terakoya.tasks.quantities.scale import answer, questions, scale, scale_list

__all__ = ["answer", "questions", "scale", "scale_list", "task"]

_ITEMS = 2000
ERROR_KINDS = ("unreadable", "text changed", "not scaled", "wrong amount")
_NUMBERS = re.compile("[0-9][0-9./]*|半(?=[丁個束玉本株袋枚缶パカ])")
_TAIL = "[ 　]*を[^を]*"  # what is asked of a line
_FACTOR = re.compile(f"{_TAIL}$")


def task(*, items: int = 0, exam_seed: int = 0, promote: bool = False, split: SplitConfig | None = None) -> Task:
    """Ingredient lines to be scaled.

    items      fresh lines in the exam (2,000 where 0); the 234 lines written by hand are a part of their own
    exam_seed  another seed, another exam; a run's seed does not change it
    promote    full larger units are written as such: 小さじ3 → 大さじ1, 1000ml → 1L
    split      shares and salt by which pairs of quantity and factor, and names, are held out
    """
    for name, value in (("items", items), ("exam_seed", exam_seed)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ConfigError(
                both(f"'{name}' cannot be {value!r}", f"'{name}' を {value!r} にはできない"),
                where="[task.options]",
                do=both("Write a whole number from 0 on.", "0 以上の整数を書くこと。"),
            )
    if not isinstance(promote, bool):
        raise ConfigError(
            both(f"'promote' cannot be {promote!r}", f"'promote' を {promote!r} にはできない"),
            where="[task.options]",
            do=both("Write true or false.", "true か false を書くこと。"),
        )
    parting = split or SplitConfig()
    if parting.method != "hash" or parting.folds:
        raise ConfigError(
            both(
                "lines are drawn without end; only a hash says of each pair on which side it stands",
                "レシピの行は限りなく生成される。それぞれの組がどの側にあるかを決められるのはハッシュだけである",
            ),
            where="[split]",
            do=both(
                'Set split.method = "hash" and split.folds = 0.',
                'split.method = "hash" と split.folds = 0 にすること。',
            ),
        )
    codec, sampler = quantity_codec(promote=promote, tail=_TAIL), Sampler(parting)
    return Task(
        name="quantities",
        codec=codec,
        draw=sampler.draw,
        split=parted(sampler, items or _ITEMS, exam_seed),
        rule=partial(rule, codec),
        rule_exempt=True,
        reverse=partial(reverse, codec),
        error_kind=error_kind,
        instruction="次の材料の分量を指定どおりに計算し直してください。",
        teaches="ingredient lines scaled by a factor, with exact fractions",
    )


def rule(codec: QuantityCodec, source: str) -> str | None:
    """The oracle in the codec's canonical form, None where the source is no question."""
    scaled = answer(source)
    return None if scaled is None else codec.canonical(scaled)


def reverse(codec: QuantityCodec, source: str, target: str) -> bool:
    """Whether that answer is what the rule makes of that source, for verified decoding."""
    return rule(codec, source) == codec.canonical(target)


def error_kind(example: Example, prediction: Prediction) -> str:
    """What is wrong with a wrong line.

    text changed  words around the numbers were miscopied, lost or added
    not scaled    a number that scales stayed as it was
    wrong amount  another number: a wrong factor or quantity, or one was scaled that stays
    """
    if prediction.text is None:
        return "unreadable"
    wanted, given = quantity_codec().canonical(example.target), prediction.text
    if _NUMBERS.sub("#", wanted) != _NUMBERS.sub("#", given):
        return "text changed"
    unscaled = quantity_codec().canonical(_FACTOR.sub("", example.source))
    pairs = zip(*(_NUMBERS.findall(text) for text in (wanted, given, unscaled)), strict=False)
    return "not scaled" if any(right != found == before for right, found, before in pairs) else "wrong amount"
