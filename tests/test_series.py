"""A series: chosen on dev, examined once, gone on with after an interruption."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from terakoya.errors import ConfigError, IncompatibleError, Interrupted
from terakoya.progress import Silent, Standing
from terakoya.records import Step
from terakoya.runs import Index, Run
from terakoya.sweep import run as series
from terakoya.sweep.plan import Changes, Trial, seeds_of
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


def plan(place: Path, text: str) -> Path:
    path = place / "s.toml"
    path.write_text('name = "widths"\nexperiment = "words.toml"\n' + text, encoding="utf-8")
    return path


def test_the_exam_is_opened_once_for_what_dev_chose(place: Path) -> None:
    """Whoever chooses by the exam has no exam any more."""
    path = plan(place, 'seeds = [0, 1]\nopen = "best"\n[grid]\n"model.width" = [16, 32]\n')
    done = series.sweep(path, run_dir=place / "runs")
    assert sorted(told.state for told in done.trials) == ["done", "done", "taught", "taught"]
    assert {told.trial.name for told in done.trials if told.state == "done"} == {done.best}
    for told in done.trials:
        run = Run.open(done.folder / told.run)
        openings = Index(run.path.parent).openings(run.manifest["exam"]) if "exam" in run.manifest else []
        assert len(openings) == (1 if told.state == "done" else 0)
    again = series.sweep(path, run_dir=place / "runs")
    assert [(told.trial.key, told.run) for told in again.trials] == [(told.trial.key, told.run) for told in done.trials]
    assert all(page.is_file() for page in again.pages)


def test_settings_are_compared_on_the_exam_and_corrected_for_their_number(place: Path) -> None:
    """The better of two figures is no finding: the record says what the exam can tell apart, and what it cannot."""
    path = plan(place, 'seeds = [0, 1]\nopen = "all"\n[grid]\n"model.width" = [16, 24, 32]\n')
    done = series.sweep(path, run_dir=place / "runs", lang="en")
    told = (done.folder / "report.md").read_text(encoding="utf-8")
    (compared,) = (part for part in told.split("\n\n") if part.startswith("- ") and "corrected for" in part)
    lines = compared.splitlines()
    assert len(lines) == 2 and all("corrected for 2 comparisons" in line and done.best in line for line in lines)
    assert all("(2 seeds)" in line for line in lines)
    assert "cannot be compared" not in told


def test_ways_of_decoding_may_be_what_a_series_asks_about(place: Path) -> None:
    """Elsewhere another decoding forbids a comparison; here it is the question."""
    path = plan(place, 'open = "all"\n[grid]\n"decode.method" = ["greedy", "beam"]\n')
    done = series.sweep(path, run_dir=place / "runs", lang="en")
    told = (done.folder / "report.md").read_text(encoding="utf-8")
    assert "Compared on the exam" in told and "cannot be compared" not in told


def test_a_series_over_exams_says_why_nothing_is_compared(place: Path) -> None:
    """Another split is another exam."""
    path = plan(place, 'open = "all"\n[grid]\n"split.salt" = ["a", "b"]\n')
    done = series.sweep(path, run_dir=place / "runs", lang="ja")
    told = (done.folder / "report.md").read_text(encoding="utf-8")
    assert "比較できない" in told and "試験での比較" not in told


def test_a_run_that_vanished_takes_nothing_with_it(place: Path) -> None:
    """Somebody tidied up: the other trials stand, and the record says which run is gone and what to do."""
    path = plan(place, 'open = "all"\n[grid]\n"model.width" = [16, 24, 32]\n')
    done = series.sweep(path, run_dir=place / "runs")
    gone = next(told for told in done.trials if told.trial.name != done.best)
    shutil.rmtree(done.folder / gone.run)
    again = series.sweep(path, run_dir=place / "runs", lang="en")
    states = {told.trial.key: told.state for told in again.trials}
    assert states == {told.trial.key: "failed" if told is gone else "done" for told in done.trials}
    assert again.best == done.best and again.exit_code == 1
    assert "its run is gone" in (again.folder / "report.md").read_text(encoding="utf-8")
    (again.folder / "trials" / f"{gone.trial.key}.json").unlink()
    assert [told.state for told in series.sweep(path, run_dir=place / "runs").trials] == ["done"] * 3


def test_a_series_waits_where_versions_changed_under_a_trial(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial did not fail, and the others would be taught by something else than what it began with."""
    path = plan(place, 'open = "all"\nset = ["train.steps=40"]\n[grid]\n"model.width" = [16, 24]\n')
    with pytest.raises(Interrupted):
        series.sweep(path, run_dir=place / "runs", listener=_Presses())
    with monkeypatch.context() as patched:
        patched.setattr(reproducibility, "versions", lambda: {"torch": "9.9"})
        with pytest.raises(IncompatibleError, match=r"→ 9\.9") as refusal:
            series.sweep(path, run_dir=place / "runs")
        assert "--anyway" not in str(refusal.value), "a series has no such option"
    assert [told.state for told in series.sweep(path, run_dir=place / "runs").trials] == ["done", "done"]


