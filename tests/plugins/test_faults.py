"""A fault in somebody else's code is named as theirs: file, line and the exception's own words, exit 3, never 70."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest
from fake_packages import install

from terakoya.cli.main import main
from terakoya.pipeline import run as pipeline

HEAD = """
from random import Random

from terakoya.codec import TextCodec
from terakoya.records import Example, Finding, Split
from terakoya.scoring.metrics import Metric
from terakoya.task import Task

ROWS = tuple(Example(f"w{n}", f"W{n % 7}") for n in range(60))


def always(value):
    return lambda *given: value


def failing(*given):
    raise ValueError("the author's own words")


class Codec(TextCodec):
    def read(self, raw):
        raise RuntimeError("the author's own words")


class NotText(TextCodec):
    def read(self, raw):
        return 7
"""

WORDS = "the author's own words"


def _returning(arguments: str, before: str = "") -> str:
    """The body of a file whose task is made with these arguments."""
    return f"{before}\ndef task():\n    return Task('x', {arguments})\n"


# What is wrong → (body of the file, text on the line that is to be named, words of the message).
OWN_FILE = {
    "import": ("import no_such_module\n", "import no_such", "ModuleNotFoundError: No module named 'no_such_module'"),
    "syntax": ("def task(:\n", "def task(:", "SyntaxError"),
    "exit": ("raise SystemExit(0)\n", "raise SystemExit", "SystemExit"),
    "no task": ("tasks = 1\n", "", "defines no task"),
    "factory raises": ("def task():\n    return 1 / 0\n", "1 / 0", "ZeroDivisionError: division by zero"),
    "factory returns a number": ("def task():\n    return 1\n", "def task", "must return a Task, and returned int"),
    "factory takes more": ("def task(path):\n    return 1\n", "def task", "takes (path)"),
    "no examples": ("def task():\n    return Task('x')\n", "def task", "neither examples nor a split"),
    "examples": (_returning("(('a', 'b'),)"), "Task('x'", "item 0 is of type tuple"),
    "metric of one argument": (_returning("ROWS, metrics={'m': m}", "def m(a): return 1"), "def m", "takes (a)"),
    "metric is nothing": (_returning("ROWS, metrics={'m': 5}"), "Task('x'", "is of type int"),
    "no metric": (_returning("ROWS, metrics={}"), "Task('x'", "at least one metric"),
    "metric raises": (_returning("ROWS, metrics={'m': failing}"), "raise ValueError", WORDS),
    "metric above 1": (_returning("ROWS, metrics={'m': m}", "def m(p, t): return 1.7"), "def m", "gave 1.7"),
    "metric is nan": (_returning("ROWS, metrics={'m': m}", "def m(p, t): return float('nan')"), "def m", "gave nan"),
    "metric gives text": (
        _returning("ROWS, metrics={'m': Metric('m', m)}", "def m(p, t): return 'good'"), "def m", "gave 'good'",
    ),
    "codec lacks methods": (
        _returning("ROWS, C()", "class C:\n    name = 'c'"), "class C:", "has no write, read, canonical",
    ),
    "codec's method takes more": (
        _returning("ROWS, D()", "class D(TextCodec):\n    def write(self, a, b): ..."), "def write", "takes (a, b)",
    ),
    "codec raises while decoding": (_returning("ROWS, Codec()"), "raise RuntimeError", WORDS),
    "codec reads a number": (_returning("ROWS, NotText()"), "def read(self, raw)", "read 7"),
    "codec writes nothing": (
        _returning("ROWS, W()", "class W(TextCodec):\n    def write(self, a): ..."), "def write", "wrote None",
    ),
    "draw takes one": (_returning("ROWS, draw=draw", "def draw(rng): return ROWS[0]"), "def draw", "takes (rng)"),
    "draw raises": (_returning("ROWS, draw=failing"), "raise ValueError", WORDS),
    "draw gives a tuple": (
        _returning("ROWS, draw=draw", "def draw(rng, at): return ('a', 'b')"), "def draw", "must return an Example",
    ),
    "rule raises": (_returning("ROWS, rule=failing"), "raise ValueError", WORDS),
    "rule gives a number": (_returning("ROWS, rule=rule", "def rule(s): return 3"), "def rule", "gave 3"),
    "baseline raises": (_returning("ROWS, baselines={'b': failing}"), "raise ValueError", WORDS),
    "baseline returns no rule": (
        _returning("ROWS, baselines={'b': make}", "def make(train): return 3"), "def make", "is of type int",
    ),
    "check raises": (_returning("ROWS, checks=(failing,)"), "raise ValueError", WORDS),
    "check returns nothing": (
        _returning("ROWS, checks=(check,)", "def check(split): return None"), "def check", "returned None",
    ),
    "kind of error raises": (_returning("ROWS, error_kind=failing"), "raise ValueError", WORDS),
    "memorised raises": (_returning("ROWS, memorised=failing"), "raise ValueError", WORDS),
}  # fmt: skip
READS = ("codec raises while decoding", "codec reads a number", "kind of error raises")
QUICK = '[model]\nbase = "tiny"\nhead = "sequence"\n[train]\nsteps = 2\nguards = false\n[score]\nresamples = 100\n'


def _line(source: str, text: str) -> int:
    """The last line that has this text; a body stands after the head."""
    return max(number for number, line in enumerate(source.splitlines(), 1) if text in line)


@pytest.mark.parametrize("fault", list(OWN_FILE))
def test_a_fault_in_ones_own_file_is_named(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever writes a task finds the line of his mistake, and no request to report it to us."""
    body, text, words = OWN_FILE[fault]
    source = HEAD + body
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(source, encoding="utf-8")
    Path("own.toml").write_text(f'[task]\nuse = "own.py"\n{QUICK}', encoding="utf-8")
    # Only a model that ends its outputs has any that are read.
    steps = 60 if fault in READS else 2
    assert main(["run", "own.toml", "--anyway", "--lang", "en", "--set", f"train.steps={steps}"]) == 3
    shown = capsys.readouterr().err
    assert "own.py" in shown and words in shown, shown
    if text:
        assert f"own.py, line {_line(source, text)}" in shown, shown
    assert "Traceback" not in shown and "error in Terakoya" not in shown
    kept = [json.loads(file.read_text(encoding="utf-8")) for file in Path("runs").glob("*/manifest.json")]
    assert all(one["state"] in ("failed", "refused") and "own.py" in json.dumps(one) for one in kept), kept
    if fault == "kind of error raises":  # trained by then: the record says why it ended
        assert [one["state"] for one in kept] == ["failed"]


