"""Parts that several charts share: dots with intervals, horizontal lines, legends, axis labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from terakoya.reporting.blocks import format_value
from terakoya.reporting.escaping import short, visible
from terakoya.reporting.svg import INK, WRONG

if TYPE_CHECKING:
    import altair as alt

WIDTH = 340  # of the whole chart, names included: two stand side by side on a desk, one fills a phone
ROW = 22  # height of one row
_POINTS = 400  # of a line; more cannot be seen


def plot(values: Sequence[Mapping[str, Any]]) -> Any:
    """A chart over rows of values. JSON has no NaN: a value that is not finite becomes a gap.

    values  one mapping a row
    """
    import altair as alt

    return alt.Chart({"values": _finite(values)})


def marked(marks: Sequence[tuple[str, float]], last: float) -> list[Any]:
    """Dashed horizontal lines, each named at its right end.

    marks  (name, height) of each
    last   x of the right end
    Returns the layers.
    """
    if not marks:
        return []
    base = plot([{"at": at, "name": f"{name} {at:.2f}", "x": last} for name, at in marks])
    rule = base.mark_rule(strokeDash=[4, 3], color=WRONG).encode(y="at:Q")
    text = base.mark_text(align="right", dy=-6, color=WRONG, fontSize=11).encode(x="x:Q", y="at:Q", text="name:N")
    return [rule, text]


def dots(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    """A forest plot: a dot and its interval in every row, with the value beside it.

    rows  each with label, value, low, high, tone
    name  of the x axis
    """
    import altair as alt

    lowest = min(row["low"] for row in rows)
    # Where all do well, the differences are what is worth seeing; a dot needs no axis from zero.
    start = math.floor(lowest * 20 - 0.5) / 20 if lowest > 0.6 else 0.0
    top = max(1.0, *(row["high"] for row in rows))
    values = [{**row, "text": format_value(row["value"]), "top": top} for row in rows]
    base = plot(values).encode(
        y=alt.Y("label:N", title=None, sort=[row["label"] for row in rows]),
        color=alt.Color("tone:N", scale=None, legend=None),
    )
    across = alt.X("low:Q", title=name, scale=alt.Scale(domain=[start, top], nice=False), axis=share_axis())
    layers = (
        base.mark_rule(strokeWidth=2).encode(x=across, x2="high:Q"),
        base.mark_circle(size=48, opacity=1).encode(x="value:Q"),
        base.mark_text(align="left", dx=8, fontSize=12).encode(x="top:Q", text="text:N", color=alt.value(INK)),
    )
    return alt.layer(*layers).properties(width=WIDTH, height=ROW * len(rows))


def share_axis() -> alt.Axis:
    """An axis for shares between 0 and 1."""
    import altair as alt

    return alt.Axis(tickCount=4, format="~g")


def colours(tones: Mapping[str, str], values: Sequence[Mapping[str, Any]]) -> alt.Color:
    """The colour scale of a line chart, with a legend where more than one line occurs.

    tones   line name → colour
    values  the rows of the chart
    """
    import altair as alt

    there = [name for name in tones if any(value["line"] == name for value in values)]
    legend = alt.Legend(title=None, orient="top", columns=2, symbolStrokeWidth=3) if len(there) > 1 else None
    return alt.Color("line:N", scale=alt.Scale(domain=there, range=[tones[name] for name in there]), legend=legend)


def thinned(steps: Sequence[Any]) -> list[Any]:
    """At most as many points as can be seen, the last one among them.

    steps  in order
    """
    every = max(1, -(-len(steps) // _POINTS))
    return [*steps[:-1][::every], *steps[-1:]]


def _finite(values: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        dict(value) for value in values if all(abs(v) < float("inf") for v in value.values() if isinstance(v, float))
    ]


def distinct(names: Sequence[str], length: int = 16) -> list[str]:
    """Names short enough for an axis, none twice (a chart would draw equal names over each other).

    names   as data has them
    length  graphemes of each (16)
    """
    seen: dict[str, int] = {}
    shown = []
    for name in names:
        text = short(visible(name), length) or "–"
        seen[text] = seen.get(text, 0) + 1
        shown.append(text if seen[text] == 1 else f"{text} ({seen[text]})")
    return shown
