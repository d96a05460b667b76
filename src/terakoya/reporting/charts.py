"""Charts as plain SVG embedded in a page: no script, no external request, text in the reader's own fonts.

altair describes, vl-convert draws. Colours are names of roles (ink, model, data …) which the page's stylesheet
turns into the colours of the light or the dark page; see `svg.py`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from terakoya.records import Score
from terakoya.reporting import breakdowns
from terakoya.reporting.plots import ROW, WIDTH, colours, distinct, dots, marked, plot, share_axis, thinned
from terakoya.reporting.record import RunRecord, SweepRecord
from terakoya.reporting.svg import DATA, FAINT, INK, MODEL, WRONG, draw_svg
from terakoya.reporting.translations import known, say
from terakoya.scoring.baselines.standard import ANNOTATORS

_KINDS = 30  # rows of a chart by kind
# Dev values other than the metric that show collapse; they lie in [0, 1].
_SHARES = ("distinct_share", "top_share", "unreadable")


def chart(record: RunRecord, name: str, lang: str) -> str:
    """A chart as SVG, "" where there is nothing to draw.

    record  the run
    name    "loss", "dev", "predictions", "errors", "reliability", "scores", or "kind:TAG"
    lang    "en" or "ja"
    """
    drawers: dict[str, Callable[[RunRecord, str], Any]] = {
        "loss": _loss,
        "dev": _dev,
        "predictions": _predictions,
        "errors": _errors,
        "reliability": _reliability,
        "scores": _scores,
    }
    if not available():
        return ""
    kind, _, tag = name.partition(":")
    made = _kinds(record, tag, lang) if kind == "kind" else drawers[kind](record, lang)
    return "" if made is None else draw_svg(made, title(name, lang))


def available() -> bool:
    """Whether the packages that draw charts are installed (the extra `charts`); a report is complete without them."""
    return all(importlib.util.find_spec(package) is not None for package in ("altair", "vl_convert"))


def title(name: str, lang: str) -> str:
    """The title of a chart.

    name  as `chart` takes it
    lang  "en" or "ja"
    """
    kind, _, tag = name.partition(":")
    return say(lang, f"chart {kind}", tag=known(lang, tag))


def forest(sweep: SweepRecord, lang: str) -> str:
    """A forest plot of a sweep: one dot and interval a run, the best on top.

    sweep  the sweep
    lang    "en" or "ja"
    """
    if not available():
        return ""
    mains = [(sweep.title(run), run.main) for run in sweep.runs]
    scored = [(name, score) for name, score in mains if score is not None]
    scored.sort(key=lambda pair: -pair[1].value)
    made = _intervals([(name, score, MODEL) for name, score in scored], lang)
    return "" if made is None else draw_svg(made, say(lang, "chart forest"))


def _loss(record: RunRecord, lang: str) -> Any:
    import altair as alt

    if len(record.steps) < 2:
        return None
    plain, trained, dev = say(lang, "plain"), say(lang, "trained loss"), say(lang, "dev loss")
    steps = thinned(record.steps)
    values = [{"step": step.step, "loss": step.plain, "line": plain} for step in steps]
    if any(abs(step.loss - step.plain) > 1e-6 for step in steps):
        values += [{"step": step.step, "loss": step.loss, "line": trained} for step in steps]
    values += [{"step": step.step, "loss": step.dev["loss"], "line": dev} for step in _with_dev_loss(record)]
    colour = colours({plain: MODEL, dev: DATA, trained: FAINT}, values)
    layers: list[Any] = [
        plot(values)
        .mark_line(strokeWidth=1.6)
        .encode(
            x=alt.X("step:Q", title=say(lang, "step"), axis=alt.Axis(tickCount=5)),
            y=alt.Y("loss:Q", title=say(lang, "loss"), axis=alt.Axis(tickCount=5)),
            color=colour,
        )
    ]
    marks = [(say(lang, name.replace("_", " ")), record.measured(name)) for name in ("even_guess", "prior_entropy")]
    layers += marked([(name, at) for name, at in marks if at is not None], steps[-1].step)
    return alt.layer(*layers).properties(width=WIDTH, height=190)


def _with_dev_loss(record: RunRecord) -> list[Any]:
    return thinned([step for step in record.steps if step.dev and "loss" in step.dev])


def _dev(record: RunRecord, lang: str) -> Any:
    import altair as alt

    main = record.main
    evaluated = [step for step in record.steps if step.dev]
    if len(evaluated) < 2:
        return None
    metric = main.metric if main else next(iter(evaluated[0].dev or {}))
    names = {metric: metric} | {name: known(lang, name) for name in _SHARES}
    values = [
        {"step": step.step, "share": share, "line": names[name]}
        for step in thinned(evaluated)
        for name, share in (step.dev or {}).items()
        if name in names
    ]
    tones = dict(zip(names.values(), (MODEL, DATA, WRONG, FAINT), strict=True))
    return (
        plot(values)
        .mark_line(point={"size": 14}, strokeWidth=1.6)
        .encode(
            x=alt.X("step:Q", title=say(lang, "step"), axis=alt.Axis(tickCount=5)),
            y=alt.Y("share:Q", title=say(lang, "share of dev"), scale=alt.Scale(domain=[0, 1]), axis=share_axis()),
            color=colours(tones, values),
        )
        .properties(width=WIDTH, height=190)
    )


def _predictions(record: RunRecord, lang: str) -> Any:
    import altair as alt

    shares = breakdowns.label_shares(record)
    if not shares:
        return None
    data, model = say(lang, "data"), say(lang, "model")
    labels = distinct([item.name for item in shares])
    values = [
        {"label": label, "share": share, "line": line}
        for label, item in zip(labels, shares, strict=True)
        for line, share in ((data, item.data), (model, item.model))
    ]
    return (
        plot(values)
        .mark_bar()
        .encode(
            y=alt.Y("label:N", title=None, sort=labels, axis=alt.Axis(labelFontSize=14)),
            x=alt.X("share:Q", title=say(lang, "share"), axis=alt.Axis(tickCount=4, format="~%")),
            yOffset=alt.YOffset("line:N", sort=[data, model]),
            color=colours({data: DATA, model: MODEL}, values),
        )
        .properties(width=WIDTH, height=26 * len(labels))
    )


def _kinds(record: RunRecord, tag: str, lang: str) -> Any:
    kinds = breakdowns.by_kind(record).get(tag)
    if not kinds:
        return None
    kinds = sorted(kinds, key=lambda kind: kind.value)[:_KINDS] if len(kinds) > _KINDS else kinds
    names = distinct([kind.name for kind in kinds], 20)
    rows = [
        {"label": f"{name} · {kind.n:,}", "value": kind.value, "low": kind.low, "high": kind.high, "tone": MODEL}
        for name, kind in zip(names, kinds, strict=True)
    ]
    return dots(rows, record.main.metric if record.main else say(lang, "score"))


def _errors(record: RunRecord, lang: str) -> Any:
    import altair as alt

    errors = breakdowns.by_error(record)[:15]
    if not errors:
        return None
    names = distinct([known(lang, name) for name, _ in errors])
    values = [{"label": name, "count": count} for name, (_, count) in zip(names, errors, strict=True)]
    base = plot(values).encode(
        y=alt.Y("label:N", title=None, sort=names),
        x=alt.X("count:Q", title=say(lang, "count"), axis=alt.Axis(tickMinStep=1, tickCount=4, format="d")),
    )
    bars = base.mark_bar(color=WRONG, height={"band": 0.7})
    text = base.mark_text(align="left", dx=4, color=INK).encode(text=alt.Text("count:Q", format=",d"))
    return alt.layer(bars, text).properties(width=WIDTH, height=ROW * len(values))


def _reliability(record: RunRecord, lang: str) -> Any:
    import altair as alt

    calibration = breakdowns.reliability(record)
    if not calibration:
        return None
    values = [
        {"x": row.confidence, "y": row.right, "low": row.low, "high": row.high, "n": row.n} for row in calibration.table
    ]
    share = alt.Scale(domain=[0, 1])
    base = plot(values).encode(x=alt.X("x:Q", title=say(lang, "confidence"), scale=share, axis=share_axis()))
    even = plot([{"x": 0, "y": 0}, {"x": 1, "y": 1}])
    right = alt.Y("low:Q", title=say(lang, "share right"), scale=share, axis=share_axis())
    return alt.layer(
        even.mark_line(strokeDash=[4, 3], color=FAINT).encode(x="x:Q", y="y:Q"),
        base.mark_rule(color=MODEL).encode(y=right, y2="high:Q"),
        base.mark_circle(color=MODEL, size=45, opacity=1).encode(y="y:Q"),
    ).properties(width=WIDTH, height=240)


def _scores(record: RunRecord, lang: str) -> Any:
    main = record.main
    if main is None:
        return None
    own = [score for score in record.scores if score.metric == main.metric and score.subset == main.subset]
    # What people reach has another signature: they are scored against each other, not against the exam's targets.
    beside = [score for score in own if score.signature == main.signature or score.who == ANNOTATORS]
    beside = sorted(beside, key=lambda score: (score.who != "model", -score.value))
    return _intervals([(known(lang, item.who), item, MODEL if item.who == "model" else DATA) for item in beside], lang)


def _intervals(rows: Sequence[tuple[str, Score, str]], lang: str) -> Any:
    if not rows:
        return None
    names = distinct([name for name, _, _ in rows], 24)
    values = [
        {"label": name, "value": score.value, "low": score.low, "high": score.high, "tone": tone}
        for name, (_, score, tone) in zip(names, rows, strict=True)
    ]
    return dots(values, rows[0][1].metric)
