"""The layouts in which others hand out training data, read as source, target and the turns before them.

messages (OpenAI), conversations (ShareGPT), prompt and completion as texts or as messages (TRL), and
instruction, input, output (Alpaca). A row with a column `source` of its own is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from terakoya.i18n import _
from terakoya.records import Turn

# Every name of a role that is in use, and ours.
ROLES: Mapping[str, str] = MappingProxyType(
    {"system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
     "gpt": "assistant", "model": "assistant", "bot": "assistant", "ai": "assistant", "chatgpt": "assistant"}
)  # fmt: skip
CHATS = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat")
_PROMPTS = ("prompt", "question", "query")
_COMPLETIONS = ("completion", "response", "answer")


class RowError(Exception):
    """What is wrong with one row."""


class UnknownRole(RowError):
    """A message whose role nobody named before; its only argument is the role."""


def layout_of(names: Sequence[str]) -> str:
    """The layout that columns of these names make: "alpaca", "prompt-completion" or "".

    names  of the columns of a table
    """
    found = set(names)
    if "source" in found:
        return ""
    if {"instruction", "output"} <= found:
        return "alpaca"
    return "prompt-completion" if _pair(found) else ""


def with_layout(cells: Mapping[str, str], layout: str) -> Mapping[str, str]:
    """The cells with source and target beside them, as the layout means them.

    cells   column → text
    layout  as `layout_of` names it
    """
    if layout == "alpaca" and "instruction" in cells and "output" in cells:
        source = "\n".join(filter(None, (cells["instruction"], cells.get("input", ""))))
        return {**cells, "source": source, "target": cells["output"]}
    pair = _pair(cells) if layout == "prompt-completion" else None
    return {**cells, "source": cells[pair[0]], "target": cells[pair[1]]} if pair else cells


def _pair(names: Any) -> tuple[str, str] | None:
    prompt = next((name for name in _PROMPTS if name in names), "")
    completion = next((name for name in _COMPLETIONS if name in names), "")
    return (prompt, completion) if prompt and completion else None


def chat_of(value: Mapping[str, Any]) -> tuple[tuple[Turn, ...], dict[str, str]] | None:
    """The turns before the last user turn, and the cells that a chat gives; None where the row is no chat.

    value  column → value
    Raises RowError for a chat that cannot be read.
    """
    if "source" in value:
        return None
    before = _text_turn("system", value.get("system")) if isinstance(value.get("system"), str) else ()
    for name in CHATS:
        if isinstance(value.get(name), list):
            turns, source, target = _last_exchange([*before, *(_turn(message) for message in value[name])])
            return turns, {"source": source, "target": target}
    pair = _pair(value)
    if pair and is_objects(value[pair[0]]):
        completion = value[pair[1]]
        said = [_turn(message) for message in completion] if is_objects(completion) else ()
        response = said or _text_turn("assistant", completion)
        turns, source, target = _last_exchange([*before, *(_turn(message) for message in value[pair[0]]), *response])
        return turns, {"source": source, "target": target, pair[0]: source, pair[1]: target}
    history = value.get("history")
    if before or (isinstance(history, list) and layout_of(list(value)) == "alpaca"):
        return (*before, *_history(history)), {}
    return None


def _history(history: Any) -> tuple[Turn, ...]:
    """Alpaca's earlier exchanges: pairs of a prompt and the response to it."""
    turns: list[Turn] = []
    for pair in history or ():
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise RowError(_("`history` holds something other than pairs of texts"))
        turns += [Turn("user", pair[0]), Turn("assistant", pair[1])]
    return tuple(turns)


def read_turns(said: Sequence[Any]) -> tuple[Turn, ...]:
    """Messages as turns.

    said  objects with role and content (or from and value)
    Raises RowError for what is no message.
    """
    return tuple(_turn(message) for message in said)


def is_objects(item: Any) -> bool:
    """Whether a value is a list that holds objects: messages, and no text.

    item  a value as JSON has it
    """
    return isinstance(item, list) and bool(item) and all(isinstance(part, dict) for part in item)


def _last_exchange(said: Sequence[Turn]) -> tuple[tuple[Turn, ...], str, str]:
    """The turns before the last user turn, that turn, and the response to it."""
    if len(said) < 2 or said[-1].role != "assistant" or said[-2].role != "user":
        raise RowError(_("a chat must end with a user's turn and the assistant's response"))
    return tuple(said[:-2]), said[-2].content, said[-1].content


def _text_turn(role: str, text: Any) -> tuple[Turn, ...]:
    if not isinstance(text, str):
        raise RowError(_("a message has no text"))
    return (Turn(role, text),) if text else ()


def _turn(message: Any) -> Turn:
    role = message.get("role", message.get("from")) if isinstance(message, dict) else None
    if not isinstance(role, str):
        roles = "system, user, assistant"
        raise RowError(_("a message needs a role ({roles}) and a content", roles=roles))
    if role.lower() not in ROLES:
        raise UnknownRole(role)
    content = message.get("content", message.get("value"))
    if isinstance(content, list):  # content in parts, as some servers write it
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise RowError(_("a message holds something other than text"))
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise RowError(_("a message has no text"))
    return Turn(ROLES[role.lower()], content)
