"""Copies, contradictions, and exam items that stand in train."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import SIDES_JA, Seen, Subject, level_by, number_of, percent, share
from terakoya.data.split import SIDES, Side
from terakoya.i18n import both, japanese
from terakoya.records import Finding

if TYPE_CHECKING:
    import numpy as np

_SIDE = {side: number for number, side in enumerate(SIDES)}


class Repeats:
    """Remembers 29 bytes a row. Beyond FINGERPRINTS_KEPT rows, a fair sample of the sources."""

    def __init__(self, subject: Subject) -> None:
        self.drawn = subject.drawn  # what is made by rule without end comes again by chance
        self.forms, self.raws, self.targets = array("Q"), array("Q"), array("Q")
        self.rows, self.sides = array("L"), array("B")
        self.parts: dict[str, int] = {"": 0}
        self.mask = 0

    def see(self, seen: Seen) -> None:
        if seen.example.part == "recall":
            return  # taught on purpose
        form = seen.key
        if form & self.mask:
            return
        example = seen.example
        self.forms.append(form)
        self.raws.append(number_of(example.source))
        self.targets.append(number_of(seen.canonical if seen.canonical is not None else example.target))
        self.rows.append(example.row)
        part = self.parts.setdefault(example.part, min(len(self.parts), 84))
        self.sides.append(_SIDE[seen.side] + 3 * part)
        if len(self.forms) > line.FINGERPRINTS_KEPT:
            self._thin()

    def _thin(self) -> None:
        """Half of the sources go, each with all of its rows, so that shares stay what they are."""
        import numpy as np

        self.mask = self.mask * 2 + 1
        keep = (np.frombuffer(self.forms, dtype=np.uint64) & np.uint64(self.mask)) == 0
        for name in ("forms", "raws", "targets", "rows", "sides"):
            old: array[int] = getattr(self, name)
            setattr(self, name, array(old.typecode, np.frombuffer(old, dtype=_dtype(old))[keep].tobytes()))

    def findings(self) -> Iterator[Finding]:
        if len(self.forms) < 2:
            return
        import numpy as np

        forms, raws, targets, rows, sides = (
            np.frombuffer(part, dtype=_dtype(part))
            for part in (self.forms, self.raws, self.targets, self.rows, self.sides)
        )
        order = np.lexsort((sides, targets, forms))
        again = np.flatnonzero(forms[order][1:] == forms[order][:-1]) + 1  # places whose source was there just before
        if not len(again):
            return
        same = targets[order][again] == targets[order][again - 1]
        # On two sides it is a leak, in two parts of an exam no harm: a copy stands beside its original.
        beside = sides[order][again] == sides[order][again - 1]
        yield from self._duplicates(rows[order][again[same & beside]])
        yield from self._contradictions(forms[order], again[~same], rows[order])
        yield from _leaks(forms[order], raws[order], rows[order], sides[order] % 3, again)

    def _of(self) -> str:
        return (
            both(f" (in a sample of 1 in {self.mask + 1} sources)", f"（入力 1/{self.mask + 1} の標本で）")
            if self.mask
            else ""
        )

    def _duplicates(self, rows: np.ndarray[Any, Any]) -> Iterator[Finding]:
        count, whole = len(rows), len(self.forms)
        if count:
            yield Finding(
                "duplicates",
                "note" if self.drawn else level_by(count, whole, line.DUPLICATES),
                both(
                    f"{count} rows ({percent(share(count, whole))}) repeat an earlier source and target{self._of()}",
                    f"{count}行（{percent(share(count, whole))}）が、"
                    f"前にある入力と正解の繰り返しである{japanese(self._of())}",
                ),
                do=both(
                    "Keep one of each: copies weigh twice, and a resumed generation may have paid twice.",
                    "それぞれ一行だけ残すこと：重複は二重に効き、再開した生成では二重に払っているおそれがある。",
                ),
                rows=_named(rows),
                values={"rows": float(count), "share": share(count, whole)},
            )

    def _contradictions(
        self, forms: np.ndarray[Any, Any], places: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]
    ) -> Iterator[Finding]:
        import numpy as np

        if len(places):
            sources, whole = len(np.unique(forms[places])), len(self.forms)
            yield Finding(
                "contradictions",
                level_by(len(places), whole, line.CONTRADICTIONS),
                both(
                    f"{sources} sources have several targets{self._of()}: no model can answer all of them",
                    f"入力{sources}件に正解が複数ある{japanese(self._of())}：すべてに正しく答えられるモデルはない",
                ),
                do=both(
                    "Decide for one target, or list the others in a column `accepted`.",
                    "正解を一つに決めるか、他を `accepted` 列に並べること。",
                ),
                rows=_named(np.sort(np.concatenate([rows[places - 1], rows[places]]))),
                values={"sources": float(sources), "rows": float(len(places))},
            )


def _leaks(
    forms: np.ndarray[Any, Any],
    raws: np.ndarray[Any, Any],
    rows: np.ndarray[Any, Any],
    sides: np.ndarray[Any, Any],
    again: np.ndarray[Any, Any],
) -> Iterator[Finding]:
    """Sources on two sides. An exam item in train is a stop: its score would be memory."""
    import numpy as np

    among = np.zeros(len(forms), dtype=bool)
    among[again] = among[again - 1] = True
    forms, raws, rows, sides = forms[among], raws[among], rows[among], sides[among]
    at: dict[Side, np.ndarray[Any, Any]] = {name: sides == _SIDE[name] for name in SIDES}
    for here, there in (("exam", "train"), ("dev", "train"), ("exam", "dev")):
        one, other = at[here], at[there]  # type: ignore[index]
        leaked = one & np.isin(forms, forms[other])
        count = int(leaked.sum())
        if count:
            exact = int((leaked & np.isin(raws, raws[other])).sum())
            yield Finding(
                "leak",
                "stop" if here == "exam" and there == "train" else "warn",
                both(
                    f"{count} {here} items stand in {there} too: {exact} exactly, {count - exact} in normal form",
                    f"{SIDES_JA[here]}の{count}件が{SIDES_JA[there]}にもある：完全一致{exact}件、正規"
                    f"化して一致{count - exact}件",
                ),
                do=both(
                    "Take them out of one side, or let Terakoya split (by the normal form of the source).",
                    "一方の側から外すか、分割を Terakoya に任せること（入力の正規形による）。",
                ),
                rows=_named(np.sort(rows[leaked])),
                where=here,
                values={"exact": float(exact), "normal_form": float(count - exact)},
            )


def _named(rows: np.ndarray[Any, Any]) -> tuple[int, ...]:
    return tuple(int(row) for row in sorted(set(rows[:1000].tolist())) if row)[: line.ROWS_NAMED]


def _dtype(part: array[int]) -> str:
    return f"u{part.itemsize}"
