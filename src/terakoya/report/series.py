"""Several runs on one page: a table that sorts and a forest plot; and the index of all runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from terakoya.report import charts
from terakoya.report.blocks import Table, figure, heads
from terakoya.report.facts import flat, minutes
from terakoya.report.inert import markdown_text
from terakoya.report.markdown import table
from terakoya.report.page import render
from terakoya.report.record import Record, SeriesRecord
from terakoya.report.words import known, say

_HEADS = ("run", "date", "state", "metric", "score", "interval", "items", "verdict", "openings", "minutes")
_NUMBERS = frozenset({4, 5, 6, 8, 9})


@dataclass(frozen=True)
class Cell:
    """What is read, what it is sorted by, and where it leads."""

    text: str
    value: str | float = ""
    link: str = ""


def series_page(series: SeriesRecord, lang: str = "en") -> str:
    """The series as one HTML document."""
    return _page(series, lang, lead=say(lang, "series of", n=len(series.runs)), linked=False)


def index_page(runs: Sequence[Record], lang: str = "en") -> str:
    """All runs of a folder, newest first, each leading to its own report.html."""
    newest = sorted(runs, key=lambda run: str((run.manifest.get("times") or {}).get("started") or ""), reverse=True)
    index = SeriesRecord(say(lang, "all runs"), tuple(newest))
    return _page(index, lang, lead=say(lang, "runs here", n=len(runs)), linked=True)


def series_markdown(series: SeriesRecord, lang: str = "en") -> str:
    """The series as a Markdown table."""
    rows = tuple(tuple(cell.text for cell in _cells(run, series.keys, lang, linked=False)) for run in series.runs)
    parts = [f"# {markdown_text(series.name)}", *map(markdown_text, _notes(series, lang))]
    parts.append(table(Table(_heads(series, lang), rows, _numbers(series))))
    if series.failed:
        parts += [f"## {say(lang, 'failed runs')}", table(_failed(series.failed, lang))]
    return "\n\n".join(parts) + "\n"


def _page(series: SeriesRecord, lang: str, *, lead: str, linked: bool) -> str:
    from markupsafe import Markup

    # A forest of figures from different exams would invite the very comparison that is refused elsewhere.
    forest = "" if _mixed(series) else charts.forest(series, lang)
    return render(
        "series.html.j2",
        lang,
        title=series.name,
        lead=lead,
        notes=() if linked else _notes(series, lang),
        forest=Markup(forest),
        heads=_heads(series, lang),
        numbers=_numbers(series),
        rows=[_cells(run, series.keys, lang, linked=linked) for run in series.runs],
        failed=_failed(series.failed, lang) if series.failed else None,
    )


def _notes(series: SeriesRecord, lang: str) -> tuple[str, ...]:
    return (*series.notes, say(lang, "other exam")) if _mixed(series) else series.notes


def _mixed(series: SeriesRecord) -> bool:
    return len({run.main.signature for run in series.runs if run.main}) > 1


def _heads(series: SeriesRecord, lang: str) -> tuple[str, ...]:
    return (*heads(lang, _HEADS[:1]), *series.keys, *heads(lang, _HEADS[1:]))


def _numbers(series: SeriesRecord) -> frozenset[int]:
    return frozenset(number + len(series.keys) for number in _NUMBERS)


def _cells(run: Record, keys: Sequence[str], lang: str, *, linked: bool) -> list[Cell]:
    values = dict(flat(run.config))
    times = run.manifest.get("times") or {}
    spent, main, state = minutes(times), run.main, str(run.manifest.get("state", ""))
    verdict = str(run.verdict.get("state", ""))
    return [
        Cell(run.name, run.name, f"{quote(run.name)}/report.html" if linked else ""),
        *(_plain(str(values.get(key, ""))) for key in keys),
        _plain(str(times.get("started") or "")[:16].replace("T", " ")),
        _plain(known(lang, state)),
        _plain(main.metric if main else ""),
        Cell(figure(main.value), main.value) if main else Cell("–"),
        Cell(f"{figure(main.low)} – {figure(main.high)}", main.low) if main else Cell("–"),
        Cell(f"{main.n:,}", main.n) if main else Cell("–"),
        _plain(known(lang, verdict)),
        Cell(str(run.openings), run.openings) if run.openings is not None else Cell("–"),
        Cell(f"{spent:.1f}", spent) if spent is not None else Cell("–"),
    ]


def _plain(text: str) -> Cell:
    return Cell(text, text)


def _failed(failed: Mapping[str, Any], lang: str) -> Table:
    return Table(heads(lang, ("run", "reason")), tuple((run, str(why)) for run, why in failed.items()))
