"""The story of a run, on a small real table and the smallest real model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from terakoya.errors import ConfigError, DataError, IncompatibleError, Interrupted, LockedError
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.records import Step
from terakoya.runs import Index, Run, environment
from terakoya.runs.progress import SilentListener
from terakoya.training import reproducibility

COLOURS = {"りんご": "あか", "ばなな": "きいろ", "そら": "あお", "くさ": "みどり", "ゆき": "しろ", "からす": "くろ"}
ENDINGS = ("の色", "は何色", "みたいな色", "と同じ色", "を塗る色", "といえば", "のような", "色にする")


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """A table that a tiny model learns in a few seconds: a thing in a phrase → its colour."""
    openings = ("この", "あの", "ねえ、", "", "さあ、", "もし")
    rows = [
        (f"{opening}{thing}{ending}", colour)
        for thing, colour in COLOURS.items()
        for ending in ENDINGS
        for opening in openings
    ]
    lines = "".join(f"{source},{target}\n" for source, target in rows)
    (tmp_path / "colours.csv").write_text("source,target\n" + lines, encoding="utf-8")
    config = """
name = "colours"
seed = 3
[task]
data = "colours.csv"
[model]
base = "tiny"
[train]
steps = 220
batch_size = 16
evaluate_every = 20
threads = 1
learning_rate = 4e-3
"""
    (tmp_path / "colours.toml").write_text(config, encoding="utf-8")
    return tmp_path / "colours.toml"


def test_a_table_becomes_a_trained_model_and_a_record(experiment: Path, tmp_path: Path) -> None:
    """The whole way in one call: whoever brings a table gets figures with baselines, and a page to read."""
    done = pipeline.run(str(experiment), run_dir=tmp_path / "runs")
    model = next(score for score in done.scores if score.who == "model" and score.metric == "exact")
    assert model.value > 0.9
    assert model.low < model.value <= model.high
    # a neighbour answers most of so small a world, so whether more was learnt cannot be told with these items
    assert done.state in ("learned", "cannot be told")
    assert done.exit_code == 0
    assert {"constant", "nearest neighbour", "copy"} <= {score.who for score in done.scores}
    files = {path.name for path in done.folder.iterdir()}
    assert {
        "config.toml",
        "manifest.json",
        "steps.jsonl",
        "predictions.jsonl",
        "scores.json",
        "report.md",
        "model",
    } <= files
    assert Run.open(done.folder).state == "done"
    # asked in order, one answer a question, whatever it is
    asked = ["このりんごの色", "", "x" * 20_000, "もしからすの色"]
    answers = list(commands.predict(done.folder, asked))
    assert [answer["source"] for answer in answers] == asked
    assert answers[0]["prediction"] == "あか"
    assert answers[1]["prediction"] is None
    assert answers[2]["prediction"] is None
    _asked_from_files(done.folder, tmp_path)
    # the run's own config repeats the run
    again = pipeline.run(str(done.folder / "config.toml"), run_dir=tmp_path / "again")
    assert [(s.who, s.value) for s in again.scores] == [(s.who, s.value) for s in done.scores]
    # another exam, with the columns that it has
    exam = tmp_path / "other.csv"
    exam.write_text("thing,colour\nさあ、りんごといえば,あか\nさあ、ゆきといえば,くろ\n", encoding="utf-8")
    other = commands.evaluate(done.folder, data=exam, source="thing", target="colour")
    assert other.scores[0].n == 2
    assert other.scores[0].value == 0.5
    assert other.folder.parent.name == "evaluations"
    # two runs on one exam are compared; the same answers cannot be told apart
    told = commands.compare([done.folder, again.folder])
    assert len(told) == 1
    assert told[0].effect.value == 0
    # a finished run is shown again, and says no to new settings
    assert pipeline.run(str(done.folder)).scores == done.scores
    with pytest.raises(ConfigError, match="is resumed with the settings that it started with"):
        pipeline.run(str(done.folder), overrides=["train.steps=9"])


def test_the_record_of_a_finished_run_calls_it_finished(experiment: Path, tmp_path: Path) -> None:
    """A page that says "still running" for ever makes its reader wait; one that was lost is written again."""
    done = pipeline.run(str(experiment), run_dir=tmp_path / "runs", overrides=["train.steps=20"])
    page = done.folder / "report.md"
    assert "still running" not in page.read_text(encoding="utf-8")
    page.unlink()
    (done.folder / "report.html").unlink()
    assert pipeline.run(str(done.folder)).report is not None
    assert page.is_file()


def test_train_leaves_the_exam_closed_and_run_opens_it(experiment: Path, tmp_path: Path) -> None:
    """Whoever tries settings looks at dev; the exam is for the one that was chosen."""
    taught = pipeline.train(str(experiment), run_dir=tmp_path / "runs")
    assert taught.state == "not examined"
    assert not (taught.folder / "predictions.jsonl").exists()
    before = (taught.folder / "model" / "model.safetensors").read_bytes()
    done = pipeline.run(str(taught.folder))
    assert done.folder == taught.folder
    assert done.scores
    assert (taught.folder / "model" / "model.safetensors").read_bytes() == before


def test_a_run_sits_its_own_exam_again(experiment: Path, tmp_path: Path) -> None:
    """Asked in another way, on the same items, with the same baselines; and the opening is counted."""
    done = pipeline.run(str(experiment), run_dir=tmp_path / "runs", overrides=["train.steps=40"])
    again = commands.evaluate(done.folder, overrides=["decode.method=beam"])
    assert again.folder.parent.name == "evaluations"
    assert {score.who for score in again.scores} == {score.who for score in done.scores}
    assert {score.signature.exam for score in again.scores} == {score.signature.exam for score in done.scores}
    assert len(Index(tmp_path / "runs").openings(done.scores[0].signature.exam)) == 2
    with pytest.raises(ConfigError, match="which exam"):
        commands.evaluate(done.folder / "model")


def test_a_dev_answer_that_no_training_shows_is_wrong_and_ends_nothing(tmp_path: Path) -> None:
    """One rare character in one dev answer ended a training of hours at its first evaluation."""
    rows = [(f"w{number}", "abcdefgh"[number % 8]) for number in range(64)]
    for name, some in (("train", rows), ("dev", [*rows[:7], ("w99", "夕")]), ("exam", [*rows[:7], ("w98", "空")])):
        lines = "".join(f"{source},{target}\n" for source, target in some)
        (tmp_path / f"{name}.csv").write_text("source,target\n" + lines, encoding="utf-8")
    (tmp_path / "rare.toml").write_text(
        '[task]\ndata = "train.csv"\ndev = "dev.csv"\nexam = "exam.csv"\n[model]\nbase = "tiny"\n'
        "[train]\nsteps = 20\nevaluate_every = 10\nthreads = 1\n",
        encoding="utf-8",
    )
    done = pipeline.run(str(tmp_path / "rare.toml"), run_dir=tmp_path / "runs", anyway=True)
    (told,) = [finding for finding in done.findings if finding.check == "dev-rows"]
    assert told.level == "warn"
    assert "1 of 8 dev rows" in told.what
    assert "夕" in told.what
    assert told.rows == (9,)  # as the audit names them
    steps = [json.loads(line) for line in (done.folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(0 < step["dev"]["loss"] < 100 for step in steps if step["dev"])


def test_the_folder_of_runs_shows_runs_only(experiment: Path, tmp_path: Path) -> None:
    """`terakoya compare runs/*` is what people type."""
    pipeline.run(str(experiment), run_dir=tmp_path / "runs", overrides=["train.steps=20"])
    assert all(path.is_dir() for path in (tmp_path / "runs").glob("[!.]*"))


def _asked_from_files(run: Path, folder: Path) -> None:
    """From a text, a table or a pipe, into JSON lines or a table: always one line for each input, in order."""
    (folder / "ask.txt").write_text("このりんごの色\n\nもしからすの色\n", encoding="utf-8")
    lines = list(commands.predict(run, input=str(folder / "ask.txt")))
    assert [line["source"] for line in lines] == ["このりんごの色", "", "もしからすの色"]
    (folder / "ask.csv").write_text("source,target\nこのりんごの色,あか\nこのりんごの色,あお\n", encoding="utf-8")
    out = folder / "said.csv"
    list(commands.predict(run, input=str(folder / "ask.csv"), output=str(out)))
    assert out.read_text(encoding="utf-8").splitlines() == [
        "source,target,inference,match",
        "このりんごの色,あか,あか,True",
        "このりんごの色,あお,あか,False",
    ]
    # such a table stands for a run of others
    unsure = list(commands.predict(run, ["このりんごの色"], overrides=["decode.abstain_below=1.0"]))
    assert unsure[0]["prediction"] is None
    assert unsure[0]["withheld"] == "probability"
    command = [sys.executable, "-m", "terakoya", "predict", str(run), "--input", "-"]
    piped = subprocess.run(command, input="このりんごの色\n", capture_output=True, text=True, check=True)
    assert json.loads(piped.stdout)["prediction"] == "あか"
    with pytest.raises(ConfigError, match="there is no input"):
        list(commands.predict(run))
    with pytest.raises(DataError, match="no column 'source'"):
        (folder / "no.csv").write_text("text\nあ\n", encoding="utf-8")
        list(commands.predict(run, input=str(folder / "no.csv")))


def test_a_killed_run_goes_on_to_the_same_bits(experiment: Path, tmp_path: Path) -> None:
    """A kill costs at most the time since the last evaluation, and never another result."""
    straight = pipeline.run(str(experiment), run_dir=tmp_path / "straight")
    command = [sys.executable, "-m", "terakoya", "run", str(experiment), "--run-dir", str(tmp_path / "killed")]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        if len(list((tmp_path / "killed").glob("*/checkpoints/0*"))) >= 2:
            break
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    (killed,) = (tmp_path / "killed").glob("colours-*")
    assert Run.open(killed).state == "interrupted"
    resumed = pipeline.run(str(killed))
    assert [(s.who, s.metric, s.value) for s in resumed.scores] == [(s.who, s.metric, s.value) for s in straight.scores]
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (straight.folder, resumed.folder)]
    assert weights[0] == weights[1]
    steps = [json.loads(line)["step"] for line in (killed / "steps.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))


class _Presses(SilentListener):
    """Presses Ctrl-C at a step."""

    def step(self, step: Step, total: int) -> None:
        if step.step == 30:
            signal.raise_signal(signal.SIGINT)


class _Dies(SilentListener):
    """Falls over before the first checkpoint."""

    def step(self, step: Step, total: int) -> None:
        if step.step == 5:
            raise RuntimeError("a listener of somebody's")


def test_steps_before_the_first_checkpoint_are_not_logged_twice(experiment: Path, tmp_path: Path) -> None:
    """With no checkpoint a run begins anew, and so does its log: the record draws the loss from it."""
    with pytest.raises(RuntimeError):
        pipeline.run(str(experiment), overrides=("train.steps=20",), run_dir=tmp_path / "runs", listener=_Dies())
    (run,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    pipeline.run(str(run))
    assert [line["step"] for line in Run.open(run).read_lines("steps.jsonl")] == list(range(1, 21))


def test_a_run_killed_before_anything_was_read_goes_on_too(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is a run holds its config from the first moment; a series would count such a trial as failed."""

    def killed(*_: object) -> None:
        os._exit(9)

    monkeypatch.setattr(pipeline, "load_dataset", killed)
    if (child := os.fork()) == 0:
        try:
            pipeline.run(str(experiment), overrides=("train.steps=20",), run_dir=tmp_path / "runs")
        finally:
            os._exit(1)  # whatever happened, this process is no second test run
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    monkeypatch.undo()
    (run,) = (tmp_path / "runs").iterdir()
    assert pipeline.run(str(run)).folder == run
    assert Run.open(run).state == "done"


