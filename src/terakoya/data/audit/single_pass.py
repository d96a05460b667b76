"""How the audit looks: one row at a time, in the order of the file, with a bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Generic, Protocol, TypeVar

from terakoya.codec import Codec
from terakoya.codec.labels import LabelsCodec
from terakoya.data.audit.thresholds import LONG_TEXT, ROWS_NAMED
from terakoya.data.split import Side
from terakoya.errors import DataError
from terakoya.i18n import both, japanese
from terakoya.records import Example, Finding, Level
from terakoya.scoring.metrics import Metric
from terakoya.text import source_form

COLUMNS = {"source": "入力", "target": "正解"}  # as Japanese sentences name them
SIDES_JA = {"train": "学習", "dev": "検証", "exam": "試験"}
T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """What the data is for: how its targets are written and judged.

    kind   of the codec: text, labels, number, quantity
    method of the split; drawn: training examples are made by rule, so train is not the whole of it
    """

    codec: Codec
    metric: Metric
    method: str = "hash"
    drawn: bool = False

    @cached_property
    def kind(self) -> str:
        return self.codec.name.partition(":")[0].partition("+")[0]

    @cached_property
    def labels(self) -> bool:
        return self.kind == "labels"


@dataclass(frozen=True, slots=True)
class Seen:
    """One row as every check sees it.

    form       normal form of the source, and `key`, 64 bits that stand for it
    canonical  the target as its codec writes it; None for no legal target
    """

    example: Example
    side: Side
    place: int  # in the order of the file, counted from 0
    form: str
    key: int
    canonical: str | None


class Check(Protocol):
    def see(self, seen: Seen) -> None: ...

    def findings(self) -> Iterable[Finding]: ...


@dataclass
class Tally:
    """Rows that show one thing: how many, the first of them, and what the first one said."""

    count: int = 0
    rows: list[int] = field(default_factory=list)
    first: str = ""

    def add(self, row: int, text: str = "") -> None:
        self.count += 1
        if len(self.rows) < ROWS_NAMED and row:
            self.rows.append(row)
        if not self.first and text:
            self.first = both(shown(text), shown(japanese(text)))

    def finding(self, check: str, level: Level, what: str, *, do: str = "", where: str = "") -> Finding:
        example = both(f": {self.first}", f"：{japanese(self.first)}") if self.first else ""
        return Finding(check, level, what + example, where, do, tuple(self.rows), {"rows": float(self.count)})


def shown(text: str, most: int = 40) -> str:
    return repr(text if len(text) <= most else text[:most] + "…")


def number_of(text: str) -> int:
    """64 bits that stand for a text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class Fair(Generic[T]):
    """At most so many items of a stream, chosen by what they are: equal items stay or go together."""

    def __init__(self, most: int) -> None:
        self.most, self.mask = most, 0
        self.items: list[tuple[int, T]] = []

    def wants(self, number: int) -> bool:
        """Whether an item of that number would be kept, so that the others need not be made."""
        return not number & self.mask

    def add(self, number: int, item: T) -> None:
        if number & self.mask:
            return
        self.items.append((number, item))
        while len(self.items) > self.most:
            self.mask = self.mask * 2 + 1
            self.items = [(number, item) for number, item in self.items if not number & self.mask]

    def kept(self) -> list[T]:
        return [item for _, item in self.items]


class Even(Generic[T]):
    """At most twice so many items of a stream, evenly spaced in its order."""

    def __init__(self, most: int) -> None:
        self.most, self.stride, self.seen = most, 1, 0
        self.items: list[T] = []

    def add(self, item: T) -> None:
        if self.seen % self.stride == 0:
            self.items.append(item)
            if len(self.items) >= 2 * self.most:
                self.items, self.stride = self.items[::2], self.stride * 2
        self.seen += 1


def canonical_of(codec: Codec) -> Callable[[str], str | None]:
    """The canonical form of targets, None where the codec cannot write one or does not read back what it wrote.

    A label that no row taught is a label all the same, and cannot be answered (`unanswerable`): no damage in a row.
    """

    def canonical(target: str) -> str | None:
        try:
            form = codec.canonical(target)
            return form if unanswerable(codec, form) or codec.read(codec.write(target)) == form else None
        except DataError:
            return None

    cached = lru_cache(maxsize=65536)(canonical)
    return lambda target: cached(target) if len(target) <= LONG_TEXT else canonical(target)


def unanswerable(codec: Codec, form: str) -> list[str]:
    """Labels of a canonical target that are no legal answers."""
    return [] if not isinstance(codec, LabelsCodec) else [one for one in form.split() if one not in codec.legal]


def form_of(example: Example) -> str:
    if example.turns:
        return source_form("\n".join([*(turn.content for turn in example.turns), example.source]))
    return source_form(example.source)


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def level_by(part: int, whole: int, line: float) -> Level:
    return "warn" if part and share(part, whole) >= line else "note"


def percent(value: float) -> str:
    return f"{100 * value:.1f}%" if value < 0.9995 or value == 1 else ">99.9%"


def bars(counts: Sequence[tuple[str, float]], width: int = 10) -> str:
    """Figures as one line of bars: ✨ 500 ██████████ · 📚 111 ██"""
    most = max((count for _, count in counts), default=0)
    return " · ".join(f"{name} {count:g} {'█' * max(1, round(width * count / most))}" for name, count in counts if most)
