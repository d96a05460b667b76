"""Which engine predicts: Terakoya itself, or what `decode.engine` names where that was shown to predict equally."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from terakoya.pipeline.dataset import load_dataset, read_run_config
from terakoya.pipeline.run import chosen_engine
from terakoya.records import Example, Finding
from terakoya.registry import Experiment
from terakoya.runs.progress import Listener, SilentListener
from terakoya.saved_model import Skill


class EngineWarning(UserWarning):
    """The engine that was chosen does not predict."""


def engine_of(listener: Listener) -> Callable[[Skill], tuple[Skill | None, Finding | None]]:
    """A function that returns what predicts for a skill, None for the skill itself, and a finding that says so.

    listener  informed of the finding
    """

    def choose(skill: Skill) -> tuple[Skill | None, Finding | None]:
        chosen, finding = chosen_engine(skill, lambda: _dev_items(skill), listener)
        if finding is not None:
            listener.finding(finding)
        return chosen, finding

    return choose


def with_engine(skill: Skill) -> Skill:
    """What predicts for a `skill`; where that is not the engine of its settings, a warning says why."""
    chosen, finding = chosen_engine(skill, lambda: _dev_items(skill), SilentListener())
    if finding is not None and finding.level == "warn":
        warnings.warn(EngineWarning(finding.what), stacklevel=2)
    return chosen or skill


def _dev_items(skill: Skill) -> Sequence[Example]:
    run = skill.folder.parent
    if not (run / "manifest.json").is_file():
        return ()
    config = read_run_config(run)
    return load_dataset(Experiment(config.name, config, run, own=False)).split.dev
