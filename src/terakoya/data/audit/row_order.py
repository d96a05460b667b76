"""Whether the order of the rows decides the exam, and whether the exam asks what was never taught.

Permutation test: rows are described by lengths, values, labels and characters; the statistic is the sum of squared
standardised differences between the two parts. Shuffling the rows says how large it gets by chance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import Even, Fair, Seen, Subject, percent
from terakoya.data.split import Side
from terakoya.i18n import both, japanese, joined
from terakoya.records import Finding

if TYPE_CHECKING:
    import numpy as np

_CHARACTERS, _LABELS = 100, 40  # features of each kind, the most frequent first
_FEWEST = 20


@dataclass(frozen=True, slots=True)
class _Row:
    form: str
    target: str
    side: Side


class Order:
    """Compares the last rows with the rest, and the exam with train."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.rows: Even[_Row] = Even(line.ORDER_ROWS)
        self.taught: Fair[_Row] = Fair(line.SAMPLE)
        self.asked: Fair[_Row] = Fair(line.SAMPLE)

    def see(self, seen: Seen) -> None:
        if seen.example.part == "recall":
            return
        target = seen.canonical if seen.canonical is not None else seen.example.target
        row = _Row(seen.form[: line.LONG_TEXT], target[: line.LONG_TEXT], seen.side)
        if seen.example.row:  # made by rule, an example stands nowhere
            self.rows.add(row)
        if seen.side != "dev":
            (self.taught if seen.side == "train" else self.asked).add(seen.key, row)

    def findings(self) -> Iterator[Finding]:
        method = self.subject.method
        if method == "tail":
            yield from self._tail()
        else:
            yield from self._trend()
        if method == "column" or "files" in method:
            yield from self._sides()
        if not self.subject.drawn and method != "tail":
            yield from self._holes()

    def _trend(self) -> Iterator[Finding]:
        rows = self.rows.items
        cut = len(rows) - round(line.ORDER_TAIL * len(rows))
        found = difference(rows, [place >= cut for place in range(len(rows))], self.subject.labels)
        if found and found.p <= line.ORDER_P:
            yield Finding(
                "order",
                "note",
                both(
                    f"the rows stand in an order: the last fifth differs from the rest ({found.says}; p = "
                    f"{found.p:.2g}). "
                    "This split does not look at the order; a cut at the end would",
                    f"行の並びに偏りがある：最後の五分の一が残りと異なる（{japanese(found.says)}、p = "
                    f"{found.p:.2g}）。今の分割は並びを見ないが、末尾で切れば影響が出る",
                ),
                values={"p": found.p},
            )

    def _tail(self) -> Iterator[Finding]:
        rows = [row for row in self.rows.items if row.side != "dev"]
        found = difference(rows, [row.side == "exam" for row in rows], self.subject.labels)
        if found is None or found.p > line.ORDER_P:
            p = (
                both("too few rows to test", "行が少なく検定できない")
                if found is None
                else both(f"no drift is seen, p = {found.p:.2g}", f"偏りは見られない、p = {found.p:.2g}")
            )
            yield Finding(
                "order",
                "note",
                both(f"the exam is the last rows of the table ({p})", f"試験は表の末尾の行である（{japanese(p)}）"),
            )
            return
        yield Finding(
            "order",
            "stop",
            both(
                f"the exam is the last rows of the table, and they are not like the rest ({found.says}; p = "
                f"{found.p:.2g}): the order of the rows decides the score",
                f"試験は表の末尾の行であり、残りと異なる（{japanese(found.says)}、p = "
                f"{found.p:.2g}）：行の並びがスコアを決めてしまう",
            ),
            do=both(
                'Cut by fingerprint: split.method = "hash". Where the last rows are meant to be of another time or '
                "kind, name them as an exam of their own: task.exam.",
                '指紋で分割すること：split.method = "hash"。末尾の行が別の時期や種類のものとして意図されているなら、'
                "独立した試験として task.exam に指定すること。",
            ),
            values={"p": found.p},
        )

    def _sides(self) -> Iterator[Finding]:
        rows = [*self.taught.kept()[: line.ORDER_ROWS], *self.asked.kept()[: line.ORDER_ROWS]]
        found = difference(rows, [row.side == "exam" for row in rows], self.subject.labels)
        if found and found.p <= line.ORDER_P:
            yield Finding(
                "sides-differ",
                "warn" if self.subject.method == "column" else "note",
                both(
                    f"exam and train were not drawn alike ({found.says}; p = {found.p:.2g})",
                    f"試験と学習は同じようには選ばれていない（{japanese(found.says)}、p = {found.p:.2g}）",
                ),
                do=both(
                    "If that is not meant (a harder exam, another time), let Terakoya split.",
                    "意図したもの（難しい試験、別の時期）でなければ、分割を Terakoya に任せること。",
                ),
                where="exam",
                values={"p": found.p},
            )

    def _holes(self) -> Iterator[Finding]:
        """What the exam holds again and again and train never: a rule that held out too much, or another world."""
        taught = {row.form: row for row in self.taught.kept()}
        asked = {row.form: row for row in self.asked.kept()}
        if not taught or not asked:
            return
        known = {trait for row in taught.values() for trait in _traits(row, self.subject.labels)}
        uses = Counter(trait for row in asked.values() for trait in _traits(row, self.subject.labels))
        part = len(asked) / (len(asked) + len(taught))
        holes = {
            _trait(*trait): count
            for trait, count in uses.items()
            if trait not in known and count >= line.HOLE_ITEMS and part**count <= line.HOLE_P
        }
        if holes:
            named = joined(
                ", ",
                (
                    both(f"{trait} ({count} items)", f"{japanese(trait)}（{count}問）")
                    for trait, count in Counter(holes).most_common(6)
                ),
            )
            yield Finding(
                "exam-hole",
                "note" if "files" in self.subject.method or self.subject.method == "task" else "warn",
                both(
                    f"the exam asks what train never shows: {named}",
                    f"学習に一度も現れないものを試験が問う：{japanese(named)}",
                ),
                do=both(
                    "Was something held out by a rule? Let both sides cover the same range.",
                    "規則で何かを取り除いていないか。両側が同じ範囲を含むようにすること。",
                ),
                where="exam",
                values={trait: float(count) for trait, count in list(holes.items())[:20]},
            )


