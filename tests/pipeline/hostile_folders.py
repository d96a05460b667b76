"""Run folders as a stranger might hand them on: each is a sound run with one thing in it that wants to run code, to
read or write elsewhere, or never to end. Seals are made again, as anybody can.

CODE leaves a canary where it runs; VICTIM is a file of the user's outside every folder, which must stay as it is.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from terakoya.runs import seal

CANARY, VICTIM = "canary", "victim"
Change = Callable[[Path], object]

# A task file of the user's own, from which the sound run is trained.
TASK = """
from terakoya.codec import TextCodec
from terakoya.records import Example
from terakoya.scoring.metrics import Metric, exact
from terakoya.task import Task


def task() -> Task:
    rows = tuple(Example(f"{one}{two}", f"{two}{one}") for one in "あいうえお" for two in "かきくけこ")
    half = Metric("half", lambda prediction, targets: 0.5, graded=True)
    return Task(name="swap", examples=rows, metrics={"exact": exact, "half": half}, reverse=lambda one, two: True)
"""


def evil(folder: Path) -> str:
    """Python that leaves the canary, and is a sound task besides."""
    return f"open({str(canary(folder))!r}, 'w').write('ran')\n{TASK}"


def canary(folder: Path) -> Path:
    return _home(folder) / CANARY


def _home(folder: Path) -> Path:
    """Where the run folder was unpacked; canary and victim lie beside its parent."""
    return folder.parent.parent


class Bomb:
    """What a pickle makes of itself when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"open({str(self.path)!r}, 'w').write('ran')",)


def reseal(folder: Path) -> None:
    (folder / "seal.json").unlink(missing_ok=True)
    seal(folder)


def about(folder: Path, **changes: object) -> None:
    """Other values in the skill's description, and its seal made again."""
    file = folder / "model" / "terakoya.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    reseal(folder / "model")


def task_values(folder: Path, **changes: object) -> None:
    saved = json.loads((folder / "model" / "terakoya.json").read_text())["task"]
    about(folder, task=saved | changes)


def use(folder: Path, name: str, *, everywhere: bool = True) -> None:
    """The configs of run and model name this task file."""
    for file in (folder / "config.toml", folder / "model" / "terakoya.json"):
        if not everywhere and file.name == "config.toml":
            continue
        text = file.read_text()
        old = next(
            line for line in text.replace("\\n", "\n").replace('\\"', '"').splitlines() if line.startswith("use =")
        )
        quoted = old.replace('"', '\\"') if file.suffix == ".json" else old
        new = f'use = "{name}"'.replace('"', '\\"') if file.suffix == ".json" else f'use = "{name}"'
        assert quoted in text
        file.write_text(text.replace(quoted, new))
    reseal(folder / "model")


def setting(folder: Path, old: str, new: str) -> None:
    """One line of both configs replaced."""
    for file in (folder / "config.toml", folder / "model" / "terakoya.json"):
        text = file.read_text()
        old_text, new_text = (it.replace('"', '\\"') if file.suffix == ".json" else it for it in (old, new))
        assert old_text in text, (file, old)
        file.write_text(text.replace(old_text, new_text))
    reseal(folder / "model")


