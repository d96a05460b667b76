"""A teacher answers requests. Behind one face: a large model behind an API, rules, or a lexicon.

`Ask` goes in, an unread `Reply` comes out; `teacher_checks.read_reply` says what it is worth. `Lost` is raised where no
whole reply came back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from terakoya.records import Turn, fingerprint

NANO = 1_000_000_000  # money is counted in whole billionths, so that a cap is met exactly


@dataclass(frozen=True)
class Ask:
    """One request. `text` is the material of the prompt (what offline teachers look at), `turns` the prompt itself."""

    step: str
    source: str  # fingerprint of the source sentence
    text: str
    turns: tuple[Turn, ...]
    model: str
    max_tokens: int
    temperature: float
    seed: int
    again: int = 0  # 0: the first time; 1: once more, with the reason

    @cached_property
    def key(self) -> str:
        """What this request is. Equal keys are the same request, and that is bought once."""
        sampling = json.dumps([self.max_tokens, self.temperature, self.seed, self.again])
        prompt = (part for turn in self.turns for part in (turn.role, turn.content))
        return fingerprint("ask/1", self.model, sampling, self.step, self.source, *prompt)

    @property
    def most_tokens_in(self) -> int:
        """Never fewer than any tokenizer makes of it: a token has at least one byte; 16 a turn for the template."""
        return 64 + sum(len(turn.content.encode("utf-8", "surrogatepass")) + 16 for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, unread."""

    status: int
    body: str
    seconds: float = 0.0
    content_type: str = "application/json"
    retry_after: str = ""


class Lost(Exception):
    """No whole reply came back. `sent` says whether the request may have reached the provider (and may be charged)."""

    def __init__(self, fault: str, *, sent: bool) -> None:
        super().__init__(fault)
        self.fault, self.sent = fault, sent


class Teacher(Protocol):
    """`paid` ones go through the ledger; the others answer from their own head, the same every time."""

    @property
    def name(self) -> str: ...

    @property
    def paid(self) -> bool: ...

    async def send(self, ask: Ask) -> Reply:
        """One attempt. Raises Lost."""
        ...

    async def close(self) -> None: ...


def reply_with(text: str) -> Reply:
    """A whole, free reply, as an offline teacher gives it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return Reply(200, json.dumps({"choices": [choice], "usage": {"cost": 0}}, ensure_ascii=False))