def _traits(row: _Row, labels: bool) -> set[tuple[str, str | int]]:
    found: set[tuple[str, str | int]] = {("character", char) for char in row.form if char != " "}
    if labels:
        return found | {("label", label) for label in row.target.split()}
    if row.target.isdecimal():
        zeros = len(row.target) - len(row.target.rstrip("0"))
        return found | {("digits", len(row.target)), ("zeros", zeros)}
    return found


def _trait(kind: str, value: str | int) -> str:
    """A trait in words; only the few that are told are put into words."""
    if kind == "character":
        return both(f"the character {value!r}", f"文字 {value!r}")
    if kind == "label":
        return both(f"the label {value!r}", f"ラベル {value!r}")
    if kind == "digits":
        return both(f"{value} digits", f"{value}桁")
    return both(f"{value} zeros at the end", f"末尾のゼロが{value}個")


@dataclass(frozen=True)
class Difference:
    p: float
    says: str


def difference(rows: Sequence[_Row], apart: Sequence[bool], labels: bool, *, seed: int = 0) -> Difference | None:
    """How unlike the rows set `apart` are to the others; None where either part is too small to tell."""
    import numpy as np

    part = np.asarray(apart, dtype=bool)
    some = int(part.sum())
    if len(rows) < _FEWEST or some < 3 or len(rows) - some < 3:
        return None
    names, raw = _features(rows, labels)
    varied = raw.std(axis=0) > 0
    names = [name for name, varies in zip(names, varied, strict=True) if varies]
    raw = raw[:, varied]
    table = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    if not names:
        return None
    seen = table[part].mean(axis=0)
    scale = 1 / some
    rng = np.random.default_rng(seed)
    larger = 0
    for size in _blocks(line.ORDER_SHUFFLES, 100):
        picks = np.stack([rng.permutation(len(rows))[:some] for _ in range(size)])
        chosen = np.zeros((size, len(rows)), dtype=np.float32)
        np.put_along_axis(chosen, picks, scale, axis=1)
        larger += int((((chosen @ table.astype(np.float32)) ** 2).sum(axis=1) >= (seen**2).sum() - 1e-9).sum())
    p = (larger + 1) / (line.ORDER_SHUFFLES + 1)
    return Difference(p, _says(raw, part, names, seen))


_MEASURES: Mapping[str, Callable[[_Row], float]] = {
    both("source length", "入力の長さ"): lambda row: float(len(row.form)),
    both("target length", "正解の長さ"): lambda row: float(len(row.target)),
    both("target value (log)", "正解の値（対数）"): lambda row: _log(row.target),
}


def _blocks(whole: int, size: int) -> Iterator[int]:
    for at in range(0, whole, size):
        yield min(size, whole - at)


def _says(table: np.ndarray[Any, Any], part: np.ndarray[Any, Any], names: list[str], seen: np.ndarray[Any, Any]) -> str:
    """The three traits that differ most, with their frequency or mean on both sides."""
    strongest = sorted(range(len(names)), key=lambda at: -abs(seen[at]))[:3]
    return joined(", ", (_both(names[at], table[:, at], part) for at in strongest))


def _both(name: str, values: np.ndarray[Any, Any], part: np.ndarray[Any, Any]) -> str:
    one, two = float(values[part].mean()), float(values[~part].mean())
    if name in _MEASURES:
        return both(
            f"{name} {one:.1f} there, {two:.1f} elsewhere", f"{japanese(name)} がそこで {one:.1f}、他で {two:.1f}"
        )
    return both(
        f"{name} in {percent(one)} there, {percent(two)} elsewhere",
        f"{japanese(name)} がそこで {percent(one)}、他で {percent(two)}",
    )


def _features(rows: Sequence[_Row], labels: bool) -> tuple[list[str], np.ndarray[Any, Any]]:
    import numpy as np

    characters = Counter(char for row in rows for char in set(row.form) if char != " ")
    answers = Counter(label for row in rows for label in (row.target.split() if labels else [row.target]))
    shown = [char for char, count in characters.most_common(_CHARACTERS) if count > 1]
    given = [answer for answer, count in answers.most_common(_LABELS) if count > 1]
    names = [*_MEASURES, *map(repr, shown), *(both(f"the answer {answer!r}", f"回答 {answer!r}") for answer in given)]
    table = [
        [
            *(measure(row) for measure in _MEASURES.values()),
            *(char in row.form for char in shown),
            *_holds(row.target.split() if labels else [row.target], given),
        ]
        for row in rows
    ]
    return names, np.array(table, dtype=np.float64)


def _holds(answers: Sequence[str], given: Sequence[str]) -> list[bool]:
    return [answer in answers for answer in given]


def _log(target: str) -> float:
    try:
        value = float(target)
    except ValueError:
        return 0.0
    return math.copysign(math.log1p(abs(value)), value) if math.isfinite(value) else 0.0
