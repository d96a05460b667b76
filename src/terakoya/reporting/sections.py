"""What a record says, in the order of the logs; how it looks is decided by markdown.py and page.py.

Only what was measured is said: causes come from findings, next steps from what findings propose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields

from terakoya.i18n import in_language
from terakoya.records import Score, subset_of
from terakoya.reporting import measured_sections, result_sections, run_sections
from terakoya.reporting.blocks import Block, Bullets, Paragraph, ReportSection, format_value
from terakoya.reporting.next_steps import metric_costs, next_steps
from terakoya.reporting.record import RunRecord
from terakoya.reporting.translations import known, say
from terakoya.runs.annotations import confirmation_message, marked_message
from terakoya.scoring.statistics.good_enough import ExamSummary, summary_message
from terakoya.scoring.statistics.verdict import Verdict
from terakoya.scoring.statistics.wording import items_text


def run_report(record: RunRecord, lang: str) -> tuple[ReportSection, ...]:
    """All sections of a run's report that have content, in order.

    record  the run
    lang    "en" or "ja"
    """
    builders = {
        "summary": _summary,
        "metrics": result_sections.metrics,
        "examples": result_sections.examples,
        "analysis": result_sections.analysis,
        "curve": measured_sections.curve,
        "ladder": measured_sections.ladder,
        "exports": measured_sections.exports,
        "next": _next,
        "dataset": run_sections.dataset,
        "environment": run_sections.environment,
        "trial": run_sections.trial,
        "cost": run_sections.cost,
    }
    built = ((key, tuple(build(record, lang))) for key, build in builders.items())
    return tuple(ReportSection(key, say(lang, key), blocks) for key, blocks in built if blocks)


def verdict_text(record: RunRecord, lang: str) -> str:
    """The verdict as sentences, remade from its fields where all are there.

    record  the run
    lang    "en" or "ja"
    """
    needed = {item.name for item in fields(Verdict) if item.default is MISSING}
    if needed <= set(record.verdict):
        names = {item.name for item in fields(Verdict)} & set(record.verdict)
        return Verdict(**{name: record.verdict[name] for name in names}).words(lang)
    words = record.verdict.get("words", "")
    return str(words.get(lang, "") if isinstance(words, Mapping) else words)


def _summary(record: RunRecord, lang: str) -> list[Block]:
    blocks: list[Block] = []
    if first := _first_words(record, lang):
        blocks.append(Paragraph(first))
    if words := verdict_text(record, lang):
        # A verdict is worth what the exam's targets are: it says whether a person has looked at them.
        clause = in_language(confirmation_message(record.annotations.confirmation), lang)
        blocks.append(Paragraph(f"{words}{'' if lang == 'ja' else ' '}{clause}"))
    main = record.main
    lines = [_score_sentence(main, lang) if main else say(lang, "no score")]
    if record.annotations.marked:
        lines.append(in_language(marked_message(record.annotations.marked), lang))
    if record.openings:
        lines.append(say(lang, "opened once" if record.openings == 1 else "opened", n=record.openings))
    family = str((record.manifest.get("model") or {}).get("family") or "")
    lines += [in_language(one, lang) for one in metric_costs(record.config, family)]
    state = str(record.manifest.get("state", "done"))
    if state != "done":
        lines.append(say(lang, "state is", state=known(lang, state)))
    if record.findings:
        counts = {level: sum(item.level == level for item in record.findings) for level in ("stop", "warn", "note")}
        lines.append(say(lang, "findings count", **counts))
    return [*blocks, Bullets(tuple(lines))]


def _first_words(record: RunRecord, lang: str) -> str:
    """How many predictions are right, and whether that is good enough; "" where the main subset was not scored."""
    main = record.main
    values = [float(item.get("verdict") or 0) for item in record.predictions if not subset_of(item)]
    if main is None or main.subset or not values:
        return ""
    right, partly = sum(value >= 1 for value in values), sum(0 < value < 1 for value in values)
    bar = float((record.config.get("score") or {}).get("good_enough") or 0)
    summary = ExamSummary(right, len(values), main.value, main.low, main.high, bar, partly)
    return in_language(summary_message(summary), lang)


def _score_sentence(score: Score, lang: str) -> str:
    return say(
        lang,
        "main score",
        metric=score.metric,
        value=format_value(score.value),
        low=format_value(score.low),
        high=format_value(score.high),
        n=in_language(items_text(score.n, score.groups), lang),
    )


def _next(record: RunRecord, lang: str) -> list[Block]:
    steps = next_steps(record, lang)
    return [Bullets(tuple(steps))] if steps else [Paragraph(say(lang, "no next"))]
