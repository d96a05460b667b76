"""The wrong predictions of an exam: filtered, sorted and grouped, page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from terakoya.annotation.exam_rows import ExamRow, exam_version, read_exam_rows
from terakoya.errors import ConfigError
from terakoya.i18n import _

Order = Literal["exam", "confident", "doubtful"]
ORDERS: tuple[Order, ...] = ("exam", "confident", "doubtful")
SUBSTRINGS = 12  # that are offered as groups
_LONGEST = 4  # characters of a substring


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """One page of wrong predictions.

    rows   of this page
    total  wrong predictions that the filter lets through
    page   its number, from 1
    last  how many there are
    kinds  kind of error → how many of all wrong predictions
    """

    rows: tuple[ExamRow, ...]
    total: int
    page: int
    last: int
    kinds: tuple[tuple[str, int], ...]


def error_page(
    rows: Sequence[ExamRow],
    *,
    kind: str = "",
    contains: str = "",
    order: Order = "exam",
    page: int = 1,
    size: int = 25,
) -> ErrorPage:
    """Wrong predictions of an exam, those that the filter lets through.

    rows      of the exam
    kind      of the error; "" is any
    contains  substring of the source; "" is any
    order     "exam" as they stand, "confident" the most confident prediction first, "doubtful" the least
    page      number of the page, from 1; beyond the last it is the last
    size      rows of a page
    Raises ConfigError for an unknown order.
    """
    if order not in ORDERS:
        known = ", ".join(ORDERS)
        raise ConfigError(_("there is no order '{order}'", order=order), do=_("Name one of: {known}", known=known))
    wrong = [row for row in rows if row.score < 1]
    kinds = Counter(row.kind for row in wrong).most_common()
    found = [row for row in wrong if (not kind or row.kind == kind) and contains in row.row.source]
    if order != "exam":
        sign = -1 if order == "confident" else 1
        # What has no probability stands last either way.
        found.sort(key=lambda row: (row.probability is None, sign * (row.probability or 0.0)))
    last = max(1, -(-len(found) // size))
    page = min(max(page, 1), last)
    return ErrorPage(tuple(found[(page - 1) * size : page * size]), len(found), page, last, tuple(kinds))


def frequent_substrings(rows: Sequence[ExamRow], most: int = SUBSTRINGS) -> tuple[tuple[str, int, int], ...]:
    """Substrings of sources where errors gather: the text, wrong predictions with it, and items with it.

    rows  of the exam
    most  how many
    Substrings of up to four characters are ranked by how many more errors they hold than their share of the items would
    give (observed minus expected); no significance is claimed, the record has the tests. A substring inside a longer
    one that holds the same errors is left out.
    """
    wrong = [row for row in rows if row.score < 1]
    if not wrong:
        return ()
    counts = Counter(piece for row in wrong for piece in _pieces(row.row.source))
    candidates = {piece for piece, count in counts.most_common(400) if count > 1}
    totals = Counter(piece for row in rows for piece in _pieces(row.row.source) & candidates)
    share = len(wrong) / len(rows)
    ranked = sorted(candidates, key=lambda piece: (share * totals[piece] - counts[piece], -len(piece), piece))
    chosen: list[str] = []
    for piece in ranked:
        same = any((piece in other or other in piece) and counts[other] == counts[piece] for other in chosen)
        if counts[piece] > share * totals[piece] and not same:
            chosen.append(piece)
    return tuple((piece, counts[piece], totals[piece]) for piece in chosen[:most])


def error_substrings(run: Path) -> tuple[tuple[str, int, int], ...]:
    """`frequent_substrings` of a run's exam, counted once.

    run  the run folder
    """
    return _substrings(*exam_version(run))


@lru_cache(maxsize=64)
def _substrings(run: Path, _changed: int, _size: int) -> tuple[tuple[str, int, int], ...]:
    return frequent_substrings(read_exam_rows(run))


def _pieces(source: str) -> set[str]:
    text = source[:200]
    return {text[at : at + size] for size in range(1, _LONGEST + 1) for at in range(len(text) - size + 1)}
