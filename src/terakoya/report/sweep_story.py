"""What the record of a series says, in the order of the logs.

What all runs share, and what only one of them can show, is told of the lead: the best on dev.
"""

from __future__ import annotations

from collections.abc import Iterator

from terakoya.i18n import in_language
from terakoya.report import facts, results
from terakoya.report.blocks import Block, Bullets, Facts, Heading, Section, Table, Text, heads
from terakoya.report.record import Record, SeriesRecord
from terakoya.report.translations import known, say
from terakoya.scoring.statistics.power import roughly


def series_story(series: SeriesRecord, lang: str) -> tuple[Section, ...]:
    """All sections that have something to say."""
    lead = series.leader or Record("")  # no run is left where every trial failed
    told = {
        "summary": _summary(series, lang),
        "dataset": _of(lead, facts.dataset(lead, lang), series, lang),
        "environment": facts.environment(lead, lang),
        "trial": _trials(series, lead, lang),
        "examples": _of(lead, results.examples(lead, lang), series, lang),
        "metrics": _of(lead, results.metrics(lead, lang), series, lang),
        "analysis": _analysis(series, lead, lang),
        "next": _next(series, lang),
        "cost": _cost(series, lang),
    }
    titles = {"trial": say(lang, "trials")}
    return tuple(Section(key, titles.get(key, say(lang, key)), tuple(blocks)) for key, blocks in told.items() if blocks)


def _of(lead: Record, blocks: list[Block], series: SeriesRecord, lang: str) -> list[Block]:
    """What holds of one run is said to hold of it."""
    return (
        [Text(say(lang, "of the lead", run=series.title(lead))), *blocks] if blocks and len(series.runs) > 1 else blocks
    )


def _summary(series: SeriesRecord, lang: str) -> list[Block]:
    lines = list(series.notes)
    shown = [in_language(one.words, lang) for one in series.compared if one.told]
    if series.compared and not shown:
        lines.append(say(lang, "none told", n=len(series.compared)))
    if series.failed:
        lines.append(say(lang, "failed count", n=len(series.failed)))
    return [Bullets((*lines, *shown))]


def _trials(series: SeriesRecord, lead: Record, lang: str) -> list[Block]:
    """The settings that all share, then causes and cures; the table of runs is put before them by each face."""
    shared = tuple(row for row in facts.settings(lead) if row[0] not in series.keys)
    blocks: list[Block] = [Heading(say(lang, "shared settings")), Facts(shared)] if shared else []
    blocks.append(Heading(say(lang, "causes")))
    rows = tuple(_causes(series, lang))
    failed = tuple((run, say(lang, "failed"), "", str(why), "") for run, why in series.failed.items())
    if not rows and not failed:
        return [*blocks, Text(say(lang, "no warnings"))]
    return [*blocks, Table(heads(lang, ("which trials", "level", "kind", "finding", "do")), (*failed, *rows))]


def _causes(series: SeriesRecord, lang: str) -> Iterator[tuple[str, ...]]:
    """Every warning once, with the runs that gave it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for run in series.runs:
        for item in run.findings:
            if item.level != "note":
                told = (item.level, item.check, in_language(item.what, lang), in_language(item.do, lang))
                found.setdefault(told, [])
                found[told] += [series.title(run)] if series.title(run) not in found[told] else []
    for (level, check, what, do), runs in sorted(found.items(), key=lambda pair: pair[0][0] != "stop"):
        every = len(runs) == len(series.runs) > 1
        which = (
            say(lang, "all of them", n=len(runs)) if every else " / ".join(runs[:4]) + (" …" if len(runs) > 4 else "")
        )
        yield which, known(lang, level), check, what, do


def _analysis(series: SeriesRecord, lead: Record, lang: str) -> list[Block]:
    blocks: list[Block] = []
    if series.compared:
        words = tuple(in_language(one.words, lang) for one in series.compared)
        blocks += [Heading(say(lang, "compared")), Bullets(words)]
    return [*blocks, *_of(lead, results.analysis(lead, lang), series, lang)]


def _next(series: SeriesRecord, lang: str) -> list[Block]:
    findings = [item for run in series.runs for item in run.findings if item.do and item.level != "note"]
    steps = list(dict.fromkeys(in_language(item.do, lang) for item in findings))
    wanted = [one for one in series.compared if one.needed]
    if wanted:
        one = min(wanted, key=lambda one: one.needed or 0)
        steps.append(say(lang, "to tell apart", first=one.first, second=one.second, n=roughly(one.needed or 0)))
    return [Bullets(tuple(steps))] if steps else [Text(say(lang, "no next"))]


def _cost(series: SeriesRecord, lang: str) -> list[Block]:
    spent = [facts.minutes(run.manifest.get("times") or {}) for run in series.runs]
    cores = next((cores for run in series.runs if (cores := (run.manifest.get("machine") or {}).get("cores"))), None)
    minutes = sum(one for one in spent if one is not None)
    lines = [say(lang, "compute in all", runs=len(series.runs), minutes=f"{minutes:.1f}", cores=cores)] if cores else []
    # One data set for all of them: what a teacher took for it was paid once.
    costs = {str(facts.flat(run.cost)): run.cost for run in series.runs if run.cost}
    if not costs:
        return [Bullets((*lines, say(lang, "no teacher")))]
    rows = tuple((name, str(value)) for cost in costs.values() for name, value in facts.flat(cost))
    return [Bullets(tuple(lines)), Facts(rows)]
