"""Sets of labels: written one after the other, read back as a set.

    codec = labels_codec(["✨ 📚", "🎉"])        # the legal labels are those that the targets hold
    codec.write("📚 ✨ 📚")  → "📚 ✨"           # as given, repeats dropped
    codec.canonical("📚 ✨")  → "✨ 📚"          # order carries no meaning

Labels are parted by white space, or by `separator`. Where all of them are emoji they are read by grapheme and brought
to one normal form (text.emoji_form), so ❤ and ❤️ are one label and ✨📚 are two; other labels stay as they are.
White space inside a label becomes "_", for a canonical set has one space between labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random

from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.text import emoji_form, emoji_in, emoji_name

_MOST = 5  # labels in an answer where no target says how many there may be


@dataclass(frozen=True)
class LabelsCodec:
    """Sets of 1 to `most` of the `labels`.

    counted  the number of labels is written first ("2 ✨ 📚"), so that a model decides on the size before the labels
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
        kind = "labels:emoji" if self.emoji else "labels"
        return kind + "+count" if self.counted else kind

    def write(self, target: str) -> str:
        """The labels in the order given. Raises DataError for an empty set, an unknown label, or too many."""
        found = self.parsed(target)
        strange = [label for label in found if label not in self.legal]
        if strange:
            raise DataError(
                both(
                    f"'{strange[0]}' is none of the {len(self.labels)} labels that can be taught",
                    f"'{strange[0]}' は学習できる{len(self.labels)}種類のラベルにない",
                ),
                where=target[:40],
                do=both(
                    "Make the codec from all targets that shall be taught.",
                    "学習させるすべての正解からコーデックを作ること。",
                ),
            )
        if len(found) > self.most:
            raise DataError(
                both(
                    f"{len(found)} labels, and an answer has at most {self.most}",
                    f"ラベルが{len(found)}個あり、回答は{self.most}個までである",
                ),
                where=target[:40],
                do=both("Leave labels out, or drop the row.", "ラベルを減らすか、行を外すこと。"),
            )
        return self.joined(found)

    def joined(self, labels: Sequence[str]) -> str:
        """These labels as a model writes them."""
        return " ".join([str(len(labels)), *labels] if self.counted else labels)

    def ordered(self, target: str, order: str, chance: Random) -> str:
        """The written form in another order: "canonical" (as in `labels`), "shuffled" by chance, else as given."""
        found = self.parsed(self.canonical(target) if order == "canonical" else target)
        if order == "shuffled":
            found = chance.sample(found, len(found))
        return self.write(" ".join(found))

    def read(self, raw: str) -> str | None:
        """The set; None where it is empty, holds what is no legal label, or announces another size."""
        pieces = raw.split()
        if self.counted:
            if not pieces or pieces[0] != str(len(pieces) - 1):
                return None
            pieces = pieces[1:]
        try:
            found = self.parsed(" ".join(pieces), separator="")
        except DataError:
            return None
        return " ".join(sorted(found)) if self.legal.issuperset(found) else None

    def canonical(self, target: str) -> str:
        """Normal forms, each once, sorted, one space between. A label that was never taught is a label all the same."""
        return " ".join(sorted(self.parsed(target)))

    def parsed(self, target: str, separator: str | None = None) -> list[str]:
        """The labels of a target in normal form, each once, in order. Raises DataError for none and for no emoji."""
        found = list(dict.fromkeys(_pieces(target, self.separator if separator is None else separator, self.emoji)))
        if not found:
            raise DataError(
                both("an empty set of labels cannot be taught", "空のラベル集合は学習できない"),
                do=both("Remove the row or fill in its target.", "行を取り除くか、正解を埋めること。"),
            )
        return found

    # The written language, one character at a time.

    @cached_property
    def alphabet(self) -> frozenset[str]:
        digits = "0123456789" if self.counted else ""
        return frozenset("".join(self.labels)) | frozenset(" " + digits)

    @cached_property
    def _prefixes(self) -> Counter[str]:
        """How many labels begin with each prefix."""
        return Counter(label[:end] for label in self.labels for end in range(1, len(label) + 1))

    def viable(self, prefix: str) -> bool:
        *whole, last = prefix.split(" ")
        size = self.most
        if self.counted:
            if not whole:
                return not last or any(str(n).startswith(last) for n in self._sizes)
            if whole[0] not in map(str, self._sizes):
                return False
            size, whole = int(whole[0]), whole[1:]
        if len(whole) >= size or not self._legal_part(whole):
            return False
        # A label that stands already may not come again; another one that begins alike may.
        used = sum(label.startswith(last) for label in whole)
        return (not last and len(whole) < len(self.labels)) or self._prefixes[last] > used

    def complete(self, written: str) -> bool:
        whole = written.split(" ")
        if self.counted:
            head, whole = whole[0], whole[1:]
            if head != str(len(whole)):
                return False
        return 0 < len(whole) <= self.most and self._legal_part(whole)

    @property
    def _sizes(self) -> range:
        return range(1, min(self.most, len(self.labels)) + 1)

    def _legal_part(self, labels: Sequence[str]) -> bool:
        return len(set(labels)) == len(labels) and self.legal.issuperset(labels)