def test_ctrl_c_while_training_saves_and_says_how_to_go_on(experiment: Path, tmp_path: Path) -> None:
    """It is no failure: the folder says interrupted, the message names the next command, and that goes on."""
    with pytest.raises(Interrupted) as stop:
        pipeline.run(str(experiment), run_dir=tmp_path / "runs", listener=_Presses())
    (folder,) = (tmp_path / "runs").glob("colours-*")
    assert Run.open(folder).state == "interrupted"
    assert f"Resume with: terakoya run {folder}" in str(stop.value)
    assert f"再開：terakoya run {folder}" in stop.value.words("ja")
    assert stop.value.exit_code == 130
    resumed = pipeline.run(str(folder))
    assert resumed.scores and Run.open(folder).state == "done"
    steps = [json.loads(line)["step"] for line in (folder / "steps.jsonl").read_text().splitlines()]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) > 30


def interrupted(experiment: Path, runs: Path) -> Path:
    with pytest.raises(Interrupted):
        pipeline.run(str(experiment), run_dir=runs, listener=_Presses())
    (run,) = (path for path in runs.iterdir() if path.is_dir())
    return run


def test_a_training_does_not_go_on_with_other_settings(experiment: Path, tmp_path: Path) -> None:
    """Another rate in the middle is another training; the usual tools take it, or pass over it in silence."""
    run = interrupted(experiment, tmp_path / "runs")
    config = run / "config.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("learning_rate = 0.004", "learning_rate = 0.002"))
    with pytest.raises(IncompatibleError, match=r"train.learning_rate 0.004 → 0.002"):
        pipeline.run(str(run))
    mended = config.read_text(encoding="utf-8").replace("learning_rate = 0.002", "learning_rate = 0.004")
    config.write_text(mended.replace('on_oom = "stop"', 'on_oom = "halve"'), encoding="utf-8")  # changes no step
    assert pipeline.run(str(run)).scores


