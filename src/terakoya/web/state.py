"""What the views share: the workspace, the trainings, and the thread that predicts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request

from terakoya.annotation.errors import error_substrings
from terakoya.errors import TerakoyaError
from terakoya.i18n import _
from terakoya.serving.errors import RequestError
from terakoya.web.jobs import Jobs
from terakoya.web.progress import LineReader
from terakoya.web.workspace import Workspace

_WAITING = 8  # predictions that wait for the one being made


class Page:
    """The state behind the views.

    workspace  what may be shown
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.jobs = Jobs(workspace)
        self.lines = LineReader()
        self._read: set[Path] = set()  # runs whose exam was read, or is being read
        self._predicting, self._waiting = threading.Lock(), threading.BoundedSemaphore(_WAITING)

    def run(self, request: Request) -> Path:
        """The run folder that the address of `request` names by its id; 404 where there is none."""
        return _found(self.workspace.runs(), request.path_params["run"])

    def table(self, request: Request) -> Path:
        """The table that the address of `request` names by its id; 404 where there is none."""
        return _found(self.workspace.tables(), request.path_params["table"])

    def read_ahead(self, run: Path) -> None:
        """Begin to read the exam of the folder `run`, once: it takes half a second for 10,000 items."""
        if run in self._read or not (run / "scores.json").is_file():
            return
        self._read.add(run)
        threading.Thread(target=self._read_exam, args=(run,), daemon=True).start()

    @staticmethod
    def _read_exam(run: Path) -> None:
        with suppress(TerakoyaError):  # shown where the exam is looked at
            error_substrings(run)

    @contextmanager
    def predicting(self) -> Iterator[None]:
        """One prediction at a time; whoever comes when too many wait is refused with 429."""
        if not self._waiting.acquire(blocking=False):
            raise RequestError(429, _("Too many predictions are waiting; try again in a moment."), code="busy")
        try:
            with self._predicting:
                yield
        finally:
            self._waiting.release()

    def close(self) -> None:
        """End what the page began for itself; trainings go on."""
        self.jobs.close()


def page_of(request: Request) -> Page:
    """The state behind the views.

    request  that one of them handles
    """
    page: Page = request.app.state.page
    return page


def _found(known: dict[str, Path], name: str) -> Path:
    if name not in known:
        raise HTTPException(404)
    return known[name]
