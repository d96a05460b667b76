"""Checks of a minute before a training of hours: what would go wrong, reported before the first step.

    findings = preflight(setup, model, run_folder)       # the gravest first; nothing of the model changes
    text = show_tokens(setup, model)                     # a few rows, the target tokens in brackets

One real forward and backward pass on the longest rows (one_step), every row collated (rows), a few steps timed
(duration), and the settings compared with data, model and machine: schedule, precision, embeddings, resources,
settings, collapse_risk. What the data alone tells, such as the size of the exam, belongs to the audit.
"""

from __future__ import annotations

from pathlib import Path

from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.training.base_scores import base_time_findings
from terakoya.training.preflight.collapse_risk import collapse_findings
from terakoya.training.preflight.duration import duration_findings
from terakoya.training.preflight.embeddings import embedding_findings
from terakoya.training.preflight.one_step import probe_findings, probe_step
from terakoya.training.preflight.precision import precision_findings
from terakoya.training.preflight.resources import headroom_findings, sharding_findings
from terakoya.training.preflight.rows import row_findings
from terakoya.training.preflight.sample import take_sample
from terakoya.training.preflight.schedule import rate_findings, schedule_findings
from terakoya.training.preflight.settings import settings_findings
from terakoya.training.preflight.without_model import config_findings
from terakoya.training.prepare import TrainingSetup

__all__ = ["config_findings", "preflight", "show_tokens"]

_LEVELS = ("stop", "warn", "note")


def preflight(setup: TrainingSetup, model: Model, folder: Path | None = None) -> list[Finding]:
    """What would go wrong, the gravest first.

    setup   task, split and resolved config
    model   the model to be trained; left as it was
    folder  where checkpoints will lie; None: the disk is not checked
    """
    sample = take_sample(setup, model)
    found = [
        *getattr(model, "findings", ()),  # of the opening of a checkpoint
        *row_findings(sample),
        *schedule_findings(setup),
        *settings_findings(setup, model),
        *rate_findings(setup, model.info),
        *embedding_findings(setup, model),
        *collapse_findings(setup, model),
        *sharding_findings(model, setup.config.train),
    ]
    if sample.longest_batch:
        probe = probe_step(sample)
        found += [
            *probe_findings(sample, probe),
            *precision_findings(sample, probe),
            *headroom_findings(sample, probe, folder),
        ]
        if not any(finding.level == "stop" for finding in found):
            found += [*base_time_findings(setup, model), *duration_findings(setup, model)]
    return sorted(found, key=lambda finding: _LEVELS.index(finding.level))


def show_tokens(setup: TrainingSetup, model: Model, rows: int = 4) -> str:
    """A few rows as the model sees them, one a line, 「」 around the tokens that the loss is taken over.

    setup  task, split and resolved config
    model  tokenises them
    rows   how many, of the longest
    """
    return "\n".join(
        "".join(f"「{text}」" if target else text for text, target in model.show_tokens(row))
        for row in take_sample(setup, model).longest_batch[-rows:]
    )
