"""One recipe trained with several seeds: runs inside the run's folder, whose exam is opened with its own, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya.config import Config
from terakoya.records import subset_of
from terakoya.runs import Run

if TYPE_CHECKING:
    from terakoya.training.prepare import TrainingSetup


def other_seeds(config: Config) -> Iterator[tuple[int, Config]]:
    """Every further seed that `train.seeds` wants, with the config of its run.

    config  of the run, which is trained with the first seed itself
    """
    for seed in range(config.seed + 1, config.seed + config.train.seeds):
        train = config.train.model_copy(update={"seeds": 1})
        yield seed, config.model_copy(update={"seed": seed, "train": train})


def take_exam_with_seed(path: Path, setup: TrainingSetup) -> list[float]:
    """The exam of one further seed: predictions and scores go into its folder.

    path   of its run
    setup  of the run that it belongs to, whose exam it is
    Returns the scores of the main subset's items under the deciding metric, in the exam's order.
    """
    from terakoya.evaluation.exam import examine, resumable_predictor, write_exam
    from terakoya.saved_model import read_skill

    if Run.open(path).state != "done":
        skill = read_skill(path, task=setup.task)
        with Run.resume(path) as run:
            result = examine(
                skill.model,
                setup.task,
                skill.config,
                setup.split.exam,
                max_tokens=skill.max_tokens,
                resumable=resumable_predictor(run, skill, setup.split.exam),
                confidence=skill.confidence,
            )
            write_exam(run, result, setup.task, skill.config)
            run.finish("done")
    lines = Run.open(path).read_lines("predictions.jsonl")
    return [float(line["verdict"]) for line in lines if not subset_of(line)]
