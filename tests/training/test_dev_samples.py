"""A few dev rows with their predictions are kept at every evaluation, for whoever watches a training."""

from __future__ import annotations

from pathlib import Path

from terakoya.runs import Run
from terakoya.training.trainer import SAMPLES, truncate_step_log


def test_samples_beyond_a_checkpoint_are_dropped_with_the_steps(tmp_path: Path) -> None:
    """These steps are done again, and must not stand there twice."""
    with Run.create(tmp_path, "samples") as run:
        for step in (1, 2, 3):
            run.append("steps.jsonl", {"step": step})
            run.append(SAMPLES, {"step": step, "rows": []})
        truncate_step_log(run, 2)
        assert [line["step"] for line in run.read_lines(SAMPLES)] == [1, 2]
        assert [line["step"] for line in run.read_lines("steps.jsonl")] == [1, 2]
