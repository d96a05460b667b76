"""The weights that a refitted model had before it was trained on dev too, from the last checkpoint of its run.

What dev says of a model's probabilities holds only where dev was not trained on.
"""

from __future__ import annotations

from typing import Any

from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.models.protocol import Model
from terakoya.runs import Run
from terakoya.runs.validation import FINDING
from terakoya.training.refit import CHECK
from terakoya.training.state import TrainState, restore_weights
from terakoya.training.trainer import read_state

_CHOSEN_ON_DEV = ("mixing_weight", "inverse_temperature", "penalties")


def is_refitted(run: Run) -> bool:
    """Whether the model of a run was trained on dev too, after everything was chosen there.

    run  the run folder
    """
    return any(line["check"] == CHECK for line in run.read_lines("findings.jsonl", FINDING))


def restore_before_refit(run: Run, model: Model, refitted: Model) -> None:
    """Give a model the weights that dev chose, and what else was chosen there.

    run       the run folder, with its last checkpoint
    model     prepared for the run's training rows; changed in place
    refitted  the run's final model, which kept what was chosen
    Raises ConfigError where the checkpoint is not there any more.
    """
    found = run.latest_checkpoint()
    state = None if found.path is None else read_state(found.path)
    if state is None or state.step != int((run.manifest.get("training") or {}).get("steps") or 0):
        raise ConfigError(
            _("this model was trained on dev too, and the checkpoint from before is not there any more"),
            where=str(run.path),
            do=_("Train it again with: terakoya run {config}", config=run.path / "config.toml"),
        )
    weights = {name: weight for name, weight in model.module.named_parameters() if weight.requires_grad}
    restore_weights(_chosen_prefix(state), weights, state.tensors)
    model.module.eval()
    chosen: Any = model
    for name in _CHOSEN_ON_DEV:
        if hasattr(refitted, name):
            setattr(chosen, name, getattr(refitted, name))


def _chosen_prefix(state: TrainState) -> str:
    """Where the checkpoint has the weights that were chosen: apart, or among those that predict."""
    if named := state.facts.get("best_is"):
        return str(named)
    for prefix in ("best", "average"):
        if any(name.startswith(f"{prefix}/") for name in state.tensors):
            return prefix
    return "weights"
