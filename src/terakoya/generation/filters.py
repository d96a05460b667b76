"""Checks that a teacher's response must pass to become data. A check returns the reason for failing, or "".

The reasons are Japanese because they are part of the retry prompt: rewording one would change requests that are paid.
Nothing is repaired: a response that fails is requested once more with the reason, then the row is rejected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import regex

from terakoya.errors import ConfigError, nearest
from terakoya.generation.recipe import RecipeStep
from terakoya.i18n import both
from terakoya.text import graphemes, normalise_emoji, parse_emoji

Check = Callable[[str, RecipeStep], str]

_REFUSAL = regex.compile(
    r"申し訳(ありません|ございません|ない)(が|けど)|お答え(できません|いたしかねます|できかねます)"
    r"|(お手伝い|対応|生成|作成|回答)(する)?(こと)?(は|が)?(できません|できかねます|いたしかねます)"
    r"|AI(アシスタント|言語モデル)?(として|なので)|言語モデル(として|なので)"
    r"|(?i:I('m| am) (sorry|unable|not able)|I can(no|')t (help|assist|comply|provide)|as an AI)"
)
_PREAMBLE = regex.compile(
    r"^(はい[、。!！]|承知|了解|かしこまり|もちろん|以下|こちらが|変換後|書き換え(後|た文)|投稿文?[:：]|SNS風?[:：]|出力[:：]"
    r"|回答[:：]|答え[:：]|(?i:sure|here(\s+is|'s)|output|answer))|```|^\s*[#*\-]\s|\*\*"
)
_JAPANESE = regex.compile(r"[\p{Hiragana}\p{Katakana}\p{Han}ー々〆]")
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
    """`response` is one line without preamble or Markdown (`step` unused)."""
    if "\n" in response.strip():
        return "一行ではない"
    return "前置きや記号がある" if _PREAMBLE.search(response) else ""


def japanese(response: str, step: RecipeStep) -> str:
    """At least half of the letters of `response` are Japanese (`step` unused)."""
    letters = _LETTER.findall(response)
    share = len(_JAPANESE.findall(response)) / max(len(letters), 1)
    return "" if letters and share >= 0.5 else "日本語の文ではない"


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


def first_failure(response: str, step: RecipeStep) -> tuple[str, str]:
    """(name, reason) of the first check of `step` that `response` fails; ("", "") if all pass.

    response  the teacher's text
    step      supplies checks and limits
    Raises ConfigError for a check that does not exist.
    """
    for name in step.checks:
        if name not in CHECKS:
            raise ConfigError(
                both(f"there is no check '{name}'", f"「{name}」という検査はない"),
                where=both(f"step {step.name}", f"ステップ {step.name}"),
                do=nearest(name, CHECKS),
            )
        if reason := CHECKS[name](response, step):
            return name, reason
    return "", ""
