"""Copies, contradictions, and exam items that are in train."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import (
    SPLIT_TITLES,
    AuditContext,
    AuditRow,
    format_percent,
    hash64,
    level_by,
    share,
)
from terakoya.data.split import SPLIT_NAMES, SplitName
from terakoya.i18n import _
from terakoya.records import MEMORISED, Finding

if TYPE_CHECKING:
    import numpy as np

    from terakoya.data.audit.row_blocks import RowBlock

_NUMBER = {split: number for number, split in enumerate(SPLIT_NAMES)}


class Duplicates:
    """Compares all rows by hash, 29 bytes per row; beyond FINGERPRINTS_KEPT rows, a sample of the sources.

    subject  what the data is for
    """

    def __init__(self, subject: AuditContext) -> None:
        self.drawn = subject.drawn  # what is drawn by rule without end repeats itself at random
        self.forms, self.raws, self.targets = array("Q"), array("Q"), array("Q")
        self.rows, self.split_numbers = array("L"), array("B")
        self.subsets: dict[str, int] = {"": 0}
        self.mask = 0

    def add(self, row: AuditRow) -> None:
        """Remembers the row.

        row  in the order of the file
        """
        if row.example.subset == MEMORISED:
            return  # in train on purpose
        form = row.key
        if form & self.mask:
            return
        example = row.example
        self.forms.append(form)
        self.raws.append(hash64(example.source))
        self.targets.append(hash64(row.canonical if row.canonical is not None else example.target))
        self.rows.append(example.row)
        subset = self.subsets.setdefault(example.subset, min(len(self.subsets), 84))
        self.split_numbers.append(_NUMBER[row.split] + 3 * subset)
        while len(self.forms) > line.FINGERPRINTS_KEPT:  # one source may have more rows than are kept
            self._thin()

    def add_block(self, block: RowBlock) -> None:
        """Remembers the rows of `block`."""
        chosen = block.sampled(self.mask)
        targets = block.values("hash", lambda facts: facts.hash)
        parts = (block.keys, block.raws, targets, block.lines, block.splits)
        for name, part in zip(("forms", "raws", "targets", "rows", "split_numbers"), parts, strict=True):
            kept: array[int] = getattr(self, name)
            kept.frombytes(part[chosen].astype(_dtype(kept)).tobytes())
        while len(self.forms) > line.FINGERPRINTS_KEPT:
            self._thin()

    def _thin(self) -> None:
        """Drops half of the sources, each with all of its rows, so that shares stay what they are."""
        import numpy as np

        self.mask = self.mask * 2 + 1
        keep = (np.frombuffer(self.forms, dtype=np.uint64) & np.uint64(self.mask)) == 0
        for name in ("forms", "raws", "targets", "rows", "split_numbers"):
            old: array[int] = getattr(self, name)
            setattr(self, name, array(old.typecode, np.frombuffer(old, dtype=_dtype(old))[keep].tobytes()))

    def findings(self) -> Iterator[Finding]:
        """Findings on copies, contradictions and leaks."""
        if len(self.forms) < 2:
            return
        import numpy as np

        forms, raws, targets, rows, by_split = (
            np.frombuffer(part, dtype=_dtype(part))
            for part in (self.forms, self.raws, self.targets, self.rows, self.split_numbers)
        )
        repeated = _repeated(forms)
        if not len(repeated):
            return
        forms, raws, targets, rows, by_split = (part[repeated] for part in (forms, raws, targets, rows, by_split))
        order = np.lexsort((by_split, targets, forms))
        again = np.flatnonzero(forms[order][1:] == forms[order][:-1]) + 1  # indices whose source equals the one before
        same = targets[order][again] == targets[order][again - 1]
        # In two splits it is a leak, in two subsets of an exam harmless: only a copy in the same one counts.
        same_split = by_split[order][again] == by_split[order][again - 1]
        yield from self._duplicates(rows[order][again[same & same_split]])
        other = again[raws[order][again] != raws[order][again - 1]]
        yield from self._spellings(rows[order][other])
        yield from self._contradictions(forms[order], again[~same], rows[order])
        yield from self._leaks(forms[order], raws[order], rows[order], by_split[order] % 3, again)

    def _sample(self) -> str:
        rate = self.mask + 1
        return _(" (in a sample of 1 in {rate} sources)", rate=rate) if self.mask else ""

    def _rate(self) -> dict[str, float]:
        """Among how many sources one was looked at, where it was not all of them."""
        return {"sampled 1 in": float(self.mask + 1)} if self.mask else {}

    def _duplicates(self, rows: np.ndarray[Any, Any]) -> Iterator[Finding]:
        count, whole = len(rows), len(self.forms)
        if count:
            percent, sample = format_percent(share(count, whole)), self._sample()
            yield Finding(
                "duplicates",
                "note" if self.drawn else level_by(count, whole - count, line.DUPLICATES),
                _(
                    "{count} rows ({percent}) repeat an earlier source and target{sample}",
                    count=count,
                    percent=percent,
                    sample=sample,
                ),
                do=_("Keep one of each: copies weigh twice, and a resumed generation may have paid twice."),
                rows=_named(rows),
                values={"rows": float(count), "share": share(count, whole)} | self._rate(),
            )

    def _spellings(self, rows: np.ndarray[Any, Any]) -> Iterator[Finding]:
        """Sources that are one under folding and several as text: copies that no comparison of texts sees."""
        if count := len(rows):
            sample = self._sample()
            yield Finding(
                "look-alikes",
                "note",
                _(
                    "{count} sources repeat an earlier one in another spelling{sample} (width, spaces, 〜 and ～, "
                    "dashes, 髙 and 高, invisible characters): they are counted as the same source",
                    count=count,
                    sample=sample,
                ),
                do=_("They stay in one split. Choose one spelling if the difference means nothing."),
                where="source",
                rows=_named(rows),
                values={"rows": float(count)} | self._rate(),
            )

    def _contradictions(
        self, forms: np.ndarray[Any, Any], at: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]
    ) -> Iterator[Finding]:
        import numpy as np

        if len(at):
            sample = self._sample()
            sources, whole = len(np.unique(forms[at])), len(self.forms)
            yield Finding(
                "contradictions",
                level_by(len(at), whole, line.CONTRADICTIONS),
                _(
                    "{sources} sources have several targets{sample}: no model can predict all of them",
                    sources=sources,
                    sample=sample,
                ),
                do=_("Decide on one target, or list the others in a column `accepted`."),
                rows=_named(np.sort(np.concatenate([rows[at - 1], rows[at]]))),
                values={"sources": float(sources), "rows": float(len(at))} | self._rate(),
            )

    def _leaks(
        self,
        forms: np.ndarray[Any, Any],
        raws: np.ndarray[Any, Any],
        rows: np.ndarray[Any, Any],
        by_split: np.ndarray[Any, Any],
        again: np.ndarray[Any, Any],
    ) -> Iterator[Finding]:
        """Sources in two splits. An exam item in train is a stop: its score would measure memory."""
        import numpy as np

        among = np.zeros(len(forms), dtype=bool)
        among[again] = among[again - 1] = True
        forms, raws, rows, by_split = forms[among], raws[among], rows[among], by_split[among]
        at: dict[SplitName, np.ndarray[Any, Any]] = {name: by_split == _NUMBER[name] for name in SPLIT_NAMES}
        for here, there in (("exam", "train"), ("dev", "train"), ("exam", "dev")):
            one, other = at[here], at[there]  # type: ignore[index]
            leaked = one & np.isin(forms, forms[other])
            count = int(leaked.sum())
            if count:
                exact = int((leaked & np.isin(raws, raws[other])).sum())
                normalised, one_title, other_title = count - exact, SPLIT_TITLES[here], SPLIT_TITLES[there]
                sample = self._sample()
                yield Finding(
                    "leak",
                    "stop" if here == "exam" and there == "train" else "warn",
                    _(
                        "{count} items of {one_title} are also in {other_title}{sample}: {exact} exactly, {normalised} "
                        "normalised",
                        count=count,
                        one_title=one_title,
                        other_title=other_title,
                        sample=sample,
                        exact=exact,
                        normalised=normalised,
                    ),
                    do=_("Take them out of one split, or let Terakoya split (by the normal form of the source)."),
                    rows=_named(np.sort(rows[leaked])),
                    where=here,
                    values={"exact": float(exact), "normal_form": float(normalised)} | self._rate(),
                )


def _repeated(forms: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Indices of the rows whose source occurs more than once: all that is left to compare, mostly a few of many."""
    import numpy as np

    in_order = np.sort(forms)
    twice = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
    if not len(twice):
        return np.zeros(0, dtype=np.int64)
    at = np.minimum(np.searchsorted(twice, forms), len(twice) - 1)
    return np.flatnonzero(twice[at] == forms)


def _named(rows: np.ndarray[Any, Any]) -> tuple[int, ...]:
    return tuple(int(row) for row in sorted(set(rows[:1000].tolist())) if row)[: line.ROWS_NAMED]


def _dtype(part: array[int]) -> str:
    return f"u{part.itemsize}"
