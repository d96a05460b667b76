"""A table to be audited: held as a task where it is small, streamed where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from terakoya.codec import Codec
from terakoya.codec.choose import choose_codec
from terakoya.config import Config, TaskConfig
from terakoya.data.audit import thresholds as line
from terakoya.data.audit.characters import EMOJI
from terakoya.data.audit.single_pass import AuditContext, source_form
from terakoya.data.formats.many_files import place_of, table_files
from terakoya.data.split import SplitName, parse_split_name, split_of
from terakoya.data.table import default_metrics, stream_examples, table_task
from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.records import Example, Split
from terakoya.task import Task

HELD = 64 * 1024 * 1024  # bytes of text up to which a table is held in memory
_COMPRESSION = 8  # bytes of text that a byte of Parquet, which is compressed, may stand for


def load_small_table(path: Path, config: Config) -> tuple[Task, Split] | None:
    """The table as a task with its split, as a run would have it; None where the file is larger than HELD.

    path    the table
    config  with the sections task and split
    """
    name, folder = place_of(path)
    files = [file.path for file in table_files(name, folder) if file.path.is_file()]
    if sum(file.stat().st_size * (_COMPRESSION if file.suffix.lower() == ".parquet" else 1) for file in files) > HELD:
        return None
    task = table_task(_named(config, name), folder)
    assert task.split is not None
    return task, task.split


def stream_table(path: Path, config: Config) -> tuple[AuditContext, Iterator[tuple[Example, SplitName]]]:
    """The table row by row, for files that are too large to be held. Splits are known where a row alone decides them.

    path    the table
    config  its split is by hash, or by the author's column
    Returns what the data is for, and the rows with their splits.
    """
    name, folder = place_of(path)
    wanted = _named(config, name).task
    codec: Codec
    if wanted.codec == "labels":
        first = islice(stream_examples(wanted, name, folder), 1000)
        codec = OpenLabelsCodec([example.target for example, _ in first], wanted.separator)
    else:
        codec = choose_codec(wanted.codec, (), notation=wanted.notation)
    metrics = default_metrics(wanted, codec)
    method = "column" if wanted.split else "hash"
    return AuditContext(codec, next(iter(metrics.values())), method), _with_splits(wanted, folder, config)


def _with_splits(wanted: TaskConfig, folder: Path, config: Config) -> Iterator[tuple[Example, SplitName]]:
    cut = config.split
    for example, word in stream_examples(wanted, wanted.data, folder):
        if word:
            yield example, parse_split_name(word)
        else:
            group = example.group or source_form(example)
            yield example, split_of(group, salt=cut.salt, dev=cut.dev, exam=cut.exam)


def _named(config: Config, name: str) -> Config:
    return config.model_copy(
        update={"task": config.task.model_copy(update={"use": "", "data": name, "dev": "", "exam": ""})}
    )


class OpenLabelsCodec:
    """Labels whose set is not known yet, because a stream cannot be read twice. Each piece of a target is read once.

    Whether labels are emoji is seen from the first rows; a word among emoji is then a label of its own, which the
    check of characters reports.

    first      the first targets
    separator  between labels; "" is white space
    """

    name = "labels"

    def __init__(self, first: Sequence[str], separator: str = "") -> None:
        self.separator = separator or None
        emoji = [target for target in first if EMOJI.search(target)]
        mostly = len(emoji) >= line.EMOJI_TASK * len(first)
        self._codec = choose_codec("labels", emoji[:1] if mostly else ["a"], separator=separator)
        self._labels = lru_cache(maxsize=65536)(self._read)
        self._last = ("", "")  # target and canonical form: whoever needs it writes it next

    def _read(self, piece: str) -> tuple[str, ...]:
        try:
            return tuple(self._codec.canonical(piece).split())
        except DataError:
            return tuple(piece.split())

    def canonical(self, target: str) -> str:
        """The labels, each once, sorted.

        target  labels separated as the codec says
        Raises DataError for an empty set.
        """
        if target == self._last[0] and target:
            return self._last[1]
        found = {label for piece in target.split(self.separator) for label in self._labels(piece)}
        if not found:
            raise DataError(
                _("a set of labels is empty"),
                do=_("Remove the row or fill in its target."),
            )
        form = " ".join(sorted(found))
        self._last = (target, form)
        return form

    def write(self, target: str) -> str:
        """The canonical form of the `target`."""
        return self.canonical(target)

    def read(self, raw: str) -> str | None:
        """The text itself; None where `raw` is empty."""
        return raw or None

    def viable(self, prefix: str) -> bool:
        """True for every `prefix`."""
        return True

    def complete(self, written: str) -> bool:
        """Whether `written` is more than an empty text."""
        return bool(written)
