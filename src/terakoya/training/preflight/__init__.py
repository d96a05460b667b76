"""A minute of looking before a night of training: what would go wrong, told before the first step.

    findings = preflight(lesson, model, run_folder)      # the gravest first; nothing of the model changes
    text = shown_tokens(lesson, model)                   # a few rows, the learnt tokens in brackets

One real forward and backward pass on the longest rows (trial), every row collated (rows), and the settings held
against data, model and machine: schedule, precision, answers, room, settings. What the data alone tells, the size of
the exam for one, is the audit's.
"""

from __future__ import annotations

from pathlib import Path

from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.training.preflight.collapse_risk import collapse_findings
from terakoya.training.preflight.embeddings import table_findings
from terakoya.training.preflight.one_step import attempt, trial_findings
from terakoya.training.preflight.precision import precision_findings
from terakoya.training.preflight.resources import room_findings
from terakoya.training.preflight.rows import row_findings
from terakoya.training.preflight.sample import look_at
from terakoya.training.preflight.schedule import schedule_findings
from terakoya.training.preflight.settings import settings_findings
from terakoya.training.prepare import TrainingSetup

__all__ = ["preflight", "shown_tokens"]

_LEVELS = ("stop", "warn", "note")


def preflight(lesson: TrainingSetup, model: Model, folder: Path | None = None) -> list[Finding]:
    """What would go wrong, the gravest first. `folder` is where checkpoints will lie."""
    look = look_at(lesson, model)
    found = [
        *getattr(model, "findings", ()),  # what was noticed while a checkpoint was opened
        *row_findings(look),
        *schedule_findings(lesson),
        *settings_findings(lesson, model),
        *table_findings(lesson, model),
        *collapse_findings(lesson, model),
    ]
    if look.worst:
        trial = attempt(look)
        found += [*trial_findings(look, trial), *precision_findings(look, trial), *room_findings(look, trial, folder)]
    return sorted(found, key=lambda finding: _LEVELS.index(finding.level))


def shown_tokens(lesson: TrainingSetup, model: Model, rows: int = 4) -> str:
    """A few rows as the model sees them, the learnt tokens in brackets: 「」 around what the loss is taken over."""
    shown = []
    for one in look_at(lesson, model).worst[-rows:]:
        shown.append("".join(f"「{piece}」" if learnt else piece for piece, learnt in model.shown(one)))
    return "\n".join(shown)
