"""A sweep: chosen on dev, examined once, gone on with after an interruption."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from terakoya.errors import ConfigError, IncompatibleError, Interrupted
from terakoya.records import Step
from terakoya.runs import Index, Run
from terakoya.runs.progress import SilentListener, TrialStatus
from terakoya.sweeps import run as sweeps
from terakoya.sweeps import trial as trial_module
from terakoya.sweeps.plan import SweepOverrides, Trial, parse_seeds
from terakoya.training import reproducibility

TABLE = "source,target\n" + "".join(
    f"{opening}{word}{ending},{word[::-1]}\n"
    for word in ("あか", "あお", "しろ", "くろ", "みどり", "きいろ")
    for opening in ("", "この", "その", "あの")
    for ending in ("", "だ", "です", "かな", "よ")
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "words.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "words.toml").write_text(
        '[task]\ndata = "words.csv"\n[model]\nbase = "tiny"\n[train]\nsteps = 12\nthreads = 1\nevaluate_every = 6\n',
        encoding="utf-8",
    )
    return tmp_path


def sweep_file(place: Path, text: str) -> Path:
    path = place / "s.toml"
    path.write_text('name = "widths"\nexperiment = "words.toml"\n' + text, encoding="utf-8")
    return path


def test_the_exam_is_opened_once_for_what_dev_chose(place: Path) -> None:
    """Whoever chooses by the exam has no exam any more."""
    path = sweep_file(place, 'seeds = [0, 1]\nopen = "best"\n[grid]\n"model.width" = [16, 32]\n')
    done = sweeps.sweep(path, run_dir=place / "runs")
    assert sorted(result.state for result in done.trials) == ["done", "done", "trained", "trained"]
    assert {result.trial.name for result in done.trials if result.state == "done"} == {done.best}
    for result in done.trials:
        run = Run.open(done.folder / result.run)
        openings = Index(run.path.parent).openings(run.manifest["exam"]) if "exam" in run.manifest else []
        assert len(openings) == (1 if result.state == "done" else 0)
    again = sweeps.sweep(path, run_dir=place / "runs")
    assert [(result.trial.key, result.run) for result in again.trials] == [
        (result.trial.key, result.run) for result in done.trials
    ]
    assert all(page.is_file() for page in again.reports)


def test_settings_are_compared_on_the_exam_and_corrected_for_their_number(place: Path) -> None:
    """The better of two figures is no finding: the record says what the exam can tell apart, and what it cannot."""
    path = sweep_file(place, 'seeds = [0, 1]\nopen = "all"\n[grid]\n"model.width" = [16, 24, 32]\n')
    done = sweeps.sweep(path, run_dir=place / "runs", lang="en")
    report = (done.folder / "report.md").read_text(encoding="utf-8")
    (compared,) = (part for part in report.split("\n\n") if part.startswith("- ") and "corrected for 2 " in part)
    lines = compared.splitlines()
    assert len(lines) == 2 and all("corrected for 2 comparisons" in line and done.best in line for line in lines)
    assert all("(2 seeds)" in line for line in lines)
    assert "cannot be compared" not in report


def test_the_decoding_may_be_what_a_sweep_compares(place: Path) -> None:
    """Elsewhere another decoding forbids a comparison; here it is the question."""
    path = sweep_file(place, 'open = "all"\n[grid]\n"decode.method" = ["greedy", "beam"]\n')
    done = sweeps.sweep(path, run_dir=place / "runs", lang="en")
    report = (done.folder / "report.md").read_text(encoding="utf-8")
    assert "Compared on the exam" in report and "cannot be compared" not in report


def test_a_series_over_exams_says_why_nothing_is_compared(place: Path) -> None:
    """Another split is another exam."""
    path = sweep_file(place, 'open = "all"\n[grid]\n"split.salt" = ["a", "b"]\n')
    done = sweeps.sweep(path, run_dir=place / "runs", lang="ja")
    report = (done.folder / "report.md").read_text(encoding="utf-8")
    assert "比較できない" in report and "試験での比較" not in report


def test_a_run_that_vanished_takes_nothing_with_it(place: Path) -> None:
    """Somebody tidied up: the other trials stand, and the record says which run is gone and what to do."""
    path = sweep_file(place, 'open = "all"\n[grid]\n"model.width" = [16, 24, 32]\n')
    done = sweeps.sweep(path, run_dir=place / "runs")
    gone = next(result for result in done.trials if result.trial.name != done.best)
    shutil.rmtree(done.folder / gone.run)
    again = sweeps.sweep(path, run_dir=place / "runs", lang="en")
    states = {result.trial.key: result.state for result in again.trials}
    assert states == {result.trial.key: "failed" if result is gone else "done" for result in done.trials}
    assert again.best == done.best and again.exit_code == 1
    assert "its run is gone" in (again.folder / "report.md").read_text(encoding="utf-8")
    (again.folder / "trials" / f"{gone.trial.key}.json").unlink()
    assert [result.state for result in sweeps.sweep(path, run_dir=place / "runs").trials] == ["done"] * 3


def test_a_series_waits_where_versions_changed_under_a_trial(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial did not fail, and the others would be taught by something else than what it began with."""
    path = sweep_file(place, 'open = "all"\nset = ["train.steps=40"]\n[grid]\n"model.width" = [16, 24]\n')
    with pytest.raises(Interrupted):
        sweeps.sweep(path, run_dir=place / "runs", listener=_Presses())
    with monkeypatch.context() as patched:
        patched.setattr(reproducibility, "versions", lambda: {"torch": "9.9"})
        with pytest.raises(IncompatibleError, match=r"→ 9\.9") as refusal:
            sweeps.sweep(path, run_dir=place / "runs")
        assert "--anyway" not in str(refusal.value), "a sweep has no such option"
    assert [result.state for result in sweeps.sweep(path, run_dir=place / "runs").trials] == ["done", "done"]


