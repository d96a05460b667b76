"""The house: which room may import from which. A new arrow is made by editing this table, with its reason."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "terakoya"

# Floors: a room imports only from rooms on lower floors. A room is a top-level file or folder of the package.
FLOORS = {
    "i18n": 1, "records": 1,
    "errors": 2,
    "codec": 3, "config": 3, "runs": 3,  # runs: refuses special files before it opens a folder
    "scoring": 4,
    "models": 5, "task": 5,
    "data": 6, "decoding": 6,
    "generation": 7, "registry": 7, "reporting": 7, "training": 7,
    "saved_model": 8, "tasks": 8,
    "annotation": 8, "evaluation": 9, "exporters": 9,
    "serving": 9,
    "pipeline": 10,
    "sweeps": 11,
    "web": 11,
    "cli": 12,
    "__main__": 13,
}  # fmt: skip

# What the house may grow to: more rooms or arrows than this and a newcomer no longer finds her way.
MOST_ROOMS, MOST_FLOORS, MOST_ARROWS, MOST_LOOSE = 28, 13, 190, 10

# Who may import what comes from outside.
OUTSIDE = {
    "torch": ("models", "training", "decoding", "exporters/onnx"),
    "onnxruntime": ("exporters/onnx",),
    "ctranslate2": ("exporters/ct2",),
    "xllamacpp": ("exporters/gguf",),
    "accelerate": ("training",),
    "filelock": ("runs/lock",),
    "psutil": ("runs/lock",),
    "transformers": ("models/pretrained",),
    "peft": ("models/pretrained",),
    "tokenizers": ("models/pretrained",),
    "openai": ("generation/teacher",),
    "aiohttp": ("generation/teacher",),
    "httpx": ("generation/teacher",),
    "stamina": ("generation/teacher",),
    "requests": (),
    "urllib.request": (),
    "datasets": ("data/formats",),
    "fsspec": ("data/formats/remote",),
    "polars": ("data/formats", "data/audit", "runs/display"),
    "optuna": ("sweeps",),
    "ray": ("sweeps/engines",),
    "submitit": ("sweeps/engines",),
    "starlette": ("serving", "web"),
    "uvicorn": ("serving", "web/server"),
    "mcp": ("serving",),
    "mcp_types": ("serving",),
    "typer": ("cli",),
    "rich": ("cli",),
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
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("need", "need_runtime") and node.args:
            found.add(ast.literal_eval(node.args[0]))
    return found


def _room(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def _arrows() -> set[tuple[str, str]]:
    """Which room imports from which."""
    arrows = {
        (_room(_module(path)), _room(module))
        for path in _files()
        for module in _imports(path)
        if module.startswith("terakoya.") and _room(module) in FLOORS
    }
    return {(here, there) for here, there in arrows if here and here != there}


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(SRC)))
def test_arrows_point_down(path: Path) -> None:
    """One-way arrows are what lets a newcomer read the house in order."""
    here = _room(_module(path))
    if not here:
        return
    for module in _imports(path):
        there = _room(module) if module.startswith("terakoya.") else ""
        if not there or there not in FLOORS or there == here:
            continue
        assert FLOORS[there] < FLOORS[here], f"{here} (floor {FLOORS[here]}) imports {there} ({FLOORS[there]})"


def test_every_room_has_its_floor() -> None:
    """A file without a floor is a line without a home; a floor without a file is a right that nobody needs."""
    assert {_room(_module(path)) for path in _files()} - {""} == set(FLOORS)


def test_the_house_stays_small() -> None:
    """Rooms, floors, arrows and loose modules are counted: growth is a decision made here."""
    loose = [path for path in SRC.glob("*.py") if not path.name.startswith("__")]
    assert len(loose) <= MOST_LOOSE
    assert len(FLOORS) <= MOST_ROOMS
    assert max(FLOORS.values()) <= MOST_FLOORS
    assert len(_arrows()) <= MOST_ARROWS


def test_every_right_is_used() -> None:
    """A room that may know a library and does not is a stale line of the table."""
    used = {
        (library, room)
        for path in _files()
        for module in _imports(path)
        for library, rooms in OUTSIDE.items()
        for room in rooms
        if module == library or module.startswith(library + ".")
        if path.relative_to(SRC).with_suffix("").as_posix().startswith(room)
    }
    unused = {(library, room) for library, rooms in OUTSIDE.items() for room in rooms} - used
    assert unused <= {(library, "generation/teacher") for library in ("aiohttp", "httpx", "stamina")}


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(SRC)))
def test_outside_libraries_stay_in_their_rooms(path: Path) -> None:
    """The quirks of a library are dealt with in the one room that speaks to it."""
    place = path.relative_to(SRC).with_suffix("").as_posix()
    for module in _imports(path):
        for library, rooms in OUTSIDE.items():
            if module == library or module.startswith(library + "."):
                assert any(place == room or place.startswith(room + "/") for room in rooms), (
                    f"{place} imports {module}; only {rooms} may"
                )


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(SRC)))
def test_one_file_prints(path: Path) -> None:
    """What is printed in one place can be turned into JSON in one place."""
    if path.relative_to(SRC).as_posix() == "cli/printing.py":
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


@pytest.mark.parametrize(
    "module", ["data.audit", "evaluation.compare", "reporting", "runs", "data.formats", "data.split", "config"]
)
def test_rooms_that_need_no_torch_do_not_import_it(module: str) -> None:
    """Audit, compare and report run where torch is not installed."""
    script = f"import sys, terakoya.{module}; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
