"""The values that flow through a run. All of them are frozen; read this file first.

Config → Task → examples → Split → (findings) → trained Model → Predictions → Scores → Run → report
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Level = Literal["note", "warn", "stop"]
_NOTHING: Mapping[str, float] = MappingProxyType({})
AUGMENTED = "augmented"  # the tag of a training row made from another one; its value is that row's fingerprint
MEMORISED = "memorised"  # the subset of an exam whose items are in the training set as well


def fingerprint(*parts: str) -> str:
    """Hash of `parts` as 16 hex digits (SHA-256, truncated), the same on every machine.

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
    """One message of a conversation: `role` is "system", "user" or "assistant", `content` its text."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """One example, identified by its content and never by its position.

    source    the input text
    target    the expected output
    group     examples of one group stay in one split; "": the normal form of the source
    origin    where it came from: a file, a rule, a teacher
    row       line in that file, counted from 1 (0: none); for people, never for identity
    accepted  further targets that count as correct
    subset    of the exam that it belongs to: "" the main subset, which decides; "memorised" what is also in the
              training set, scored apart; or a name of the task's own
    tags      properties for tables by kind: (("form", "daiji"), ("magnitude", "4"))
    turns     the conversation before the target, where the source is more than one message
    """

    source: str
    target: str
    group: str = ""
    origin: str = ""
    row: int = 0
    accepted: tuple[str, ...] = ()
    subset: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    turns: tuple[Turn, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Hash of source and target."""
        return fingerprint(self.source_fingerprint, self.target)

    @property
    def source_fingerprint(self) -> str:
        """Hash of the source, every message of a conversation included."""
        return fingerprint(self.source, *(f"{turn.role}\n{turn.content}" for turn in self.turns))

    def tag(self, name: str) -> str:
        """Value of the tag `name`; "" where it is not set."""
        return dict(self.tags).get(name, "")


def set_fingerprint(examples: Iterable[Example]) -> str:
    """One fingerprint of a set of `examples`, independent of their order."""
    return fingerprint(*sorted(example.fingerprint for example in examples))


@dataclass(frozen=True, slots=True)
class Split:
    """Train, dev and exam splits. They share no group, except for the memorised subset, which is trained on purpose.

    train   examples to train on
    dev     validation examples
    exam    held-out test examples
    method  how they were separated
    """

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    exam: tuple[Example, ...]
    method: str = "hash"

    @property
    def exam_fingerprint(self) -> str:
        """Fingerprint of the exam split."""
        return set_fingerprint(self.exam)


@dataclass(frozen=True, slots=True)
class Finding:
    """What an audit, preflight check or guard found. It neither prints nor stops anything.

    check   identifier of the check
    level   "note", "warn" or "stop"
    what    what was found
    where   file, row, column or key
    do      what to do
    rows    line numbers concerned
    values  measured values by name
    file    the file of these lines; where the data has several files, all of them
    files   the file of each of `rows`, where a table consists of several; () elsewhere
    """

    check: str
    level: Level
    what: str
    where: str = ""
    do: str = ""
    rows: tuple[int, ...] = ()
    values: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    file: str = ""
    files: tuple[str, ...] = ()

    def locations(self, most: int) -> str:
        """The first rows concerned, as a list: line numbers, each with its file where there are several.

        most  that are named; "…" stands for the rest
        """
        files = self.files or ("",) * len(self.rows)
        named = [f"{file}:{row}" if file else str(row) for file, row in zip(files, self.rows, strict=True)]
        return ", ".join(named[:most]) + (" …" if len(named) > most else "")


def finding_keys(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of findings.jsonl under today's keys: run folders of format 2 and older say "figures" for the values.

    line  the parsed JSON object
    """
    return {"values" if key == "figures" else key: value for key, value in line.items()}


def subset_named(name: str) -> str:
    """The subset that a user, a data file or a run folder means: "recall" is the older name of "memorised".

    name  the name as it was written; "" is the main subset
    """
    return MEMORISED if name == "recall" else name


def subset_of(line: Mapping[str, Any]) -> str:
    """The subset of the exam that a line of predictions.jsonl or a score of scores.json belongs to.

    line  the parsed JSON object; run folders of format 2 and older have the key "part"
    """
    return subset_named(str(line.get("subset") or line.get("part") or ""))


def score_keys(line: Mapping[str, Any]) -> dict[str, Any]:
    """A score of scores.json under today's keys; run folders of format 2 and older say "part" for the subset.

    line  the parsed JSON object
    """
    return {**{key: value for key, value in line.items() if key != "part"}, "subset": subset_of(line)}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of steps.jsonl.

    step           optimizer step
    loss           training loss, in nats per target token
    plain          cross-entropy, in nats per target token, whatever the loss: comparable between runs
    learning_rate  of this step
    gradient_norm  before clipping
    tokens         target tokens since the start
    seconds        since the start
    dev            metrics on the dev split, where it was evaluated at this step
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
    """A model's prediction. `text is None` means unreadable, which is not the same as wrong.

    source       the input text

    raw          the output as generated
    text         what the codec decodes from it
    probability  that the whole output is right, calibrated on dev where the model was; else under the model (None: not
                 known)
    labels       of a label set: every label with its probability, most probable first
    withheld     why nothing is returned though the output ended ("probability", "verification", "characters",
                 "novelty", "promise", "rejected"); "" otherwise
    unknown      characters of the source that the model cannot read, each once: it saw a gap in their place
    verified     whether the task's rule says the same; False also where the rule abstains, None without one
    uncalibrated  the probability of the whole output under the model, where `probability` is calibrated
    novel        whether the source is unlike those of training
    """

    source: str
    raw: str
    text: str | None
    probability: float | None = None
    labels: tuple[tuple[str, float], ...] = ()
    withheld: str = ""
    unknown: str = ""
    verified: bool | None = None
    uncalibrated: float | None = None
    novel: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """How a score was made. Scores with different signatures cannot be compared.

    exam      fingerprint of the exam's items
    metric    name and version, "jaccard/1"
    decoding  how predictions were decoded, "greedy"
    normal    the normal form under which predictions are compared
    labels    fingerprint of the label set, "" where targets are no labels
    """

    exam: str
    metric: str
    decoding: str
    normal: str = ""
    labels: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's value with its 95% interval, number of items, and how it was measured.

    who             the model ("model") or a baseline's name
    metric, value   name of the metric, and its value
    low, high, n    95% confidence interval, and number of items
    signature       how it was measured
    subset          of the exam; "" the main one
    groups          number of groups that the items lie in; 0 where every item is independent, or groups are not known
    """

    who: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    signature: Signature
    subset: str = ""
    groups: int = 0
