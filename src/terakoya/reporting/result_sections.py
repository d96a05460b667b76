"""Report sections on how a run did: right and wrong predictions, scores beside baselines, error analysis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from terakoya.records import Score
from terakoya.reporting import breakdowns, error_sections
from terakoya.reporting.blocks import (
    Block,
    Bullets,
    Charts,
    Heading,
    Paragraph,
    TableBlock,
    column_headers,
    format_value,
)
from terakoya.reporting.record import RunRecord
from terakoya.reporting.seed_sections import seeds
from terakoya.reporting.translations import known, say
from terakoya.scoring.baselines.standard import ANNOTATORS


def examples(record: RunRecord, lang: str) -> list[Block]:
    """Predictions, right and wrong; texts beside those of the best baseline.

    record  the run
    lang    "en" or "ja"
    """
    if pairs := breakdowns.side_by_side(record):
        return _side_by_side(pairs, lang)
    right, wrong = breakdowns.examples(record)
    blocks: list[Block] = []
    for title, items in (("right examples", right), ("wrong examples", wrong)):
        if items:
            rows = tuple(_example_row(item, lang) for item in items)
            head = column_headers(lang, ("source", "target", "prediction", "outcome", "probability"))
            blocks += [Heading(say(lang, title)), TableBlock(head, rows, frozenset({4}))]
    if right and not wrong:
        blocks.append(Paragraph(say(lang, "no errors")))
    return blocks


def _side_by_side(items: Sequence[Mapping[str, Any]], lang: str) -> list[Block]:
    """Texts are neither right nor wrong, so they are shown beside the reference and the best baseline's prediction."""
    baseline = items[0]["beside"]["who"]
    head = (
        *column_headers(lang, ("source", "reference", "prediction", "score")),
        known(lang, baseline),
        say(lang, "score"),
    )
    rows = tuple(
        (
            _conversation(item, lang),
            *error_sections.marked_pair(item, str(item["target"]), _prediction_text(item, lang)),
            format_value(float(item["verdict"])),
            _prediction_text(item["beside"], lang),
            format_value(float(item["beside"]["verdict"])),
        )
        for item in items
    )
    return [Paragraph(say(lang, "side by side", n=len(items))), TableBlock(head, rows, frozenset({3, 5}))]


def _conversation(item: Mapping[str, Any], lang: str) -> str:
    """The source, with the turns before it."""
    turns = [f"{known(lang, role)}：{text}" for role, text in item.get("turns") or ()]
    return " ／ ".join([*turns, f"{known(lang, 'user')}：{item['source']}"] if turns else [str(item["source"])])


def _prediction_text(item: Mapping[str, Any], lang: str) -> str:
    prediction = item.get("prediction")
    return say(lang, "unreadable") if prediction is None else str(prediction)


def _example_row(item: Mapping[str, Any], lang: str) -> tuple[str, ...]:
    probability = item.get("probability")
    prediction = item.get("prediction")
    shown = str(item.get("raw", "")) if prediction is None else str(prediction)
    outcome = str(item.get("error") or "") or breakdowns.outcome(item)
    return (
        str(item.get("source", "")),
        *error_sections.marked_pair(item, str(item.get("target", "")), shown),
        known(lang, outcome),
        "" if probability is None else format_value(float(probability)),
    )


def metrics(record: RunRecord, lang: str) -> list[Block]:
    """Scores of the model and its baselines, the deciding metric first.

    record  the run
    lang    "en" or "ja"
    """
    main = record.main
    if main is None:
        return []
    exam, metric, decoding = main.signature.exam, main.signature.metric, main.signature.decoding
    blocks: list[Block] = [Charts(("scores",)), _score_table(record, main.metric, lang, folded="")]
    blocks += [Paragraph(sentence) for sentence in _ceiling(record, main, lang)]
    blocks += seeds(record, lang)
    blocks.append(Paragraph(say(lang, "signature", exam=exam, metric=metric, decoding=decoding)))
    others = dict.fromkeys(score.metric for score in record.scores if score.metric != main.metric)
    titles = {name: f"{say(lang, 'metric')}: {known(lang, name)}" for name in others}
    blocks += [Paragraph(sentence) for sentence in _perplexity_sentences(record, lang)]
    return [*blocks, *(_score_table(record, name, lang, folded=title) for name, title in titles.items())]


def _ceiling(record: RunRecord, main: Score, lang: str) -> Iterator[str]:
    """What people reach in the deciding metric, where the exam has targets of several annotators."""
    for score in record.scores:
        if (score.who, score.metric, score.subset) == (ANNOTATORS, main.metric, main.subset):
            yield say(lang, "ceiling", value=_with_interval(score), n=f"{score.n:,}")


