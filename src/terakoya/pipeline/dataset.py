"""What a run rests on: the task with its examples, parted; what the audit says of them; what is remembered of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya import registry
from terakoya.codec import Codec
from terakoya.config import Config, make_config, with_overrides
from terakoya.data.split import split as part
from terakoya.data.statistics import dataset_statistics
from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.records import Finding, Split, set_fingerprint
from terakoya.registry import Experiment
from terakoya.runs import Run
from terakoya.task import Task

if TYPE_CHECKING:
    from terakoya.data.audit import Tokenizer


@dataclass(frozen=True)
class Dataset:
    """An experiment with its examples parted. The config's paths are relative to `folder`."""

    config: Config
    folder: Path
    task: Task
    split: Split


def load_dataset(experiment: Experiment) -> Dataset:
    """The task with its examples, parted as the task itself or the config says."""
    task = registry.find_task(experiment.config, experiment.folder)
    parted = task.split or part(task.examples, experiment.config.split, always_taught=task.always_taught)
    return Dataset(experiment.config, experiment.folder, task, parted)


def audited(plan: Dataset, tokenizer: Tokenizer | None = None) -> list[Finding]:
    """What the audit of data and split has to say, and the task's own checks."""
    from terakoya.data import audit

    own = [finding for check in plan.task.checks for finding in check(plan.split)]
    return [*audit.audit(plan.task, _with_recall(plan.task, plan.split), tokenizer), *own]


def _with_recall(task: Task, split: Split) -> Split:
    """The split with every exam item that is taught on purpose marked as recall: standing in train, it is no leak."""
    return replace(split, exam=tuple(replace(it, part="recall") if task.is_recall(it) else it for it in split.exam))


def reader(plan: Dataset) -> Tokenizer | None:
    """The tokenizer of a pretrained base. A run leaves this to its preflight, which has the whole model at hand."""
    maker = registry.find_reader(plan.config.model.base)
    if maker is None:
        return None
    codec = plan.task.codec
    written = {_written(codec, example.target) for example in plan.split.train} - {""}
    found: Tokenizer = maker(plan.config.model, written, getattr(codec, "labels", ()), plan.task.instruction)
    return found


def _written(codec: Codec, target: str) -> str:
    """The target as its codec writes it; "" where it cannot, which is the audit's own finding."""
    try:
        return codec.write(target)
    except DataError:
        return ""


def config_for_table(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The smallest config there is: this table, and what is set besides."""
    return with_overrides(make_config({"name": path.stem, "task": {"data": path.name}}), overrides)


def remember(opened: Run, plan: Dataset) -> None:
    """What the run rests on. A run that goes on must find the same data."""
    data = set_fingerprint((*plan.split.train, *plan.split.dev, *plan.split.exam))
    known = opened.manifest.get("data")
    if known and known["fingerprint"] != data:
        raise DataError(
            both("the data is not what this run began with", "データがこの実行を始めたときと異なる"),
            where=str(opened.path),
            do=both(
                f"Begin anew with: terakoya run {opened.path / 'config.toml'}",
                f"新しく始めること：terakoya run {opened.path / 'config.toml'}",
            ),
        )
    counts = {name: len(getattr(plan.split, name)) for name in ("train", "dev", "exam")}
    drawn = plan.task.draw is not None
    opened.note(data={"fingerprint": data, "drawn": drawn, "split": plan.split.method, **counts})
    opened.note(dataset=dataset_statistics(plan.split, _labels_of(plan.task), drawn=drawn))


def sizes(split: Split) -> str:
    train, dev, exam = (f"{len(side):,}" for side in (split.train, split.dev, split.exam))
    return both(
        f"{train} to train on, {dev} for dev, {exam} in the exam ({split.method})",
        f"学習{train}件、検証{dev}件、試験{exam}件（{split.method}）",
    )


def _labels_of(task: Task) -> Callable[[str], Sequence[str]] | None:
    """How a target falls into labels, for tasks whose answers are sets."""
    if not task.codec.name.startswith("labels"):
        return None
    return lambda target: task.codec.canonical(target).split()