def test_a_training_does_not_go_on_with_other_versions_unless_wanted(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the steps by one torch and half by another is neither's result; whoever wants it has it in the record."""
    run = interrupted(experiment, tmp_path / "runs")
    monkeypatch.setattr(
        reproducibility, "versions", lambda: {**environment.versions(), "torch": "9.9", "transformers": "0.1"}
    )
    with pytest.raises(IncompatibleError, match=r"torch .* → 9.9") as refusal:
        pipeline.run(str(run))
    assert "transformers" not in str(refusal.value), "a built-in model does not rest on it"
    assert pipeline.run(str(run), anyway=True).scores
    assert "changed-versions" in {line["check"] for line in Run.open(run).read_lines("findings.jsonl")}


def test_another_processor_is_said_and_no_obstacle(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rounds differently: the figures may be compared, the bits may not."""
    run = interrupted(experiment, tmp_path / "runs")
    monkeypatch.setattr(reproducibility.torch.backends.cpu, "get_cpu_capability", lambda: "ANOTHER")
    assert pipeline.run(str(run)).scores
    found = {line["check"]: line for line in Run.open(run).read_lines("findings.jsonl")}
    assert "→ ANOTHER" in found["changed-machine"]["what"]


def test_a_run_refuses_data_that_changed_under_it(experiment: Path, tmp_path: Path) -> None:
    """Half a run on one table and half on another would be a run on neither."""
    with pytest.raises(DataError, match="stop"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_train", _stop)
        pipeline.run(str(experiment), run_dir=tmp_path / "runs")
    (folder,) = (tmp_path / "runs").glob("colours-*")
    table = experiment.with_suffix(".csv")
    table.write_text(table.read_text(encoding="utf-8") + "ほしの色,きいろ\n", encoding="utf-8")
    with pytest.raises(DataError, match="not what this run started with"):
        pipeline.run(str(folder))


def _stop(*_: object) -> None:
    raise DataError("stop")


def test_two_processes_never_write_one_run(experiment: Path, tmp_path: Path) -> None:
    """The second one learns who holds the run, and touches nothing."""
    with Run.create(tmp_path / "runs", "held") as held, pytest.raises(LockedError):
        pipeline.run(str(held.path))


def test_splitting_writes_three_splits_that_read_back(experiment: Path, tmp_path: Path) -> None:
    """The splits can be passed to another tool, and to ours again, as the same examples."""
    sizes = commands.split(str(experiment), tmp_path / "splits")
    lines = [
        json.loads(line) for line in (tmp_path / "splits" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert len(lines) == sizes.train
    assert all(line["source"] and line["target"] for line in lines)


def test_a_new_folder_runs_as_it_is(tmp_path: Path) -> None:
    """The first minute with Terakoya must not end in an error."""
    config, table, *_ = commands.new(str(tmp_path / "moods"))
    assert table.is_file()
    findings = commands.audit(str(config))
    assert not [finding for finding in findings if finding.level == "stop"]
    with pytest.raises(ConfigError, match="already exists"):
        commands.new(str(tmp_path / "moods"))
