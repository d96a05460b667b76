"""Start: a table is chosen, looked at, checked, and trained on."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from terakoya.errors import ConfigError
from terakoya.i18n import _, gathered
from terakoya.pipeline import commands
from terakoya.pipeline.scaffold.table_profile import TableProfile
from terakoya.pipeline.table_preview import MOST_LINES, TABLE_FILES, file_named, preview_table, rows_at
from terakoya.runs import safe_name
from terakoya.serving.errors import RequestError
from terakoya.web.jobs import Job
from terakoya.web.rendering import reader_language, render
from terakoya.web.requests import Form, post, suffix_of
from terakoya.web.state import Page, page_of
from terakoya.web.workspace import opaque_id

CODECS = {"text": _("text"), "number": _("a number"), "quantity": _("a quantity with its unit"), "labels": _("labels")}
_MINUTES = ("", "1", "5", "15", "60", "240")
_ORDER = ("stop", "warn", "note")


@dataclass(frozen=True)
class Choices:
    """What is trained: all of it proposed from the table, and changed only to what was offered.

    source, target, codec  of the table
    base                   id of the model to start from
    minutes                limit of the training, "" none
    anyway                 whether to continue despite findings of level stop
    """

    source: str
    target: str
    codec: str
    base: str
    minutes: str = ""
    anyway: bool = False


def start(request: Request) -> Response:
    """The first view: which table? `request` needs nothing more."""
    workspace = page_of(request).workspace
    removed = workspace.removed_uploads()[:1]
    return render(request, "start.html.j2", tables=workspace.tables(), removed=removed, suffixes=",".join(TABLE_FILES))


def upload(request: Request, form: Form) -> Response:
    """Keep the table that the `form` of `request` brings, under a name of our own making, and show it."""
    page, sent = page_of(request), form.files.get("file")
    if sent is None or not sent.size:
        raise RequestError(422, _("There is no file in the form, or it is empty."), code="invalid_value", param="file")
    suffix = suffix_of(sent.name, TABLE_FILES)
    digest = _digest(sent.content)
    folder = page.workspace.own / "tables" / digest
    stem = re.sub(r"[^\w-]+", "-", sent.name.replace("\\", "/").rpartition("/")[2][: -len(suffix)]).strip("-")[:40]
    table = folder / f"{safe_name(stem or 'table')}{suffix}"
    if not table.is_file():
        page.workspace.record("table uploaded", table=f"{digest}/{table.name}", bytes=sent.size)
        folder.mkdir(parents=True, exist_ok=True)
        sent.content.seek(0)
        partial = folder / ".partial"
        with partial.open("wb") as file:
            shutil.copyfileobj(sent.content, file)
        partial.replace(table)
    return RedirectResponse(f"/tables/{opaque_id('table', str(table.resolve()))}", 303)


def remove(request: Request, _form: Form) -> Response:
    """Take the uploaded table that `request` names out of the list; it can be brought back."""
    page = page_of(request)
    if not page.workspace.remove_upload(page.table(request)):
        words = _("This table was not uploaded here: remove its file where it lies.")
        raise RequestError(422, words, code="invalid_value", param="table")
    return RedirectResponse("/", 303)


def bring_back(request: Request, _form: Form) -> Response:
    """Undo the last removal of a table; `request` needs nothing more."""
    page_of(request).workspace.bring_back()
    return RedirectResponse("/", 303)


def _digest(content: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := content.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()[:16]


def show_table(request: Request) -> Response:
    """What the table that `request` names holds, and what would be trained on it."""
    page = page_of(request)
    path = page.table(request)
    wanted = {name: request.query_params.get(name, "") for name in ("source", "target", "codec")}
    preview = preview_table(path, _offered(path, wanted))
    return render(
        request,
        "table.html.j2",
        table=request.path_params["table"],
        name=path.name,
        preview=preview,
        profile=preview.profile,
        codecs=CODECS,
        bases=page.workspace.base_choices(),
        base=_proposed_base(page, preview.profile),
        minutes=_MINUTES,
        uploaded=path.parent.parent == (page.workspace.own / "tables").resolve(),
    )


def _offered(path: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """What of `wanted` the table offers: columns by name, and one of the codecs."""
    columns = preview_table(path, {}).profile.columns if any(wanted.values()) else ()
    offered = {"source": columns, "target": columns, "codec": tuple(CODECS)}
    return {name: value for name, value in wanted.items() if value and value in offered[name]}


def _proposed_base(page: Page, profile: TableProfile) -> str:
    named = [opaque_id("base", name) for name in page.workspace.bases]
    return named[0] if named else "tiny" if profile.rows < 2000 else "small"


def show_rows(request: Request) -> Response:
    """The rows of a table at the lines that `request` names."""
    page = page_of(request)
    path = page.table(request)
    preview = preview_table(path, {})
    rows = rows_at(path, _lines(request), preview.profile.encoding)
    return render(
        request, "rows.html.j2", table=request.path_params["table"], name=path.name, rows=rows,
        columns=preview.profile.columns,
    )  # fmt: skip


def _choices(page: Page, path: Path, form: Form) -> Choices:
    profile = preview_table(path, {}).profile
    columns = profile.columns
    return Choices(
        form.choice("source", columns, profile.source),
        form.choice("target", columns, profile.target),
        form.choice("codec", CODECS, profile.codec),
        form.choice("base", page.workspace.base_choices(), _proposed_base(page, profile)),
        form.choice("minutes", _MINUTES),
        bool(form.choice("anyway", ("yes",))),
    )


def _config(page: Page, path: Path, chosen: Choices) -> Path:
    """The config for a table and these choices, written as `terakoya new` writes it, once."""
    if chosen.source == chosen.target:
        raise ConfigError(_("source and target are the same column"), do=_("Choose two different columns."))
    source, target, codec = chosen.source, chosen.target, chosen.codec
    status = path.stat()
    key = opaque_id("config", json.dumps([str(path), status.st_mtime_ns, status.st_size, source, target, codec]))
    folder = page.workspace.own / "tasks" / key / safe_name(path.stem)
    config = folder / f"{safe_name(folder.name)}.toml"
    if not config.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        config = commands.new(str(folder), data=path, source=source, target=target, codec=codec)[0]
    return config


def _settings(page: Page, chosen: Choices) -> list[str]:
    base = page.workspace.base_choices()[chosen.base]
    settings = [f"model.base={base}", *([f"train.minutes={chosen.minutes}"] if chosen.minutes else [])]
    return [word for setting in (*settings, *page.workspace.overrides) for word in ("--set", setting)]


def train(request: Request, form: Form) -> Response:
    """Start a training with what the `form` of `request` chose among what was offered."""
    page = page_of(request)
    path = page.table(request)
    chosen = _choices(page, path, form)
    config = _config(page, path, chosen)
    if not page.jobs.has_capacity():
        raise RequestError(429, _("Other trainings are going on; wait until one has ended."), code="busy")
    words = ["run", str(config), "--run-dir", str(page.workspace.run_dir), "--lang", reader_language(request)]
    words += [*_settings(page, chosen), *(["--anyway"] if chosen.anyway else [])]
    page.jobs.end_checks(request.path_params["table"])
    job = page.jobs.start("run", words, config.stem, table=request.path_params["table"])
    page.workspace.record("training started", job=job.id, table=str(path), arguments=words)
    return RedirectResponse(f"/jobs/{job.id}", 303)


def check(request: Request, form: Form) -> Response:
    """Audit and preflight of what the `form` of `request` chose, in a process; the same choices are checked once."""
    page = page_of(request)
    path = page.table(request)
    chosen = _choices(page, path, form)
    words = ["doctor", str(_config(page, path, chosen)), "--json", *_settings(page, chosen)]
    known = next((job for job in page.jobs.all() if job.kind == "check" and list(job.arguments) == words), None)
    job = known or page.jobs.start("check", words, "check", table=request.path_params["table"])
    return _checked(request, page, job)


def show_check(request: Request) -> Response:
    """What the check that `request` names has found so far."""
    page = page_of(request)
    job = page.jobs.find(request.path_params["job"])
    if job is None or job.kind != "check":
        raise HTTPException(404)
    return _checked(request, page, job)


def _checked(request: Request, page: Page, job: Job) -> Response:
    running = page.jobs.is_running(job)
    found: list[dict[str, Any]] = []
    fault = ""
    if not running:
        try:
            found = [gathered(line) for line in json.loads(page.jobs.output(job))["findings"]]
        except (ValueError, LookupError, TypeError):
            fault = page.jobs.messages(job) or _("The check ended without a result.")
    found.sort(key=lambda finding: _ORDER.index(finding["level"]))
    files = _files_of(found)
    for finding in found:
        finding["links"] = _row_links(finding, job, files)
    measured = {finding["check"]: finding.get("values") or {} for finding in found}
    return render(
        request, "check.html.j2", job=job, running=running, found=found, fault=fault,
        seconds=measured.get("duration", {}).get("seconds"),
        smallest=measured.get("exam-size", {}).get("detectable"),
    )  # fmt: skip


def _files_of(found: list[dict[str, Any]]) -> list[str]:
    """The files of all findings' rows, where a table consists of several: in the address, each is known by number."""
    return sorted({file for finding in found for file in finding.get("files") or ()})


