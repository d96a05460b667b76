"""The report of a run as one HTML page that opens from disk: no external request, and only one script of ours may run.

A strict content security policy names that script by its hash, so that a script in somebody's data could not run even
if escaping failed. Data of the table lies in a JSON data block with every `<` escaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from importlib import resources
from typing import TYPE_CHECKING, Any

from terakoya.records import subset_of
from terakoya.reporting import breakdowns, charts, error_sections
from terakoya.reporting.blocks import format_value
from terakoya.reporting.escaping import visible
from terakoya.reporting.record import RunRecord
from terakoya.reporting.sections import run_report
from terakoya.reporting.translations import known, say
from terakoya.runs.environment import package_version
from terakoya.scoring.statistics.verdict import UNDECIDED

if TYPE_CHECKING:
    from jinja2 import Environment

OUTCOMES = ("right", "partly", "wrong", "unreadable", "withheld")
# More rows than this make a page slow to open on a phone; the rest stays in predictions.jsonl.
MAX_ROWS = 50_000
_RISKY = re.compile("[<>&\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")
_SEALS = {"learned": "yes", "not learned": "not", UNDECIDED: "undecided"}  # CSS classes


def html(record: RunRecord, lang: str = "en") -> str:
    """The whole report as one HTML document.

    record  the run
    lang    "en" (default) or "ja"
    """
    manifest = record.manifest
    state = str(record.verdict.get("state", ""))
    shown = record.predictions[:MAX_ROWS]
    kinds = _kinds(shown)
    return render(
        "record.html.j2",
        lang,
        title=record.name,
        date=str((manifest.get("times") or {}).get("started") or "")[:16].replace("T", " "),
        model=(manifest.get("model") or {}).get("name"),
        main=record.main,
        format_value=format_value,
        verdict=known(lang, state) if state else "",
        seal=_SEALS.get(state, ""),
        sections=run_report(record, lang),
        draw=partial(draw, record, lang),
        predictions=_table_data(shown, kinds, lang) if shown else None,
        outcomes=_outcomes(shown, lang),
        kinds=[name for name, _ in kinds],
        capped=_capped(record, lang),
    )


def render(template: str, lang: str, **values: Any) -> str:
    """A page in the frame that all HTML files share: content policy, style and the one script.

    template  name of a file in report/templates
    lang      "en" or "ja"
    values    variables of the template
    """
    from markupsafe import Markup

    script, style = _part("table.js"), _part("style.css")
    return (
        _environment()
        .get_template(template)
        .render(
            lang=lang,
            say=partial(say, lang),
            version=package_version(),
            no_charts="" if charts.available() else say(lang, "no charts"),
            script=Markup(script),
            style=Markup(style),
            script_hash=Markup(_script_hash()),
            **values,
        )
    )


def record_policy() -> str:
    """The content policy under which a server hands out a record: the one script of ours, in an origin of its own, so
    that no script in a record of somebody else's can reach the server."""
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src '{_script_hash()}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
    )


def _script_hash() -> str:
    digest = hashlib.sha256(_part("table.js").encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def json_data_block(value: Any) -> Any:
    """JSON that cannot end the element it is in: `<`, `>`, `&`, invisible and bidirectional characters are escaped.

    value  anything that JSON can hold
    """
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(_RISKY.sub(lambda found: f"\\u{ord(found.group()):04x}", text))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("terakoya.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = lambda text: visible(str(text))
    return environment


@lru_cache(maxsize=4)
def _part(name: str) -> str:
    return resources.files("terakoya.reporting").joinpath("templates", name).read_text(encoding="utf-8")


def draw(record: RunRecord, lang: str, names: Sequence[str]) -> list[tuple[str, Any]]:
    """(title, SVG) of every chart that has something to show. The SVG is ours, sanitized element by element.

    record  the run
    lang    "en" or "ja"
    names   of the charts
    """
    from markupsafe import Markup

    drawn = ((charts.title(name, lang), charts.chart(record, name, lang)) for name in names)
    return [(title, Markup(svg)) for title, svg in drawn if svg]


def _kinds(items: Sequence[Mapping[str, Any]]) -> list[tuple[str, tuple[str, str]]]:
    """Everything that the table can be filtered by: subsets of the exam, then values of tags."""
    found: dict[tuple[str, str], None] = {}
    for item in items:
        found |= dict.fromkeys(_kinds_of(item))
    ordered = sorted(found, key=lambda kind: (kind[0] != "", kind))
    return [(f"{tag}: {value}" if tag else value, (tag, value)) for tag, value in ordered[:500]]


def _kinds_of(item: Mapping[str, Any]) -> list[tuple[str, str]]:
    part = subset_of(item)
    tags = [(str(tag), str(value)) for tag, value in dict(item.get("tags") or {}).items() if value != ""]
    return [*([("", part)] if part else []), *tags]


def _table_data(items: Sequence[Mapping[str, Any]], kinds: Sequence[tuple[str, tuple[str, str]]], lang: str) -> Any:
    number = {kind: index for index, (_, kind) in enumerate(kinds)}
    marks = error_sections.marked_ranges(items)
    rows = [_row(item, number, lang, ranges) for item, ranges in zip(items, marks, strict=True)]
    words = {name: say(lang, name) for name in (*OUTCOMES, "of")}
    return json_data_block({"outcomes": OUTCOMES, "words": words, "items": rows})


def _row(
    item: Mapping[str, Any], number: Mapping[tuple[str, str], int], lang: str, marks: error_sections.Ranges | None
) -> list[Any]:
    prediction, probability = item.get("prediction"), item.get("probability")
    outcome = breakdowns.outcome(item)
    row = [
        str(item.get("source", "")),
        str(item.get("target", "")),
        str(item.get("raw", "") if prediction is None else prediction),
        OUTCOMES.index(outcome),
        [number[kind] for kind in _kinds_of(item) if kind in number],
        None if probability is None else round(float(probability), 4),
    ]
    error = str(item.get("error") or "")
    row += [known(lang, error)] if error and error != outcome else [""] if marks else []
    return [*row, marks] if marks else row


def _outcomes(items: Sequence[Mapping[str, Any]], lang: str) -> list[tuple[str, str]]:
    there = {breakdowns.outcome(item) for item in items}
    return [(name, say(lang, name)) for name in OUTCOMES if name in there]


def _capped(record: RunRecord, lang: str) -> str:
    every = len(record.predictions)
    return "" if every <= MAX_ROWS else say(lang, "capped", shown=f"{MAX_ROWS:,}", all=f"{every:,}")
