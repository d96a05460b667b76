"""Wrong command lines drawn from a seed: a folder of files that nobody should pass, and one try of each line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import typer

from terakoya.cli.main import main
from terakoya.cli.options import app

ROWS = "source,target\n" + "".join(f"問い{number}番,答え{number % 3}\n" for number in range(40))
CONFIG = '[task]\ndata = "{data}"\n[train]\nsteps = 2\n[model]\nbase = "tiny"\n[score]\nresamples = 100\n'
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202e\u2066反\u200f"  # window title, clear, colour, reversed reading
# Names as arguments can have them; "\udcff" is how Python passes on a byte that is no UTF-8.
NAMES = (
    "", " ", ".", "..", "/", "-", "--", "名" * 5000, "n" * 5000, "a/" * 3000 + "b", "no-such", "no/such.toml",
    HOSTILE + ".csv", HOSTILE + ".toml", HOSTILE, "\udcff\udcfe.csv", "bad\udcff", "[red]x[/red]", "{name}", "%s%n",
    "C:\\runs\\x", "http://localhost:1/x.csv", "~nobody/x", "/dev/null", "/dev/zero", "/proc/self/mem", "kannumee",
    "nul.toml",
    "💩.toml", "\u3000", "a\nb", "x.toml\n", "*.csv",
)  # fmt: skip
VALUES = (
    "", " ", "0", "-1", "1e999", "nan", "-inf", "9" * 400, "9" * 5000, "true", "null", "[]", "{}", "[[[", '"', "'",
    "x" * 5000,
    "1,2,3", "a=b=c", HOSTILE, "\udcff", "日本語", "０", "1_000", "0x10", "ja", "xx", "../..", "utf-7", "rot13",
    "utf-8", "cp932",
    "undefined", "hex", "text", "labels", "number", "quantity", "source", "target", "0,1,2", "0-9999999999", "1-",
    "__class__",
)  # fmt: skip
SETTINGS = (
    "seed", "name", "lang", "task.data", "task.use", "task.codec", "task.encoding", "task.source", "task.target",
    "task.split",
    "task.group", "task.metric", "task.separator", "task.notation", "task.options", "split.dev", "split.exam",
    "model.base",
    "model.width", "model.layers", "model.dropout", "train.steps", "train.epochs", "train.batch_size",
    "train.learning_rate",
    "train.warmup", "train.minutes", "train.loss", "train.optimizer", "train.threads", "decode.method", "decode.beams",
    "decode.abstain_below", "score.resamples", "teacher.model", "teacher.url", "teacher.budget", "teacher.extra",
    "teacher.rows",
    "no.such.key", "task", "", ".", "..", "model.", ".base",
)  # fmt: skip
PATHS = ("data", "input", "output", "run_dir", "with_run", "trust", "task")  # options whose value is one
SOUND = {
    "source": ("source", "c1"), "target": ("target", "c2"), "codec": ("text", "number", "labels", "quantity"),
    "seed": ("0", "7"),
    "encoding": ("cp932", "utf-8", "utf-16", "latin-1"), "top": ("3",), "threshold": ("0.5",),
    "abstain_below": ("0.5",),
    "seeds": ("0,1",), "part": ("main", "memorised"), "lang": ("ja", "en"),
}  # fmt: skip
SOUND_SETTINGS = (
    "train.steps=1", "seed=3", "task.codec=labels", "task.codec=number", "task.codec=quantity", "task.encoding=cp932",
    "model.width=8",
    "task.source=src", "task.target=source", "train.batch_size=1", "train.batch_size=5000", "split.exam=0.9",
    "split.dev=0",
    "decode.method=beam", "decode.beams=64", "decode.abstain_below=1", "task.separator=,", "train.epochs=1",
    "train.minutes=0.001",
    "train.learning_rate=1000", "task.group=target", "task.metric=chrf", "model.dropout=0.9",
    "train.evaluate_every=1", "lang=ja",
)  # fmt: skip
FITTING = {
    **dict.fromkeys(("run", "train", "split", "doctor", "generate"), r"toml$"),
    "audit": r"(csv|json|jsonl|tsv|parquet|toml)$",
    **dict.fromkeys(("predict", "evaluate", "report", "compare"), r"^(run|model|empty|locked|loop)"), "sweep": "series",
    "data": r"(csv|json|jsonl|tsv|parquet|txt)$", "input": r"(csv|json|jsonl|tsv|parquet|txt)$", "with_run": "^run",
    "task": "toml$",
}  # fmt: skip
SERVERS = ("open", "serve")  # go on until they are stopped; their refusals have tests of their own
FREE_OF_TRAINING = ("list", "explain", "schema", "new")  # commands that a shipped experiment cannot keep for minutes
SECONDS = 60  # after which a command counts as one that hangs


class Hanging(BaseException):
    """A command took longer than SECONDS."""


def make_files(folder: Path) -> list[str]:
    """Files, folders, links and runs that are wrong in one way each, beside a good table, config and run.

    folder  an empty folder
    Returns their names, relative to `folder`.
    """
    for name, content in _contents().items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    for name in ("empty", "folder.csv", "folder.toml", "model", "locked"):
        (folder / name).mkdir()
    (folder / "link.toml").symlink_to("knil.toml")
    (folder / "knil.toml").symlink_to("link.toml")
    (folder / "link.csv").symlink_to("link.csv")
    (folder / "loop").mkdir()
    (folder / "loop" / "again").symlink_to(".", target_is_directory=True)
    (folder / "nowhere.csv").symlink_to("gone.csv")
    (folder / "out.csv").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe.csv")
    os.mkfifo(folder / "pipe.toml")
    _make_runs(folder)
    return sorted(str(path.relative_to(folder)) for path in folder.iterdir())


def _contents() -> dict[str, bytes | str]:
    deep = "[" * 100_000
    odd = (
        HOSTILE.replace("\x1b", "\\u001b")
        .replace("\x07", "\\u0007")
        .replace("\x9b", "\\u009b")
        .replace("\x7f", "\\u007f")
    )
    return {
        "good.csv": ROWS, "good.toml": CONFIG.format(data="good.csv"), "good.txt": "一\n二\n",
        "empty.csv": "", "empty.toml": "", "empty.jsonl": "", "empty.json": "", "empty.parquet": "", "empty.tsv": "",
        "header.csv": "source,target\n", "one.csv": "source,target\na,b\n",
        "same.csv": "source,target\n" + "a,b\n" * 50,
        "ragged.csv": ROWS + "a,b,c\n", "twice.csv": "source,source,target\na,b,c\n", "other.csv": "src,tgt\na,b\n",
        "nul.csv": ROWS.encode() + b"a\0b,c\0d\n", "latin.csv": ROWS.encode() + b"\xe9\xff,\xfe\n",
        "utf16.csv": ROWS.encode("utf-16"), "cp932.csv": ROWS.encode("cp932"), "quote.csv": ROWS + '"never closed,b\n',
        "long.csv": ROWS + "長" * 400_000 + ",b\n",
        "wide.csv": ",".join(f"c{n}" for n in range(5000)) + "\n" + "," * 4999 + "\n",
        "hostile.csv": "source,target\n" + "".join(f"{HOSTILE}{n},{HOSTILE}{n % 2}\n" for n in range(40)),
        "hostile-header.csv": f"{HOSTILE},target\na,b\n", "huge.csv": "source,target\n" + "あ,い\n" * 60_000,
        "binary.csv": bytes(range(256)) * 40, "binary.toml": bytes(range(256)) * 4,
        "binary.jsonl": bytes(range(256)) * 4,
        "binary.parquet": b"PAR1" + bytes(range(256)) + b"PAR1", "binary.json": bytes(range(256)),
        "binary.txt": bytes(range(256)),
        "deep.json": deep, "deep.jsonl": deep + "\n", "deep.toml": "x = " + deep, "list.json": "[1, 2, null]",
        "types.jsonl": '{"source": 1, "target": [2]}\n{"source": null, "target": {"a": 1}}\n[]\n"x"\n',
        "digits.jsonl": '{"source": "a", "target": ' + "9" * 5000 + "}\n",
        "lone.jsonl": '{"source": "\\ud800", "target": "b"}\n' * 40,
        "chat.jsonl": '{"messages": [{"role": "user"}]}\n{"messages": "x"}\n{"messages": [1]}\n',
        "syntax.toml": "[task\ndata=", "key.toml": "[task]\ndata = 'good.csv'\nepoch = 3\n",
        "types.toml": "task = 3\ntrain = [1]\n",
        "no-data.toml": CONFIG.format(data="gone.csv"), "loop.toml": CONFIG.format(data="link.csv"),
        "hostile.toml": f'name = "{odd}"\n' + CONFIG.format(data="hostile.csv"),
        "hostile-key.toml": f'[task]\ndata = "good.csv"\n"{odd}" = 1\n',
        "hostile-data.toml": CONFIG.format(data=odd + ".csv"),
        "long-name.toml": f'name = "{"名" * 5000}"\n' + CONFIG.format(data="good.csv"),
        "long-data.toml": CONFIG.format(data="名" * 5000 + ".csv"),
        "nul-data.toml": CONFIG.format(data="a\\u0000b.csv"),
        "use.toml": '[task]\nuse = "own.py"\n', "own.py": "def task(**options):\n    return 1 / 0\n",
        "syntax.py": "def task(:\n", "use-syntax.toml": '[task]\nuse = "syntax.py"\n',
        "exit.py": "raise SystemExit(3)\n",
        "use-exit.toml": '[task]\nuse = "exit.py"\n',
        "base.toml": CONFIG.format(data="good.csv").replace("tiny", "./no/such/model"),
        "teacher.toml": '[task]\ndata = "made.csv"\n[teacher]\nmodel = "m"\nurl = "http://127.0.0.1:1/v1"\n',
        "series.toml": 'name = "s"\nexperiment = "good.toml"\n[grid]\n"train.steps" = [1]\n',
        "bad-series.toml": 'name = 3\n[grid]\nx = 1\n',
        "empty-series.toml": 'name = "s"\nexperiment = "good.toml"\nseeds = []\n',
    }  # fmt: skip


def _make_runs(folder: Path) -> None:
    """A finished run as `run`, and copies of it that are damaged in one way each."""
    with _quiet(folder):
        assert main(["run", "good.toml", "--run-dir", "made", "--anyway"]) in (0, 1), "the good run is none"
    finished = next(path.parent for path in (folder / "made").glob("*/manifest.json"))
    finished.rename(folder / "run")
    shutil.rmtree(folder / "made")
    damages: dict[str, Any] = {
        "manifest.json": b"[]", "config.toml": b"\xff\xfe", "scores.json": b"{}", "predictions.jsonl": b"{\n",
        "findings.jsonl": b"\0\0", "model": None, "steps.jsonl": b'{"step": "x"}\n',
    }  # fmt: skip
    for name, content in damages.items():
        damaged = folder / f"run-{name.partition('.')[0]}"
        shutil.copytree(folder / "run", damaged)
        if content is None:
            shutil.rmtree(damaged / name)
        else:
            (damaged / name).write_bytes(content)
    (folder / "model" / "terakoya.json").write_bytes(b'{"format": 99}')
    (folder / "locked" / "manifest.json").write_text(json.dumps({"format": 1, "state": "running"}))


def draw_words(rng: Random, names: list[str]) -> list[str]:
    """One command line, wrong in most cases; nothing in it trains for long or leaves this machine.

    rng    what it is drawn with
    names  of the files that `make_files` made
    """
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    name = rng.choice(sorted(commands.keys() - set(SERVERS)))
    careless = rng.random() < 0.3  # whether the words themselves are wrong, or what they lead to
    words = [rng.choice(NAMES) if careless and rng.random() < 0.15 else name]
    options = []
    for param in commands[name].params:
        if param.param_type_name == "argument":
            count = rng.choice((0, 1, 2)) if careless else 2 if name in ("compare", "predict") else 1
            words += [_draw_path(rng, names, name) for _ in range(count)]
        elif "--help" not in param.opts and rng.random() < (0.3 if careless else 0.1):
            options += _draw_option(rng, param, names, careless)
    if careless and rng.random() < 0.3:
        options.append(rng.choice(("--no-such", "--epoch=3", "-x", "--", "--" + HOSTILE, "--seed", "--set", "--lang")))
    if rng.random() < 0.4:
        options += ["--lang", rng.choice(("ja", "ja", "ja", "en", "xx", "", HOSTILE))]
    if name in ("run", "train", "sweep"):
        options += ["--run-dir", "new" if rng.random() < 0.7 else rng.choice((*NAMES, *names))]
        options += ["--anyway"] if name != "sweep" and rng.random() < 0.5 else []
    return [word for word in [*words, *options] if "\0" not in word]


def _draw_path(rng: Random, names: list[str], command: str) -> str:
    """Mostly what the command takes, so that it gets as far as opening it."""
    fitting = [name for name in names if re.search(FITTING.get(command, "$never"), name)]
    if fitting and rng.random() < 0.7:
        return rng.choice(fitting)
    shipped = ("kannume", "emoji", "mean") if command in FREE_OF_TRAINING else ()
    return rng.choice(names) if rng.random() < 0.6 else rng.choice((*NAMES, *shipped, *VALUES))


def _draw_option(rng: Random, param: Any, names: list[str], careless: bool) -> list[str]:
    option = rng.choice(sorted(param.opts))
    if getattr(param, "is_flag", False):
        return [f"{option}={rng.choice(VALUES)}" if careless and rng.random() < 0.2 else option]
    if option in ("--set", "--grid") and not careless and rng.random() < 0.8:
        return [option, rng.choice(SOUND_SETTINGS)]
    if option in ("--set", "--grid"):
        value = rng.choice((*names, *VALUES, *NAMES)) if rng.random() < 0.5 else str(rng.randint(-3, 300))
        return [option, rng.choice(VALUES) if careless and rng.random() < 0.2 else f"{rng.choice(SETTINGS)}={value}"]
    if param.name in PATHS:
        return [option, _draw_path(rng, names, param.name)]
    if not careless and param.name in SOUND:
        return [option, rng.choice(SOUND[param.name])]
    return [option, rng.choice(VALUES) if rng.random() < 0.7 else _draw_path(rng, names, "")]


def try_words(words: list[str], folder: Path, piped: bytes = b"") -> dict[str, Any]:
    """What a command line came to: exit code, what it printed, and faults in that.

    words   the command line
    folder  that it is typed in
    piped   bytes on standard input
    Returns "words", "command", "code", "out", "err", and "faults": what should not have happened.
    """
    faults: list[str] = []
    code: int | None = None
    with _quiet(folder, piped) as (out, err):
        signal.signal(signal.SIGALRM, _hang)
        signal.alarm(SECONDS)
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 70
        except Hanging:
            faults.append(f"not ended after {SECONDS} s")
        except BaseException:
            faults.append(traceback.format_exc())
        finally:
            signal.alarm(0)
    printed, told = _text_of(out), _text_of(err)
    named = words and words[0].isascii() and words[0].isalpha() and len(words[0]) < 20
    return {
        "words": words,
        "command": words[0] if named else "(none)",
        "code": code,
        "out": printed,
        "err": told,
        "faults": [*faults, *_faults(words, code, printed, told)],
    }


JAPANESE = re.compile("[ぁ-ん]")
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


def _faults(words: list[str], code: int | None, out: str, err: str) -> list[str]:
    faults = []
    if code == 70:
        faults.append("exit 70")
    elif "Traceback (most recent call last)" in err:
        faults.append("a traceback")
    if found := RAW.search(out + err):
        faults.append(f"U+{ord(found[0]):04X} reaches the terminal")
    if code not in (0, 1, 70, None) and not err.strip():
        faults.append(f"exit {code} without a word")
    if code not in (0, 1, None) and _language(words) == "ja" and not JAPANESE.search(err):
        faults.append("not in Japanese")
    return faults


def _language(words: list[str]) -> str:
    """The last --lang, which counts."""
    said = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "--lang"]
    return said[-1] if said and words.count("--") == 0 else ""


def _text_of(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO), "made by _quiet"
    return stream.buffer.getvalue().decode("utf-8", "backslashreplace")


def _hang(*_: object) -> None:
    raise Hanging


@contextlib.contextmanager
def _quiet(folder: Path, piped: bytes = b"") -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    """Inside `folder`, with streams of our own: they encode as a terminal's do."""
    before, streams = Path.cwd(), (sys.stdin, sys.stdout, sys.stderr)
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    os.chdir(folder)
    sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(piped), "utf-8"), out, err
    try:
        yield out, err
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        os.chdir(before)
