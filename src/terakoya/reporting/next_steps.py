"""What to do next, from what was measured: findings, named errors, the learning curve, and the ladder of models.

Each step carries its expected gain where one is known. The most useful one comes first: that no model is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from terakoya.i18n import _, in_language
from terakoya.records import Score
from terakoya.reporting.record import RunRecord
from terakoya.reporting.translations import known, say
from terakoya.scoring.error_analysis.items import NamedError
from terakoya.scoring.statistics.power import two_digits

MOST_KINDS = 3  # kinds of error that steps are made from
WORTH_IT = 0.005  # of the metric: smaller expected gains are called none
_UNDERFIT = 0.5  # on rows that were trained on: more rows are not what is missing
_LEAST_WRONG = 0.02  # of the exam, from which on a learning curve is proposed
# Systems that cost nothing to make and next to nothing to run.
_NO_MODEL = ("rule", "word table", "nearest neighbour", "name lexicon", "copy", "most frequent", "constant")


def next_steps(record: RunRecord, lang: str) -> list[str]:
    """The steps in order.

    record  the run
    lang    "en" or "ja"
    """
    proposed = [item.do for item in record.findings if item.do and item.level != "note"]
    measured = [*_without_model(record, lang), *_ladder(record.ladder), *_curve(record), *_kinds(record)]
    steps = [in_language(one, lang) for one in (*measured, *proposed)]
    needed, have = record.verdict.get("needed"), record.verdict.get("n")
    if needed:
        steps.append(say(lang, "more items", n=two_digits(int(needed)), have=have))
    if record.manifest.get("state") in ("interrupted", "failed", "refused", "stopped"):
        steps.append(say(lang, "go on", run=record.name))
    return list(dict.fromkeys(steps))


def _without_model(record: RunRecord, lang: str) -> Iterator[str]:
    """Stop, where a table or a rule does as well: the model gains less over it than is worth having."""
    main = record.main
    best = str(record.verdict.get("best") or "")
    if main is None or (record.verdict.get("state") == "learned" and not _little(record)) or best not in _NO_MODEL:
        return
    other = next((score for score in record.scores if _same(score, main) and score.who == best), None)
    smallest = float(record.verdict.get("smallest_gain") or 0.02)
    if other is not None and other.value >= main.value - smallest:
        yield _(
            "Stop: the baseline '{name}' does as well ({value:.3f} against {model:.3f} of the model), and needs no "
            "training.",
            name=known(lang, best),
            value=other.value,
            model=main.value,
        )


def _little(record: RunRecord) -> bool:
    high, smallest = record.verdict.get("high"), record.verdict.get("smallest_gain")
    return high is not None and smallest is not None and float(high) < float(smallest)


def _same(score: Score, main: Score) -> bool:
    return score.metric == main.metric and score.subset == main.subset


def _ladder(ladder: Mapping[str, Any]) -> Iterator[str]:
    """What the ladder names, and by how much it differs from what this run is."""
    named = next((rung for rung in ladder.get("rungs") or () if rung.get("name") == ladder.get("chosen")), None)
    if not isinstance(named, Mapping) or named.get("exam") is None:
        return
    yield _(
        "Use {name}: the cheapest of the ladder that is not worse ({metric} {value:.3f} [{low:.3f}, {high:.3f}], "
        "{milliseconds:.2f} ms a prediction).",
        name=named["name"],
        metric=str(ladder.get("metric") or ""),
        value=float(named["exam"]),
        low=float(named["low"]),
        high=float(named["high"]),
        milliseconds=float(named["milliseconds"]),
    )


def _curve(record: RunRecord) -> Iterator[str]:
    curve = record.curve
    points, doubled = curve.get("points") or (), curve.get("doubled") or {}
    if points and doubled:
        yield _doubled(points[-1], doubled)
        if suspects := [str(one["row"]) for one in curve.get("suspects") or () if one.get("row")]:
            yield _(
                "Check {count} training rows that look wrong to a model that was not trained on them: {rows}",
                count=len(suspects),
                rows=", ".join(suspects[:10]),
            )
        return
    seconds = float((record.manifest.get("training") or {}).get("seconds") or 0)
    drawn = (record.manifest.get("data") or {}).get("drawn", True)
    wrong = len(record.errors.wrong)
    if seconds and not drawn and record.main is not None and wrong >= _LEAST_WRONG * max(1, len(record.predictions)):
        yield _(
            "Measure what more rows would bring: terakoya curve RUN (three trainings, about {seconds:.0f} s)",
            seconds=3 * seconds,
        )


def _doubled(last: Mapping[str, Any], doubled: Mapping[str, Any]) -> str:
    if float(last["trained"]) < _UNDERFIT:
        return _(
            "Train longer (train.steps) or a larger model (model.base): even on rows that it was trained on it scores "
            "only {trained:.3f}.",
            trained=float(last["trained"]),
        )
    gain = float(doubled["value"]) - float(last["value"])
    values = {
        "rows": int(doubled["rows"]),
        "gain": gain,
        "low": float(doubled["low"]) - float(last["value"]),
        "high": float(doubled["high"]) - float(last["value"]),
    }
    if gain < WORTH_IT:
        return _(
            "More rows of the same kind bring nothing: {gain:+.3f} [{low:+.3f}, {high:+.3f}] with {rows}.", **values
        )
    return _("Bring twice the rows ({rows}): {gain:+.3f} [{low:+.3f}, {high:+.3f}] is expected.", **values)


def _kinds(record: RunRecord) -> Iterator[str]:
    """A step for each of the first named errors, with the gain if its items were as good as the others."""
    found = record.errors
    if found.halves:
        return
    for one in found.named[:MOST_KINDS]:
        if step := _step(one, len(found.items)):
            yield step


def _step(one: NamedError, items: int) -> str:
    if one.family == "relation":
        return _relation_step(one, items)
    if one.family == "property" and not one.key[0].startswith("target"):
        elsewhere = one.wrong_elsewhere / max(1, one.n_elsewhere)
        gain = max(0.0, len(one.rows) / items * (1 - elsewhere * one.n / max(1, one.wrong)))
        return _(
            "Bring more training rows of this kind: {what}. Were they as good as the others: {gain:+.3f}.",
            what=one.message,
            gain=gain,
        )
    return _(
        "Look at these errors first: {what}. Without them: {gain:+.3f} at most.",
        what=one.message,
        gain=len(one.rows) / items,
    )


def _relation_step(one: NamedError, items: int) -> str:
    gain = len(one.rows) / items
    if one.key[1] in ("width", "case", "marks"):
        return _(
            "Write targets in one form, or normalise predictions: {what}. Without them: {gain:+.3f} at most.",
            what=one.message,
            gain=gain,
        )
    if one.key[1] == "scale":
        return _(
            "Try another notation of numbers (task.notation): {what}. Without them: {gain:+.3f} at most.",
            what=one.message,
            gain=gain,
        )
    if one.key[1] == "nearest":
        return _(
            "Bring rows that differ in little from each other: {what}. Without them: {gain:+.3f} at most.",
            what=one.message,
            gain=gain,
        )
    return _("Look at these errors first: {what}. Without them: {gain:+.3f} at most.", what=one.message, gain=gain)


def metric_costs(config: Mapping[str, Any], family: str) -> Sequence[str]:
    """Defaults that cost the metric a run is judged by, each with its price, as messages.

    config  of the run
    family  of its model
    """
    cap = float((config.get("decode") or {}).get("share_cap") or 0)
    if family != "set" or not cap:
        return ()
    return (
        _(
            "decode.share_cap = {cap:g} keeps frequent labels from crowding out the others, and costs score: Jaccard "
            "0.036 [0.027, 0.045] on the shipped emoji sets (benchmarks/results/emoji_ablations.md). 0 turns it off.",
            cap=cap,
        ),
    )
