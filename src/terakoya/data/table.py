"""A user's table becomes a task: columns by name, text as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from terakoya.codec.base import Codec
from terakoya.codec.choose import choose_codec
from terakoya.config import Config, TaskConfig
from terakoya.data.split import split
from terakoya.errors import DataError
from terakoya.files import Row, columns, read_table
from terakoya.records import Example, Split
from terakoya.scoring.metrics import METRICS, Metric, metric
from terakoya.task import Task

# The metric that a codec's answers deserve unless the config names another.
_OWN_METRIC = MappingProxyType(
    {"": "exact", "text": "exact", "number": "exact", "quantity": "exact", "labels": "jaccard"}
)


def table_task(config: Config, folder: Path) -> Task:
    """The task that `[task] data = …` describes; paths are relative to `folder`."""
    wanted = config.task
    rows = list(_rows(wanted, wanted.data, folder))
    examples = tuple(_example(row, wanted, wanted.data) for row in rows)
    dev = _examples(wanted, wanted.dev, folder)
    exam = _examples(wanted, wanted.exam, folder)
    codec = choose_codec(
        wanted.codec,
        [example.target for example in (*examples, *dev, *exam)],
        notation=wanted.notation,
        separator=wanted.separator,
    )
    sides = [row.cells[wanted.split] for row in rows] if wanted.split else None
    parted = _parted(examples, dev, exam, config, sides)
    return Task(
        name=config.name,
        examples=(*examples, *dev, *exam),
        codec=codec,
        metrics=metrics_for(wanted, codec),
        split=parted,
        teaches=f"the table {wanted.data}",
    )


def metrics_for(wanted: TaskConfig, codec: Codec) -> Mapping[str, Metric]:
    """The metric that decides, first; beside it the others that fit the same answers."""
    first = metric(wanted.metric or _OWN_METRIC[wanted.codec])
    family = ("jaccard", "precision", "recall", "f1", "set_exact") if wanted.codec == "labels" else ("exact",)
    chosen = {first.name: first}
    return MappingProxyType(chosen | {name: METRICS[name] for name in family if name in METRICS})


def read_examples(wanted: TaskConfig, file: str, folder: Path) -> tuple[Example, ...]:
    """The examples of one file, in its order."""
    return tuple(_example(row, wanted, file) for row in _rows(wanted, file, folder))


def _examples(wanted: TaskConfig, file: str, folder: Path) -> tuple[Example, ...]:
    return read_examples(wanted, file, folder) if file else ()


def _rows(wanted: TaskConfig, file: str, folder: Path):  # type: ignore[no-untyped-def]
    needed = [wanted.source, wanted.target, *filter(None, (wanted.group, wanted.split))]
    return columns(read_table(file, folder, encoding=wanted.encoding), needed, file)


def _example(row: Row, wanted: TaskConfig, file: str) -> Example:
    source, target = row.cells[wanted.source], row.cells[wanted.target]
    group = f"{wanted.group}:{row.cells[wanted.group]}" if wanted.group else ""
    return Example(source, target, group=group, origin=file, row=row.line)


def _parted(
    examples: tuple[Example, ...],
    dev: tuple[Example, ...],
    exam: tuple[Example, ...],
    config: Config,
    sides: list[str] | None,
) -> Split:
    """The author's own files where they are named; the rest is cut as the config says."""
    if dev and exam:
        return Split(examples, dev, exam, "files")
    if not (dev or exam):
        how = config.split if sides is None else config.split.model_copy(update={"method": "column"})
        return split(examples, how, sides=sides)
    if sides is not None:
        raise DataError(
            "a split column and files of one's own exclude each other", do="Leave out task.split, dev and exam."
        )
    # The side that has a file takes nothing from the table.
    cut = config.split.model_copy(update={"exam": 0.0} if exam else {"dev": 0.0})
    parted = split(examples, cut)
    return Split(parted.train, dev or parted.dev, exam or parted.exam, f"{parted.method}+files")
