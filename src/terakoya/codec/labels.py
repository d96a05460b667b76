"""Sets of labels: written one after the other, read back as a set.

    codec = labels_codec(["✨ 📚", "🎉"])        # the legal labels are those that the targets hold
    codec.write("📚 ✨ 📚")  → "📚 ✨"           # as given, repeats dropped
    codec.canonical("📚 ✨")  → "✨ 📚"          # order carries no meaning

Labels are separated by white space, or by `separator`. Where nearly all targets are emoji they are read by grapheme
and brought to one normal form (text.split_emoji), so ❤ and ❤️ are one label and ✨📚 are two; that is decided for each
piece, so a word or a sequence that no table knows changes no other row. Other labels stay as they are. White space
inside a label becomes "_", because a canonical set has one space between labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random

from terakoya.codec.text import emoji_name, normalise_emoji, split_emoji
from terakoya.errors import DataError
from terakoya.i18n import _

EMOJI_SHARE = 0.9  # of the targets, from which on a codec is one of emoji
_MOST = 5  # labels in a prediction where no target shows how many there may be


@dataclass(frozen=True)
class LabelsCodec:
    """Sets of 1 to `most` of the `labels`; `labels_codec` makes it from targets.

    labels     the legal labels, sorted
    emoji      whether they are emoji, which are read by grapheme
    most       the largest number of labels in a prediction
    separator  between the labels of a target; "" is white space
    counted    the number of labels is written first ("2 ✨ 📚"), so that a model decides on the size before the labels
    legal      the same labels as a set
    """

    labels: tuple[str, ...]
    emoji: bool
    most: int = _MOST
    separator: str = ""
    counted: bool = False
    legal: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "legal", frozenset(self.labels))

    @property
    def name(self) -> str:
        """Kind and options: "labels", "labels:emoji", "labels+count" …"""
        kind = "labels:emoji" if self.emoji else "labels"
        return kind + "+count" if self.counted else kind

    def write(self, target: str) -> str:
        """The labels in the order given.

        target  labels separated as the codec says
        Raises DataError for an empty set, an unknown label, or too many.
        """
        found = self.parse(target)
        strange = [label for label in found if label not in self.legal]
        if strange:
            first, known = strange[0], len(self.labels)
            raise DataError(
                _("'{first}' is none of the {known} labels of this codec", first=first, known=known),
                where=target[:40],
                do=_("Make the codec from all targets of the training data."),
            )
        if len(found) > self.most:
            count = len(found)
            raise DataError(
                _("{count} labels, and a prediction has at most {most}", count=count, most=self.most),
                where=target[:40],
                do=_("Leave labels out, or drop the row."),
            )
        return self.join(found)

    def join(self, labels: Sequence[str]) -> str:
        """The written form of these labels.

        labels  legal ones, in the order to be written
        """
        return " ".join([str(len(labels)), *labels] if self.counted else labels)

    def reorder(self, target: str, order: str, rng: Random) -> str:
        """The written form in another order.

        target  labels in any order
        order   "canonical" (sorted), "shuffled", or another word: as given
        rng     shuffles
        """
        found = self.parse(self.canonical(target) if order == "canonical" else target)
        if order == "shuffled":
            found = rng.sample(found, len(found))
        return self.write(" ".join(found))

    def read(self, raw: str) -> str | None:
        """The set; None where it is empty, holds no legal label, or announces another size.

        raw  any text
        """
        pieces = raw.split()
        if self.counted:
            if not pieces or pieces[0] != str(len(pieces) - 1):
                return None
            pieces = pieces[1:]
        try:
            found = self.parse(" ".join(pieces), separator="")
        except DataError:
            return None
        if self.counted and len(found) != len(pieces):  # one of them twice
            return None
        return " ".join(sorted(found)) if self.legal.issuperset(found) else None

    def canonical(self, target: str) -> str:
        """Normal forms, each once, sorted, one space between. A label that is not legal is a label all the same.

        target  labels separated as the codec says
        Raises DataError for an empty set.
        """
        return " ".join(sorted(self.parse(target)))

    def parse(self, target: str, separator: str | None = None) -> list[str]:
        """The labels of a target in normal form, each once, in order.

        target     labels
        separator  between them; None is the codec's own
        Raises DataError where there is none, and for a word among emoji that is no label.
        """
        used = self.separator if separator is None else separator
        found = list(dict.fromkeys(_pieces(target, used, self.emoji, self.legal)))
        if not found:
            raise DataError(
                _("a set of labels is empty"),
                do=_("Remove the row or fill in its target."),
            )
        return found

    # The written language, one character at a time.

    @cached_property
    def alphabet(self) -> frozenset[str]:
        """The characters that written sets may hold."""
        digits = "0123456789" if self.counted else ""
        return frozenset("".join(self.labels)) | frozenset(" " + digits)

    @cached_property
    def _prefixes(self) -> Counter[str]:
        """How many labels begin with each prefix."""
        return Counter(label[:end] for label in self.labels for end in range(1, len(label) + 1))

    def viable(self, prefix: str) -> bool:
        """Whether some written set has this prefix.

        prefix  characters so far
        """
        *whole, last = prefix.split(" ")
        size = self.most
        if self.counted:
            if not whole:
                return not last or any(str(n).startswith(last) for n in self._sizes)
            if whole[0] not in map(str, self._sizes):
                return False
            size, whole = int(whole[0]), whole[1:]
        if len(whole) >= size or not self._distinct_legal(whole):
            return False
        # A label that is there already may not come again; another one with the same prefix may.
        used = sum(label.startswith(last) for label in whole)
        return (not last and len(whole) < len(self.labels)) or self._prefixes[last] > used

    def complete(self, written: str) -> bool:
        """Whether a text is a whole written set.

        written  characters so far
        """
        whole = written.split(" ")
        if self.counted:
            head, whole = whole[0], whole[1:]
            if head != str(len(whole)):
                return False
        return 0 < len(whole) <= self.most and self._distinct_legal(whole)

    @property
    def _sizes(self) -> range:
        return range(1, min(self.most, len(self.labels)) + 1)

    def _distinct_legal(self, labels: Sequence[str]) -> bool:
        return len(set(labels)) == len(labels) and self.legal.issuperset(labels)


def labels_codec(
    targets: Sequence[str], *, separator: str = "", most: int = 0, counted: bool = False, extra: Iterable[str] = ()
) -> LabelsCodec:
    """The codec for these targets: their labels are the legal ones, their largest set is the limit.

    targets    of the data; where all of their labels are emoji, the codec is one of emoji
    separator  between labels; "" is white space
    most       another limit on the number of labels; 0 is that of the targets
    counted    the number of labels is written first
    extra      further legal labels
    Raises DataError where no target has a label, and where two labels become one.
    """
    rows = [target for target in targets if target.strip()]
    emoji = _are_emoji(rows, separator)
    found = [list(dict.fromkeys(_pieces(target, separator, emoji))) for target in rows]
    labels = sorted({label for row in found for label in row} | {normalise_emoji(one) or one for one in extra})
    if not labels:
        raise DataError(
            _("no target holds a label"),
            do=_("Fill in the targets, or take the codec 'text'."),
        )
    _refuse_ambiguous(rows, separator, emoji)
    limit = most or max(map(len, found)) or _MOST
    return LabelsCodec(tuple(labels), emoji, min(limit, len(labels)), separator, counted)


def emoji_label_names(codec: object) -> dict[str, tuple[str, ...]]:
    """Label → names, for labels that have a name of their own: emoji have Japanese names.

    codec  of the task; {} for one without emoji
    """
    if not isinstance(codec, LabelsCodec) or not codec.emoji:
        return {}
    return {label: (name,) for label in codec.labels if (name := emoji_name(label))}


def _are_emoji(rows: Sequence[str], separator: str) -> bool:
    """Whether targets are emoji: EMOJI_SHARE of them hold nothing else but white space, symbols and the separator."""
    spaced = [target.replace(separator, " ") if separator else target for target in rows]
    found = [split_emoji(target) for target in spaced]
    if not any(one and any(map(normalise_emoji, one)) for one in found):
        return False  # symbols alone are labels like words
    return sum(one is not None for one in found) >= EMOJI_SHARE * len(rows)


def _pieces(target: str, separator: str, emoji: bool, legal: Container[str] | None = None) -> list[str]:
    """The labels of a target. Among emoji a word is a label only where it is `legal`; None: every word is."""
    parts = target.split(separator) if separator else target.split()
    words = ["_".join(part.split()) for part in parts if part.strip()]
    if not emoji:
        return words
    found: list[str] = []
    for word in words:
        pieces = split_emoji(word.replace("_", " "))
        if pieces is None and legal is not None and word not in legal:
            raise DataError(
                _("a label is no emoji"),
                where=target[:40],
                do=_("Mend the row, or leave it out."),
            )
        found += pieces or [word]
    return found


def _refuse_ambiguous(rows: Sequence[str], separator: str, emoji: bool) -> None:
    """Refuses labels that only differ in a space and an underline: they would become one."""
    if emoji or not separator:
        return
    seen: dict[str, str] = {}
    for part in {part.strip() for row in rows for part in row.split(separator) if part.strip()}:
        form = "_".join(part.split())
        first = seen.setdefault(form, part)
        if " ".join(first.split()) != " ".join(part.split()):
            raise DataError(
                _("the labels '{first}' and '{part}' differ by a space only", first=first, part=part),
                do=_("Rename one of them."),
            )