def _row_links(finding: Mapping[str, Any], job: Job, files: list[str]) -> list[tuple[str, int, str]]:
    """(file, number of rows, address) for the rows of a finding, by file; the file is "" where the table is one."""
    rows: list[int] = finding.get("rows") or []
    named = finding.get("files") or ()
    if not named:
        return [("", len(rows), _lines_address(f"/tables/{job.table}/rows", rows))] if rows else []
    by_file: dict[str, list[int]] = {}
    for file, row in zip(named, rows, strict=True):
        by_file.setdefault(file, []).append(row)
    return [
        (file, len(lines), _lines_address(f"/checks/{job.id}/rows", lines, file=files.index(file)))
        for file, lines in by_file.items()
    ]


def _lines_address(place: str, rows: list[int], **more: int) -> str:
    return f"{place}?{urlencode([*more.items(), *(('line', row) for row in rows[:MOST_LINES])])}"


def show_found_rows(request: Request) -> Response:
    """Rows of one file of a table that consists of several, which `request` names by the check that found them."""
    page = page_of(request)
    job = page.jobs.find(request.path_params["job"])
    if job is None or job.kind != "check" or page.jobs.is_running(job):
        raise HTTPException(404)
    try:
        # Only what a check of ours has found can be looked at: the address holds a number, and no path.
        name = _files_of(json.loads(page.jobs.output(job))["findings"])[_number(request.query_params.get("file", ""))]
    except (ValueError, LookupError, TypeError):
        raise HTTPException(404) from None
    path = file_named(name, Path(job.arguments[1]).parent)
    profile = preview_table(path, {}).profile
    rows = rows_at(path, _lines(request), profile.encoding)
    return render(request, "rows.html.j2", table=job.table, name=name, rows=rows, columns=profile.columns)


