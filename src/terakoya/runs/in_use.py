"""Which run of an experiment is in use: a small pointer file beside the runs, changed only when somebody says so."""

from __future__ import annotations

from pathlib import Path

from terakoya.errors import CorruptError
from terakoya.i18n import _
from terakoya.runs.disk import read_json, write_json
from terakoya.runs.folder import Run

IN_USE = "in-use.json"


def read_in_use(parent: Path) -> dict[str, str]:
    """Name of each experiment → name of its run that is in use.

    parent  the folder of the runs
    Raises CorruptError where the file does not hold names.
    """
    path = parent / IN_USE
    if not path.is_file():
        return {}
    found = read_json(path)
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise CorruptError(
            _("this file is incomplete or was edited by hand"),
            where=str(path),
            do=_("Delete it, and say again which run is in use."),
        )
    return found


def run_in_use(run: Path) -> Path:
    """The run in use of the experiment that a run belongs to; the run itself where nothing was said.

    run  a run folder
    """
    name = read_in_use(run.parent).get(_experiment(run), run.name)
    return run.parent / name if (run.parent / name).is_dir() else run


def put_in_use(run: Path) -> None:
    """Say that this run is the one in use of its experiment.

    run  the run folder
    """
    write_json(run.parent / IN_USE, read_in_use(run.parent) | {_experiment(run): run.name})


def _experiment(run: Path) -> str:
    return str(Run.open(run).manifest.get("name") or run.name)