def test_runs_started_in_the_same_second_are_distinguished(place: Path) -> None:
    """Four workers start at once, and their run folders bear one name."""
    path = sweep_file(place, 'open = "all"\n[grid]\n"model.width" = [16, 24]\n')
    done = sweeps.sweep(path, run_dir=place / "runs")
    for result in done.trials:
        (done.folder / result.run).rename((done.folder / result.run).with_name("same"))
        file = done.folder / "trials" / f"{result.trial.key}.json"
        changed = json.loads(file.read_text()) | {"run": str(Path(result.run).with_name("same"))}
        file.write_text(json.dumps(changed), encoding="utf-8")
    again = sweeps.sweep(path, run_dir=place / "runs", lang="en")
    page = (again.folder / "report.html").read_text(encoding="utf-8")
    for result in again.trials:
        assert f"{result.trial.name}, seed 0" in page and f"same ({result.trial.key[:6]})" in page
        assert f'href="runs/{result.trial.key}/same/report.html"' in page


def test_a_trial_that_another_worker_ended_meanwhile_is_left_as_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking and holding another one may have come to its end: "done" is not put back to "trained"."""
    path = sweep_file(place, 'open = "all"\n[grid]\n"model.width" = [16]\n')
    held, started = trial_module.TrialRunner.locked, list[str]()

    @contextmanager
    def late(work: trial_module.TrialRunner, trial: Trial) -> Iterator[bool]:
        if not started:
            started.append(trial.key)
            sweeps.sweep(path, run_dir=place / "runs")
            monkeypatch.setattr(trial_module.TrialRunner, "_run", None)  # nothing is left that could be run
        with held(work, trial) as mine:
            yield mine

    monkeypatch.setattr(trial_module.TrialRunner, "locked", late)
    assert [result.state for result in sweeps.sweep(path, run_dir=place / "runs").trials] == ["done"]


class _Looks(SilentListener):
    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def trials(self, look: Callable[[], Sequence[TrialStatus]]) -> None:
        self.seen.append([standing.state for standing in look()])


def test_a_listener_receives_the_status_of_every_trial(place: Path) -> None:
    """Hours of work without a word about how far it is are hours of doubt."""
    watching = _Looks()
    path = sweep_file(place, 'open = "all"\n[grid]\n"model.width" = [16, 32]\n')
    done = sweeps.sweep(path, run_dir=place / "runs", listener=watching)
    assert watching.seen == [
        ["running", "open"], ["trained", "open"], ["trained", "running"], ["trained", "trained"],
        ["running", "trained"], ["done", "trained"], ["done", "running"], ["done", "done"],
    ]  # fmt: skip
    assert [result.state for result in done.trials] == ["done", "done"]


def test_an_interrupted_sweep_continues_and_opens_nothing_before(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night's work that stopped at two is not lost, and the exam is still closed."""
    path = sweep_file(place, 'open = "all"\n[[list]]\nname = "a"\nset = ["model.width=16"]\n[[list]]\nname = "b"\n')
    real, started = trial_module.pipeline.run, []

    def once(*words: object, **more: object) -> object:
        started.append(words)
        if len(started) == 2:
            raise KeyboardInterrupt
        return real(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(trial_module.pipeline, "run", once)
    with pytest.raises(KeyboardInterrupt):
        sweeps.sweep(path, run_dir=place / "runs")
    states = [json.loads(file.read_text())["state"] for file in (place / "runs").glob("series-widths/trials/*.json")]
    assert states == ["trained"]
    done = sweeps.sweep(path, run_dir=place / "runs")
    assert [result.state for result in done.trials] == ["done", "done"]


class _Presses(SilentListener):
    """Presses Ctrl-C once, while a model is taught."""

    pressed = False

    def step(self, step: Step, total: int) -> None:
        if step.step == 3 and not self.pressed:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_a_sweep_and_no_trial_is_called_failed(place: Path) -> None:
    """A person who wants to stop has not found a bad setting; the trial goes on where it was."""
    path = sweep_file(place, 'seeds = [0, 1]\nopen = "none"\n[grid]\n"model.width" = [16]\n')
    with pytest.raises(Interrupted, match="same command"):
        sweeps.sweep(path, run_dir=place / "runs", listener=_Presses())
    assert not list((place / "runs").glob("series-widths/trials/*.json"))
    done = sweeps.sweep(path, run_dir=place / "runs")
    assert [result.state for result in done.trials] == ["trained", "trained"]
    assert len(list((place / "runs").glob("series-widths/runs/*/*/manifest.json"))) == 2


def test_a_failed_trial_is_kept_with_its_reason(place: Path) -> None:
    """A sweep that dies of one bad setting has lost the others."""
    path = sweep_file(place, '[grid]\n"task.source" = ["source", "sauce"]\n')
    done = sweeps.sweep(path, run_dir=place / "runs")
    failed = [result for result in done.trials if result.state == "failed"]
    assert len(failed) == 1
    assert "sauce" in failed[0].reason
    assert done.exit_code == 1


def test_a_search_shares_its_journal(place: Path) -> None:
    """What was tried before is known to the next process."""
    space = '[search]\ntrials = 3\n[search.space]\n"train.learning_rate" = { low = 1e-4, high = 1e-2, log = true }\n'
    path = sweep_file(place, 'open = "none"\n' + space)
    done = sweeps.sweep(path, run_dir=place / "runs")
    assert len(done.trials) == 3
    assert sweeps.sweep(path, run_dir=place / "runs").trials == done.trials


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('[grid]\n"model.wdth" = [16]\n', "width"),
        ('[grid]\n"model.width" = ["wide"]\n', "width"),
        ("", "grid, a list or a search"),
        ('sets = ["a=1"]\n[[list]]\n', "sets"),
        ('[search]\ntrials = 2\n[search.space]\n"train.clip" = { low = 0.1 }\n', "low and high"),
    ],
)
def test_an_impossible_series_is_refused_before_its_first_trial(place: Path, text: str, word: str) -> None:
    """A typing error in the last trial must not cost the night of the others."""
    with pytest.raises(ConfigError, match=word):
        sweeps.sweep(sweep_file(place, text), run_dir=place / "runs")
    assert not list((place / "runs").glob("*/runs/*"))