def test_runs_begun_in_the_same_second_are_told_apart(place: Path) -> None:
    """Four workers start at once, and their run folders bear one name."""
    path = plan(place, 'open = "all"\n[grid]\n"model.width" = [16, 24]\n')
    done = series.sweep(path, run_dir=place / "runs")
    for told in done.trials:
        (done.folder / told.run).rename((done.folder / told.run).with_name("same"))
        file = done.folder / "trials" / f"{told.trial.key}.json"
        changed = json.loads(file.read_text()) | {"run": str(Path(told.run).with_name("same"))}
        file.write_text(json.dumps(changed), encoding="utf-8")
    again = series.sweep(path, run_dir=place / "runs", lang="en")
    page = (again.folder / "report.html").read_text(encoding="utf-8")
    for told in again.trials:
        assert f"{told.trial.name}, seed 0" in page and f"same ({told.trial.key[:6]})" in page
        assert f'href="runs/{told.trial.key}/same/report.html"' in page


def test_a_trial_that_another_worker_ended_meanwhile_is_left_as_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking and holding another one may have come to its end: "done" is not put back to "taught"."""
    path = plan(place, 'open = "all"\n[grid]\n"model.width" = [16]\n')
    held, begun = series._Work._held, list[str]()

    @contextmanager
    def late(work: series._Work, trial: Trial) -> Iterator[bool]:
        if not begun:
            begun.append(trial.key)
            series.sweep(path, run_dir=place / "runs")
            monkeypatch.setattr(series._Work, "_run", None)  # nothing is left that could be run
        with held(work, trial) as mine:
            yield mine

    monkeypatch.setattr(series._Work, "_held", late)
    assert [told.state for told in series.sweep(path, run_dir=place / "runs").trials] == ["done"]


class _Looks(Silent):
    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def trials(self, look: Callable[[], Sequence[Standing]]) -> None:
        self.seen.append([standing.state for standing in look()])


def test_whoever_watches_is_told_how_every_trial_stands(place: Path) -> None:
    """Hours of work without a word about how far it is are hours of doubt."""
    watching = _Looks()
    path = plan(place, 'open = "all"\n[grid]\n"model.width" = [16, 32]\n')
    done = series.sweep(path, run_dir=place / "runs", listener=watching)
    assert watching.seen == [
        ["running", "open"], ["taught", "open"], ["taught", "running"], ["taught", "taught"],
        ["running", "taught"], ["done", "taught"], ["done", "running"], ["done", "done"],
    ]  # fmt: skip
    assert [told.state for told in done.trials] == ["done", "done"]


def test_an_interrupted_series_goes_on_and_opens_nothing_before(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night's work that stopped at two is not lost, and the exam is still closed."""
    path = plan(place, 'open = "all"\n[[list]]\nname = "a"\nset = ["model.width=16"]\n[[list]]\nname = "b"\n')
    real, begun = series.pipeline.run, []

    def once(*words: object, **more: object) -> object:
        begun.append(words)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return real(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(series.pipeline, "run", once)
    with pytest.raises(KeyboardInterrupt):
        series.sweep(path, run_dir=place / "runs")
    states = [json.loads(file.read_text())["state"] for file in (place / "runs").glob("series-widths/trials/*.json")]
    assert states == ["taught"]
    done = series.sweep(path, run_dir=place / "runs")
    assert [told.state for told in done.trials] == ["done", "done"]


class _Presses(Silent):
    """Presses Ctrl-C once, while a model is taught."""

    pressed = False

    def step(self, step: Step, total: int) -> None:
        if step.step == 3 and not self.pressed:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_a_series_and_no_trial_is_called_failed(place: Path) -> None:
    """A person who wants to stop has not found a bad setting; the trial goes on where it was."""
    path = plan(place, 'seeds = [0, 1]\nopen = "none"\n[grid]\n"model.width" = [16]\n')
    with pytest.raises(Interrupted, match="same command"):
        series.sweep(path, run_dir=place / "runs", listener=_Presses())
    assert not list((place / "runs").glob("series-widths/trials/*.json"))
    done = series.sweep(path, run_dir=place / "runs")
    assert [told.state for told in done.trials] == ["taught", "taught"]
    assert len(list((place / "runs").glob("series-widths/runs/*/*/manifest.json"))) == 2


def test_a_failed_trial_is_kept_with_its_reason(place: Path) -> None:
    """A series that dies of one bad setting has lost the others."""
    path = plan(place, '[grid]\n"task.source" = ["source", "sauce"]\n')
    done = series.sweep(path, run_dir=place / "runs")
    failed = [told for told in done.trials if told.state == "failed"]
    assert len(failed) == 1
    assert "sauce" in failed[0].reason
    assert done.exit_code == 1


def test_a_search_shares_its_journal(place: Path) -> None:
    """What was tried before is known to the next process."""
    space = '[search]\ntrials = 3\n[search.space]\n"train.learning_rate" = { low = 1e-4, high = 1e-2, log = true }\n'
    path = plan(place, 'open = "none"\n' + space)
    done = series.sweep(path, run_dir=place / "runs")
    assert len(done.trials) == 3
    assert series.sweep(path, run_dir=place / "runs").trials == done.trials


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
        series.sweep(plan(place, text), run_dir=place / "runs")
    assert not list((place / "runs").glob("*/runs/*"))


def test_what_is_said_beside_the_file_takes_its_place_and_is_kept(place: Path) -> None:
    """Other models, other seeds: one option, and no copied script."""
    path = plan(place, 'open = "none"\n[grid]\n"model.width" = [16, 32]\n"train.steps" = [4, 8]\n')
    changes = Changes(set=("train.evaluate_every=2",), grid=("train.steps=2,3",), seeds=(7,))
    done = series.sweep(path, changes=changes, run_dir=place / "runs")
    assert {told.trial.seed for told in done.trials} == {7}
    asked = {tuple(item for item in told.trial.settings if "model" not in item) for told in done.trials}
    assert asked == {("train.evaluate_every=2", f"train.steps={steps}") for steps in (2, 3)}
    assert series.sweep(path, changes=changes, run_dir=place / "runs").trials == done.trials
    with pytest.raises(ConfigError, match="other contents"):
        series.sweep(path, run_dir=place / "runs")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (Changes(grid=("model.width",)), "no key and values"),
        (Changes(grid=("model.width=[16",)), "no key and values"),
        (Changes(grid=("model.wdth=16,32",)), "width"),
        (Changes(set=("model.wdth=16",)), "width"),
    ],
)
def test_impossible_changes_are_refused_before_the_first_trial(place: Path, changes: Changes, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        series.sweep(plan(place, '[grid]\n"model.width" = [16]\n'), changes=changes, run_dir=place / "runs")
    with pytest.raises(ConfigError, match="no grid"):
        series.sweep(plan(place, "[[list]]\n"), changes=Changes(grid=("train.steps=1,2",)), run_dir=place / "other")


def test_seeds_are_whole_numbers() -> None:
    assert seeds_of("") == () and seeds_of("0,12") == (0, 12)
    with pytest.raises(ConfigError, match="list of seeds"):
        seeds_of("0;1")
