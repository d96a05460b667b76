"""Errors, Correct, Confirm, Train again: what a person says about rows, and what a training with it comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from terakoya.annotation import exam
from terakoya.annotation.corrections import ACTIONS, Action, Corrections
from terakoya.annotation.errors import ORDERS, error_page, error_substrings
from terakoya.annotation.exam_rows import ExamRow, find_row, read_exam_rows
from terakoya.annotation.log import Entry
from terakoya.i18n import _
from terakoya.pipeline.correct import correct, correction_log, read_run_corrections
from terakoya.pipeline.retrain import read_retrained
from terakoya.runs.annotations import confirmation_message, marked_message, read_annotations
from terakoya.runs.in_use import put_in_use, run_in_use
from terakoya.scoring.error_analysis.alignment import Segment, alignment
from terakoya.serving.errors import RequestError
from terakoya.web.rendering import reader_language, render
from terakoya.web.requests import Form, post
from terakoya.web.state import page_of
from terakoya.web.summaries import summarize_run
from terakoya.web.views.runs import RUN_LINKS
from terakoya.web.workspace import opaque_id

NAME_COOKIE = "terakoya_name"
_ORDERS = {"exam": _("as in the exam"), "confident": _("most confident first"), "doubtful": _("least confident first")}
_SHOWN_CORRECTIONS = 200


@dataclass(frozen=True)
class ShownRow:
    """One exam item for a template: `segments` are its differing and equal stretches, `decision` what was said."""

    item: ExamRow
    segments: tuple[Segment, ...]
    marked: bool = False
    decision: str = ""


def _render(request: Request, template: str, **values: Any) -> Response:
    run = summarize_run(request.path_params["run"], page_of(request).run(request))
    return render(request, template, run=run, links=RUN_LINKS, who=_name(request), **values)


def _name(request: Request) -> str:
    return unquote(request.cookies.get(NAME_COOKIE, ""))[:80]


def _address(request: Request, behind: str, **query: str) -> str:
    known = urlencode({name: value for name, value in query.items() if value})
    return f"/runs/{request.path_params['run']}/{behind}{'?' if known else ''}{known}"


@lru_cache(maxsize=2048)
def _segments(prediction: str, target: str) -> tuple[Segment, ...]:
    return alignment(prediction, target)


def _shown(item: ExamRow, *, marked: bool = False, decision: str = "") -> ShownRow:
    prediction = item.prediction if item.prediction is not None else item.raw
    return ShownRow(item, _segments(prediction, item.row.target), marked, decision)


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────


def show_errors(request: Request) -> Response:
    """The wrong predictions of the run that `request` names, filtered and sorted as its query says."""
    folder, query = page_of(request).run(request), request.query_params
    rows = read_exam_rows(folder)
    order = next((name for name in ORDERS if name == query.get("order")), ORDERS[0])
    number = query.get("page", "1")
    chosen = {"kind": query.get("kind", ""), "contains": query.get("contains", "")[:200]}
    page = int(number[:6]) if number.isascii() and number.isdecimal() else 1
    found = error_page(rows, kind=chosen["kind"], contains=chosen["contains"], order=order, page=page)
    marked, said = exam.marked_rows(folder), read_annotations(folder).marked
    return _render(
        request,
        "errors.html.j2",
        rows=[_shown(row, marked=row.row.fingerprint in marked) for row in found.rows],
        found=found,
        chosen={**chosen, "order": order},
        orders=_ORDERS,
        substrings=error_substrings(folder),
        both_ways=marked_message(said) if said else "",
        link=lambda **changed: _address(request, "errors", **{**chosen, "order": order, **changed}),
    )


def mark(request: Request, form: Form) -> Response:
    """Mark the row of the `form` of `request` as right after all, or take the mark back."""
    page = page_of(request)
    folder, row = page.run(request), form.text("row")
    on = form.choice("mark", ("on", "off"), "on") == "on"
    if on:
        exam.mark_wrong_target(folder, row, who=_name(request))
    else:
        find_row(read_exam_rows(folder), row)
        exam.unmark(folder, row)
    page.workspace.record("row marked as right after all" if on else "mark taken back", run=folder.name, row=row)
    back = {name: form.text(name) for name in ("kind", "contains", "order", "page")}
    return RedirectResponse(f"{_address(request, 'errors', **back)}#row-{row}", 303)


# ── correct ─────────────────────────────────────────────────────────────────────────────────────────


def show_correct(request: Request) -> Response:
    """One wrong row of the run that `request` names: the one its query names, else the next undecided one."""
    folder = page_of(request).run(request)
    rows, corrections = read_exam_rows(folder), read_run_corrections(folder)
    queue = _undecided(rows, corrections)
    wanted, after = request.query_params.get("row", ""), request.query_params.get("after", "")
    row = find_row(rows, wanted) if wanted else _next(queue, after)
    following = _next(queue, row.row.fingerprint) if row else None
    return _render(
        request,
        "correct.html.j2",
        row=_shown(row, decision=_decision(row, corrections)) if row else None,
        following=following.row.fingerprint if following and following is not row else "",
        left=len(queue),
        changed=corrections.changed,
        conflicts=corrections.conflicts,
    )


def _undecided(rows: Sequence[ExamRow], corrections: Corrections) -> list[ExamRow]:
    """Wrong rows about which nothing was said, the most confident prediction first: there a target is wrong most often
    (confident learning, Northcutt et al. 2021)."""
    disputed = {(one.source, one.given) for one in corrections.conflicts}
    wrong = [
        row
        for row in rows
        if row.score < 1
        and (row.row.source_fingerprint, row.row.target) not in corrections.decisions
        and (row.row.source, row.row.target) not in disputed
    ]
    return sorted(wrong, key=lambda row: (row.probability is None, -(row.probability or 0.0)))


def _next(queue: Sequence[ExamRow], after: str) -> ExamRow | None:
    """The row behind the one with the fingerprint `after`, going round; the first where that has been decided."""
    at = next((number for number, row in enumerate(queue) if row.row.fingerprint == after), -1)
    return queue[(at + 1) % len(queue)] if queue else None


def _decision(row: ExamRow, corrections: Corrections) -> str:
    found = corrections.decisions.get((row.row.source_fingerprint, row.row.target))
    if found is None:
        return ""
    if not found.changes:
        return _("Decided: the given target is right.")
    targets = " / ".join((found.target, *found.accepted))
    return _("Decided: {targets}", targets=targets)


def save_correction(request: Request, form: Form) -> Response:
    """Log what the `form` of `request` says about a row, then show the next one."""
    page = page_of(request)
    folder, row = page.run(request), form.text("row")
    action: Action | None = next((name for name in ACTIONS if name == form.text("action")), None)
    if action is None:
        raise RequestError(422, _("This is none of the choices offered."), code="invalid_value", param="action")
    queue = _undecided(read_exam_rows(folder), read_run_corrections(folder))
    following = _next(queue, row)
    correct(folder, row, action, form.text("text") if action == "edit" else "", who=_name(request))
    page.workspace.record("row corrected", run=folder.name, row=row, action=action)
    after = following.row.fingerprint if following and following.row.fingerprint != row else ""
    return RedirectResponse(_address(request, "correct", row=after), 303)


def undo_correction(request: Request, _form: Form) -> Response:
    """Take back the reader's last correction of the table of the run that `request` names, and show its row again."""
    folder = page_of(request).run(request)
    entry = correction_log(folder).undo(who=_name(request))
    page_of(request).workspace.record("correction taken back", run=folder.name, row=entry.row)
    return RedirectResponse(_address(request, "correct", row=_known(folder, entry)), 303)


