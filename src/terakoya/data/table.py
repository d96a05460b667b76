"""A user's table becomes a task: columns by name, text as it is."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from terakoya.codec.base import Codec
from terakoya.codec.choose import choose_codec
from terakoya.codec.labels import emoji_label_names
from terakoya.config import Config, TaskConfig
from terakoya.data.formats import TableRow, require_columns
from terakoya.data.formats.many_files import ROWS_PER_FILE, checked_files, rows_of_file, table_files
from terakoya.data.split import split_examples
from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.records import MEMORISED, Example, Split, subset_of
from terakoya.scoring.metrics import LABEL_METRICS, METRICS, Metric, metric
from terakoya.task import Task


def table_task(config: Config, folder: Path) -> Task:
    """The task that `[task] data = …` describes, split as the config says.

    config  with the sections task and split
    folder  paths of files are relative to it
    Raises DataError for tables that cannot be read or split, ConfigError for settings that exclude each other.
    """
    wanted = config.task
    read = list(stream_examples(wanted, wanted.data, folder, stratify=config.split.stratify))
    examples = tuple(example for example, _ in read)
    # Rows of a table in several files carry the number of their file (many_files.py), also those of the other splits.
    several = len(table_files(wanted.data, folder))
    first = several * ROWS_PER_FILE if several > 1 else 0
    dev = _examples(wanted, wanted.dev, folder, first)
    exam = _examples(wanted, wanted.exam, folder, first + ROWS_PER_FILE if first and dev else first)
    codec = choose_codec(
        wanted.codec,
        [example.target for example in (*examples, *dev, *exam)],
        notation=wanted.notation,
        separator=wanted.separator,
    )
    split = _build_split(examples, dev, exam, config, [word for _, word in read] if wanted.split else None)
    return Task(
        name=config.name,
        examples=(*examples, *dev, *exam),
        codec=codec,
        metrics=default_metrics(wanted, codec),
        split=split,
        label_names=emoji_label_names(codec),
        summary=_("the table {data}", data=wanted.data),
    )


def default_metrics(wanted: TaskConfig, codec: Codec) -> Mapping[str, Metric]:
    """The metrics of a table: the one that decides first, then the others that fit the same targets.

    wanted  the config's section `[task]`
    codec   of the task
    """
    labels = wanted.codec == "labels" or bool(getattr(codec, "labels", ()))
    first = metric(wanted.metric or ("jaccard" if labels else "exact"))
    family = LABEL_METRICS if labels else ("exact",)
    chosen = {first.name: first}
    return MappingProxyType(chosen | {name: METRICS[name] for name in family if name in METRICS})


def read_examples(wanted: TaskConfig, file: str, folder: Path) -> tuple[Example, ...]:
    """The examples of one file, in its order.

    wanted  the config's section `[task]`, which names the columns
    file    relative to `folder`
    folder  of the config
    """
    return tuple(example for example, _ in stream_examples(wanted, file, folder))


def stream_examples(
    wanted: TaskConfig, file: str, folder: Path, *, stratify: str = "", first: int = 0
) -> Iterator[tuple[Example, str]]:
    """Each row as an example, with the author's word for its split ("" without a split column).

    Beside the columns that the config names, some are understood where they exist: `origin`, `kind` (a tag), and, as
    `terakoya split` and `generate` write them in JSON lines, `accepted` (a list of further right targets), `tags`,
    `turns` and `subset` ("memorised"; also under its older name `part`).

    wanted    the config's section `[task]`, which names the columns
    file      relative to `folder`; or a pattern, whose files are read one after the other
    folder    of the config
    stratify  a further column that becomes a tag; "" is none
    first     is added to the numbers of rows
    """
    needed = [wanted.source, wanted.target, *filter(None, (wanted.group, wanted.split))]
    tags = ("kind", stratify) if stratify else ("kind",)
    for part in checked_files(file, folder, needed, wanted.encoding):
        rows = rows_of_file(part, folder, encoding=wanted.encoding, wanted=needed)
        for row in require_columns(rows, needed, part.name):
            example = _example(row, wanted, part.name, tags, first + part.first)
            yield example, row.cells[wanted.split] if wanted.split else ""


def _examples(wanted: TaskConfig, file: str, folder: Path, first: int) -> tuple[Example, ...]:
    if not file:
        return ()
    # A file that is one split needs no split column.
    own = wanted.model_copy(update={"split": ""})
    return tuple(example for example, _ in stream_examples(own, file, folder, first=first))


def _example(row: TableRow, wanted: TaskConfig, file: str, tags: tuple[str, ...], first: int = 0) -> Example:
    if wanted.source in row.lists or wanted.source in row.nested:
        raise DataError(
            _("the column '{source}' holds a list or an object, and no text", source=wanted.source),
            where=_("{file}, line {line}", file=file, line=row.line),
            do=_(
                "A source is one text. A chat is read from a column messages, conversations, or prompt with "
                "completion: leave out task.source and task.target then."
            ),
        )
    return Example(
        source=row.cells[wanted.source],
        target=_target(row, wanted, file),
        group=f"{wanted.group}:{row.cells[wanted.group]}" if wanted.group else "",
        origin=row.cells.get("origin", "") or file,
        row=first + row.line,
        accepted=row.lists.get("accepted", ()),
        subset=MEMORISED if subset_of(row.cells) == MEMORISED else "",
        tags=(*_tags(row), *((name, row.cells[name]) for name in dict.fromkeys(tags) if name in row.cells)),
        turns=row.turns,
    )


def _tags(row: TableRow) -> tuple[tuple[str, str], ...]:
    """An object of texts in the column `tags`; anything else there is not for Terakoya."""
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


def _target(row: TableRow, wanted: TaskConfig, file: str) -> str:
    """The target as text; a list is a set of labels, or the mistake of somebody who meant a text."""
    if wanted.target in row.nested:
        raise DataError(
            _("the column '{target}' holds an object, and no text", target=wanted.target),
            where=_("{file}, line {line}", file=file, line=row.line),
            do=_("A target is one text, or with the codec labels a list of texts."),
        )
    labels = row.lists.get(wanted.target)
    if labels is None:
        return list_labels(row.cells[wanted.target], wanted)
    if wanted.codec != "labels":
        raise DataError(
            _("the column '{target}' holds a list", target=wanted.target),
            where=_("{file}, line {line}", file=file, line=row.line),
            do=_('A list is a set of labels: set codec = "labels".'),
        )
    return _joined_labels(labels, wanted)


def list_labels(text: str, wanted: TaskConfig) -> str:
    """The target that a cell holds: for a set of labels that was saved as a list its labels, else the `text` itself.

    text    the cell
    wanted  the config's section `[task]`
    """
    labels = list_literal(text) if wanted.codec == "labels" else None
    return text if labels is None else _joined_labels(labels, wanted)


def _joined_labels(labels: Sequence[str], wanted: TaskConfig) -> str:
    if wanted.separator:
        return wanted.separator.join(labels)
    return " ".join("_".join(label.split()) for label in labels)


def list_literal(text: str) -> tuple[str, ...] | None:
    """The texts of a list that was saved as text, ["✨", "📚"] or ['✨', '📚']; None for any other text.

    text  a cell
    """
    bare = text.strip()
    if not (bare.startswith("[") and bare.endswith("]")):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(bare)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list) and all(isinstance(label, str) for label in found):
            return tuple(found)
    return None


def _build_split(
    examples: tuple[Example, ...],
    dev: tuple[Example, ...],
    exam: tuple[Example, ...],
    config: Config,
    split_column: list[str] | None,
) -> Split:
    """The author's own files where they are named; the rest is split as the config says."""
    if split_column is not None and (dev or exam):
        raise DataError(
            _("a split column and files of one's own exclude each other"),
            do=_("Leave out task.split, dev and exam."),
        )
    if dev and exam:
        return Split(examples, dev, exam, "files")
    if not (dev or exam):
        how = config.split if split_column is None else config.split.model_copy(update={"method": "column"})
        return split_examples(examples, how, split_column=split_column)
    # A split that has its own file takes nothing from the table.
    cut = config.split.model_copy(update={"exam": 0.0} if exam else {"dev": 0.0})
    rest = split_examples(examples, cut)
    return Split(rest.train, dev or rest.dev, exam or rest.exam, f"{rest.method}+files")
