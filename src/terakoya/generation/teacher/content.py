"""The text of a response's message: text or parts, finish reasons in many words, thinking in many clothes.

Nothing of an output is repaired. What is left out, an empty thinking block and, where the config says so, a thinking
block in front, is no part of the output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

Thinking = Literal["reject", "strip"]

# Finish reasons as servers spell them, in lower case, words joined by "_", without a prefix "finish_reason_".
FINISHED = frozenset({
    "stop", "stopped", "eos", "eos_token", "eos_id", "eos_found", "end_turn", "end_of_turn", "stop_sequence",
    "stop_token", "stop_word", "stop_string", "stop_reason_stop", "end", "end_of_text", "endoftext", "complete",
    "completed", "completion", "finished", "finish", "done", "normal", "success",
})  # fmt: skip
_CUT = frozenset({
    "length", "max_tokens", "max_token", "max_length", "max_new_tokens", "max_output_tokens", "max_completion_tokens",
    "max_gen_len", "model_length", "model_context_window_exceeded", "context_length", "token_limit", "limit",
    "truncated",
})  # fmt: skip
_FILTERED = frozenset({
    "content_filter", "content_filtered", "filtered", "safety", "recitation", "refusal", "refused", "blocklist",
    "prohibited_content", "spii", "sensitive", "moderation", "flagged", "guardrail_intervened", "error_toxic",
    "language", "image_safety",
})  # fmt: skip
_THINKING_PARTS = frozenset({
    "thinking", "reasoning", "redacted_thinking", "reasoning_text", "reasoning_content", "thought", "summary_text",
})  # fmt: skip
_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "thoughts", "reasoning_details", "thinking_blocks")

_NAMES = r"(?:[a-z]+:)?(?:think|thinking|thought|thoughts|reasoning|reflection|inner_thoughts|scratchpad|analysis)"
_PIPED = r"(?:thought|thinking|think)"
# (opening, closing) of a thinking block, by family of models.
_BLOCKS = (
    (rf"<{_NAMES}\b[^>]*>", rf"</{_NAMES}\s*>"),
    (r"◁think▷", r"◁/think▷"),
    (r"\[THINK\]", r"\[/THINK\]"),
    (rf"<\|(?:begin_of_)?{_PIPED}(?:_start)?\|>", rf"<\|(?:(?:/|end_of_){_PIPED}|{_PIPED}_end)\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
    (r"<\|channel>\s*thought", r"<channel\|>"),
    (r"<unused94>(?:\s*thought)?", r"<unused95>"),
)  # fmt: skip
_TAGGED_OUTPUT = re.compile(
    r"^\s*(?:<\|START_RESPONSE\|>(.*?)(?:<\|END_RESPONSE\|>)?|<answer>(.*?)</answer>|<response>(.*?)</response>"
    r"|<\|begin_of_solution\|>(.*?)<\|end_of_solution\|>)\s*$",
    re.IGNORECASE | re.DOTALL,
)
# Harmony, with its control tokens or with all of them dropped: "analysisThe user wants…assistantfinal🍎".
_FINAL_CHANNEL = re.compile(
    r"(?:assistant\s*)?<\|channel\|>\s*final[^<]{0,40}<\|message\|>|assistant\s*final", re.IGNORECASE
)
_HARMONY_END = re.compile(r"(?:<\|(?:return|end|call)\|>)+\s*$")
_OTHER_THINKING = re.compile(
    r"<\|channel\|>|<\|message\|>|assistantfinal|assistantcommentary|^\s*(?:analysis|commentary)(?-i:(?=[A-Z]))"
    r"|^\s*\**(?:thinking process|thought process|chain of thought|thinking|reasoning|thoughts"
    r"|思考過程|思考プロセス|思考|推論)\**\s*[:：]|^\s*here is my thought process|^\s*here's a thinking process",
    re.IGNORECASE,
)  # fmt: skip
_OPEN = re.compile("|".join(f"(?:{opening})" for opening, _ in _BLOCKS), re.IGNORECASE)
_CLOSE = re.compile("|".join(f"(?:{closing})" for _, closing in _BLOCKS), re.IGNORECASE)
_EMPTY = re.compile("|".join(rf"(?:{opening}\s*{closing})" for opening, closing in _BLOCKS), re.IGNORECASE)


def message_text(message: Mapping[str, Any], thinking: Thinking) -> str | None:
    """The text of a response's message; None where it has none, or parts of another kind beside the text.

    message   the object `message` of a choice
    thinking  "strip" drops a thinking block in front of the output, "reject" only an empty one
    """
    text = _joined_parts(message.get("content"))
    if text is None:
        return None
    if (empty := _EMPTY.match(text.lstrip())) is not None:
        text = text.lstrip()[empty.end() :]
    return (_without_thinking(text) if thinking == "strip" else text).strip()


def has_thinking(text: str) -> bool:
    """Whether `text` contains thinking, or a mark of it."""
    return any(pattern.search(text) for pattern in (_OPEN, _CLOSE, _OTHER_THINKING))


def has_reasoning_field(message: Mapping[str, Any]) -> bool:
    """Whether `message` holds thinking in a field of its own."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return any(message.get(name) for name in _REASONING_FIELDS) or any(_is_thinking(part) for part in parts)


def finish_of(choice: Mapping[str, Any]) -> str:
    """How a choice ended: "finished", "cut", "filtered", "" where it does not say, else its own word.

    choice  an item of `choices`
    """
    names = ("finish_reason", "finishReason", "stop_reason", "done_reason")
    said = next((choice[name] for name in names if isinstance(choice.get(name), str) and choice[name].strip()), "")
    word = re.sub(r"[\s-]+", "_", said.strip().lower()).removeprefix("finish_reason_")
    for meaning, words in (("finished", FINISHED), ("cut", _CUT), ("filtered", _FILTERED)):
        if word in words:
            return meaning
    return "" if word in {"", "null", "none", "unspecified", "unknown"} else word


def _joined_parts(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping) and content.get("type"):
        content = [content]
    if not isinstance(content, list) or not content:
        return None
    texts = list(_texts(content))
    return None if None in texts or not texts else "".join(text for text in texts if text is not None)


def _texts(parts: list[Any]) -> Iterator[str | None]:
    """The text of each part but the thinking ones; None for a part of another kind."""
    for part in parts:
        if isinstance(part, str):
            yield part
        elif not isinstance(part, Mapping):
            yield None
        elif not _is_thinking(part):
            text = part.get("text")
            text = text.get("value") if isinstance(text, Mapping) else text
            yield text if part.get("type", "text") in ("text", "output_text") and isinstance(text, str) else None


def _is_thinking(part: Any) -> bool:
    kind = part.get("type") if isinstance(part, Mapping) else None
    return isinstance(part, Mapping) and (
        part.get("thought") is True or (isinstance(kind, str) and kind in _THINKING_PARTS)
    )


def _without_thinking(text: str) -> str:
    """The text behind the last closing mark; unchanged where thinking is not closed, for then no output follows."""
    final = list(_FINAL_CHANNEL.finditer(text))
    if final:
        return _HARMONY_END.sub("", text[final[-1].end() :])
    closed = list(_CLOSE.finditer(text))
    if closed and _OPEN.search(text, closed[-1].end()) is None:
        text = text[closed[-1].end() :]
        if (tagged := _TAGGED_OUTPUT.match(text)) is not None:
            text = next(group for group in tagged.groups() if group is not None)
    return text
