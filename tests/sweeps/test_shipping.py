"""What a trial needs on a host without a common disk: every file of its tables, also of one given by a pattern."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from terakoya import registry
from terakoya.errors import DataError
from terakoya.pipeline.dataset import load_dataset
from terakoya.sweeps.engines.shipping import below, input_files, unpack_inputs
from terakoya.sweeps.plan import Trial, experiment_reference, read_sweep
from terakoya.sweeps.trial import TrialTask


@pytest.fixture
def task(sweep_file: Callable[..., Path]) -> TrialTask:
    path = sweep_file()
    return TrialTask(read_sweep(path), path.parent, path.parent / "runs" / "s", Trial("t", (), 0))


def in_parts(folder: Path) -> tuple[str, ...]:
    """Divide the table into two files below `parts`, beside a file that the pattern does not mean."""
    table = folder / "words.csv"
    head, *rows = table.read_text(encoding="utf-8").splitlines()
    for name, part in (("parts/a.csv", rows[::2]), ("parts/more/b.csv", rows[1::2])):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join((head, *part)) + "\n", encoding="utf-8")
    (folder / "parts" / "notes.md").write_text("no table")
    table.unlink()
    return ("task.data=parts/**/*.csv",)


def test_every_file_of_a_table_given_by_a_pattern_goes_along(task: TrialTask, tmp_path: Path) -> None:
    """On the other host the same rows are read in the same order, by the same pattern."""
    settings = in_parts(task.beside)
    here = replace(task, trial=Trial("t", settings, 0))
    files = {str(file): file.read_bytes() for file in input_files(here)}
    names = {Path(one).relative_to(task.beside.resolve()).as_posix() for one in files}
    assert names >= {"parts/a.csv", "parts/more/b.csv"} and "parts/notes.md" not in names
    there = unpack_inputs(here, tmp_path / "worker", files, _nothing())
    assert there.beside == below(tmp_path / "worker", task.beside)
    rows = [_rows(one, settings) for one in (here, there)]
    assert rows[0] == rows[1] and len(rows[0]) > 2


def test_a_pattern_without_a_file_is_an_error_before_anything_is_sent(task: TrialTask) -> None:
    with pytest.raises(DataError, match="no file matches the pattern"):
        list(input_files(replace(task, trial=Trial("t", ("task.data=nowhere/*.csv",), 0))))


def test_files_elsewhere_are_fetched_by_the_worker_itself(task: TrialTask) -> None:
    found = list(input_files(replace(task, trial=Trial("t", ("task.data=s3://bucket/rows/*.csv",), 0))))
    assert [one.suffix for one in found] == [".toml"]


def _rows(task: TrialTask, settings: tuple[str, ...]) -> list[tuple[str, str]]:
    found = registry.find_experiment(experiment_reference(task.config, task.beside), settings)
    split = load_dataset(found).split
    return [(row.source, row.target) for part in (split.train, split.dev, split.exam) for row in part]


def _nothing() -> bytes:
    buffer = io.BytesIO()
    tarfile.open(fileobj=buffer, mode="w").close()
    return buffer.getvalue()
