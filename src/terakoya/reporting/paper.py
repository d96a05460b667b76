"""Tables and charts of a run for papers: CSV or LaTeX (booktabs), and charts as SVG files that stand alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from terakoya.errors import ConfigError
from terakoya.i18n import _, in_language
from terakoya.reporting import breakdowns, charts
from terakoya.reporting.escaping import spreadsheet_cell, visible
from terakoya.reporting.record import RunRecord
from terakoya.reporting.seed_sections import seed_spread
from terakoya.reporting.svg import FONT, ROLES
from terakoya.reporting.translations import known, say
from terakoya.runs import safe_name, write_text
from terakoya.scoring.error_analysis.labels import errors_by_label
from terakoya.scoring.error_analysis.substitutions import count_edits
from terakoya.scoring.error_analysis.target_fields import errors_by_field

FORMS = {"csv": ".csv", "latex": ".tex"}
_COLOURS = {
    "ink": "#22252b", "faint": "#6d6a63", "grid": "#ece8de", "model": "#2f5597", "data": "#b98a2f", "wrong": "#b23a2e",
}  # fmt: skip
_LATEX = str.maketrans(
    {
        "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "<": r"\textless{}",
        ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    }
)  # fmt: skip
_CHARTS = ("scores", "loss", "dev", "predictions", "errors", "reliability")

Row = tuple[str, ...]


def write_tables(record: RunRecord, form: str, folder: Path, lang: str = "en") -> list[Path]:
    """One file for each table that has content.

    record  the run
    form    "csv" or "latex"
    folder  where they are written; it is made
    lang    language of the headers
    Returns the files. Raises ConfigError for another form, and where the run has no score yet.
    """
    if form not in FORMS:
        raise ConfigError(
            _("there is no form '{form}' for tables", form=form),
            where="--tables",
            do=_("Say --tables csv, or --tables latex."),
        )
    written = []
    for name, (head, rows) in _tables(record, lang).items():
        path = folder / f"{name}{FORMS[form]}"
        write_text(path, _csv(head, rows) if form == "csv" else latex_table(head, rows, name, record.name))
        written.append(path)
    if not written:
        raise ConfigError(
            _("this run has no score yet, so there is no table of it"),
            where=record.name,
            do=_("Take its exam first: terakoya run RUN"),
        )
    return written


def write_charts(record: RunRecord, folder: Path, lang: str = "en") -> list[Path]:
    """One SVG file for each chart that has something to show.

    record  the run
    folder  where they are written; it is made
    lang    language of the labels
    Returns the files. Raises ConfigError where the packages that draw are not installed.
    """
    if not charts.available():
        raise ConfigError(
            _("charts need two packages that are not installed"),
            where="--figures",
            do=_("pip install 'terakoya[charts]'"),
        )
    written = []
    for name in (*_CHARTS, *(f"kind:{tag}" for tag in breakdowns.by_kind(record))):
        if drawn := charts.chart(record, name, lang):
            path = folder / f"{safe_name(name.replace(':', '-'))}.svg"
            write_text(path, standalone_svg(drawn))
            written.append(path)
    return written


def standalone_svg(svg: str) -> str:
    """A chart of a page as a file of its own: with namespace, size, font, and colours in place of classes.

    svg  as `charts.chart` gives it
    """
    root = ElementTree.fromstring(svg)
    # In a page, CSS gives roles their colours; a file has none.
    for element in root.iter():
        for role in (element.attrib.pop("class", "") or "").split():
            attribute, _dash, name = role.partition("-")
            if name in ROLES.values():
                element.set(attribute, _COLOURS[name])
    _x, _y, width, height = root.attrib["viewBox"].split()
    root.attrib |= {"width": width, "height": height, "font-family": FONT}
    root.attrib.pop("style", None)
    text = ElementTree.tostring(root, encoding="unicode")
    named = text if "xmlns=" in text else text.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{named}\n'


def latex_table(head: Sequence[str], rows: Sequence[Row], name: str, run: str) -> str:
    r"""A table with rules of the package booktabs, every cell escaped.

    head  column headers
    rows  cells; columns of numbers are set flush right
    name  of the table; its label becomes `tab:name`
    run   name of the run, for the caption
    """
    right = [all(_is_number(row[at]) for row in rows) for at in range(len(head))]
    columns = "".join("r" if numbers else "l" for numbers in right)
    lines = [
        r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{columns}}}", r"\toprule",
        _latex_row(head), r"\midrule", *(_latex_row(row) for row in rows), r"\bottomrule", r"\end{tabular}",
        rf"\caption{{{latex_text(run)}: {latex_text(name)}}}", rf"\label{{tab:{name}}}", r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def latex_text(text: str) -> str:
    """Text as LaTeX prints it, every special character escaped.

    text  as data has it
    """
    return visible(text).translate(_LATEX)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


def _is_number(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True


def _csv(head: Sequence[str], rows: Sequence[Row]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerows([list(head), *([_cell(cell) for cell in row] for row in rows)])
    return out.getvalue()


def _cell(text: str) -> str:
    return text if _is_number(text) else spreadsheet_cell(text)


def _tables(record: RunRecord, lang: str) -> Mapping[str, tuple[Row, tuple[Row, ...]]]:
    """Name → (headers, rows) of every table that has rows."""
    built = {
        "scores": (("who", "metric", "subset", "value", "low", "high", "items"), _scores(record, lang)),
        "seeds": (("seed", "metric", "value", "low", "high", "items"), _seeds(record, lang)),
        "kinds": (("kind", "share", "low", "high", "right", "items"), _kinds(record)),
        "fields": (("field", "wrong", "items"), _fields(record, lang)),
        "edits": (("target", "prediction", "count"), _edits(record)),
        "labels": (("label", "missed", "target", "wrong", "prediction"), _labels(record)),
        "curve": (("rows", "value", "low", "high", "on trained"), _points(record.curve)),
        "ladder": (("who", "dev", "exam", "low", "high", "milliseconds", "price", "weights"), _rungs(record, lang)),
    }
    found = {name: (head, tuple(rows)) for name, (head, rows) in built.items()}
    return {name: (tuple(say(lang, key) for key in head), rows) for name, (head, rows) in found.items() if rows}


def _scores(record: RunRecord, lang: str) -> Iterator[Row]:
    for one in record.scores:
        values = (f"{value:.4f}" for value in (one.value, one.low, one.high))
        yield (known(lang, one.who), one.metric, one.subset or say(lang, "main subset"), *values, str(one.n))


def _seeds(record: RunRecord, lang: str) -> Iterator[Row]:
    spread = tuple(seed_spread(record))
    for one in record.seeds if spread else ():
        values = (f"{value:.4f}" for value in (one.score.value, one.score.low, one.score.high))
        yield (str(one.seed), one.score.metric, *values, str(one.score.n))
    for name, value in spread:
        yield (say(lang, name), record.seeds[0].score.metric, f"{value:.4f}", "", "", "")


def _kinds(record: RunRecord) -> Iterator[Row]:
    for tag, values in breakdowns.by_kind(record).items():
        for one in values:
            numbers = (f"{value:.4f}" for value in (one.value, one.low, one.high))
            yield (f"{tag}: {one.name}", *numbers, str(one.right), str(one.n))


def _fields(record: RunRecord, lang: str) -> Iterator[Row]:
    if record.errors.form is not None:
        for one in errors_by_field(record.errors.items, record.errors.form):
            yield in_language(one.title, lang), str(one.wrong), str(one.n)


def _edits(record: RunRecord) -> Iterator[Row]:
    if not record.errors.labels:
        for (wanted, said), count in count_edits(record.errors.items).most_common(20):
            yield wanted or "–", said or "–", str(count)


def _labels(record: RunRecord) -> Iterator[Row]:
    if record.errors.labels:
        for one in errors_by_label(record.errors.items):
            counts = (len(one.missed), one.targets, len(one.wrong), one.predicted)
            yield (one.label, *map(str, counts))


def _points(curve: Mapping[str, Any]) -> Iterator[Row]:
    for point in curve.get("points") or ():
        values = (float(point[name]) for name in ("value", "low", "high", "trained"))
        yield (str(point["rows"]), *(f"{value:.4f}" for value in values))


def _rungs(record: RunRecord, lang: str) -> Iterator[Row]:
    for rung in record.ladder.get("rungs") or ():
        if rung.get("exam") is not None:
            scores = (f"{float(rung[name]):.4f}" for name in ("dev", "exam", "low", "high"))
            cost = f"{float(rung['milliseconds']):.3f}", f"{float(rung['price']):.6f}", str(rung["weights"])
            yield (in_language(rung["name"], lang), *scores, *cost)
