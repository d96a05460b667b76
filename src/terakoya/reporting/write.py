"""report.md and report.html, written from a run's folder alone."""

from __future__ import annotations

from pathlib import Path

from terakoya import report
from terakoya.runs import Run, runs_in, write_text


def write_record(path: Path, lang: str = "", run: Run | None = None) -> list[Path]:
    """Write both reports of a run.

    path  the run folder
    lang  "en" or "ja", "" for the locale's
    run   the open run where the caller holds its lock; None locks it here
    Returns the files written.
    """
    record = report.read_record(path)
    spoken = report.language(lang)
    reports = {"report.md": report.markdown(record, spoken), "report.html": report.html(record, spoken)}
    if run is not None:
        return [run.write_text(name, text) for name, text in reports.items()]
    with Run.resume(path) as opened:
        return [opened.write_text(name, text) for name, text in reports.items()]


def write_index(parent: Path, lang: str = "") -> list[Path]:
    """Write an index page of all runs in a folder.

    parent  the folder
    lang    "en" or "ja", "" for the locale's
    Returns the files written.
    """
    records = [report.read_record(run) for run in runs_in(parent)]
    page = parent / "index.html"
    write_text(page, report.index_page(records, report.language(lang)))
    return [page]
