"""Several runs on one page: a table that sorts and a forest plot; and the index of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from terakoya.report import charts
from terakoya.report.blocks import Block, Section, Table, Text, figure, heads
from terakoya.report.escaping import markdown_text
from terakoya.report.facts import flat, minutes
from terakoya.report.markdown import shown
from terakoya.report.page import draw, render
from terakoya.report.record import Record, SeriesRecord
from terakoya.report.sweep_story import series_story
from terakoya.report.translations import known, say

_HEADS = ("run", "date", "state", "metric", "best dev", "score", "interval", "items", "verdict", "openings", "minutes")
_NUMBERS = frozenset({4, 5, 6, 7, 9, 10})


@dataclass(frozen=True)
class Cell:
    """What is read, what it is sorted by, and where it leads."""

    text: str
    value: str | float = ""
    link: str = ""


def series_page(series: SeriesRecord, lang: str = "en") -> str:
    """The series as one HTML document."""
    return _page(series, lang, lead=say(lang, "series of", n=len(series.runs)), told=series_story(series, lang))


def index_page(runs: Sequence[Record], lang: str = "en") -> str:
    """All runs of a folder, newest first, each leading to its own report.html."""
    newest = sorted(runs, key=lambda run: str((run.manifest.get("times") or {}).get("started") or ""), reverse=True)
    links = {run.name: f"{quote(run.name)}/report.html" for run in newest}
    index = SeriesRecord(say(lang, "all runs"), tuple(newest), links=links)
    return _page(index, lang, lead=say(lang, "runs here", n=len(runs)), told=())


def series_markdown(series: SeriesRecord, lang: str = "en") -> str:
    """The series as Markdown: the same story, with the table of runs among the trials."""
    rows = tuple(tuple(cell.text for cell in _cells(series, run, lang)) for run in series.runs)
    runs = Table(_heads(series, lang), rows, _numbers(series))
    before: dict[str, tuple[Block, ...]] = {"trial": (runs,)}
    after: dict[str, tuple[Block, ...]] = {"summary": _doubts(series, lang)}
    parts = [f"# {markdown_text(series.name)}"]
    for section in series_story(series, lang):
        parts.append(f"## {markdown_text(section.title)}")
        blocks = (*before.get(section.key, ()), *section.blocks, *after.get(section.key, ()))
        parts += [text for block in blocks if (text := shown(block))]
    return "\n\n".join(parts) + "\n"


def _page(series: SeriesRecord, lang: str, *, lead: str, told: Sequence[Section]) -> str:
    from markupsafe import Markup

    # A forest of figures from different exams would invite the very comparison that is refused elsewhere.
    forest = "" if _mixed(series) else charts.forest(series, lang)
    leader = series.leader or Record("")
    return render(
        "series.html.j2",
        lang,
        title=series.name,
        lead=lead,
        sections=told,
        draw=partial(draw, leader, lang),
        doubts=_doubts(series, lang) if told else (),
        forest=Markup(forest),
        heads=_heads(series, lang),
        numbers=_numbers(series),
        rows=[_cells(series, run, lang) for run in series.runs],
    )


def _doubts(series: SeriesRecord, lang: str) -> tuple[Text, ...]:
    return (Text(say(lang, "other exam")),) if _mixed(series) else ()


def _mixed(series: SeriesRecord) -> bool:
    """Whether figures of different exams stand here; what was compared was found to be alike in all that counts."""
    return not series.compared and len({run.main.signature for run in series.runs if run.main}) > 1


def _heads(series: SeriesRecord, lang: str) -> tuple[str, ...]:
    return (*heads(lang, _HEADS[:1]), *series.keys, *heads(lang, _HEADS[1:]))


def _numbers(series: SeriesRecord) -> frozenset[int]:
    return frozenset(number + len(series.keys) for number in _NUMBERS)


def _cells(series: SeriesRecord, run: Record, lang: str) -> list[Cell]:
    values = dict(flat(run.config))
    times = run.manifest.get("times") or {}
    spent, main, state = minutes(times), run.main, str(run.manifest.get("state", ""))
    verdict = str(run.verdict.get("state", ""))
    return [
        Cell(run.name, run.name, series.links.get(run.name, "")),
        *(_plain(str(values.get(key, ""))) for key in series.keys),
        _plain(str(times.get("started") or "")[:16].replace("T", " ")),
        _plain(known(lang, state)),
        _plain(main.metric if main else ""),
        Cell(figure(run.dev), run.dev) if run.dev is not None else Cell("–"),
        Cell(figure(main.value), main.value) if main else Cell("–"),
        Cell(f"{figure(main.low)} – {figure(main.high)}", main.low) if main else Cell("–"),
        Cell(f"{main.n:,}", main.n) if main else Cell("–"),
        _plain(known(lang, verdict)),
        Cell(str(run.openings), run.openings) if run.openings is not None else Cell("–"),
        Cell(f"{spent:.1f}", spent) if spent is not None else Cell("–"),
    ]


def _plain(text: str) -> Cell:
    return Cell(text, text)
