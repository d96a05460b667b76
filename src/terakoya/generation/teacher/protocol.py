"""The protocol that all teachers implement: a large model behind an API, rules, or a lexicon.

A teacher takes a `TeacherRequest` and returns a `RawResponse`, which `responses.parse_response` interprets; it raises
`NoResponse` where no complete response arrived.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from terakoya.records import Turn, fingerprint

NANO = 1_000_000_000  # money is counted in whole billionths, so that a cap is met exactly


@dataclass(frozen=True)
class TeacherRequest:
    """One request to a teacher.

    step         name of the recipe step
    source       fingerprint of the source sentence
    text         the text that the prompt is about; all that offline teachers use
    turns        the prompt as messages
    model        model name
    max_tokens   largest number of tokens of the response
    temperature  sampling temperature; None: not sent
    seed         seed of the generation
    retry        0: first attempt; 1: repeated with the reason for rejecting the first response
    teacher      name of the teacher in `teacher.pool`; "" for the only one
    namespace    keeps the keys of several teachers apart; "" for the teacher with which the ledger began
    """

    step: str
    source: str
    text: str
    turns: tuple[Turn, ...]
    model: str
    max_tokens: int
    temperature: float | None
    seed: int
    retry: int = 0
    teacher: str = ""
    namespace: str = ""

    @cached_property
    def key(self) -> str:
        """Fingerprint of the request. Requests with equal keys are the same, and it is paid for once."""
        sampling = json.dumps([self.max_tokens, self.temperature, self.seed, self.retry])
        prompt = (part for turn in self.turns for part in (turn.role, turn.content))
        apart = ("teacher/1", self.namespace) if self.namespace else ()
        return fingerprint("ask/1", self.model, sampling, self.step, self.source, *prompt, *apart)

    @property
    def max_tokens_in(self) -> int:
        """Upper bound of the prompt's tokens for any tokenizer: one per byte, and 16 per message for the template."""
        return 64 + sum(len(turn.content.encode("utf-8", "surrogatepass")) + 16 for turn in self.turns)


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """Settings shared by all requests to one teacher.

    model         the teacher's model name
    max_tokens    largest number of tokens of a response
    temperature   sampling temperature; None: not sent
    seed          part of every request's key
    max_rejected  share of rejected rows, in (0, 1], at which the teacher gets no further requests
    """

    model: str
    max_tokens: int
    temperature: float | None
    seed: int
    max_rejected: float = 0.5


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A complete response, not yet interpreted.

    status        HTTP status
    body          text of the body
    seconds       time from request to response
    content_type  header Content-Type
    retry_after   header Retry-After, in seconds or as a date; "" where absent
    """

    status: int
    body: str
    seconds: float = 0.0
    content_type: str = "application/json"
    retry_after: str = ""


class NoResponse(Exception):
    """No complete response arrived.

    fault  what happened
    sent   whether the request may have reached the provider, which may then charge for it
    """

    def __init__(self, fault: str, *, sent: bool) -> None:
        super().__init__(fault)
        self.fault, self.sent = fault, sent


class Teacher(Protocol):
    """Labels data. Requests to a `paid` teacher go through the ledger; the others are free and deterministic."""

    @property
    def name(self) -> str:
        """Its name in the origin of rows."""
        ...

    @property
    def paid(self) -> bool:
        """Whether requests cost money."""
        ...

    async def send(self, request: TeacherRequest) -> RawResponse:
        """Send `request` once. Raises NoResponse."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


def free_response(text: str) -> RawResponse:
    """A successful response with content `text` and cost 0, as an offline teacher returns it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return RawResponse(200, json.dumps({"choices": [choice], "usage": {"cost": 0}}, ensure_ascii=False))
