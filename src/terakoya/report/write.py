"""The record writes itself: report.md and report.html, from a run's folder alone."""

from __future__ import annotations

from pathlib import Path

from terakoya import report
from terakoya.runs import Run, runs_in, write_text


def write_record(path: Path, lang: str = "", run: Run | None = None) -> list[Path]:
    """Both pages of a run, in the language asked for (else the locale's). `run` is given where its lock is held."""
    record = report.read_record(path)
    spoken = report.language(lang)
    pages = {"report.md": report.markdown(record, spoken), "report.html": report.html(record, spoken)}
    if run is not None:
        return [run.write_text(name, text) for name, text in pages.items()]
    with Run.resume(path) as opened:
        return [opened.write_text(name, text) for name, text in pages.items()]


def write_index(parent: Path, lang: str = "") -> list[Path]:
    """An index page of all runs in a folder."""
    records = [report.read_record(run) for run in runs_in(parent)]
    page = parent / "index.html"
    write_text(page, report.index_page(records, report.language(lang)))
    return [page]
