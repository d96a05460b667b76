"""`terakoya doctor`: audit and preflight, without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from terakoya import registry
from terakoya.config import Config
from terakoya.errors import DataError, TerakoyaError
from terakoya.i18n import _
from terakoya.pipeline.dataset import audit_dataset, load_dataset, name_files
from terakoya.pipeline.run import RUNS
from terakoya.records import Finding
from terakoya.runs.display import Displayed, Listing


@dataclass(frozen=True)
class DoctorReport(Displayed):
    """Findings of audit and preflight.

    findings  of both, or of audit and config alone where the base cannot be had
    tokens    a batch with the target tokens marked, "" unless requested
    complete  whether the model itself was examined
    """

    findings: tuple[Finding, ...]
    tokens: str = ""
    complete: bool = True

    def table_rows(self) -> list[dict[str, Any]]:
        """One dictionary for each finding."""
        return Listing(self.findings).table_rows()


def doctor(experiment: str | Config, *, overrides: Sequence[str] = (), show_tokens: bool = False) -> DoctorReport:
    """Audit and preflight, without training.

    experiment   what `run` takes
    overrides    KEY=VALUE settings
    show_tokens  True: also show a batch as tokens, those that the loss counts marked
    Where the Hub does not give the base, what data and config alone show is returned, and the absence as a note.
    """
    from terakoya.exporters.possible import export_findings
    from terakoya.generation.permission import teacher_findings
    from terakoya.models.pretrained.hub_download import UnavailableError
    from terakoya.saved_model import Skill
    from terakoya.training import preflight
    from terakoya.training.prepare import prepare_training

    found_experiment = registry.find_experiment(experiment, overrides)
    teachers = teacher_findings(found_experiment.config)
    try:
        dataset = load_dataset(found_experiment)
    except DataError as error:
        if not teachers:
            raise
        unread = Finding("rows", "stop", error.what, where=error.where, do=error.do)
        return DoctorReport((*teachers, unread), complete=False)
    maker = registry.find_model_maker(dataset.config.model.base, dataset.folder)
    audited = [*audit_dataset(dataset), *teachers]
    stopped = any(finding.level == "stop" for finding in audited)
    try:
        setup, model, max_tokens = prepare_training(dataset.task, dataset.split, dataset.config, maker)
    except UnavailableError as error:
        by_config = preflight.config_findings(dataset.task, dataset.split, dataset.config)
        return DoctorReport((*audited, *by_config, _absence(error)), complete=False)
    except DataError as error:
        if not stopped:
            raise
        unread = Finding("rows", "stop", error.what, where=error.where, do=error.do)
        return DoctorReport((*audited, unread), complete=False)
    exports = export_findings(Skill(model, setup.task, setup.config, max_tokens, RUNS))
    found = (*audited, *name_files(preflight.preflight(setup, model, RUNS), dataset), *exports)
    return DoctorReport(found, preflight.show_tokens(setup, model) if show_tokens else "")


def _absence(error: TerakoyaError) -> Finding:
    what = _("the model itself was not examined: {reason}", reason=error.what)
    return Finding("checkpoint", "note", what, where=error.where, do=error.do)
