"""Where the errors of a run lie: what they have in common, tables of fields and edits, and differing characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from terakoya.i18n import in_language
from terakoya.reporting import breakdowns
from terakoya.reporting.blocks import MarkedText, TableBlock, column_headers
from terakoya.reporting.record import RunRecord
from terakoya.reporting.translations import say
from terakoya.scoring.error_analysis.alignment import MOST_CELLS, alignment
from terakoya.scoring.error_analysis.items import ErrorItem
from terakoya.scoring.error_analysis.labels import errors_by_label
from terakoya.scoring.error_analysis.substitutions import count_edits, relation, relation_title
from terakoya.scoring.error_analysis.target_fields import errors_by_field
from terakoya.scoring.statistics.wording import p_text

Ranges = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]  # marked in target and prediction

MOST_NAMED = 6  # sentences
_MOST_ROWS = 10  # of a table
_MOST_BINS = 4  # of lengths and similarities
_ALL_CELLS = 4_000_000  # of all alignments of one page: about two seconds


def sentences(record: RunRecord, lang: str) -> list[str]:
    """What the errors have in common, the most significant first; or that nothing was found.

    record  the run
    lang    "en" or "ja"
    """
    found = record.errors
    wrong = len(found.wrong)
    if not wrong:
        return []
    shown = [say(lang, "worse half", n=wrong)] if found.halves else []
    if not found.named:
        return [*shown, say(lang, "nothing in common", n=f"{wrong:,}")]
    for one in found.named[:MOST_NAMED]:
        message = in_language(one.message, lang)
        shown.append(say(lang, "in common", what=message, p=in_language(p_text(one.p), lang)))
    return shown


def tables(record: RunRecord, lang: str) -> list[TableBlock]:
    """Errors by field, edit, relation, length and nearest training row; by label where targets are label sets.

    record  the run
    lang    "en" or "ja"
    """
    found = record.errors
    if not found.wrong:
        return []
    made = [_labels(found.items, lang)] if found.labels else [_fields(record, lang), *_edits(found.items, lang)]
    return [table for table in (*made, _lengths(found.items, lang), _nearest(found.items, lang)) if table is not None]


def _fields(record: RunRecord, lang: str) -> TableBlock | None:
    if record.errors.form is None:
        return None
    fields = errors_by_field(record.errors.items, record.errors.form)
    rows = tuple((in_language(one.title, lang), f"{one.wrong:,} / {one.n:,}") for one in fields)
    return _table(lang, "errors by field", ("field", "wrong of"), rows)


def _edits(items: Sequence[ErrorItem], lang: str) -> Iterator[TableBlock | None]:
    edits = count_edits(items).most_common(_MOST_ROWS)
    rows = tuple((wanted or "–", said or "–", f"{count:,}") for (wanted, said), count in edits if count > 1)
    yield _table(lang, "errors by edit", ("target", "prediction", "count"), rows, numbers=frozenset({2}))
    relations = Counter(relation(item) for item in items if item.wrong)
    named = tuple(
        (in_language(relation_title(name), lang), f"{count:,}") for name, count in relations.most_common() if name
    )
    yield _table(lang, "errors by relation", ("kind", "count"), named)


def _lengths(items: Sequence[ErrorItem], lang: str) -> TableBlock | None:
    rows = _binned([(len(item.source), item.wrong) for item in items], lambda value: f"{value:.0f}")
    return _table(lang, "errors by length", ("characters", "wrong of"), rows)


def _nearest(items: Sequence[ErrorItem], lang: str) -> TableBlock | None:
    if any(item.nearest is None for item in items):
        return None
    rows = _binned([(item.nearest[1], item.wrong) for item in items if item.nearest], lambda value: f"{value:.2f}")
    return _table(lang, "errors by similarity", ("similarity", "wrong of"), rows)


def _binned(values: Sequence[tuple[float, bool]], shown: Any) -> tuple[tuple[str, str], ...]:
    """Four bins of about as many items; equal values stay together."""
    ordered = sorted(values)
    cuts = sorted({ordered[len(ordered) * bin_ // _MOST_BINS][0] for bin_ in range(_MOST_BINS)})
    rows = []
    for at, low in enumerate(cuts):
        inside = [pair for pair in ordered if low <= pair[0] and (at + 1 == len(cuts) or pair[0] < cuts[at + 1])]
        span = f"{shown(inside[0][0])} – {shown(inside[-1][0])}"
        rows.append((span, f"{sum(wrong for _value, wrong in inside):,} / {len(inside):,}"))
    return tuple(rows) if len(rows) > 1 else ()


def _labels(items: Sequence[ErrorItem], lang: str) -> TableBlock | None:
    rows = tuple(
        (one.label, f"{len(one.missed):,} / {one.targets:,}", f"{len(one.wrong):,} / {one.predicted:,}")
        for one in errors_by_label(items)[: 2 * _MOST_ROWS]
        if one.missed or one.wrong
    )
    head = ("label", "missed of", "wrongly predicted of")
    return _table(lang, "errors by label", head, rows, numbers=frozenset({1, 2}))


def _table(
    lang: str,
    title: str,
    head: tuple[str, ...],
    rows: tuple[tuple[str, ...], ...],
    numbers: frozenset[int] = frozenset({1}),
) -> TableBlock | None:
    return TableBlock(column_headers(lang, head), rows, numbers, folded=say(lang, title)) if rows else None


def marked_pair(item: Mapping[str, Any], target: str, prediction: str) -> tuple[str, str]:
    """Target and prediction of a wrong item with their differing characters marked; unchanged where it is right.

    item        a line of predictions.jsonl
    target      as it is shown
    prediction  as it is shown
    """
    if breakdowns.is_right(item) or len(target) * len(prediction) > MOST_CELLS:
        return target, prediction
    parts = alignment(prediction, target)
    return (
        MarkedText([(one.target, not one.equal) for one in parts if one.target]),
        MarkedText([(one.prediction, not one.equal) for one in parts if one.prediction]),
    )


def marked_ranges(items: Sequence[Mapping[str, Any]]) -> Iterator[Ranges | None]:
    """For each item the ranges of characters that differ, of target and prediction; None where nothing is marked.

    items  lines of predictions.jsonl; where their alignments would take too long, the rest stays unmarked
    """
    left = _ALL_CELLS
    for item in items:
        prediction = item.get("prediction")
        target, said = str(item.get("target", "")), str(item.get("raw", "") if prediction is None else prediction)
        cells = len(target) * len(said)
        if breakdowns.is_right(item) or not cells or cells > min(left, MOST_CELLS):
            yield None
            continue
        left -= cells
        wanted: list[tuple[int, int]] = []
        written: list[tuple[int, int]] = []
        in_target = in_prediction = 0
        for one in alignment(said, target):
            end_target, end_prediction = in_target + len(one.target), in_prediction + len(one.prediction)
            if not one.equal:
                wanted += [(in_target, end_target)] if one.target else []
                written += [(in_prediction, end_prediction)] if one.prediction else []
            in_target, in_prediction = end_target, end_prediction
        yield tuple(wanted), tuple(written)
