"""Try: a text is predicted, by one skill or by two side by side; a conversation goes on; a whole table is predicted."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from terakoya.errors import DataError, TerakoyaError
from terakoya.i18n import _
from terakoya.pipeline import commands
from terakoya.pipeline.interactive import TriedText, converses, has_untrained_base, try_text, try_untrained
from terakoya.pipeline.table_preview import TABLE_FILES, first_rows
from terakoya.serving.errors import RequestError
from terakoya.web.rendering import render
from terakoya.web.requests import Form, post, suffix_of
from terakoya.web.state import Page, page_of
from terakoya.web.summaries import RunSummary, summarize_run

UNTRAINED = "untrained"
_MOST_ROWS, _MOST_TURNS, _SHOWN = 20_000, 64, 20
_WITHHELD = {
    "probability": _("Withheld: its probability is below the threshold."),
    "verification": _("Withheld: the task's rule does not confirm it."),
    "characters": _("Withheld: the text holds characters that the skill does not know."),
    "novelty": _("Withheld: the text is unlike those of the training."),
    "rejected": _("Withheld: the model rejects the text as ill-formed."),
    "promise": _("Withheld: it would break the promised share of right predictions."),
}


@dataclass(frozen=True)
class Tried:
    """One side of the view: who predicts, what, and why not."""

    title: str
    result: TriedText | None
    why: str = ""


def _trained(page: Page) -> dict[str, Path]:
    return {id: path for id, path in page.workspace.runs().items() if (path / "model" / "seal.json").is_file()}


def show(request: Request) -> Response:
    """The form in which a text is tried; `request` may name the run."""
    page = page_of(request)
    known = _trained(page)
    chosen = request.query_params.get("run", "")
    return _view(request, page, known, chosen if chosen in known else next(iter(known), ""))


def _view(
    request: Request, page: Page, known: Mapping[str, Path], run: str, *, other: str = "", text: str = "",
    said: tuple[str, ...] = (), tried: tuple[Tried, ...] = (),
) -> Response:  # fmt: skip
    folder = known.get(run)
    talks, untrained, fault = False, False, ""
    if folder is not None:
        try:
            talks, untrained = converses(folder), has_untrained_base(folder)
        except TerakoyaError as error:
            fault = error.message
    runs: list[RunSummary] = [summarize_run(name, path) for name, path in known.items()]
    return render(
        request, "try.html.j2", runs=runs, run=run, other=other, text=text, said=said, tried=tried, talks=talks,
        untrained=untrained, fault=fault, suffixes=",".join(TABLE_FILES),
    )  # fmt: skip


def predict(request: Request, form: Form) -> Response:
    """The predictions for the text of the `form` of `request`, one skill or two side by side."""
    page = page_of(request)
    known = _trained(page)
    run = form.choice("run", known)
    if not run:
        raise RequestError(422, _("Choose a run that has a trained model."), code="invalid_value", param="run")
    other = form.choice("other", (*known, UNTRAINED))
    text = form.text("text").strip("\n")
    said = _conversation(form)
    with page.predicting():
        talks = converses(known[run])
        given = said if talks else ()
        tried = [_try(known[run], text, given)]
        if other == UNTRAINED:
            tried.append(_try(known[run], text, given, untrained=True))
        elif other:
            tried.append(_try(known[other], text, given))
    reply = tried[0].result.prediction.text if tried[0].result else None
    if talks and reply is not None:
        said, text = (*said, text, reply), ""
    return _view(request, page, known, run, other=other, text=text, said=said, tried=tuple(tried))


def _try(run: Path, text: str, said: tuple[str, ...], *, untrained: bool = False) -> Tried:
    title = _("{name}, untrained base", name=run.name) if untrained else run.name
    try:
        result = (try_untrained if untrained else try_text)(run, text, said)
    except TerakoyaError as error:
        return Tried(title, None, error.message)
    prediction = result.prediction
    if prediction.text is not None:
        return Tried(title, result)
    unread = _("The output could not be read as a target.") if prediction.raw else _("The text has no prediction.")
    return Tried(title, result, _WITHHELD.get(prediction.withheld, prediction.withheld) or unread)


def _conversation(form: Form) -> tuple[str, ...]:
    """What was said so far, which the form carries along: the reader's messages and the skill's in turn."""
    said = form.values.get("said", ())
    if len(said) > _MOST_TURNS or len(said) % 2 or sum(map(len, said)) > 50_000:
        raise RequestError(
            422, _("This conversation is too long; begin a new one."), code="invalid_value", param="said"
        )
    return said


def predict_table(request: Request, form: Form) -> Response:
    """Every row of the table that the `form` of `request` brings, predicted and kept as a file to be fetched."""
    page = page_of(request)
    known = _trained(page)
    run, sent = form.choice("run", known), form.files.get("file")
    if not run or sent is None or not sent.size:
        raise RequestError(422, _("Choose a run and a table of inputs."), code="invalid_value", param="file")
    suffix = suffix_of(sent.name, TABLE_FILES)
    name = secrets.token_hex(8)
    folder = page.workspace.own / "predictions" / name
    folder.mkdir(parents=True)
    inputs = folder / f"inputs{suffix}"
    with inputs.open("wb") as file:
        shutil.copyfileobj(sent.content, file)
    digest = hashlib.sha256(inputs.read_bytes()).hexdigest()[:16]
    page.workspace.record("table predicted", run=known[run].name, predictions=name, table=digest, bytes=sent.size)
    settings = [f"task.source={column}"] if (column := _source_column(inputs, known[run])) else []
    with page.predicting():
        lines = commands.predict(
            known[run], input=str(inputs), output=str(folder / "predictions.csv"), overrides=settings
        )
        if not any(True for _line in lines):
            raise RequestError(422, _("The table has no row."), code="invalid_value", param="file")
    return RedirectResponse(f"/predictions/{name}", 303)


def _source_column(table: Path, run: Path) -> str:
    """The column that holds the inputs: the one that the run was trained on, "source", or the first."""
    columns, rows = first_rows(table, _MOST_ROWS + 1)
    if len(rows) > _MOST_ROWS:
        raise DataError(
            _("more than {most:,} rows are not predicted here", most=_MOST_ROWS),
            do=_("Predict them in a terminal: terakoya predict RUN --input FILE --output predictions.csv"),
        )
    trained = str(summarize_run("", run).settings.get("task.source") or "source")
    return next((name for name in (trained, "source") if name in columns), columns[0] if columns else "")


def show_predictions(request: Request) -> Response:
    """The first predictions of a table, and the file of all of them; `request` names it."""
    columns, rows = first_rows(_predictions(request), _SHOWN)
    return render(request, "predictions.html.j2", name=request.path_params["name"], rows=rows, columns=columns)


def fetch_predictions(request: Request) -> Response:
    """The file of the predictions that `request` names."""
    return FileResponse(_predictions(request), media_type="text/csv", filename="predictions.csv")


def _predictions(request: Request) -> Path:
    folder = page_of(request).workspace.own / "predictions"
    known = {path.parent.name: path for path in folder.glob("*/predictions.csv")}
    if request.path_params["name"] not in known:
        raise HTTPException(404)
    return known[request.path_params["name"]]


ROUTES = [
    Route("/try", show, methods=["GET"]),
    post("/try", predict),
    post("/try/table", predict_table, upload=True),
    Route("/predictions/{name}", show_predictions, methods=["GET"]),
    Route("/predictions/{name}/file", fetch_predictions, methods=["GET"]),
]
