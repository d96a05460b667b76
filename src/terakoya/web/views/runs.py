"""Runs: the list, one run while it trains and afterwards, the comparison of several, the record."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from terakoya.errors import LockedError, TerakoyaError
from terakoya.i18n import _
from terakoya.pipeline import commands
from terakoya.pipeline.correct import refresh_record
from terakoya.reporting.page import record_policy
from terakoya.runs.annotations import confirmation_message, read_annotations
from terakoya.serving.errors import RequestError
from terakoya.web.progress import Progress, read_progress
from terakoya.web.rendering import reader_language, render
from terakoya.web.requests import Form, post
from terakoya.web.state import Page, page_of
from terakoya.web.summaries import RunSummary, summarize_run, summarize_runs

# Links of a run: (what is put behind its address, words). A part adds its line here.
RUN_LINKS = (
    ("", _("Overview")), ("/record", _("Record")), ("/errors", _("Errors")), ("/correct", _("Correct")),
    ("/confirm", _("Confirm the exam")), ("/retrain", _("Train again")),
)  # fmt: skip
_MOST_COMPARED = 8
_UNFINISHED = ("interrupted", "failed", "stopped", "refused")


def list_runs(request: Request) -> Response:
    """Every run and every training that came to nothing; `request` needs nothing more."""
    page = page_of(request)
    failed = [
        job
        for job in page.jobs.all()[:50]
        if job.kind == "run" and not page.jobs.is_running(job) and page.jobs.run_of(job) is None
    ]
    reasons = [(job, page.jobs.messages(job)) for job in failed]
    return render(request, "runs.html.j2", runs=summarize_runs(page.workspace.runs()), failed=reasons)


def compare(request: Request) -> Response:
    """The runs that `request` names by their ids, compared on their exam."""
    known = page_of(request).workspace.runs()
    chosen = list(dict.fromkeys(name for name in request.query_params.getlist("run") if name in known))
    if not 2 <= len(chosen) <= _MOST_COMPARED:
        words = _("Choose two runs or more, {most} at most.", most=_MOST_COMPARED)
        raise RequestError(422, words, code="invalid_value", param="run")
    runs = [summarize_run(name, known[name]) for name in chosen]
    try:
        compared, refusal = commands.compare([known[name] for name in chosen]), ""
    except TerakoyaError as error:
        compared, refusal = (), error.message
    lang = reader_language(request)
    sentences = [(one, one.words(lang)) for one in compared]
    return render(request, "compare.html.j2", runs=runs, compared=sentences, refusal=refusal)


def show_run(request: Request) -> Response:
    """One run: its progress while it trains, its result afterwards; `request` names it."""
    page = page_of(request)
    page.read_ahead(page.run(request))
    return _run(request, "run.html.j2")


def show_live(request: Request) -> Response:
    """The part of a run's view that changes while it trains; `request` names the run."""
    return _run(request, "live.html.j2")


def _run(request: Request, template: str) -> Response:
    page = page_of(request)
    folder = page.run(request)
    summary = summarize_run(request.path_params["run"], folder)
    job = page.jobs.of_run(folder)
    return render(
        request,
        template,
        run=summary,
        links=RUN_LINKS,
        progress=_progress(page, summary),
        running=summary.state == "running",
        own=job is not None,
        unfinished=summary.state in _UNFINISHED,
        messages=page.jobs.messages(job) if job is not None and summary.state == "failed" else "",
        words=summary.words.get(reader_language(request), ""),
        exam_words=confirmation_message(read_annotations(folder).confirmation),
        has_record=(folder / "report.html").is_file(),
        has_model=(folder / "model" / "seal.json").is_file(),
    )


def _progress(page: Page, run: RunSummary) -> Progress:
    try:
        resolved = json.loads((run.folder / "manifest.json").read_bytes()).get("resolved") or {}
        total = int(resolved.get("steps") or 0)
    except (OSError, ValueError, TypeError, AttributeError):  # said where the run is read
        total = 0
    return read_progress(page.lines, run.folder, total)


def stop(request: Request, _form: Form) -> Response:
    """Interrupt the training of the run that `request` names; it saves a checkpoint and can go on."""
    page = page_of(request)
    folder = page.run(request)
    job = page.jobs.of_run(folder)
    if job is not None and page.jobs.stop(job):
        page.workspace.record("training stopped", run=folder.name)
    return RedirectResponse(_address(request), 303)


def resume(request: Request, _form: Form) -> Response:
    """Go on with the run that `request` names, from its newest checkpoint."""
    page = page_of(request)
    folder = page.run(request)
    if summarize_run(request.path_params["run"], folder).state in _UNFINISHED:
        words = ["run", str(folder), "--lang", reader_language(request)]
        job = page.jobs.start("resume", words, folder.name, run=str(folder))
        page.workspace.record("training resumed", job=job.id, run=folder.name)
    return RedirectResponse(_address(request), 303)


def _address(request: Request) -> str:
    return f"/runs/{request.path_params['run']}"


def record(request: Request) -> Response:
    """The record of the run that `request` names: its one file, under the policy that it brings itself."""
    folder = page_of(request).run(request)
    path: Path = folder / "report.html"
    with suppress(LockedError):  # another request writes it at this moment: what was there is shown
        refresh_record(folder)
    if not path.is_file() or path.is_symlink():
        raise HTTPException(404)
    return HTMLResponse(path.read_bytes(), headers={"content-security-policy": record_policy()})


ROUTES = [
    Route("/runs", list_runs, methods=["GET"]),
    Route("/compare", compare, methods=["GET"]),
    Route("/runs/{run}", show_run, methods=["GET"]),
    Route("/runs/{run}/live", show_live, methods=["GET"]),
    Route("/runs/{run}/record", record, methods=["GET"]),
    post("/runs/{run}/stop", stop),
    post("/runs/{run}/resume", resume),
]