def labels_codec(
    targets: Sequence[str], *, separator: str = "", most: int = 0, counted: bool = False, extra: Iterable[str] = ()
) -> LabelsCodec:
    """The codec for these targets: their labels are the legal ones (and `extra` ones), the largest set the limit.

    `most` sets another limit. Targets whose labels are all emoji make a codec of emoji. Raises DataError where no
    target has a label, and where two labels become one.
    """
    rows = [target for target in targets if target.strip()]
    emoji = bool(rows) and all(emoji_in(target.replace(separator, " ") if separator else target) for target in rows)
    found = [list(dict.fromkeys(_pieces(target, separator, emoji))) for target in rows]
    labels = sorted({label for row in found for label in row} | {emoji_form(one) or one for one in extra})
    if not labels:
        raise DataError(
            both("no target holds a label", "ラベルのある正解がない"),
            do=both("Fill in the targets, or take the codec 'text'.", "正解を埋めるか、コーデック 'text' を使うこと。"),
        )
    _distinct(rows, separator, emoji)
    limit = most or max(map(len, found)) or _MOST
    return LabelsCodec(tuple(labels), emoji, min(limit, len(labels)), separator, counted)


def names_of(codec: object) -> dict[str, tuple[str, ...]]:
    """Label → names for labels that name themselves: emoji have Japanese names; other codecs and labels have none."""
    if not isinstance(codec, LabelsCodec) or not codec.emoji:
        return {}
    return {label: (name,) for label in codec.labels if (name := emoji_name(label))}


def _pieces(target: str, separator: str, emoji: bool) -> list[str]:
    if emoji:
        found = emoji_in(target.replace(separator, " ") if separator else target)
        if found is None:
            raise DataError(
                both("a label is no emoji", "絵文字でないラベルがある"),
                where=target[:40],
                do=both("Mend the row, or leave it out.", "行を直すか、外すこと。"),
            )
        return found
    parts = target.split(separator) if separator else target.split()
    return ["_".join(part.split()) for part in parts if part.strip()]


def _distinct(rows: Sequence[str], separator: str, emoji: bool) -> None:
    """Refuses labels that only differ in a space and an underline: they would be taught as one."""
    if emoji or not separator:
        return
    seen: dict[str, str] = {}
    for part in {part.strip() for row in rows for part in row.split(separator) if part.strip()}:
        form = "_".join(part.split())
        if " ".join(seen.setdefault(form, part).split()) != " ".join(part.split()):
            raise DataError(
                both(
                    f"the labels '{seen[form]}' and '{part}' differ by a space only",
                    f"ラベル '{seen[form]}' と '{part}' は空白だけが異なる",
                ),
                do=both("Rename one of them.", "一方の名前を変えること。"),
            )
