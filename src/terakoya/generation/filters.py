"""What an answer must be to become data. A check returns why it is not, in words a teacher can mend it by, or "".

Nothing is trimmed into shape: a half-right answer is asked for once more, with the reason, then set aside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import regex

from terakoya.errors import ConfigError, nearest
from terakoya.generation.recipe import RecipeStep
from terakoya.i18n import both
from terakoya.text import emoji_form, emoji_in, graphemes

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


def parse_labels(answer: str) -> list[str] | None:
    """The emoji of an answer in normal form, or None when anything but emoji and separators is there."""
    return emoji_in(_SEPARATORS.sub(" ", answer))


def labels(answer: str, step: RecipeStep) -> str:
    found = parse_labels(answer)
    if found is None:
        return "絵文字以外の文字がある"
    if not step.fewest <= len(found) <= step.most:
        return f"絵文字が{len(found)}個ある({step.fewest}個から{step.most}個まで)"
    return "同じ絵文字がくり返されている" if len(set(found)) < len(found) else ""


def no_emoji(answer: str, step: RecipeStep) -> str:
    # © and ® are plain characters unless a selector says otherwise.
    inside = [piece for piece in graphemes(answer) if (len(piece) > 1 or ord(piece) > 0xFF) and emoji_form(piece)]
    return f"文の中に絵文字がある({' '.join(inside[:3])})" if inside else ""


def no_refusal(answer: str, step: RecipeStep) -> str:
    return "断りや謝りの文である" if _REFUSAL.search(answer) else ""


def no_preamble(answer: str, step: RecipeStep) -> str:
    if "\n" in answer.strip():
        return "一行ではない"
    return "前置きや記号がある" if _PREAMBLE.search(answer) else ""


def japanese(answer: str, step: RecipeStep) -> str:
    letters = _LETTER.findall(answer)
    share = len(_JAPANESE.findall(answer)) / max(len(letters), 1)
    return "" if letters and share >= 0.5 else "日本語の文ではない"


def length(answer: str, step: RecipeStep) -> str:
    count = len(graphemes(answer))
    return "" if 4 <= count <= step.longest else f"{count}文字ある(4文字から{step.longest}文字まで)"


def whole(answer: str, step: RecipeStep) -> str:
    """A cut sentence ends in a comma or leaves a bracket open."""
    if orphan_bracket(answer):
        return "括弧が閉じていない"
    return "文が途中で終わっている" if answer.rstrip().endswith(("、", ",", "，", "「", "（", "・・")) else ""


def orphan_bracket(text: str) -> bool:
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


def objection(answer: str, step: RecipeStep) -> tuple[str, str]:
    """The first check that fails, and its reason; ("", "") when all pass."""
    for name in step.checks:
        if name not in CHECKS:
            raise ConfigError(
                both(f"there is no check '{name}'", f"「{name}」という検査はない"),
                where=both(f"step {step.name}", f"ステップ {step.name}"),
                do=nearest(name, CHECKS),
            )
        if reason := CHECKS[name](answer, step):
            return name, reason
    return "", ""
