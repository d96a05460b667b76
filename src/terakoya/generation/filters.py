"""Checks that a teacher's response must pass to become data. A check returns the reason for failing, or "".

The reasons are Japanese because they are part of the retry prompt: rewording one would change requests that are paid.
Nothing is repaired: a response that fails is requested once more with the reason, then the row is rejected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

import regex

from terakoya.codec.text import graphemes, normalise_emoji, parse_emoji
from terakoya.errors import ConfigError, nearest
from terakoya.generation.leaks import broken_text, control_token, prompt_mark
from terakoya.generation.recipe import RecipeStep
from terakoya.generation.wrappers import has_wrapping
from terakoya.i18n import _

Check = Callable[[str, RecipeStep], str]

_REFUSAL = regex.compile(
    r"申し訳(ありません|ございません|ない)(が|けど)|お答え(できません|いたしかねます|できかねます)"
    r"|(お手伝い|対応|生成|作成|回答)(する)?(こと)?(は|が)?(できません|できかねます|いたしかねます)"
    r"|AI(アシスタント|言語モデル)?(として|なので)|言語モデル(として|なので)"
    r"|(?i:I('m| am) (sorry|unable|not able)|I can(no|')t (help|assist|comply|provide)|as an AI)"
)
_JAPANESE = regex.compile(r"[\p{Hiragana}\p{Katakana}\p{Han}ー々〆]")
_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}ー]")
_HAN = regex.compile(r"\p{Han}")
# Scripts that no Japanese sentence is written in; Greek and Cyrillic letters are parts of faces and formulas.
_OTHER_SCRIPT = regex.compile(
    r"[\p{Hangul}\p{Thai}\p{Arabic}\p{Hebrew}\p{Devanagari}\p{Bengali}\p{Bopomofo}\p{Khmer}\p{Lao}\p{Myanmar}]|\p{Cyrillic}{3}"
)
_CHINESE = frozenset("很們這嗎吧呢啊哦喔沒麼妳您咱啦嘛")  # of cp932 or its kin, but not of Japanese sentences
_VARIANTS = frozenset("𠮷")  # in names
_FEWEST_KANA = 0.15  # share of kana among the letters; the least in 5,000 sentences of our corpus is 0.29
_LETTER = regex.compile(r"\p{L}")
_SEPARATORS = re.compile(r"[\s、,，・]+")
_PAIRS = {"「": "」", "『": "』", "（": "）", "(": ")", "【": "】", "［": "］", "〈": "〉", "《": "》"}


def parse_labels(response: str) -> list[str] | None:
    """The emoji of `response` in normal form, or None if it contains anything but emoji and separators."""
    return parse_emoji(_SEPARATORS.sub(" ", response))


def labels(response: str, step: RecipeStep) -> str:
    """`response` consists of distinct emoji, `step.fewest` to `step.most` of them."""
    found = parse_labels(response)
    if found is None:
        return "絵文字以外の文字がある"
    if not step.fewest <= len(found) <= step.most:
        return f"絵文字が{len(found)}個ある({step.fewest}個から{step.most}個まで)"
    return "同じ絵文字がくり返されている" if len(set(found)) < len(found) else ""


def no_emoji(response: str, step: RecipeStep) -> str:
    """`response` contains no emoji. `step` is unused, as in every check without a limit of its own."""
    # © and ® are plain characters unless a selector says otherwise.
    inside = [
        piece for piece in graphemes(response) if (len(piece) > 1 or ord(piece) > 0xFF) and normalise_emoji(piece)
    ]
    return f"文の中に絵文字がある({' '.join(inside[:3])})" if inside else ""


def no_refusal(response: str, step: RecipeStep) -> str:
    """`response` is no refusal or apology (`step` unused)."""
    return "断りや謝りの文である" if _REFUSAL.search(response) else ""


def no_preamble(response: str, step: RecipeStep) -> str:
    """`response` is one line without preamble, label, count, quotation marks around it, hash tags, Markdown, HTML or
    JSON (`step` unused)."""
    if "\n" in response.strip():
        return "一行ではない"
    return "前置きや記号がある" if has_wrapping(response) else ""


def japanese(response: str, step: RecipeStep) -> str:
    """`response` is Japanese (`step` unused): at least half of its letters are, some of them kana, and none belongs to
    Chinese or Korean alone."""
    letters = _LETTER.findall(response)
    share = len(_JAPANESE.findall(response)) / max(len(letters), 1)
    kana = len(_KANA.findall(response)) / max(len(letters), 1)
    if not letters or share < 0.5 or kana < _FEWEST_KANA:
        return "日本語の文ではない"
    return "日本語ではない文字がある" if _OTHER_SCRIPT.search(response) or _has_chinese(response) else ""


def _has_chinese(response: str) -> bool:
    """Whether a character is written in Chinese only, as 们, 开 and 很 are."""
    return any(char in _CHINESE or not _is_japanese_han(char) for char in _HAN.findall(response))


@cache
def _is_japanese_han(char: str) -> bool:
    """Whether `char` belongs to the sets that Japanese is written with: cp932, or the first plane of JIS X 0213."""
    if char in _VARIANTS:
        return True
    for encoding in ("cp932", "euc_jis_2004"):
        try:
            if len(char.encode(encoding)) == 2:
                return True
        except UnicodeEncodeError:
            continue
    return False


def length(response: str, step: RecipeStep) -> str:
    """`response` has 4 to `step.longest` characters (grapheme clusters)."""
    count = len(graphemes(response))
    return "" if 4 <= count <= step.longest else f"{count}文字ある(4文字から{step.longest}文字まで)"


def whole(response: str, step: RecipeStep) -> str:
    """`response` is a complete sentence: it does not end in a comma and closes its brackets (`step` unused)."""
    if has_unbalanced_bracket(response):
        return "括弧が閉じていない"
    return "文が途中で終わっている" if response.rstrip().endswith(("、", ",", "，", "「", "（", "・・")) else ""


def has_unbalanced_bracket(text: str) -> bool:
    """Whether `text` closes a bracket that is not open, or leaves one open."""
    expected: list[str] = []
    for char in text:
        if char in _PAIRS:
            expected.append(_PAIRS[char])
        elif char in _PAIRS.values() and (not expected or expected.pop() != char):
            return True
    return bool(expected)


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "labels": labels,
        "no-emoji": no_emoji,
        "no-refusal": no_refusal,
        "no-preamble": no_preamble,
        "japanese": japanese,
        "length": length,
        "whole": whole,
    }
)
# Made for every step, before its own checks: what they find is no part of any response.
_ALWAYS: Mapping[str, Check] = MappingProxyType(
    {"broken-text": broken_text, "control-token": control_token, "prompt-mark": prompt_mark}
)


def first_failure(response: str, step: RecipeStep) -> tuple[str, str]:
    """(name, reason) of the first check that `response` fails, ("", "") if all pass: those made for every step, then
    those of `step`.

    response  the teacher's text
    step      supplies checks and limits
    Raises ConfigError for a check that does not exist.
    """
    for name, check in _ALWAYS.items():
        if reason := check(response, step):
            return name, reason
    for name in step.checks:
        if name not in CHECKS:
            raise ConfigError(
                _("there is no check '{name}'", name=name),
                where=_("step {name}", name=step.name),
                do=nearest(name, CHECKS),
            )
        if reason := CHECKS[name](response, step):
            return name, reason
    return "", ""
