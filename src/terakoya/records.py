"""The values that flow through a run. All of them are frozen; read this file first.

Config → Task → examples → Split → (findings) → Model taught → Predictions → Scores → Run → report
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Level = Literal["note", "warn", "stop"]
_NOTHING: Mapping[str, float] = MappingProxyType({})


def fingerprint(*parts: str) -> str:
    """What a thing is, as 16 hex digits: the same parts give the same digits on every machine.

    Each part is prefixed with its length, so that ("ab", "c") and ("a", "bc") differ.
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation; `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """source → target, known by what it is and never by where it stood.

    group     what must stay on one side of a split; "" means the normal form of the source
    origin    where it came from: a file, a rule, a teacher
    row       line in that file, counted from 1 (0: none); for people, never for identity
    accepted  further targets that count as right
    part      the part of an exam that it belongs to ("" the main part; "recall" is always taught too)
    tags      what kind it is, for tables by kind: (("form", "daiji"), ("magnitude", "4"))
    turns     the conversation before the answer, when the source is more than one text
    """

    source: str
    target: str
    group: str = ""
    origin: str = ""
    row: int = 0
    accepted: tuple[str, ...] = ()
    part: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    turns: tuple[Turn, ...] = ()

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.source_fingerprint, self.target)

    @property
    def source_fingerprint(self) -> str:
        """Covers every turn of a conversation."""
        return fingerprint(self.source, *(f"{turn.role}\n{turn.content}" for turn in self.turns))

    def tag(self, name: str) -> str:
        return dict(self.tags).get(name, "")


def set_fingerprint(examples: Iterable[Example]) -> str:
    """One fingerprint for a set of examples, whatever their order."""
    return fingerprint(*sorted(example.fingerprint for example in examples))


@dataclass(frozen=True, slots=True)
class Split:
    """Three sides that share no group (items of a recall part excepted: they are taught on purpose)."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    exam: tuple[Example, ...]
    method: str = "hash"

    @property
    def exam_fingerprint(self) -> str:
        return set_fingerprint(self.exam)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an audit, preflight or guard noticed. It does not print and does not stop."""

    check: str
    level: Level
    what: str
    where: str = ""
    do: str = ""
    rows: tuple[int, ...] = ()
    values: Mapping[str, float] = field(default_factory=lambda: _NOTHING)


def finding_keys(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of findings.jsonl under today's keys: run folders of format 2 and older say "figures" for the values.

    line  the parsed JSON object
    """
    return {"values" if key == "figures" else key: value for key, value in line.items()}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of steps.jsonl. Losses in nats per target token; `dev` only where dev was asked.

    `plain` is the plain cross entropy beside whatever loss is trained, so that runs can be compared.
    """

    step: int
    loss: float
    plain: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    seconds: float
    dev: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model answered. `text is None` means unreadable, which is not the same as wrong.

    raw          the answer as the model wrote it
    text         what the codec read in it
    probability  of the whole answer, by the model's own account (None: not known)
    labels       for set answers: every label with its probability, most probable first
    withheld     why an answer that could be read was not given ("probability", "verification"); "" otherwise
    """

    source: str
    raw: str
    text: str | None
    probability: float | None = None
    labels: tuple[tuple[str, float], ...] = ()
    withheld: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """How a score was made. Scores with different signatures cannot be compared.

    exam      fingerprint of the exam's items
    metric    name and version, "jaccard/1"
    decoding  how answers were asked for, "greedy"
    normal    the normal form under which answers are compared
    labels    fingerprint of the label set, "" where answers are no labels
    """

    exam: str
    metric: str
    decoding: str
    normal: str = ""
    labels: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A figure with its doubt: value, 95% interval, number of items, and how it was made.

    who   the model ("model") or a baseline's name
    part  part of the exam; "" the main one
    """

    who: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    signature: Signature
    part: str = ""
