"""How the audit reads: one row at a time, in the order of the file, with bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from terakoya.codec import Codec
from terakoya.codec.labels import LabelsCodec
from terakoya.codec.text import fold_source
from terakoya.data.audit.thresholds import LONG_TEXT, ROWS_NAMED
from terakoya.data.split import SplitName
from terakoya.errors import DataError
from terakoya.i18n import Message, _
from terakoya.records import Example, Finding, Level
from terakoya.scoring.metrics import Metric

if TYPE_CHECKING:
    import numpy as np

# As messages name the columns and the splits.
COLUMN_NAMES = {"source": _("sources"), "target": _("targets")}
SPLIT_TITLES = {
    "train": _("the train split"),
    "dev": _("the dev split"),
    "exam": _("the exam split"),
}
T = TypeVar("T")


@dataclass(frozen=True)
class AuditContext:
    """What the data is for: how its targets are written and scored.

    codec   of the task
    metric  the first one of the task
    method  of the split
    drawn   whether training examples are drawn by rule, so that train is not the whole of them
    """

    codec: Codec
    metric: Metric
    method: str = "hash"
    drawn: bool = False

    @cached_property
    def kind(self) -> str:
        """Of the codec: "text", "labels", "number", "quantity"."""
        return self.codec.name.partition(":")[0].partition("+")[0]

    @cached_property
    def labels(self) -> bool:
        """Whether targets are sets of labels."""
        return self.kind == "labels"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row as every check reads it.

    example    the row
    split      train, dev or exam
    place      in the order of the file, counted from 0
    form       folded form of the source
    key        64 bits that stand for the form
    canonical  canonical form of the target; None where the codec cannot write it
    """

    example: Example
    split: SplitName
    place: int  # in the order of the file, counted from 0
    form: str
    key: int
    canonical: str | None


class Check(Protocol):
    """One check of the audit: it is given every row once, and gives its findings at the end."""

    def add(self, row: AuditRow) -> None:
        """Takes one row into account.

        row  in the order of the file
        """
        ...

    def findings(self) -> Iterable[Finding]:
        """What the rows showed; called once, after the last one."""
        ...


@dataclass
class Tally:
    """Rows that have one defect in common.

    count  how many
    rows   row numbers of the first ROWS_NAMED
    first  the text of the first, as messages show it
    """

    count: int = 0
    rows: list[int] = field(default_factory=list)
    first: str = ""

    def add(self, row: int, text: str = "") -> None:
        """Counts a row.

        row   its number; 0 is unknown
        text  what to show of it
        """
        self.count += 1
        if len(self.rows) < ROWS_NAMED and row:
            self.rows.append(row)
        if not self.first and text:
            self.first = text if isinstance(text, Message) else shorten(text)

    def finding(self, check: str, level: Level, what: str, *, do: str = "", where: str = "") -> Finding:
        """A finding about these rows, with the first as an example.

        check  its id
        level  note, warn or stop
        what   a message
        do     what to do, a message
        where  column or split
        """
        example = _(": {first}", first=self.first) if self.first else ""
        return Finding(check, level, what + example, where, do, tuple(self.rows), {"rows": float(self.count)})


def shorten(text: str, most: int = 40) -> str:
    """A text in quotes, cut where it is long.

    text  any text
    most  characters that are shown
    """
    return repr(text if len(text) <= most else text[:most] + "…")


def hash64(text: str) -> int:
    """64 bits that stand for a text, the same in every process.

    text  any text
    """
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def source_key(form: str) -> int:
    """64 bits that stand for a source: of the hash by which it is split, so that a large table is hashed once.

    form  folded form of the source
    """
    return int.from_bytes(hashlib.sha256(f"\x1f{form}".encode("utf-8", "surrogatepass")).digest()[8:16], "little")


