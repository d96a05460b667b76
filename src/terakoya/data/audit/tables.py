"""A table to be audited: held as a task where it is small, streamed where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from terakoya.codec import Codec
from terakoya.codec.choose import choose_codec
from terakoya.config import Config, TaskConfig
from terakoya.data.audit.look import Subject, form_of
from terakoya.data.split import Side, side, side_of_word
from terakoya.data.table import metrics_for, stream_examples, table_task
from terakoya.records import Example, Split
from terakoya.task import Task

HELD = 64 * 1024 * 1024  # bytes of a file up to which it is held in memory


def held(path: Path, config: Config) -> tuple[Task, Split] | None:
    """The table as a task with its split, as a run would see it; None where it is too large for that."""
    if path.is_file() and path.stat().st_size > HELD:
        return None
    task = table_task(_named(config, path), path.parent)
    assert task.split is not None
    return task, task.split


def streamed(path: Path, config: Config) -> tuple[Subject, Iterator[tuple[Example, Side]]]:
    """The table row by row. Sides are known where a row alone decides them: by hash, or by the author's column."""
    wanted = _named(config, path).task
    codec = OpenLabels(wanted.separator) if wanted.codec == "labels" else choose_codec(wanted.codec, ())
    if wanted.codec == "number":
        codec = choose_codec("number", (), notation=wanted.notation)
    metrics = metrics_for(wanted, codec)
    method = "column" if wanted.split else "hash"
    return Subject(codec, next(iter(metrics.values())), method), _sided(wanted, path, config)


def _sided(wanted: TaskConfig, path: Path, config: Config) -> Iterator[tuple[Example, Side]]:
    cut = config.split
    for example, word in stream_examples(wanted, path.name, path.parent):
        if word:
            yield example, side_of_word(word)
        else:
            group = example.group or form_of(example)
            yield example, side(group, salt=cut.salt, dev=cut.dev, exam=cut.exam)


def _named(config: Config, path: Path) -> Config:
    return config.model_copy(
        update={"task": config.task.model_copy(update={"use": "", "data": path.name, "dev": "", "exam": ""})}
    )


@dataclass(frozen=True)
class OpenLabels:
    """Labels whose set is not known yet: a stream cannot be read twice, so each target is judged by its own labels."""

    separator: str = ""
    name: str = "labels"
    _known: dict[str, Codec] = field(default_factory=dict, compare=False)

    def _codec(self, target: str) -> Codec:
        found = choose_codec("labels", [target], separator=self.separator)
        self._known.clear()
        self._known[found.write(target)] = found
        return found

    def write(self, target: str) -> str:
        return self._codec(target).write(target)

    def read(self, raw: str) -> str | None:
        return self._known[raw].read(raw) if raw in self._known else None

    def canonical(self, target: str) -> str:
        return self._codec(target).canonical(target)

    def viable(self, prefix: str) -> bool:
        return any(codec.viable(prefix) for codec in self._known.values())

    def complete(self, written: str) -> bool:
        return any(codec.complete(written) for codec in self._known.values())
