"""Other people's folders run no code: whatever lies in one, predict, compare, evaluate and run only read data."""

from __future__ import annotations

import inspect
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import hostile_folders
import pytest
from hostile_folders import CANARY, KINDS, TASK, VICTIM

import terakoya
from terakoya.cli.main import main
from terakoya.config import trust

SECRET = "a line of the user's\n"
TABLE = "source,target,inference\nあか,かあ,かあ\nいき,きい,きい\n"


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a task file of one's own."""
    home = tmp_path_factory.mktemp("sound")
    (home / "swap.py").write_text(TASK)
    (home / "swap.toml").write_text(
        'name = "swap"\n[task]\nuse = "swap.py"\n[model]\nbase = "tiny"\n'
        "[train]\nsteps = 12\nbatch_size = 8\nthreads = 1\n"
    )
    words = ["run", str(home / "swap.toml"), "--run-dir", str(home / "runs"), "--anyway", "--json"]
    assert main(words) in (0, 1)
    return next((home / "runs").glob("swap-*"))


@pytest.fixture
def unpacked(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it among somebody else's files; nothing of it is trusted."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    monkeypatch.setattr("terakoya.config.trust._this_process", set())
    (tmp_path / VICTIM).write_text(SECRET)
    folder = shutil.copytree(sound, tmp_path / "theirs" / "run")
    (folder / "theirs.csv").write_text(TABLE)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def _ends() -> Iterator[None]:
    """A command that waits for ever on a pipe is a failure, not a pause."""

    def give_up(*_: object) -> None:
        raise AssertionError("the command does not end")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def commands(folder: Path) -> list[list[str]]:
    table = str(folder.parent / "own.csv")
    return [
        ["predict", str(folder), "あか"],
        ["predict", str(folder / "model"), "あか"],
        ["predict", str(folder), "あか", "--verify"],
        ["evaluate", str(folder), "--data", table],
        ["evaluate", str(folder)],
        ["compare", str(folder), str(folder)],
        ["compare", str(folder), table],
        ["audit", str(folder / "config.toml")],
        ["report", str(folder)],
        ["run", str(folder / "config.toml"), "--run-dir", str(folder.parent / "new"), "--anyway", "--json"],
        ["run", str(folder), "--json"],
    ]


def test_there_are_forty_kinds() -> None:
    assert len(KINDS) >= 40


@pytest.mark.usefixtures("_ends")
@pytest.mark.parametrize("kind", KINDS)
def test_no_code_of_a_strangers_folder_runs(kind: str, unpacked: Path, tmp_path: Path) -> None:
    """The canary would sing; a file of the user's would change; a pipe would be waited for."""
    (unpacked.parent / "own.csv").write_text(TABLE)
    KINDS[kind](unpacked)
    for words in commands(unpacked):
        code = main(words)
        assert code != 70, words
        assert not (tmp_path / CANARY).exists(), words
        assert (tmp_path / VICTIM).read_text() == SECRET, words


def test_a_skill_of_a_task_file_opens_without_it(unpacked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Codec, limits and metrics are data; the task file need not even exist."""
    hostile_folders.use(unpacked, "gone.py")
    assert main(["predict", str(unpacked), "あか"]) == 0
    assert '"source": "あか"' in capsys.readouterr().out
    (unpacked.parent / "own.csv").write_text(TABLE)
    assert main(["evaluate", str(unpacked), "--data", str(unpacked.parent / "own.csv"), "--json"]) in (0, 1)
    assert "half|v:1" in capsys.readouterr().err  # the metric that is a program is left out, and named


def test_what_the_user_trusts_runs_until_it_changes(
    unpacked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The advice is followed as it is printed; it holds for this content, and for no other."""
    hostile_folders.KINDS["a task file, and a codec that is code"](unpacked)
    assert main(["predict", str(unpacked), "あか"]) == 2
    advice = capsys.readouterr().err.rpartition("--trust ")[2].split(" ")[0]
    assert main(["predict", str(unpacked), "あか", "--trust", advice]) == 0
    assert (tmp_path / CANARY).exists()
    assert str(Path(advice).resolve()) in (tmp_path / "own" / "terakoya" / "trusted.json").read_text()
    (tmp_path / CANARY).unlink()
    assert main(["predict", str(unpacked), "あか"]) == 0  # remembered
    assert (tmp_path / CANARY).exists()
    (tmp_path / CANARY).unlink()
    Path(advice).write_text(Path(advice).read_text() + "\n# changed\n")
    hostile_folders.reseal(unpacked / "model")
    assert main(["predict", str(unpacked), "あか"]) == 2
    assert not (tmp_path / CANARY).exists()


def test_every_command_and_function_that_opens_a_config_takes_trust(
    unpacked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A series of somebody else's was refused with advice that the command did not know."""
    hostile_folders.KINDS["a task file, and a codec that is code"](unpacked)
    with pytest.raises(terakoya.TerakoyaError, match="--trust") as refusal:
        terakoya.predict(unpacked, ["あか"])
    file = str(refusal.value).rpartition("--trust ")[2].split(" ")[0]
    for words in (["sweep", "nothing.toml"], ["generate", "nothing.toml"]):
        trust._this_process.clear()
        trust.list_path().unlink(missing_ok=True)
        assert main([*words, "--trust", file]) == 2
        assert trust.is_trusted(Path(file).read_bytes()), words
    capsys.readouterr()
    trust._this_process.clear()
    trust.list_path().unlink()
    terakoya.predict(unpacked, ["あか"], trust=[file])
    assert (tmp_path / CANARY).exists()
    opening = (
        "run", "train", "audit", "split", "doctor", "generate", "evaluate", "load", "predict", "sweep",
    )  # fmt: skip
    for name in opening:
        assert "trust" in inspect.signature(getattr(terakoya, name)).parameters, name


def test_ones_own_run_goes_on(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever ran a task file himself is not asked again when he resumes, verifies or evaluates."""
    assert main(["run", str(sound), "--json"]) in (0, 1)
    assert main(["predict", str(sound), "あか", "--verify"]) == 0
    assert main(["evaluate", str(sound), "--json"]) in (0, 1)
    assert "--trust" not in capsys.readouterr().err


def test_a_config_says_once_that_it_runs_code_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the folder where one stands a task file is one's own; elsewhere it may be anybody's."""
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "swap.py").write_text(TASK)
        (tmp_path / name / "swap.toml").write_text('[task]\nuse = "swap.py"\n')
    monkeypatch.chdir(tmp_path / "here")
    assert main(["audit", "swap.toml"]) in (0, 1)
    assert "runs the Python code" not in capsys.readouterr().err
    for times in (1, 0):
        assert main(["audit", "../elsewhere/swap.toml"]) in (0, 1)
        assert capsys.readouterr().err.count("runs the Python code") == times


FUNCTIONS: dict[str, Callable[[Path, Path, list[Path]], object]] = {
    "run": lambda run, new, trust: terakoya.run(run / "config.toml", run_dir=new, anyway=True, trust=trust),
    "train": lambda run, new, trust: terakoya.train(run / "config.toml", run_dir=new, anyway=True, trust=trust),
    "audit": lambda run, new, trust: terakoya.audit(run / "config.toml", trust=trust),
    "split": lambda run, new, trust: terakoya.split(run / "config.toml", new, trust=trust),
    "doctor": lambda run, new, trust: terakoya.doctor(run / "config.toml", trust=trust),
    "load": lambda run, new, trust: terakoya.load(run, trust=trust),
    "predict": lambda run, new, trust: terakoya.predict(run, ["あか"], trust=trust),
    "evaluate": lambda run, new, trust: terakoya.evaluate(run, trust=trust),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_refuses_runs_with_trust_and_refuses_what_has_changed(
    name: str, unpacked: Path, tmp_path: Path
) -> None:
    """P23: `trust=` of the Python interface is the promise of --trust: this file, with this content."""
    hostile_folders.KINDS["a task file, and a codec that is code"](unpacked)
    call = FUNCTIONS[name]
    with pytest.raises(terakoya.TerakoyaError, match="--trust") as refusal:
        call(unpacked, tmp_path / "new", [])
    assert not (tmp_path / CANARY).exists()
    file = Path(str(refusal.value).rpartition("--trust ")[2].split(" ")[0])
    call(unpacked, tmp_path / "new", [file])
    assert (tmp_path / CANARY).exists()
    (tmp_path / CANARY).unlink()
    file.write_text(file.read_text() + "\n# changed\n")
    hostile_folders.reseal(unpacked / "model")
    with pytest.raises(terakoya.TerakoyaError, match="--trust"):
        call(unpacked, tmp_path / "newer", [])
    assert not (tmp_path / CANARY).exists()


def test_a_sweep_refuses_runs_with_trust_and_refuses_what_has_changed(
    unpacked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """P23: a series of one's own over somebody else's run is no way around the question."""
    hostile_folders.brought()(unpacked)
    (tmp_path / "series.toml").write_text(
        f'name = "s"\nexperiment = "{unpacked / "config.toml"}"\nopen = "none"\n[[list]]\nname = "one"\n'
        'set = ["train.steps=4"]\n'
    )

    def sweep(*more: str) -> int:
        return main(["sweep", str(tmp_path / "series.toml"), "--run-dir", str(tmp_path / "runs"), *more])

    assert sweep() == 2
    advice = capsys.readouterr().err.rpartition("--trust ")[2].split(" ")[0]
    assert not (tmp_path / CANARY).exists()
    sweep("--trust", advice)
    assert (tmp_path / CANARY).exists() and "trained" in capsys.readouterr().out
    (tmp_path / CANARY).unlink()
    (unpacked / "evil.py").write_text((unpacked / "evil.py").read_text() + "\n# changed\n")
    assert sweep() == 2
    assert not (tmp_path / CANARY).exists()


def test_a_generation_runs_no_task_file_whatever_is_trusted(unpacked: Path, tmp_path: Path) -> None:
    """P23: what `generate` needs of a config are its table and its teacher; the task beside them stays unread."""
    hostile_folders.brought()(unpacked)
    config = unpacked / "config.toml"
    words = ["generate", str(config), "--output", str(tmp_path / "made.jsonl"), "--set", "teacher.kind=lexicon"]
    words += ["--set", "teacher.recipe=emoji-v1", "--set", "teacher.samples=5"]
    for more in ([], ["--trust", str(unpacked / "evil.py")]):
        assert main([*words, *more]) == 0
        assert not (tmp_path / CANARY).exists()
    assert len((tmp_path / "made.jsonl").read_text().splitlines()) == 5
