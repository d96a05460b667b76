"""Several runs on one page: a table that sorts and a forest plot; and the index of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from terakoya.reporting import charts
from terakoya.reporting.blocks import Block, Paragraph, ReportSection, TableBlock, column_headers, format_value
from terakoya.reporting.escaping import markdown_text
from terakoya.reporting.markdown import render_block
from terakoya.reporting.page import draw, render
from terakoya.reporting.record import RunRecord, SweepRecord
from terakoya.reporting.run_sections import flat, minutes
from terakoya.reporting.sweep_sections import sweep_report
from terakoya.reporting.translations import known, say

_COLUMNS = (
    "run",
    "date",
    "state",
    "metric",
    "best dev",
    "score",
    "interval",
    "items",
    "verdict",
    "openings",
    "minutes",
)
_NUMBERS = frozenset({4, 5, 6, 7, 9, 10})


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, the value it is sorted by, and its link."""

    text: str
    value: str | float = ""
    link: str = ""


def sweep_html(sweep: SweepRecord, lang: str = "en") -> str:
    """The report of a sweep as one HTML document.

    sweep  its runs
    lang   "en" (default) or "ja"
    """
    return _page(sweep, lang, lead=say(lang, "sweep of", n=len(sweep.runs)), sections=sweep_report(sweep, lang))


def index_page(runs: Sequence[RunRecord], lang: str = "en") -> str:
    """An HTML index of runs, newest first, each linked to its own report.html.

    runs  of one folder
    lang  "en" (default) or "ja"
    """
    newest = sorted(runs, key=lambda run: str((run.manifest.get("times") or {}).get("started") or ""), reverse=True)
    links = {run.name: f"{quote(run.name)}/report.html" for run in newest}
    index = SweepRecord(say(lang, "all runs"), tuple(newest), links=links)
    return _page(index, lang, lead=say(lang, "runs here", n=len(runs)), sections=())


def sweep_markdown(sweep: SweepRecord, lang: str = "en") -> str:
    """The report of a sweep as Markdown, with the table of runs among the trials.

    sweep  its runs
    lang   "en" (default) or "ja"
    """
    rows = tuple(tuple(cell.text for cell in _cells(sweep, run, lang)) for run in sweep.runs)
    runs = TableBlock(_heads(sweep, lang), rows, _numbers(sweep))
    before: dict[str, tuple[Block, ...]] = {"trial": (runs,)}
    after: dict[str, tuple[Block, ...]] = {"summary": _warnings(sweep, lang)}
    parts = [f"# {markdown_text(sweep.name)}"]
    for section in sweep_report(sweep, lang):
        parts.append(f"## {markdown_text(section.title)}")
        blocks = (*before.get(section.key, ()), *section.blocks, *after.get(section.key, ()))
        parts += [text for block in blocks if (text := render_block(block))]
    return "\n\n".join(parts) + "\n"


def _page(sweep: SweepRecord, lang: str, *, lead: str, sections: Sequence[ReportSection]) -> str:
    from markupsafe import Markup

    # A forest plot of scores on different exams would invite the very comparison that is refused elsewhere.
    forest = "" if _mixed(sweep) else charts.forest(sweep, lang)
    leader = sweep.leader or RunRecord("")
    return render(
        "sweep.html.j2",
        lang,
        title=sweep.name,
        lead=lead,
        sections=sections,
        draw=partial(draw, leader, lang),
        warnings=_warnings(sweep, lang) if sections else (),
        forest=Markup(forest),
        heads=_heads(sweep, lang),
        numbers=_numbers(sweep),
        rows=[_cells(sweep, run, lang) for run in sweep.runs],
    )


def _warnings(sweep: SweepRecord, lang: str) -> tuple[Paragraph, ...]:
    return (Paragraph(say(lang, "other exam")),) if _mixed(sweep) else ()


def _mixed(sweep: SweepRecord) -> bool:
    """Whether scores on different exams stand here; what was compared was found to be comparable."""
    return not sweep.compared and len({run.main.signature for run in sweep.runs if run.main}) > 1


def _heads(sweep: SweepRecord, lang: str) -> tuple[str, ...]:
    return (*column_headers(lang, _COLUMNS[:1]), *sweep.keys, *column_headers(lang, _COLUMNS[1:]))


def _numbers(sweep: SweepRecord) -> frozenset[int]:
    return frozenset(number + len(sweep.keys) for number in _NUMBERS)


def _cells(sweep: SweepRecord, run: RunRecord, lang: str) -> list[Cell]:
    values = dict(flat(run.config))
    times = run.manifest.get("times") or {}
    spent, main, state = minutes(times), run.main, str(run.manifest.get("state", ""))
    verdict = str(run.verdict.get("state", ""))
    return [
        Cell(run.name, run.name, sweep.links.get(run.name, "")),
        *(_plain(str(values.get(key, ""))) for key in sweep.keys),
        _plain(str(times.get("started") or "")[:16].replace("T", " ")),
        _plain(known(lang, state)),
        _plain(main.metric if main else ""),
        Cell(format_value(run.dev), run.dev) if run.dev is not None else Cell("–"),
        Cell(format_value(main.value), main.value) if main else Cell("–"),
        Cell(f"{format_value(main.low)} – {format_value(main.high)}", main.low) if main else Cell("–"),
        Cell(f"{main.n:,}", main.n) if main else Cell("–"),
        _plain(known(lang, verdict)),
        Cell(str(run.openings), run.openings) if run.openings is not None else Cell("–"),
        Cell(f"{spent:.1f}", spent) if spent is not None else Cell("–"),
    ]


def _plain(text: str) -> Cell:
    return Cell(text, text)
