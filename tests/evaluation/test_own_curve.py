"""A run that memorises measures by itself what more rows would bring, within its bound; killed in it, it goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import pytest

from terakoya.evaluation.curve_parts import PARTS_FILE
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.runs import Index, Run
from terakoya.runs.progress import SilentListener

CONFIG = """
[task]
data = "a.csv"
[split]
method = "exact"
dev = 0.25
exam = 0.25
[model]
base = "tiny"
[train]
steps = 100
batch_size = 8
threads = 1
evaluate_every = 100
select = "last"
[score]
resamples = 100
"""


class _Listener(SilentListener):
    """Notes the trainings of the curve; interrupts the one with number `last`."""

    def __init__(self, last: int = -1) -> None:
        self.last, self.trainings = last, list[str]()

    def note(self, text: str) -> None:
        if str(text).startswith("training with"):
            if len(self.trainings) == self.last:
                raise KeyboardInterrupt
            self.trainings.append(str(text))


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Targets by chance, which can only be memorised; the run is interrupted after the first training of its curve."""
    folder, rng = tmp_path_factory.mktemp("memorised"), Random(1)
    rows = "".join(f"{''.join(rng.choices('あいうえおかきくけこ', k=4))},{rng.randrange(8)}\n" for _ in range(120))
    (folder / "a.csv").write_text("source,target\n" + rows, encoding="utf-8")
    (folder / "a.toml").write_text(CONFIG, encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(str(folder / "a.toml"), run_dir=folder / "runs", anyway=True, listener=_Listener(1))
    (run,) = (path.parent for path in (folder / "runs").glob("*/manifest.json"))
    return run


def _copied(run: Path, name: str) -> Path:
    """The run as it was left, in a folder of runs of its own, beside the same table."""
    copy = run.parent.parent / name / run.name
    shutil.copytree(run, copy)
    return copy


def _numbers(run: Path) -> object:
    found = json.loads((run / "curve.json").read_text(encoding="utf-8"))
    return found["doubled"], [{**point, "seconds": 0} for point in found["points"]], found["suspects"]


def test_an_interrupted_curve_keeps_what_it_trained_and_the_exam_closed(interrupted: Path) -> None:
    run = Run.open(interrupted)
    assert run.state == "interrupted"
    assert len(run.read_lines(PARTS_FILE)) == 2  # what they depend on, and all rows
    assert not run.has("predictions.jsonl")
    assert "exam" not in run.manifest


def test_a_resumed_run_trains_what_is_missing_and_shows_the_same_curve(interrupted: Path) -> None:
    run, listener = _copied(interrupted, "resumed"), _Listener()
    pipeline.run(str(run), anyway=True, listener=listener)
    assert listener.trainings == ["training with 30 rows, seed 0", "training with 15 rows, seed 0"]
    assert not Run.open(run).has(PARTS_FILE)
    assert len(Index(run.parent).openings(Run.open(run).manifest["exam"])) == 1
    report = (run / "report.md").read_text(encoding="utf-8")
    assert "## Learning curve" in report
    assert "With twice the rows (120)" in report
    assert "it has memorised more than it generalises" in report
    resumed = _numbers(run)
    whole = _Listener()
    commands.curve(str(run), listener=whole)
    assert len(whole.trainings) == 3
    assert _numbers(run) == resumed


@pytest.mark.parametrize("way", ["setting", "sweep"])
def test_a_curve_that_may_not_be_trained_is_named_as_a_command(interrupted: Path, way: str) -> None:
    run, listener = _copied(interrupted, way), _Listener()
    if way == "setting":
        config = (run / "config.toml").read_text(encoding="utf-8")
        assert "curve_minutes = 3.0" in config
        (run / "config.toml").write_text(config.replace("curve_minutes = 3.0", "curve_minutes = 0.0"), "utf-8")
    pipeline.run(str(run), anyway=True, curve=way != "sweep", listener=listener)
    assert listener.trainings == []
    assert not Run.open(run).has("curve.json")
    report = (run / "report.md").read_text(encoding="utf-8")
    assert "terakoya curve RUN" in report.split("## Next steps")[1]


def test_parts_of_other_settings_are_not_taken_for_these(interrupted: Path) -> None:
    run, listener = _copied(interrupted, "other"), _Listener(0)
    lines = (run / PARTS_FILE).read_text(encoding="utf-8").splitlines()
    with Run.resume(run) as opened:
        opened.rewrite(PARTS_FILE, [{"key": "another"}, *map(json.loads, lines[1:])])
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(str(run), anyway=True, listener=listener)
    assert len(Run.open(run).read_lines(PARTS_FILE)) == 1