def _number(text: str) -> int:
    """The number that `text` writes; raises ValueError for everything else."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise ValueError(text)


def _lines(request: Request) -> set[int]:
    given = request.query_params.getlist("line")
    return {int(line) for line in given if line.isascii() and line.isdigit() and len(line) < 10}


def show_job(request: Request) -> Response:
    """A training that has no run folder yet, or the run that it has become; `request` names the job."""
    page = page_of(request)
    job = page.jobs.find(request.path_params["job"])
    if job is None or job.kind == "check":
        raise HTTPException(404)
    run = page.jobs.run_of(job)
    if run is not None:
        address = f"/runs/{opaque_id('run', str(run.resolve()))}"
        if "hx-request" in request.headers:
            return Response(headers={"HX-Redirect": address})
        return RedirectResponse(address, 303)
    running = page.jobs.is_running(job)
    words = "" if running else page.jobs.messages(job) or page.jobs.output(job)
    return render(request, "job.html.j2", job=job, running=running, words=words)


ROUTES = [
    Route("/", start, methods=["GET"]),
    post("/tables", upload, upload=True),
    Route("/tables/{table}", show_table, methods=["GET"]),
    Route("/tables/{table}/rows", show_rows, methods=["GET"]),
    post("/tables/{table}/check", check),
    post("/tables/{table}/remove", remove),
    post("/removed/back", bring_back),
    post("/tables/{table}/train", train),
    Route("/checks/{job}", show_check, methods=["GET"]),
    Route("/checks/{job}/rows", show_found_rows, methods=["GET"]),
    Route("/jobs/{job}", show_job, methods=["GET"]),
]
