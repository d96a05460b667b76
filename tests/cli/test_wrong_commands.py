"""Wrong command lines of every kind: a message and an exit code, never our own fault (`make fuzz-cli` in short)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from benchmarks.faults.cli_fuzzing import PIPED
from benchmarks.faults.random_commands import draw_words, make_files, try_words
from terakoya.cli.help import usage_message
from terakoya.cli.main import main
from terakoya.i18n import Message
from terakoya.pipeline import commands


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """A folder of files that nobody should pass, with a finished run in it."""
    folder = tmp_path_factory.mktemp("wrong")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("LC_ALL", "C.UTF-8")
        yield folder, make_files(folder)


@pytest.mark.parametrize("first", range(7000, 7060, 20))
def test_no_wrong_command_line_is_our_fault(first: int, workplace: tuple[Path, list[str]]) -> None:
    """Exit 70, a traceback, a raw control character or English in place of Japanese would be."""
    folder, names = workplace
    outcomes = [try_words(draw_words(Random(f"cli/{seed}"), names), folder, PIPED) for seed in range(first, first + 20)]
    faulty = [outcome for outcome in outcomes if outcome["faults"]]
    assert not faulty, "\n".join(f"{ascii(one['words'])[:500]} {one['faults']} {one['err'][-2000:]}" for one in faulty)
    assert len({outcome["code"] for outcome in outcomes}) > 1


LONG = "名" * 5000
KINDS = [
    (["run", LONG], 2), (["run", LONG + ".toml"], 2), (["run", "good.toml", "--run-dir", LONG], 2),
    (["audit", LONG + ".csv"], 3),
    (["compare", LONG, LONG], 2), (["predict", LONG, "x"], 2), (["evaluate", "run", "--data", LONG + ".csv"], 3),
    (["report", LONG], 2), (["report", "--all", "--run-dir", LONG], 2), (["split", "good.toml", "--output", LONG], 2),
    (["new", LONG + "/" + LONG], 2), (["new", "x/" * 3000], 2), (["sweep", LONG], 2), (["generate", LONG], 2),
    (["run", "long-data.toml"], 3), (["run", "empty"], 2), (["report", "empty"], 9), (["predict", "empty", "x"], 9),
    (["evaluate", "empty"], 2), (["compare", "empty", "empty"], 9), (["run", "link.toml"], 2),
    (["audit", "link.csv"], 3),
    (["run", "loop.toml"], 3), (["predict", "loop", "x"], 9), (["run", "loop"], 2),
    (["run", "good.toml", "--run-dir", "good.csv"], 2),
    (["run", "good.toml", "--run-dir", "link.csv"], 2), (["predict", "run", "--input", "-"], 3),
    (["run", "pipe.toml"], 2),
    (["audit", "pipe.csv"], 3), (["run", "a\x00b"], 2), (["run", "bad\udcff.toml"], 2), (["audit", "deep.json"], 3),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code"), KINDS, ids=[f"{at} {words[0]} {words[1][:12]!a}" for at, (words, _) in enumerate(KINDS)]
)
def test_a_path_that_cannot_be_is_refused_with_its_name(
    words: list[str], code: int, workplace: tuple[Path, list[str]]
) -> None:
    """Names of 5,000 characters, empty folders, loops, pipes, bytes that are no text: exit 2, 3 or 9 and a message."""
    outcome = try_words(words, workplace[0], PIPED)
    assert not outcome["faults"] and outcome["code"] in (code, 2, 3, 9), outcome
    assert 0 < len(outcome["err"].splitlines()[0]) < 12_000


def test_standard_input_in_another_encoding_is_read_where_it_is_named(workplace: tuple[Path, list[str]]) -> None:
    """The advice of the refusal works when it is typed."""
    refused = try_words(["predict", "run", "--input", "-"], workplace[0], "良い\n問い1番\n".encode("cp932"))
    assert refused["code"] == 3 and "line 1" in refused["err"] and "--encoding cp932" in refused["err"]
    for encoding in ("cp932", "utf-16", "utf-8"):
        words = ["predict", "run", "--input", "-", "--encoding", encoding]
        read = try_words(words, workplace[0], "良い\n問い1番\n".encode(encoding))
        assert [json.loads(line)["source"] for line in read["out"].splitlines()] == ["良い", "問い1番"], read
    assert try_words(["predict", "run", "--input", "-", "--encoding", "nonsense"], workplace[0], b"x")["code"] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_memory_limit_while_the_report_is_drawn_costs_the_charts_only(workplace: tuple[Path, list[str]]) -> None:
    """The library that draws ends its whole process for want of memory: exit 133, and no report."""
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30));"
    code = limited + "from terakoya.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "report", "run", "--lang", "en"],
        cwd=workplace[0], capture_output=True, text=True, check=False, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "has no charts" in done.stderr and len(done.stderr.splitlines()) == 1
    page = (workplace[0] / "run" / "report.html").read_text(encoding="utf-8")
    assert "</html>" in page and "<svg" not in page


def test_a_run_goes_on_in_another_language(workplace: tuple[Path, list[str]]) -> None:
    """The language is that of messages, and no setting of the run."""
    for lang, word in (("en", "The record: "), ("ja", "記録")):
        outcome = try_words(["run", "run", "--lang", lang], workplace[0])
        assert outcome["code"] in (0, 1) and word in outcome["out"], outcome
    assert try_words(["run", "run", "--lang", "en", "--set", "train.steps=3"], workplace[0])["code"] == 2


def test_a_refused_run_leaves_nothing_to_clear_away(workplace: tuple[Path, list[str]]) -> None:
    """Config, data and preflight: no folder, or one that is marked."""
    for config in ("key.toml", "no-data.toml", "use.toml", "loop.toml", "base.toml"):
        assert try_words(["run", config, "--run-dir", "refused"], workplace[0])["code"] in (2, 3)
    made = list((workplace[0] / "refused").glob("*"))
    states = [
        json.loads((path / "manifest.json").read_text(encoding="utf-8"))["state"] for path in made if path.is_dir()
    ]
    assert set(states) <= {"refused"}


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [("manifest.json", "model", [1]), ("manifest.json", "training", {"best": 3}),
     ("manifest.json", "dataset", {"splits": 1}),
     ("scores.json", "verdict", [1]), ("steps.jsonl", "step", {}), ("steps.jsonl", "loss", "x")],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_in_an_edited_run_is_damage(
    name: str, key: str, value: object, workplace: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """Nobody's seal vouches for such a folder: exit 9, with the file or the folder named."""
    run = tmp_path / "run"
    shutil.copytree(workplace[0] / "run", run)
    (run / "seal.json").unlink()
    lines = (
        (run / name).read_text(encoding="utf-8").split("\n")
        if name.endswith("l")
        else [(run / name).read_text("utf-8")]
    )
    lines[0] = json.dumps({**json.loads(lines[0]), "sealed": False, key: value})
    (run / name).write_text("\n".join(lines), encoding="utf-8")
    outcome = try_words(["report", str(run)], workplace[0])
    assert outcome["code"] == 9 and str(run) in outcome["err"] and not outcome["faults"], outcome


