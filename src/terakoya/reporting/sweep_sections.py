"""The sections of a sweep's report.

What all runs share, and what only one of them can show, is taken from the lead: the best on dev.
"""

from __future__ import annotations

from collections.abc import Iterator

from terakoya.i18n import in_language
from terakoya.reporting import result_sections, run_sections
from terakoya.reporting.blocks import (
    Block,
    Bullets,
    Heading,
    Paragraph,
    PropertyList,
    ReportSection,
    TableBlock,
    column_headers,
)
from terakoya.reporting.record import RunRecord, SweepRecord
from terakoya.reporting.translations import known, say
from terakoya.scoring.statistics.power import two_digits


def sweep_report(sweep: SweepRecord, lang: str) -> tuple[ReportSection, ...]:
    """All sections of a sweep's report that have content, in order.

    sweep  its runs
    lang   "en" or "ja"
    """
    lead = sweep.leader or RunRecord("")  # no run is left where every trial failed
    sections = {
        "summary": _summary(sweep, lang),
        "dataset": _of(lead, run_sections.dataset(lead, lang), sweep, lang),
        "environment": run_sections.environment(lead, lang),
        "trial": _trials(sweep, lead, lang),
        "examples": _of(lead, result_sections.examples(lead, lang), sweep, lang),
        "metrics": _of(lead, result_sections.metrics(lead, lang), sweep, lang),
        "analysis": _analysis(sweep, lead, lang),
        "next": _next(sweep, lang),
        "cost": _cost(sweep, lang),
    }
    titles = {"trial": say(lang, "trials")}
    return tuple(
        ReportSection(key, titles.get(key, say(lang, key)), tuple(blocks)) for key, blocks in sections.items() if blocks
    )


def _of(lead: RunRecord, blocks: list[Block], sweep: SweepRecord, lang: str) -> list[Block]:
    """Blocks that hold for one run, under a sentence that says so."""
    return (
        [Paragraph(say(lang, "of the lead", run=sweep.title(lead))), *blocks]
        if blocks and len(sweep.runs) > 1
        else blocks
    )


def _summary(sweep: SweepRecord, lang: str) -> list[Block]:
    lines = list(sweep.notes)
    shown = [in_language(one.words, lang) for one in sweep.compared if one.decided]
    if sweep.compared and not shown:
        lines.append(say(lang, "none better", n=len(sweep.compared)))
    if sweep.failed:
        lines.append(say(lang, "failed count", n=len(sweep.failed)))
    return [Bullets((*lines, *shown))]


def _trials(sweep: SweepRecord, lead: RunRecord, lang: str) -> list[Block]:
    """The settings that all share, then findings; the table of runs is put before them by each format."""
    shared = tuple(row for row in run_sections.settings(lead) if row[0] not in sweep.keys)
    blocks: list[Block] = [Heading(say(lang, "shared settings")), PropertyList(shared)] if shared else []
    blocks.append(Heading(say(lang, "causes")))
    rows = tuple(_causes(sweep, lang))
    failed = tuple((run, say(lang, "failed"), "", str(why), "") for run, why in sweep.failed.items())
    if not rows and not failed:
        return [*blocks, Paragraph(say(lang, "no warnings"))]
    return [
        *blocks,
        TableBlock(column_headers(lang, ("which trials", "level", "kind", "finding", "do")), (*failed, *rows)),
    ]


def _causes(sweep: SweepRecord, lang: str) -> Iterator[tuple[str, ...]]:
    """Every warning once, with the runs that gave it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for run in sweep.runs:
        for item in run.findings:
            if item.level != "note":
                warning = (item.level, item.check, in_language(item.what, lang), in_language(item.do, lang))
                runs, title = found.setdefault(warning, []), sweep.title(run)
                runs += [title] if title not in runs else []
    for (level, check, what, do), runs in sorted(found.items(), key=lambda pair: pair[0][0] != "stop"):
        every = len(runs) == len(sweep.runs) > 1
        which = (
            say(lang, "all of them", n=len(runs)) if every else " / ".join(runs[:4]) + (" …" if len(runs) > 4 else "")
        )
        yield which, known(lang, level), check, what, do


def _analysis(sweep: SweepRecord, lead: RunRecord, lang: str) -> list[Block]:
    blocks: list[Block] = []
    if sweep.compared:
        words = tuple(in_language(one.words, lang) for one in sweep.compared)
        blocks += [Heading(say(lang, "compared")), Bullets(words)]
    return [*blocks, *_of(lead, result_sections.analysis(lead, lang), sweep, lang)]


def _next(sweep: SweepRecord, lang: str) -> list[Block]:
    findings = [item for run in sweep.runs for item in run.findings if item.do and item.level != "note"]
    steps = list(dict.fromkeys(in_language(item.do, lang) for item in findings))
    wanted = [one for one in sweep.compared if one.needed]
    if wanted:
        one = min(wanted, key=lambda one: one.needed or 0)
        steps.append(say(lang, "to tell apart", first=one.first, second=one.second, n=two_digits(one.needed or 0)))
    return [Bullets(tuple(steps))] if steps else [Paragraph(say(lang, "no next"))]


def _cost(sweep: SweepRecord, lang: str) -> list[Block]:
    spent = [run_sections.minutes(run.manifest.get("times") or {}) for run in sweep.runs]
    cores = next((cores for run in sweep.runs if (cores := (run.manifest.get("machine") or {}).get("cores"))), None)
    minutes = sum(one for one in spent if one is not None)
    lines = [say(lang, "compute in all", runs=len(sweep.runs), minutes=f"{minutes:.1f}", cores=cores)] if cores else []
    # One data set for all of them: what a teacher cost was paid once.
    costs = {str(run_sections.flat(run.cost)): run.cost for run in sweep.runs if run.cost}
    if not costs:
        return [Bullets((*lines, say(lang, "no teacher")))]
    rows = tuple((name, str(value)) for cost in costs.values() for name, value in run_sections.flat(cost))
    return [Bullets(tuple(lines)), PropertyList(rows)]
