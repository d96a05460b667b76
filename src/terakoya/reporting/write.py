"""report.md and report.html, written from a run's folder alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from terakoya import reporting
from terakoya.errors import CorruptError
from terakoya.i18n import _
from terakoya.runs import Run, runs_in, write_text
from terakoya.runs.sealing import SEAL


def write_record(path: Path, lang: str = "", run: Run | None = None) -> list[Path]:
    """Write both reports of a run.

    path  the run folder
    lang  "en" or "ja", "" for the locale's
    run   the open run where the caller holds its lock; None locks it here
    Returns the files written.
    """
    with _values_shown(path):
        record = reporting.read_record(path)
        spoken = reporting.language(lang)
        reports = {"report.md": reporting.markdown(record, spoken), "report.html": reporting.html(record, spoken)}
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
    folders = runs_in(parent)
    with _values_shown(parent, *folders):
        text = reporting.index_page([reporting.read_record(run) for run in folders], reporting.language(lang))
    page = parent / "index.html"
    write_text(page, text)
    return [page]


@contextmanager
def _values_shown(place: Path, *runs: Path) -> Iterator[None]:
    """A value that cannot be shown is damage where no seal says that the files are as a run wrote them, else our
    error.
    """
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        if all((run / SEAL).is_file() for run in (runs or (place,))):
            raise
        raise CorruptError(
            _("a value in the files of a run is of the wrong kind ({error})", error=error), where=str(place)
        ) from error