class HashSample(Generic[T]):
    """A bounded sample of a stream, chosen by the items' hashes: equal items are kept or dropped together.

    most  items that are kept at most
    """

    def __init__(self, most: int) -> None:
        self.most, self.mask = most, 0
        self.items: list[tuple[int, T]] = []

    def wants(self, number: int) -> bool:
        """Whether an item with this hash would be kept, so that the others need not be built.

        number  hash of the item
        """
        return not number & self.mask

    def add(self, number: int, item: T) -> None:
        """Offers an item.

        number  its hash
        item    is dropped when the hash is not among those kept
        """
        if number & self.mask:
            return
        self.items.append((number, item))
        while len(self.items) > self.most:
            self.mask = self.mask * 2 + 1
            self.items = [(number, item) for number, item in self.items if not number & self.mask]

    def choose(self, numbers: np.ndarray[Any, Any], offered: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Which of many items will be kept once all of them are added: only these need be built, and added in order.

        numbers  hash of each item
        offered  for each item whether it is offered at all
        Returns for each item whether it is to be added.
        """
        import numpy as np

        while True:
            kept: np.ndarray[Any, Any] = offered & ((numbers & np.uint64(self.mask)) == 0)
            if len(self.items) + int(kept.sum()) <= self.most:
                return kept
            self.mask = self.mask * 2 + 1
            self.items = [(number, item) for number, item in self.items if not number & self.mask]

    def kept(self) -> list[T]:
        """The items of the sample."""
        return [item for _, item in self.items]


class EvenSample(Generic[T]):
    """A bounded sample of a stream, evenly spaced in its order.

    most  it holds up to twice so many
    """

    def __init__(self, most: int) -> None:
        self.most, self.stride, self.seen = most, 1, 0
        self.items: list[T] = []

    def choose(self, count: int) -> range:
        """Which of the next `count` items will be kept once all of them are offered, by index: only these need be
        built, and must be appended to `items`."""
        stride = self.stride
        while -(-(self.seen + count) // stride) >= 2 * self.most:
            stride *= 2
        self.items = self.items[:: stride // self.stride]
        first = -self.seen % stride
        self.stride, self.seen = stride, self.seen + count
        return range(first, count, stride)

    def add(self, item: T) -> None:
        """Offers the next `item` of the stream."""
        if self.seen % self.stride == 0:
            self.items.append(item)
            if len(self.items) >= 2 * self.most:
                self.items, self.stride = self.items[::2], self.stride * 2
        self.seen += 1


def make_canonical(codec: Codec) -> Callable[[str], str | None]:
    """A function from targets to their canonical form, None where the codec cannot write one or read back what it
    wrote.

    A label that is not legal is a label all the same, and no defect of the row (`unknown_labels`).

    codec  of the task
    """

    def canonical(target: str) -> str | None:
        try:
            form = codec.canonical(target)
            return form if unknown_labels(codec, form) or codec.read(codec.write(target)) == form else None
        except DataError:
            return None

    cached = lru_cache(maxsize=65536)(canonical)
    return lambda target: cached(target) if len(target) <= LONG_TEXT else canonical(target)


def unknown_labels(codec: Codec, form: str) -> list[str]:
    """Labels of a canonical target that no prediction can hold.

    codec  of the task; [] for one without labels
    form   canonical target
    """
    return [] if not isinstance(codec, LabelsCodec) else [one for one in form.split() if one not in codec.legal]


def source_form(example: Example) -> str:
    """The folded form of a source (look-alikes are one character), all turns of a conversation included.

    example  the row
    """
    if example.turns:
        return fold_source("\n".join([*(turn.content for turn in example.turns), example.source]))
    return fold_source(example.source)


def share(part: float, whole: float) -> float:
    """part / whole, and 0 of nothing.

    part, whole  counts
    """
    return part / whole if whole else 0.0


def level_by(part: int, whole: int, line: float) -> Level:
    """ "warn" from a share on, "note" below it.

    part, whole  counts
    line         the share
    """
    return "warn" if part and share(part, whole) >= line else "note"


def format_percent(value: float) -> str:
    """A share as text, never rounded up to 100%.

    value  0 to 1
    """
    return f"{100 * value:.1f}%" if value < 0.9995 or value == 1 else ">99.9%"


def bars(counts: Sequence[tuple[str, float]], width: int = 10) -> str:
    """Counts as small horizontal bars, for messages.

    counts  (name, count), in the order to be shown
    width   characters of the longest bar
    """
    most = max((count for _, count in counts), default=0)
    return " · ".join(f"{name} {count:g} {'█' * max(1, round(width * count / most))}" for name, count in counts if most)
