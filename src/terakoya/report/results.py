"""How a run did: answers right and wrong, scores beside baselines, and where the errors lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from terakoya.records import Score
from terakoya.report import figures
from terakoya.report.blocks import Block, Bullets, Charts, Heading, Table, Text, figure, heads
from terakoya.report.record import Record
from terakoya.report.translations import known, say


def examples(record: Record, lang: str) -> list[Block]:
    if pairs := figures.side_by_side(record):
        return _side_by_side(pairs, lang)
    right, wrong = figures.examples(record)
    blocks: list[Block] = []
    for title, items in (("right examples", right), ("wrong examples", wrong)):
        if items:
            rows = tuple(_example_row(item, lang) for item in items)
            head = heads(lang, ("source", "target", "answer", "outcome", "probability"))
            blocks += [Heading(say(lang, title)), Table(head, rows, frozenset({4}))]
    if right and not wrong:
        blocks.append(Text(say(lang, "no errors")))
    return blocks


def _side_by_side(items: Sequence[Mapping[str, Any]], lang: str) -> list[Block]:
    """Texts are neither right nor wrong, so they stand beside the reference and what the best baseline says."""
    rival = items[0]["beside"]["who"]
    head = (*heads(lang, ("source", "reference", "answer", "score")), known(lang, rival), say(lang, "score"))
    rows = tuple(
        (
            _talk(item, lang),
            str(item["target"]),
            _said(item, lang),
            figure(float(item["verdict"])),
            _said(item["beside"], lang),
            figure(float(item["beside"]["verdict"])),
        )
        for item in items
    )
    return [Text(say(lang, "side by side", n=len(items))), Table(head, rows, frozenset({3, 5}))]


def _talk(item: Mapping[str, Any], lang: str) -> str:
    """The source, with the turns before it."""
    turns = [f"{known(lang, role)}：{text}" for role, text in item.get("turns") or ()]
    return " ／ ".join([*turns, f"{known(lang, 'user')}：{item['source']}"] if turns else [str(item["source"])])


def _said(item: Mapping[str, Any], lang: str) -> str:
    answer = item.get("prediction")
    return say(lang, "unreadable") if answer is None else str(answer)


def _example_row(item: Mapping[str, Any], lang: str) -> tuple[str, ...]:
    sure = item.get("probability")
    answer = item.get("prediction")
    shown = str(item.get("raw", "")) if answer is None else str(answer)
    judged = str(item.get("error") or "") or figures.outcome(item)
    return (
        str(item.get("source", "")),
        str(item.get("target", "")),
        shown,
        known(lang, judged),
        "" if sure is None else figure(float(sure)),
    )


def metrics(record: Record, lang: str) -> list[Block]:
    main = record.main
    if main is None:
        return []
    made = main.signature
    blocks: list[Block] = [Charts(("scores",)), _score_table(record, main.metric, lang, folded="")]
    blocks.append(Text(say(lang, "signature", exam=made.exam, metric=made.metric, decoding=made.decoding)))
    others = dict.fromkeys(score.metric for score in record.scores if score.metric != main.metric)
    titles = {name: f"{say(lang, 'metric')}: {known(lang, name)}" for name in others}
    blocks += [Text(sentence) for sentence in _foreseen(record, lang)]
    return [*blocks, *(_score_table(record, name, lang, folded=title) for name, title in titles.items())]


def _foreseen(record: Record, lang: str) -> Iterator[str]:
    """What perplexity was taken over, and what it may be held against."""
    own = {score.metric: score for score in record.scores if score.who == "model" and not score.part}
    if not record.foreseen or not {"perplexity", "bits_per_character"} <= set(own):
        return
    seen = record.foreseen
    counts = {name: f"{seen[name]:,}" for name in ("vocabulary", "tokens", "characters", "items", "left_out")}
    told = {name: _with_doubt(own[name]) for name in ("perplexity", "bits_per_character")}
    yield say(lang, "foreseen", unit=known(lang, seen["unit"]), **told, **counts)
    if seen["novelty"]:
        yield say(lang, "foreseen escape", novelty=figure(seen["novelty"]))
    if seen["left_out"]:
        yield say(lang, "foreseen left out", **counts)


def _score_table(record: Record, metric: str, lang: str, folded: str) -> Table:
    """Who in the rows, parts of the exam in the columns."""
    scores = {(score.who, score.part): score for score in record.scores if score.metric == metric}
    parts = sorted({part for _, part in scores})
    names = sorted(dict.fromkeys(who for who, _ in scores), key=lambda who: who != "model")
    items = {part: max(score.n for (_, place), score in scores.items() if place == part) for part in parts}
    head = [f"{part or say(lang, 'main part')} (n = {items[part]:,})" for part in parts]
    rows = tuple((known(lang, who), *(_with_doubt(scores.get((who, part))) for part in parts)) for who in names)
    numbers = frozenset(range(1, len(parts) + 1))
    return Table((f"{metric} [{say(lang, 'interval')}]", *head), rows, numbers, folded)


def _with_doubt(score: Score | None) -> str:
    return f"{figure(score.value)} [{figure(score.low)}, {figure(score.high)}]" if score else "–"


def analysis(record: Record, lang: str) -> list[Block]:
    kinds = figures.by_kind(record)
    sentences = [*_weak_kinds(kinds, lang), *_error_words(record, lang), *_habits(record, lang)]
    tables = [_kind_table(tag, values, lang) for tag, values in kinds.items()]
    if errors := figures.by_error(record):
        rows = tuple((known(lang, name), f"{count:,}") for name, count in errors)
        tables.append(Table(heads(lang, ("kind", "count")), rows, frozenset({1}), folded=say(lang, "chart errors")))
    charts = Charts((*(f"kind:{tag}" for tag in kinds), "errors", "reliability"))
    return [Bullets(tuple(sentences)), charts, *tables] if sentences or tables else []


def _weak_kinds(kinds: Mapping[str, Sequence[figures.Kind]], lang: str) -> Iterator[str]:
    for tag, values in kinds.items():
        worst = min(values, key=lambda kind: kind.high)
        if worst.right < worst.n:
            said = {"value": figure(worst.value), "low": figure(worst.low), "high": figure(worst.high)}
            yield say(lang, "weakest", tag=known(lang, tag), name=worst.name, n=f"{worst.n:,}", **said)


def _error_words(record: Record, lang: str) -> Iterator[str]:
    if errors := figures.by_error(record):
        (name, count), every = errors[0], sum(count for _, count in errors)
        yield say(lang, "commonest error", name=known(lang, name), count=f"{count:,}", all=f"{every:,}")


def _habits(record: Record, lang: str) -> Iterator[str]:
    if shares := figures.answer_shares(record):
        top = max(shares, key=lambda item: item.model)
        yield say(lang, "collapse", name=top.name, model=figure(top.model), data=figure(top.data))
    if sure := figures.reliability(record):
        yield say(lang, "calibration", error=figure(sure.error), n=f"{sure.n:,}")


def _kind_table(tag: str, values: Sequence[figures.Kind], lang: str) -> Table:
    head = (known(lang, tag), say(lang, "score"), say(lang, "interval"), say(lang, "right"))
    rows = tuple(
        (kind.name, figure(kind.value), f"{figure(kind.low)} – {figure(kind.high)}", f"{kind.right:,} / {kind.n:,}")
        for kind in values
    )
    return Table(head, rows, frozenset({1, 2, 3}), folded=say(lang, "chart kind", tag=known(lang, tag)))