PARSER = [
    "No such option: --x", "No such option: --x (Possible options: --a, --b)", "No such command 'x'.",
    "Missing command.",
    "Missing argument 'x'.", "Missing option '--x'.", "Got unexpected extra argument(s) (x y)",
    "Option '--x' requires an argument.",
    "Option '--x' requires 2 arguments.", "Option '--x' does not take a value.", "Argument 'x' takes 2 values.",
    "Invalid value for '--x': Input should be a valid integer, unable to parse string as an integer",
    "Invalid value for '--x': Input should be a valid number, unable to parse string as a number",
    "Invalid value for '--x': Unable to parse input string as an integer, exceeded maximum size",
    "Invalid value for '--x': Input should be a finite number", "Invalid value: Value must be an iterable.",
    "Invalid value for '--x': 'y' is not one of 'a', 'b'.", "Invalid value for '--x': Input is not a valid path",
    "Invalid value for '--x': Input should be a valid boolean, unable to interpret input",
    "Invalid value for '--x': Value 'y' is not a valid integer.", "Invalid value for '--x': File 'y' does not exist.",
    "Invalid value for '--x': Directory 'y' is a file.", "Invalid value for '--x': File 'y' is a directory.",
    "Invalid value for '--x': Path 'y' is not readable.", "Invalid value for '--x': Path 'y' is not writable.",
]  # fmt: skip


@pytest.mark.parametrize("text", PARSER)
def test_every_sentence_of_the_argument_parser_is_translated(text: str) -> None:
    """Collected from its source (typer 0.29): what it may say of a command line is said in the reader's language."""
    message = usage_message(text)
    assert isinstance(message, Message) and str(message) == text
    japanese = message.translated("ja")
    assert any("ぁ" <= char <= "ん" for char in japanese), japanese
    for english in ("should", "is not", "requires", "takes", "exceeded", "Unable"):
        assert english not in japanese


def test_ctrl_c_says_what_is_saved(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The parser's own answer to Ctrl-C is silence."""

    def stop() -> None:
        raise KeyboardInterrupt("Resume with: terakoya run RUN")

    monkeypatch.setattr(commands, "list_", stop)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "Resume with: terakoya run RUN\n"


def test_a_memory_error_anywhere_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the machine's limit, and no fault of ours to report."""

    def greedy() -> None:
        raise MemoryError

    monkeypatch.setattr(commands, "list_", greedy)
    assert main(["list", "--lang", "ja"]) == 2
    assert "メモリ" in capsys.readouterr().err
