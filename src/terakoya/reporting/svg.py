"""Charts as SVG that can be embedded in a page: known elements only, unique ids, no fixed size."""

from __future__ import annotations

import itertools
from typing import Any
from xml.etree import ElementTree

from terakoya.reporting.chart_process import chart_process

# Roles, written as colours that occur nowhere else; style.css gives each its colour, light or dark.
INK, FAINT, GRID = "#010101", "#020202", "#030303"
MODEL, DATA, WRONG = "#040404", "#050505", "#060606"
ROLES = {INK: "ink", FAINT: "faint", GRID: "grid", MODEL: "model", DATA: "data", WRONG: "wrong"}

FONT = "'Hiragino Sans', 'Noto Sans CJK JP', 'Noto Sans JP', 'Yu Gothic', Meiryo, 'Noto Color Emoji', sans-serif"
_SPACE = "{http://www.w3.org/2000/svg}"
_ELEMENTS = {"svg", "g", "path", "rect", "line", "circle", "text", "tspan", "clipPath", "defs"}
_ATTRIBUTES = {
    *("d", "x", "y", "x1", "x2", "y1", "y2", "dx", "dy", "cx", "cy", "r", "width", "height", "viewBox", "transform"),
    *("fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-miterlimit", "stroke-linejoin", "stroke-linecap"),
    *("opacity", "fill-opacity", "stroke-opacity", "font-size", "font-weight", "text-anchor", "display", "clip-path"),
}
_numbers = itertools.count(1)


def draw_svg(plot: Any, title: str) -> str:
    """SVG text of an altair chart, drawn without network access; "" where memory does not suffice for it.

    plot   an altair chart
    title  its accessible name
    """
    # The width is that of the whole chart, so that letters have one size in all of them.
    plot = plot.properties(autosize={"type": "fit-x", "contains": "padding"})
    spec = plot.configure(background="transparent", font=FONT).configure_view(stroke=None)
    spec = spec.configure_axis(
        labelColor=INK, titleColor=FAINT, gridColor=GRID, domainColor=FAINT, tickColor=FAINT, labelFontSize=12,
        titleFontSize=12, titleFontWeight="normal", labelLimit=220, domain=False,
    ).configure_legend(labelColor=INK, labelFontSize=12).configure_axisY(grid=True)  # fmt: skip
    drawn = chart_process().draw(spec.to_dict())
    return sanitize_svg(drawn, title) if drawn else ""


def sanitize_svg(text: str, title: str) -> str:
    """SVG of which only drawing elements are kept; the label of a mark becomes its tooltip (<title>, no script).

    text   SVG as vl-convert wrote it
    title  its accessible name
    """
    root = ElementTree.fromstring(text)
    unique = f"c{next(_numbers)}-"
    clean = _kept(root, unique)
    assert clean is not None, "the root of an SVG is kept"
    clean.attrib.pop("width", None)
    clean.attrib.pop("height", None)
    width = float(root.attrib["width"])
    clean.attrib |= {"role": "img", "aria-label": title, "style": f"max-width:{width * 1.15:.0f}px"}
    return ElementTree.tostring(clean, encoding="unicode")


def _kept(old: ElementTree.Element, unique: str) -> ElementTree.Element | None:
    name = old.tag.removeprefix(_SPACE)
    if name not in _ELEMENTS or old.get("display") == "none":
        return None
    new = ElementTree.Element(name, {key: old.attrib[key] for key in old.attrib if key in _ATTRIBUTES})
    if old.get("id"):
        new.set("id", unique + old.attrib["id"])
    if "clip-path" in new.attrib:
        new.set("clip-path", new.attrib["clip-path"].replace("url(#", f"url(#{unique}"))
    for key in ("fill", "stroke"):
        if new.get(key) in ROLES:
            new.set("class", f"{new.get('class', '')} {key}-{ROLES[new.attrib.pop(key)]}".strip())
    new.text = old.text if name in ("text", "tspan") else None
    if old.get("role") == "graphics-symbol" and old.get("aria-label") and name != "g":
        ElementTree.SubElement(new, "title").text = old.get("aria-label")
    new.extend(child for child in (_kept(item, unique) for item in old) if child is not None)
    # Empty groups and paths draw nothing.
    return None if name in ("g", "path") and not len(new) and not new.get("d") else new