def _known(folder: Path, entry: Entry) -> str:
    """The row of an entry where this exam has it: the log is that of the table, which other runs share."""
    return entry.row if any(row.row.fingerprint == entry.row for row in read_exam_rows(folder)) else ""


# ── confirm the exam ────────────────────────────────────────────────────────────────────────────────


def show_confirm(request: Request) -> Response:
    """The next row of the sample of the run that `request` names, without the model's prediction: it would lead."""
    folder = page_of(request).run(request)
    judged = exam.judgements(folder)
    sample = exam.sample_of(folder)
    left = [row for row in sample if row.row.fingerprint not in judged]
    wanted = request.query_params.get("row", "")
    row = next((one for one in sample if one.row.fingerprint == wanted), left[0] if left else None)
    said = confirmation_message(read_annotations(folder).confirmation)
    return _render(
        request, "confirm.html.j2", row=row, done=len(sample) - len(left), size=len(sample), said=said, any=bool(judged)
    )


def save_judgement(request: Request, form: Form) -> Response:
    """Log the judgement of the `form` of `request` on a row of the sample, then show the next one."""
    page = page_of(request)
    folder, row = page.run(request), form.text("row")
    said = next((word for word in exam.JUDGEMENTS if word == form.text("judgement")), exam.JUDGEMENTS[-1])
    exam.judge(folder, row, said, form.text("right_target"), who=_name(request))
    page.workspace.record("exam row judged", run=folder.name, row=row, judgement=said)
    return RedirectResponse(_address(request, "confirm"), 303)


