"""Report sections on what was measured for a run after it ended: learning curve, ladder of models, exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from terakoya.i18n import in_language
from terakoya.reporting.blocks import Block, Bullets, TableBlock, column_headers, format_value
from terakoya.reporting.record import RunRecord
from terakoya.reporting.translations import known


def curve(record: RunRecord, lang: str) -> list[Block]:
    """Score on dev by number of training rows, and what twice as many would bring.

    record  the run
    lang    "en" or "ja"
    """
    points = record.curve.get("points") or ()
    if not points:
        return []
    rows = tuple(
        (f"{int(point['rows']):,}", _interval(point, "value"), format_value(float(point["trained"])))
        for point in points
    )
    head = column_headers(lang, ("rows", "on dev", "on trained"))
    return [TableBlock(head, rows, frozenset({0, 1, 2})), Bullets(_words(record.curve, lang))]


def ladder(record: RunRecord, lang: str) -> list[Block]:
    """Everything that could predict the task, the cheapest first.

    record  the run
    lang    "en" or "ja"
    """
    rungs = record.ladder.get("rungs") or ()
    if not rungs:
        return []
    rows = tuple(_rung(rung, lang) for rung in rungs)
    head = column_headers(lang, ("who", "dev", "exam", "milliseconds", "price", "weights", "against best"))
    return [TableBlock(head, rows, frozenset({1, 2, 3, 4, 5})), Bullets(_words(record.ladder, lang))]


def exports(record: RunRecord, lang: str) -> list[Block]:
    """What the exam showed of each export, in its own runtime.

    record  the run
    lang    "en" or "ja"
    """
    if not record.exports:
        return []
    rows = tuple(_export(proof, lang) for proof in record.exports)
    head = column_headers(lang, ("exported to", "runtime", "outcome", "equal", "metric", "bytes", "milliseconds"))
    lines = (
        f"{proof['folder']}: {words}" for proof in record.exports if (words := _in(proof.get("words") or {}, lang))
    )
    return [TableBlock(head, rows, frozenset({3, 4, 5, 6})), Bullets(tuple(lines))]


def _export(proof: Mapping[str, Any], lang: str) -> tuple[str, ...]:
    opened = proof["before"] is not None and proof["after"] is not None
    values = f"{format_value(float(proof['before']))} → {format_value(float(proof['after']))}" if opened else "–"
    return (
        f"{proof['target']} {proof['quantisation']}".strip(),
        proof["runtime"] or "–",
        known(lang, proof["state"]),
        f"{proof['equal']:,} / {proof['n']:,}" if opened else "–",
        f"{proof['metric']} {values}".strip(),
        f"{proof['bytes']:,}",
        f"{float(proof['after_ms']):.2f}" if proof["after_ms"] is not None else "–",
    )


def _rung(rung: Mapping[str, Any], lang: str) -> tuple[str, ...]:
    name, state = in_language(rung["name"], lang), known(lang, str(rung["state"]))
    if rung.get("exam") is None:
        return name, "–", "–", "–", "–", "–", f"{state}: {in_language(rung.get('note') or '', lang)}"
    weights = int(rung["weights"])
    return (
        name,
        format_value(float(rung["dev"])),
        _interval(rung, "exam"),
        f"{float(rung['milliseconds']):.2f}",
        f"{float(rung['price']):.6f}",
        f"{weights:,}" if weights else "–",
        state,
    )


def _interval(values: Mapping[str, Any], name: str) -> str:
    low, high = format_value(float(values["low"])), format_value(float(values["high"]))
    return f"{format_value(float(values[name]))} [{low}, {high}]"


def _words(measured: Mapping[str, Any], lang: str) -> tuple[str, ...]:
    return tuple(_in(words, lang) for words in measured.get("words") or ())


def _in(words: Mapping[str, Any], lang: str) -> str:
    return str(words.get(lang) or words.get("en") or "")