def code(*names: str) -> Change:
    """Evil files of these names in the run folder."""

    def put(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(evil(folder))

    return put


def also(*changes: Change) -> Change:
    def put(folder: Path) -> None:
        for change in changes:
            change(folder)

    return put


def brought(name: str = "evil.py", where: str = "") -> Change:
    """A task file of the folder's own, named by both of its configs."""
    return also(code(name, f"model/{name}"), lambda folder: use(folder, where or name))


def running(folder: Path) -> None:
    """The run has not ended: `run` goes on with it."""
    _manifest(folder, state="interrupted")
    for name in ("scores.json", "predictions.jsonl", "report.md", "report.html"):
        (folder / name).unlink(missing_ok=True)


def _manifest(folder: Path, **changes: object) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def pipe(name: str) -> Change:
    def put(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return put


def unix_socket(name: str) -> Change:
    def put(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        before = Path.cwd()
        os.chdir((folder / name).parent)  # the path of a socket is short
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(Path(name).name)
        finally:
            os.chdir(before)

    return put


def link(name: str, target: str) -> Change:
    def put(folder: Path) -> None:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target.format(victim=_home(folder) / VICTIM, run=folder))

    return put


def pickles(folder: Path) -> None:
    """Weights and training states as pickles, beside the ones that are read and in their place."""
    bomb = pickle.dumps(Bomb(canary(folder)))
    for name in ("model/pytorch_model.bin", "model/optimizer.pt", "checkpoints/state.pkl", "data.pkl"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(bomb)
    for file in (folder / "model").glob("*.safetensors"):
        file.write_bytes(bomb)
    reseal(folder / "model")


def monitor(*settings: str) -> Change:
    """A repository whose own settings name a program."""

    def put(folder: Path) -> None:
        def git(*words: str) -> None:
            subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)

        program = folder / "program.sh"
        program.write_text(f"#!/bin/sh\necho ran > {canary(folder)}\ncat\n")
        program.chmod(0o755)
        git("init", "-q")
        (folder / ".gitattributes").write_text("bait filter=evil\n")
        (folder / "bait").write_text("bait\n")
        git("-c", "core.fsmonitor=false", "add", "bait", ".gitattributes")
        git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "one")
        for name in settings:
            git("config", name, str(program))
        os.utime(folder / "bait", (1, 1))  # so that git has to look into it, through the filter
        brought()(folder)

    return put


def tail(folder: Path, pattern: str) -> None:
    task_values(folder, codec={"kind": "quantity", "promote": False, "tail": pattern})


def write(name: str, data: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(data)


def poisoned_cache(folder: Path) -> None:
    """A compiled file beside a task file, unchecked by the import system and of other content."""
    import importlib.util
    from importlib._bootstrap_external import _code_to_hash_pyc  # type: ignore[attr-defined]

    (folder / "fair.py").write_text(TASK)
    compiled = compile(evil(folder), "fair.py", "exec")
    place = Path(importlib.util.cache_from_source(str(folder / "fair.py")))
    place.parent.mkdir()
    place.write_bytes(_code_to_hash_pyc(compiled, importlib.util.source_hash(TASK.encode()), checked=False))
    use(folder, "../fair.py", everywhere=False)
    use_in_config(folder, "fair.py")
    running(folder)


def use_in_config(folder: Path, name: str) -> None:
    text = (folder / "config.toml").read_text()
    old = next(line for line in text.splitlines() if line.startswith("use ="))
    (folder / "config.toml").write_text(text.replace(old, f'use = "{name}"'))


def _older_format(folder: Path) -> None:
    values: dict[str, Any] = json.loads((folder / "model" / "terakoya.json").read_text())
    values.pop("task")
    (folder / "model" / "terakoya.json").write_text(json.dumps(values | {"format": 1, "labels": [], "most": 0}))
    reseal(folder / "model")


KINDS: dict[str, Change] = {
    "a task file of its own": brought(),
    "a task file of its own, the run not ended": also(brought(), running),
    "a task file, and a codec that is code": also(brought(), lambda folder: task_values(folder, codec=None)),
    "a task file, and predictions to be verified": also(
        brought(), lambda folder: setting(folder, "verify = false", "verify = true")
    ),
    "a task file, in the older format": also(brought(), _older_format),
    "a task file outside the folder": also(
        lambda folder: (folder.parent / "evil.py").write_text(evil(folder)),
        lambda folder: use(folder, "../evil.py"),
        running,
    ),
    "a task file by its whole path": also(
        lambda folder: (folder.parent / "evil.py").write_text(evil(folder)),
        lambda folder: use(folder, str(folder.parent / "evil.py")),
        running,
    ),
    "a task file that is a package": also(code("evil.py/__init__.py"), lambda folder: use(folder, "evil.py"), running),
    "a task file that is a pipe": also(pipe("evil.py"), lambda folder: use(folder, "evil.py"), running),
    "a task file that is a link to another": also(
        code("other.txt"), link("evil.py", "{run}/other.txt"), lambda folder: use(folder, "evil.py"), running
    ),
    "a task file with an older version's compiled one": also(brought(), poisoned_cache),
    "a list of trusted files within the folder": also(
        brought(),
        running,
        lambda folder: _own_list(folder),
    ),
    "a config that says what is trusted": also(brought(), running, lambda folder: _says_trusted(folder)),
    "a module for a task": also(code("evil.py"), lambda folder: use(folder, "evil"), running),
    "a function of the standard library for a task": also(lambda folder: use(folder, "os:system"), running),
    "a module for a model": also(code("evil.py"), lambda folder: setting(folder, 'base = "tiny"', 'base = "evil"')),
    "a path for a model": lambda folder: setting(folder, 'base = "tiny"', 'base = "../../evil"'),
    "a data set that is a script": also(
        code("evil/evil.py"), lambda folder: setting(folder, 'data = ""', 'data = "hub:./evil"'), running
    ),
    "modules under the names of libraries": also(
        code("torch.py", "terakoya.py", "sitecustomize.py", "json.py", "safetensors/__init__.py"), running
    ),
    "entry points of its own": also(
        code("evil.py"),
        lambda folder: (folder / "evil-1.0.dist-info").mkdir(),
        write("evil-1.0.dist-info/METADATA", b"Name: evil\nVersion: 1.0\n"),
        write("evil-1.0.dist-info/entry_points.txt", b"[terakoya.tasks]\nevil = evil:task\n"),
        lambda folder: use(folder, "evil"),
        running,
    ),
    "pickles": also(pickles, running),
    "a repository with a monitor": monitor("core.fsmonitor"),
    "a repository with a filter": monitor("filter.evil.clean"),
    "a metric that is code": also(brought(), lambda folder: task_values(folder, metrics=["evil|v:1"])),
    "a codec of an unknown kind": lambda folder: task_values(folder, codec={"kind": "evil"}),
    "a codec that is a list": lambda folder: task_values(folder, codec=["text"]),
    "labels that are no texts": lambda folder: task_values(
        folder, codec={"kind": "labels", "labels": [1, {}], "most": 1}
    ),
    "a pattern that never ends": lambda folder: tail(folder, "(([^を]+)+)+を"),
    "a pattern of ten thousand characters": lambda folder: tail(folder, "a" * 10_000),
    "ten to the twelfth tokens": lambda folder: about(folder, max_tokens=10**12),
    "a format that is text": lambda folder: about(folder, format="1"),
    "a format without end": write("model/terakoya.json", b'{"format": 1e999, "max_tokens": 1, "config": ""}'),
    "plug-ins that are numbers": lambda folder: about(folder, plugins=[3, {"group": 3}, {}]),
    "plug-ins that are no list": lambda folder: about(folder, plugins=3),
    "an option that no task knows": also(
        lambda folder: use(folder, "numerals"), lambda folder: setting(folder, "options = {}", "options = { evil = 1 }")
    ),
    "an option of another type": also(
        lambda folder: use(folder, "numerals"),
        lambda folder: setting(folder, "options = {}", 'options = { notation = ["x"], forms = 3 }'),
    ),
    "a format of five thousand digits": write("model/terakoya.json", b'{"format": ' + b"9" * 5000 + b"}"),
    "lists within lists": write("model/terakoya.json", b"[" * 100_000),
    "no description of the task": lambda folder: about(folder, task=3),
    "config: a pipe": pipe("config.toml"),
    "manifest: a pipe": pipe("manifest.json"),
    "results: a pipe": pipe("predictions.jsonl"),
    "scores: a socket": unix_socket("scores.json"),
    "skill: a pipe": pipe("model/terakoya.json"),
    "config: a link out": link("config.toml", "{victim}"),
    "skill: a link out": link("model/terakoya.json", "{victim}"),
    "model: a link out": link("model", "/etc"),
    "results: a link to a device": link("predictions.jsonl", "/dev/zero"),
    "a link to itself": link("model/terakoya.json", "{run}/model/terakoya.json"),
    "a folder that is a link to the one above": link("model/loop", "{run}"),
    "its lock: a link to a file of the user's": link(".lock", "{victim}"),
    "the index beside it: a link to a file of the user's": link("../.index.jsonl", "{victim}"),
    "the lock of the index: a link to a file of the user's": link("../.index.lock", "{victim}"),
    "a seal that lists files elsewhere": lambda folder: _seal_of(folder, "../../victim"),
}


def _own_list(folder: Path) -> None:
    import hashlib

    digest = hashlib.sha256((folder / "evil.py").read_bytes()).hexdigest()
    for place in (".config/terakoya", "terakoya", "."):
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / "trusted.json").write_text(json.dumps({"files": {digest: "evil.py"}}))


def _says_trusted(folder: Path) -> None:
    file = folder / "config.toml"
    file.write_text(file.read_text() + '\n[trust]\nfiles = ["evil.py"]\n')


def _seal_of(folder: Path, name: str) -> None:
    from terakoya.runs import sealing

    file = folder / "model" / "seal.json"
    values = json.loads(file.read_text())
    values.pop("self")
    values["files"][name] = {"sha256": "0", "bytes": 0}
    file.write_text(sealing._text(values))