def undo_judgement(request: Request, _form: Form) -> Response:
    """Take back the reader's last judgement on the exam of the run that `request` names, and show its row again."""
    folder = page_of(request).run(request)
    entry = exam.judgements_log(folder).undo(who=_name(request))
    exam.update_annotations(folder)
    page_of(request).workspace.record("judgement taken back", run=folder.name, row=entry.row)
    return RedirectResponse(_address(request, "confirm", row=entry.row), 303)


# ── train again ─────────────────────────────────────────────────────────────────────────────────────


def show_retrain(request: Request) -> Response:
    """What was corrected in the table of the run that `request` names, and whether a training with it was better."""
    page = page_of(request)
    folder, lang = page.run(request), reader_language(request)
    corrections, job = read_run_corrections(folder), page.jobs.of_run(folder)
    comparing = job is not None and job.arguments[:1] == ("retrain",) and page.jobs.is_running(job)
    verdict = {} if comparing else read_retrained(folder)
    before = opaque_id("run", str(Path(verdict["before"]).resolve())) if verdict else ""
    return _render(
        request,
        "retrain.html.j2",
        words=str((verdict.get("words") or {}).get(lang, "")),
        before=before if before in page.workspace.runs() else "",
        comparing=comparing,
        decisions=[one for one in corrections.decisions.values() if one.changes][:_SHOWN_CORRECTIONS],
        changed=corrections.changed,
        conflicts=corrections.conflicts,
        in_use=run_in_use(folder).name,
    )


def start_retraining(request: Request, _form: Form) -> Response:
    """Train again with the corrections of the table of the run that `request` names, in a process of its own."""
    page = page_of(request)
    folder = page.run(request)
    run = summarize_run(request.path_params["run"], folder)
    if not page.jobs.has_capacity():
        raise RequestError(429, _("Too many trainings are running; wait for one to end."), code="busy")
    words = ["retrain", str(folder), "--lang", reader_language(request)]
    job = page.jobs.start("run", words, run.name)
    page.workspace.record("training with corrections started", job=job.id, run=folder.name)
    return RedirectResponse(f"/jobs/{job.id}", 303)


def use(request: Request, _form: Form) -> Response:
    """Put the run that `request` names in use of its experiment."""
    folder = page_of(request).run(request)
    put_in_use(folder)
    page_of(request).workspace.record("run put in use", run=folder.name)
    return RedirectResponse(_address(request, "retrain"), 303)


def save_name(request: Request, form: Form) -> Response:
    """Remember the name of the `form` of `request`: it stands beside whatever this reader says."""
    behind = form.choice("back", ("errors", "correct", "confirm"), "correct")
    page_of(request).run(request)
    response = RedirectResponse(_address(request, behind), 303)
    response.set_cookie(NAME_COOKIE, quote(form.text("name", longest=80).strip()), httponly=True, samesite="strict")
    return response


_READ: tuple[tuple[str, Callable[[Request], Response]], ...] = (
    ("errors", show_errors), ("correct", show_correct), ("confirm", show_confirm), ("retrain", show_retrain),
)  # fmt: skip
_SAID: tuple[tuple[str, Callable[[Request, Form], Response]], ...] = (
    ("errors", mark), ("correct", save_correction), ("correct/undo", undo_correction), ("confirm", save_judgement),
    ("confirm/undo", undo_judgement), ("retrain", start_retraining), ("use", use), ("name", save_name),
)  # fmt: skip
ROUTES = [
    *(Route(f"/runs/{{run}}/{behind}", view, methods=["GET"]) for behind, view in _READ),
    *(post(f"/runs/{{run}}/{behind}", view) for behind, view in _SAID),
]
