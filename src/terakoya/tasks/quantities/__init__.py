"""The task `quantities`: ingredient lines scaled by a factor, with exact fractions (大さじ1/2 を3倍 → 大さじ3/2).

Rules are perfect on lines that are drawn by rule, and the report says so: the rule baseline is shown and exempt. What
the model learns is reading: which numbers scale and which belong to a name, a size or a time. The codec does the
arithmetic.
"""

from __future__ import annotations

import re
from functools import partial

from terakoya.codec.quantity import QuantityCodec, quantity_codec
from terakoya.config import SplitConfig
from terakoya.i18n import _
from terakoya.records import Example, Prediction
from terakoya.task import Rule, Task
from terakoya.tasks.options import hash_split_config, require_count, require_flag
from terakoya.tasks.quantities.exam import build_split
from terakoya.tasks.quantities.sampler import RecipeLineSampler
from terakoya.tasks.quantities.scale import scale, scale_list, scale_query, scaling_queries

__all__ = ["make_rule", "scale", "scale_list", "scale_query", "scaling_queries", "task"]

_ITEMS = 2000
ERROR_KINDS = ("unreadable", "text changed", "not scaled", "wrong amount")
_NUMBERS = re.compile("[0-9][0-9./]*|半(?=[丁個束玉本株袋枚缶パカ])")
# The instruction after the line: を3倍, を2人分を4人分.
_TAIL = "[ 　]*を(?:[ 　]?[0-9０-９一二三四五六七八九十]{1,3}人[分前]?を)?[^を]*"
_FACTOR = re.compile(f"{_TAIL}$")


def task(*, items: int = 0, exam_seed: int = 0, promote: bool = False, split: SplitConfig | None = None) -> Task:
    """The task of scaling ingredient lines.

    items      fresh lines in the main subset of the exam (2,000 where 0); the 234 hand-written lines are a subset of
               their own
    exam_seed  another seed, another exam; a run's seed does not change it
    promote    full larger units are written as such: 小さじ3 → 大さじ1, 1000ml → 1L
    split      shares and salt by which pairs of quantity and factor, and names, are held out; None is the default
    Raises ConfigError for an option that is out of range, and for a split that is not by hash.
    """
    require_count(items=items, exam_seed=exam_seed)
    require_flag(promote=promote)
    split_config = hash_split_config(split, _("recipe lines"))
    codec, sampler = quantity_codec(promote=promote, tail=_TAIL), RecipeLineSampler(split_config)
    return Task(
        name="quantities",
        codec=codec,
        draw=sampler.draw,
        split=build_split(sampler, items or _ITEMS, exam_seed),
        rule=partial(rule, codec),
        rule_exempt=True,
        reverse=partial(reverse, codec),
        error_kind=error_kind,
        instruction="次の材料の分量を指定どおりに計算し直してください。",
        summary=_("ingredient lines scaled by a factor, with exact fractions"),
    )


def make_rule(*, promote: bool = False, **options: object) -> Rule:
    """The rule of this task without its data.

    promote  as for the task
    options  other options of the task; none changes the rule
    """
    return partial(rule, quantity_codec(promote=promote, tail=_TAIL))


def rule(codec: QuantityCodec, source: str) -> str | None:
    """The rule baseline: the scaled line in the codec's canonical form, None where the source is no query.

    codec   of the task
    source  an ingredient line and a factor: `鶏肉 200g を2人分→3人分`
    """
    scaled = scale_query(source)
    return None if scaled is None else codec.canonical(scaled)


def reverse(codec: QuantityCodec, source: str, target: str) -> bool:
    """Whether this target is what the rule makes of this source, for verified decoding.

    codec   of the task
    source  an ingredient line and a factor
    target  a predicted line
    """
    return rule(codec, source) == codec.canonical(target)


def error_kind(example: Example, prediction: Prediction) -> str:
    """What is wrong with a wrong line.

    text changed  words around the numbers were miscopied, lost or added
    not scaled    a number that scales stayed as it was
    wrong amount  another number: a wrong factor or quantity, or one was scaled that stays

    example     with the target
    prediction  the model's; without a text it is "unreadable"
    Returns one of ERROR_KINDS.
    """
    if prediction.text is None:
        return "unreadable"
    wanted, given = quantity_codec().canonical(example.target), prediction.text
    if _NUMBERS.sub("#", wanted) != _NUMBERS.sub("#", given):
        return "text changed"
    unscaled = quantity_codec().canonical(_FACTOR.sub("", example.source))
    pairs = zip(*(_NUMBERS.findall(text) for text in (wanted, given, unscaled)), strict=False)
    return "not scaled" if any(right != found == before for right, found, before in pairs) else "wrong amount"
