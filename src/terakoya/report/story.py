"""What a record says, in the order of the logs; how it looks is decided by markdown.py and page.py.

Only what was measured is said: causes come from findings, next steps from what findings propose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from terakoya.i18n import in_language
from terakoya.records import Score
from terakoya.report import facts, results
from terakoya.report.blocks import Block, Bullets, Section, Text, figure
from terakoya.report.record import Record
from terakoya.report.translations import known, say
from terakoya.scoring.statistics.power import roughly
from terakoya.scoring.statistics.verdict import Verdict


def story(record: Record, lang: str) -> tuple[Section, ...]:
    """All sections that have something to say."""
    tellers = {
        "summary": _summary,
        "dataset": facts.dataset,
        "environment": facts.environment,
        "trial": facts.trial,
        "examples": results.examples,
        "metrics": results.metrics,
        "analysis": results.analysis,
        "next": _next,
        "cost": facts.cost,
    }
    told = ((key, tuple(teller(record, lang))) for key, teller in tellers.items())
    return tuple(Section(key, say(lang, key), blocks) for key, blocks in told if blocks)


def verdict_words(record: Record, lang: str) -> str:
    """The verdict as scoring puts it, remade from its fields."""
    names = {item.name for item in fields(Verdict)}
    if names <= set(record.verdict):
        return Verdict(**{name: record.verdict[name] for name in names}).words(lang)
    words = record.verdict.get("words", "")
    return str(words.get(lang, "") if isinstance(words, Mapping) else words)


def _summary(record: Record, lang: str) -> list[Block]:
    blocks: list[Block] = []
    if words := verdict_words(record, lang):
        blocks.append(Text(words))
    main = record.main
    lines = [_score_sentence(main, lang) if main else say(lang, "no score")]
    if record.openings:
        lines.append(say(lang, "opened once" if record.openings == 1 else "opened", n=record.openings))
    state = str(record.manifest.get("state", "done"))
    if state != "done":
        lines.append(say(lang, "state is", state=known(lang, state)))
    if record.findings:
        counts = {level: sum(item.level == level for item in record.findings) for level in ("stop", "warn", "note")}
        lines.append(say(lang, "findings count", **counts))
    return [*blocks, Bullets(tuple(lines))]


def _score_sentence(score: Score, lang: str) -> str:
    return say(
        lang,
        "main score",
        metric=score.metric,
        value=figure(score.value),
        low=figure(score.low),
        high=figure(score.high),
        n=f"{score.n:,}",
    )


def _next(record: Record, lang: str) -> list[Block]:
    steps = list(
        dict.fromkeys(in_language(item.do, lang) for item in record.findings if item.do and item.level != "note")
    )
    needed, have = record.verdict.get("needed"), record.verdict.get("n")
    if needed:
        steps.append(say(lang, "more items", n=roughly(int(needed)), have=have))
    if record.manifest.get("state") in ("interrupted", "failed", "stopped"):
        steps.append(say(lang, "go on", run=record.name))
    return [Bullets(tuple(steps))] if steps else [Text(say(lang, "no next"))]