def test_the_same_in_japanese(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(HEAD + "def task():\n    return 1 / 0\n", encoding="utf-8")
    Path("own.toml").write_text('[task]\nuse = "own.py"\n', encoding="utf-8")
    assert main(["audit", "own.toml", "--lang", "ja"]) == 3
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in shown and "行" in shown and "Terakoya のものではない" in shown


def test_our_own_fault_stays_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake of ours beside somebody's task file is not blamed on the file."""
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(HEAD + "def task():\n    return Task('x', ROWS)\n", encoding="utf-8")
    Path("own.toml").write_text(f'[task]\nuse = "own.py"\n{QUICK}', encoding="utf-8")

    def broken(*given: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(pipeline, "record_dataset", broken)
    assert main(["run", "own.toml", "--lang", "en"]) == 70
    assert "error in Terakoya" in capsys.readouterr().err
    (manifest,) = Path("runs").glob("*/manifest.json")
    assert "an internal error of Terakoya" in manifest.read_text(encoding="utf-8")


MODULE = """
import torch
from terakoya.codec import TextCodec

def detached(outputs): return outputs.logits.detach().mean()
def whole(outputs): return outputs.logits
def failing(*given): raise ValueError("the author's own words")
def two(a, b): return a
def fine(outputs): return outputs.logits.square().mean()
def good(prediction, targets): return 0.5
def rule(train): return lambda source: source

class Codec(TextCodec):
    def viable(self): return True

def no_codec(): return 5
def build(config, pairs, labels, *, seed): raise RuntimeError("the author's own words")
def load(folder): return None
"""
# What is wrong → (entry point, setting, text on the line that is to be named, words of the message).
PACKAGE = {
    "loss raises": ("losses it", "train.loss=it", "failing", "raise ValueError", "the author's own words"),
    "loss of two arguments": ("losses it", "train.loss=it", "two", "def two", "takes (a, b)"),
    "loss is no scalar": ("losses it", "train.loss=it", "whole", "def whole", "tensor of shape ()"),
    "loss is detached": ("losses it", "train.loss=it", "detached", "def detached", "does not depend on the logits"),
    "metric of one argument": ("metrics it", "task.metric=it", "fine", "def fine", "takes (outputs)"),
    "metric raises": ("metrics it", "task.metric=it", "failing", "raise ValueError", "the author's own words"),
    "codec's method": ("codecs it", "task.codec=it", "Codec", "def viable", "'viable' is called with (prefix)"),
    "codec is none": ("codecs it", "task.codec=it", "no_codec", "def no_codec", "of type int"),
    "codec raises": ("codecs it", "task.codec=it", "failing", "raise ValueError", "the author's own words"),
    "baseline raises": ("baselines it", 'score.baselines=["it"]', "failing", "raise ValueError", "own words"),
    "baseline of two arguments": ("baselines it", 'score.baselines=["it"]', "two", "def two", "takes (a, b)"),
    "model raises": ("models it", "model.base=it", "", "def build", "the author's own words"),
    "task raises": ("tasks it", "task.use=it", "failing", "raise ValueError", "the author's own words"),
}


@pytest.mark.parametrize("fault", list(PACKAGE))
def test_a_fault_in_an_installed_package_is_named(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the package and its version, so that one knows whom to tell."""
    point, setting, attribute, text, words = PACKAGE[fault]
    value = f"their_module:{attribute}" if attribute else "their_module"
    install(tmp_path, monkeypatch, {"their_module.py": MODULE}, {point: value})
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"w{n},W{n % 7}\n" for n in range(60))
    Path("t.csv").write_text("source,target\n" + rows, encoding="utf-8")
    data = "" if point.startswith("tasks") else 'data = "t.csv"\n'
    Path("own.toml").write_text(f"[task]\n{data}{QUICK}", encoding="utf-8")
    assert main(["run", "own.toml", "--anyway", "--lang", "en", "--set", setting]) == 3
    shown = capsys.readouterr().err
    assert f"their_module.py, line {_line(MODULE, text)}" in shown and words in shown, shown
    assert "their-package 1.2.3" in shown and "Traceback" not in shown


@pytest.mark.parametrize(
    ("source", "value", "words"),
    [
        ("import no_such_module\n", "their_module:x", "their_module.py, line 1: No module named"),
        ("x = 1\n", "their_module:y", "their-package 1.2.3"),
        ("", "no_such_package:y", "their-package 1.2.3"),
        ("raise SystemExit(0)\n", "their_module:x", "their_module.py, line 1"),
    ],
)
def test_a_package_that_cannot_be_imported_is_named(
    source: str, value: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    install(tmp_path, monkeypatch, {"their_module.py": source}, {"losses it": value})
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"w{n},W{n % 7}\n" for n in range(60))
    Path("t.csv").write_text("source,target\n" + rows, encoding="utf-8")
    Path("own.toml").write_text(f'[task]\ndata = "t.csv"\n{QUICK}', encoding="utf-8")
    assert main(["run", "own.toml", "--anyway", "--lang", "en", "--set", "train.loss=it"]) == 3
    shown = capsys.readouterr().err
    assert words.partition(":")[0] in shown, shown


def test_a_long_message_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The innermost of the author's lines is named, not the first one that called it."""
    from terakoya.errors.third_party import faults

    file = tmp_path / "deep.py"
    file.write_text(
        dedent("""
        def outer():
            inner()

        def inner():
            {}["key"]
    """),
        encoding="utf-8",
    )
    faults.remember(file)
    names: dict[str, object] = {}
    exec(compile(file.read_bytes(), str(file), "exec"), names)
    with pytest.raises(KeyError) as caught:
        names["outer"]()  # type: ignore[operator]
    fault = faults.find_fault(caught.value)
    assert fault and (fault.location.line, fault.location.name, fault.words) == (6, "inner", "KeyError: 'key'")
    assert fault.source == '{}["key"]'
    with pytest.raises(KeyError) as ours:
        _ = {}["ours"]
    assert faults.find_fault(ours.value) is None
