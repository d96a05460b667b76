"""The house: which room may import from which. A new arrow is made by editing this table, with its reason."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "terakoya"

# Shelves: a room imports only from lower shelves. A room is a top-level file or folder of the package.
SHELVES = {
    "tongue": 0,
    "errors": 1, "records": 1, "text": 1, "reading": 1, "memory": 1,
    "config": 2, "codec": 2, "files": 2, "listener": 2,
    "scoring": 3,
    "report": 4, "task": 4, "models": 4, "runs": 4,
    "data": 5, "decoding": 5, "set_decoding": 5, "sets": 5, "consensus": 5, "asking": 5, "foresight": 5,
    "outcomes": 5, "endings": 5, "sitting": 5,
    "training": 6, "compare": 6, "catalog": 6, "export": 6, "skill": 6, "result": 6, "examination": 6,
    "predicting": 6, "planning": 6, "recording": 6, "starter": 6,
    "pipeline": 7, "tasks": 7, "series_plan": 7, "series_record": 7,
    "series": 8,
    "cli": 9, "__main__": 10,
}  # fmt: skip

# Arrows between rooms of one shelf, with the reason.
SAME_SHELF = {
    ("records", "errors"): "values refuse in the house's words",
    ("text", "errors"): "text refuses in the house's words",
    ("reading", "errors"): "files are refused in the house's words",
    ("asking", "sets"): "a model with a set head is asked for sets",
    ("asking", "consensus"): "the best of many samples is one more way of asking",
    ("consensus", "decoding"): "candidates are sampled answers",
    ("sets", "decoding"): "a model is asked with dropout off, whatever its head",
    ("sets", "set_decoding"): "sets asks, set_decoding computes",
    ("report", "runs"): "a run folder is read in one place only: the record is remade from it",
    ("asking", "decoding"): "asking withholds what decoding wrote",
    ("foresight", "asking"): "an exam's item is asked in one way",
    ("foresight", "decoding"): "right answers are told to the model where it is asked for its own",
    ("skill", "catalog"): "a saved skill finds its task and its model by name",
    ("predicting", "skill"): "who is asked",
    ("series_record", "series_plan"): "how trials stand is told of them",
    ("planning", "catalog"): "the task is found by its name",
    ("examination", "skill"): "who sits the exam",
    ("examination", "result"): "what the exam came to",
}

# Who may import what comes from outside.
OUTSIDE = {
    "torch": ("models", "training", "decoding", "export"),
    "accelerate": ("training",),
    "transformers": ("models/hub", "export"),
    "peft": ("models/hub", "export"),
    "tokenizers": ("models/hub", "export"),
    "openai": ("data/teacher",),
    "aiohttp": ("data/teacher",),
    "httpx": ("data/teacher",),
    "stamina": ("data/teacher",),
    "requests": (),
    "urllib.request": (),
    "datasets": ("files",),
    "polars": ("files",),
    "optuna": ("series",),
    "typer": ("cli",),
    "rich": ("cli/show",),
}


def _files() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def _module(path: Path) -> str:
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "need" and node.args:
            found.add(ast.literal_eval(node.args[0]))
    return found


def _room(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(SRC)))
def test_arrows_point_down(path: Path) -> None:
    """One-way arrows are what lets a newcomer read the house in order."""
    here = _room(_module(path))
    if not here:
        return
    for module in _imports(path):
        there = _room(module) if module.startswith("terakoya.") else ""
        if not there or there not in SHELVES or there == here or (here, there) in SAME_SHELF:
            continue
        assert SHELVES[there] < SHELVES[here], f"{here} (shelf {SHELVES[here]}) imports {there} ({SHELVES[there]})"


def test_every_room_has_its_shelf() -> None:
    """A file without a shelf is a line without a home."""
    assert {_room(_module(path)) for path in _files()} - {"", "experiments"} <= set(SHELVES)


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(SRC)))
def test_outside_libraries_stay_in_their_rooms(path: Path) -> None:
    """The quirks of a library are dealt with in the one room that speaks to it."""
    place = path.relative_to(SRC).with_suffix("").as_posix()
    for module in _imports(path):
        for library, rooms in OUTSIDE.items():
            if module == library or module.startswith(library + "."):
                assert any(place == room or place.startswith((room + "/", room + "_")) for room in rooms), (
                    f"{place} imports {module}; only {rooms} may"
                )


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(SRC)))
def test_one_file_prints(path: Path) -> None:
    """What is printed in one place can be turned into JSON in one place."""
    if path.relative_to(SRC).as_posix() == "cli/show.py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"), (
            f"{path}:{node.lineno} prints"
        )


def test_no_import_goes_in_a_circle() -> None:
    """A circle means that two files are one idea, or that an idea is missing."""
    modules = {_module(path): path for path in _files()}
    # A package's __init__ re-exports its own files; those arrows point inwards and are not counted.
    graph = {
        name: {
            found for found in _imports(path) if found in modules and found != name and not name.startswith(found + ".")
        }
        for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for following in graph[name]:
                if not following.startswith(name + "."):
                    visit(following, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


LIGHT = """
import sys
from terakoya.cli.main import main
{body}
heavy = [name for name in {heavy!r} if name in sys.modules]
assert not heavy, heavy
"""


def test_help_is_light() -> None:
    """`--help` answers at once: nothing heavy is imported for it."""
    body = "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert not end.code"
    script = LIGHT.format(body=body, heavy=["torch", "numpy", "pydantic", "transformers", "scipy", "altair"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout


@pytest.mark.parametrize("module", ["data.audit", "compare", "report", "runs", "files", "data.split", "config"])
def test_rooms_that_need_no_torch_do_not_import_it(module: str) -> None:
    """Audit, compare and report run where torch is not installed."""
    script = f"import sys, terakoya.{module}; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