def _perplexity_sentences(record: RunRecord, lang: str) -> Iterator[str]:
    """What perplexity was taken over, and what it may be compared with."""
    own = {score.metric: score for score in record.scores if score.who == "model" and not score.subset}
    if not record.perplexity or not {"perplexity", "bits_per_character"} <= set(own):
        return
    over = record.perplexity
    counts = {name: f"{over[name]:,}" for name in ("vocabulary", "tokens", "characters", "items", "left_out")}
    values = {name: _with_interval(own[name]) for name in ("perplexity", "bits_per_character")}
    yield say(lang, "perplexity over", unit=known(lang, over["unit"]), **values, **counts)
    if over["novelty"]:
        yield say(lang, "perplexity escape", probability=format_value(over["novelty"]))
    if over["left_out"]:
        yield say(lang, "perplexity left out", **counts)


def _score_table(record: RunRecord, metric: str, lang: str, folded: str) -> TableBlock:
    """Systems in the rows, subsets of the exam in the columns."""
    scores = {(score.who, score.subset): score for score in record.scores if score.metric == metric}
    subsets = sorted({subset for _, subset in scores})
    names = sorted(dict.fromkeys(who for who, _ in scores), key=lambda who: who != "model")
    items = {name: max(score.n for (_, subset), score in scores.items() if subset == name) for name in subsets}
    head = [f"{subset or say(lang, 'main subset')} (n = {items[subset]:,})" for subset in subsets]
    rows = tuple(
        (known(lang, who), *(_with_interval(scores.get((who, subset))) for subset in subsets)) for who in names
    )
    numbers = frozenset(range(1, len(subsets) + 1))
    return TableBlock((f"{metric} [{say(lang, 'interval')}]", *head), rows, numbers, folded)


def _with_interval(score: Score | None) -> str:
    return f"{format_value(score.value)} [{format_value(score.low)}, {format_value(score.high)}]" if score else "–"


def analysis(record: RunRecord, lang: str) -> list[Block]:
    """Where the errors lie: by tag, by error, by confidence.

    record  the run
    lang    "en" or "ja"
    """
    kinds = breakdowns.by_kind(record)
    sentences = [*_weakest_tags(kinds, lang), *_most_frequent_error(record, lang), *_model_bias(record, lang)]
    sentences += error_sections.sentences(record, lang)
    tables = [_kind_table(tag, values, lang) for tag, values in kinds.items()]
    if _error_kinds(errors := breakdowns.by_error(record)):
        rows = tuple((known(lang, name), f"{count:,}") for name, count in errors)
        tables.append(
            TableBlock(column_headers(lang, ("kind", "count")), rows, frozenset({1}), folded=say(lang, "chart errors"))
        )
    tables += error_sections.tables(record, lang)
    charts = Charts((*(f"kind:{tag}" for tag in kinds), "errors", "reliability"))
    return [Bullets(tuple(sentences)), charts, *tables] if sentences or tables else []


def _weakest_tags(kinds: Mapping[str, Sequence[breakdowns.TagScore]], lang: str) -> Iterator[str]:
    for tag, values in kinds.items():
        worst = min(values, key=lambda kind: kind.high)
        if worst.right < worst.n:
            said = {
                "value": format_value(worst.value),
                "low": format_value(worst.low),
                "high": format_value(worst.high),
            }
            yield say(lang, "weakest", tag=known(lang, tag), name=worst.name, n=f"{worst.n:,}", **said)


def _most_frequent_error(record: RunRecord, lang: str) -> Iterator[str]:
    if _error_kinds(errors := breakdowns.by_error(record)):
        (name, count), every = errors[0], sum(count for _, count in errors)
        yield say(lang, "commonest error", name=known(lang, name), count=f"{count:,}", all=f"{every:,}")


def _error_kinds(errors: Sequence[tuple[str, int]]) -> bool:
    """Whether counts of kinds say anything: not "wrong: 21 of 21"."""
    return bool(errors) and [name for name, _count in errors] != ["wrong"]


def _model_bias(record: RunRecord, lang: str) -> Iterator[str]:
    if shares := breakdowns.label_shares(record):
        top = max(shares, key=lambda item: item.model)
        yield say(lang, "collapse", name=top.name, model=format_value(top.model), data=format_value(top.data))
    if calibration := breakdowns.reliability(record):
        yield say(lang, "calibration", error=format_value(calibration.error), n=f"{calibration.n:,}")


def _kind_table(tag: str, values: Sequence[breakdowns.TagScore], lang: str) -> TableBlock:
    head = (known(lang, tag), say(lang, "score"), say(lang, "interval"), say(lang, "right"))
    rows = tuple(
        (
            kind.name,
            format_value(kind.value),
            f"{format_value(kind.low)} – {format_value(kind.high)}",
            f"{kind.right:,} / {kind.n:,}",
        )
        for kind in values
    )
    return TableBlock(head, rows, frozenset({1, 2, 3}), folded=say(lang, "chart kind", tag=known(lang, tag)))
