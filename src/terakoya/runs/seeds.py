"""Runs inside a run: the same recipe, trained with further seeds."""

from __future__ import annotations

from pathlib import Path

SEEDS = "seeds"  # folder inside the run, with one for each further seed


def seed_runs(path: Path) -> list[Path]:
    """The runs with further seeds inside a run's folder, in the order of their seeds.

    path  the run folder
    """
    found = [manifest.parent for manifest in sorted(path.glob(f"{SEEDS}/*/*/manifest.json"))]
    newest = {run.parent: run for run in found if run.parent.name.isdecimal()}  # of a seed that was started again
    return [newest[parent] for parent in sorted(newest, key=lambda folder: int(folder.name))]
