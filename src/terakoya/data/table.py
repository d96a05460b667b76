"""A user's table becomes a task: columns by name, text as it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from terakoya.codec.base import Codec
from terakoya.codec.choose import choose_codec
from terakoya.codec.labels import names_of
from terakoya.config import Config, TaskConfig
from terakoya.data.formats import Row, columns, read_table
from terakoya.data.split import split
from terakoya.errors import DataError
from terakoya.i18n import both
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
    read = list(stream_examples(wanted, wanted.data, folder, stratify=config.split.stratify))
    examples = tuple(example for example, _ in read)
    dev = _examples(wanted, wanted.dev, folder)
    exam = _examples(wanted, wanted.exam, folder)
    codec = choose_codec(
        wanted.codec,
        [example.target for example in (*examples, *dev, *exam)],
        notation=wanted.notation,
        separator=wanted.separator,
    )
    parted = _parted(examples, dev, exam, config, [side for _, side in read] if wanted.split else None)
    return Task(
        name=config.name,
        examples=(*examples, *dev, *exam),
        codec=codec,
        metrics=metrics_for(wanted, codec),
        split=parted,
        label_names=names_of(codec),
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
    return tuple(example for example, _ in stream_examples(wanted, file, folder))


def stream_examples(
    wanted: TaskConfig, file: str, folder: Path, *, stratify: str = ""
) -> Iterator[tuple[Example, str]]:
    """Each row as an example, with what the author's split column says of it ("" where there is none).

    Beside the columns that the config names, some are understood where they exist: `origin`, `kind` (a tag), and, as
    `terakoya split` and `generate` write them in JSON lines, `accepted` (a list of further right targets), `tags`,
    `turns` and `part` = "recall". `stratify` names one more tag.
    """
    needed = [wanted.source, wanted.target, *filter(None, (wanted.group, wanted.split))]
    rows = read_table(file, folder, encoding=wanted.encoding, wanted=needed)
    tags = ("kind", stratify) if stratify else ("kind",)
    for row in columns(rows, needed, file):
        yield _example(row, wanted, file, tags), row.cells[wanted.split] if wanted.split else ""


def _examples(wanted: TaskConfig, file: str, folder: Path) -> tuple[Example, ...]:
    # A file that is one side has no need of a split column.
    return read_examples(wanted.model_copy(update={"split": ""}), file, folder) if file else ()


def _example(row: Row, wanted: TaskConfig, file: str, tags: tuple[str, ...]) -> Example:
    if wanted.source in row.lists:
        raise DataError(
            both(f"the column '{wanted.source}' holds a list", f"列 '{wanted.source}' に並びがある"),
            where=both(f"{file}, line {row.line}", f"{file}、{row.line}行目"),
            do=both("A source is one text.", "入力は一つのテキストである。"),
        )
    return Example(
        source=row.cells[wanted.source],
        target=_target(row, wanted, file),
        group=f"{wanted.group}:{row.cells[wanted.group]}" if wanted.group else "",
        origin=row.cells.get("origin", "") or file,
        row=row.line,
        accepted=row.lists.get("accepted", ()),
        part="recall" if row.cells.get("part") == "recall" else "",
        tags=(*_tags(row), *((name, row.cells[name]) for name in dict.fromkeys(tags) if name in row.cells)),
        turns=row.turns,
    )


def _tags(row: Row) -> tuple[tuple[str, str], ...]:
    """An object of texts in the column `tags`; anything else there is the user's own affair."""
    text = row.cells.get("tags", "")
    if not text:
        return ()
    try:
        found = json.loads(text)
    except ValueError:
        return ()
    if not isinstance(found, dict):
        return ()
    return tuple((name, value) for name, value in found.items() if isinstance(value, str))


def _target(row: Row, wanted: TaskConfig, file: str) -> str:
    """The target as text; a list is a set of labels, or the mistake of somebody who meant a text."""
    labels = row.lists.get(wanted.target)
    if labels is None:
        return row.cells[wanted.target]
    if wanted.codec != "labels":
        raise DataError(
            both(f"the column '{wanted.target}' holds a list", f"列 '{wanted.target}' に並びがある"),
            where=both(f"{file}, line {row.line}", f"{file}、{row.line}行目"),
            do=both(
                'A list is a set of labels: set codec = "labels".',
                '並びはラベルの集合である：codec = "labels" とすること。',
            ),
        )
    return (wanted.separator or " ").join(labels)


def _parted(
    examples: tuple[Example, ...],
    dev: tuple[Example, ...],
    exam: tuple[Example, ...],
    config: Config,
    sides: list[str] | None,
) -> Split:
    """The author's own files where they are named; the rest is cut as the config says."""
    if sides is not None and (dev or exam):
        raise DataError(
            both(
                "a split column and files of one's own exclude each other", "分割の列と自分のファイルは同時に使えない"
            ),
            do=both("Leave out task.split, dev and exam.", "task.split と task.dev・task.exam のどちらかを外すこと。"),
        )
    if dev and exam:
        return Split(examples, dev, exam, "files")
    if not (dev or exam):
        how = config.split if sides is None else config.split.model_copy(update={"method": "column"})
        return split(examples, how, sides=sides)
    # The side that has a file takes nothing from the table.
    cut = config.split.model_copy(update={"exam": 0.0} if exam else {"dev": 0.0})
    parted = split(examples, cut)
    return Split(parted.train, dev or parted.dev, exam or parted.exam, f"{parted.method}+files")