def test_what_is_said_beside_the_file_takes_its_place_and_is_kept(place: Path) -> None:
    """Other models, other seeds: one option, and no copied script."""
    path = sweep_file(place, 'open = "none"\n[grid]\n"model.width" = [16, 32]\n"train.steps" = [4, 8]\n')
    changes = SweepOverrides(set=("train.evaluate_every=2",), grid=("train.steps=2,3",), seeds=(7,))
    done = sweeps.sweep(path, changes=changes, run_dir=place / "runs")
    assert {result.trial.seed for result in done.trials} == {7}
    asked = {tuple(item for item in result.trial.settings if "model" not in item) for result in done.trials}
    assert asked == {("train.evaluate_every=2", f"train.steps={steps}") for steps in (2, 3)}
    assert sweeps.sweep(path, changes=changes, run_dir=place / "runs").trials == done.trials
    with pytest.raises(ConfigError, match="other contents"):
        sweeps.sweep(path, run_dir=place / "runs")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (SweepOverrides(grid=("model.width",)), "no key and values"),
        (SweepOverrides(grid=("model.width=[16",)), "no key and values"),
        (SweepOverrides(grid=("model.wdth=16,32",)), "width"),
        (SweepOverrides(set=("model.wdth=16",)), "width"),
    ],
)
def test_impossible_changes_are_refused_before_the_first_trial(place: Path, changes: SweepOverrides, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        sweeps.sweep(sweep_file(place, '[grid]\n"model.width" = [16]\n'), changes=changes, run_dir=place / "runs")
    with pytest.raises(ConfigError, match="no grid"):
        sweeps.sweep(
            sweep_file(place, "[[list]]\n"), changes=SweepOverrides(grid=("train.steps=1,2",)), run_dir=place / "other"
        )


def test_seeds_are_whole_numbers() -> None:
    assert parse_seeds("") == () and parse_seeds("0,12") == (0, 12)
    with pytest.raises(ConfigError, match="list of seeds"):
        parse_seeds("0;1")


def test_a_trial_of_an_older_sweep_counts_as_trained(place: Path) -> None:
    """Trial files of format 2 and older call the state by another name; nothing is trained twice."""
    path = sweep_file(place, 'open = "none"\n[grid]\n"model.width" = [16]\n')
    done = sweeps.sweep(path, run_dir=place / "runs")
    (file,) = (done.folder / "trials").glob("*.json")
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"state": "taught"}), encoding="utf-8")
    (again,) = sweeps.sweep(path, run_dir=place / "runs").trials
    assert again.state == "trained" and again.run == done.trials[0].run
