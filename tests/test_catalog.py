"""Tasks, experiments and models by name: shipped ones and those of third parties alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from terakoya import registry
from terakoya.config import make_config
from terakoya.errors import ConfigError
from terakoya.pipeline import commands, dataset
from terakoya.sweeps import run

OWN = """
from terakoya.codec import TextCodec
from terakoya.records import Example
from terakoya.task import Task


def task(seed: int = 0, words: int = 12) -> Task:
    rows = tuple(Example(f"w{n}", f"W{n}", tags=(("kind", str(n % 2)),)) for n in range(words))
    return Task(name="own", examples=rows, codec=TextCodec())
"""


def test_a_task_of_ones_own_comes_from_a_file_beside_the_config(tmp_path: Path) -> None:
    """Where a table is not enough, a function is."""
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "own.toml").write_text('[task]\nuse = "own.py"\noptions = { words = 30 }\n', encoding="utf-8")
    plan = dataset.load_dataset(registry.find_experiment(str(tmp_path / "own.toml")))
    assert plan.config.name == "own"
    assert len(plan.task.examples) == 30


@pytest.mark.parametrize(
    ("task", "word"),
    [
        ({"use": "numeral"}, "numerals"),
        ({"use": "none.py"}, "no such task file"),
        ({"use": "numerals", "options": {"itmes": 3}}, "items"),
        ({}, "either a task"),
        ({"use": "numerals", "data": "x.csv"}, "either a task"),
        ({"data": "x.csv", "codec": "text", "notation": "pds"}, "notation"),
    ],
)
def test_what_cannot_be_found_names_its_neighbour(tmp_path: Path, task: dict[str, object], word: str) -> None:
    (tmp_path / "x.csv").write_text("source,target\na,b\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=word):
        registry.find_task(make_config({"task": task}), tmp_path)


def test_everything_that_ships_can_be_found() -> None:
    """A name on the list that leads nowhere is a promise broken."""
    listed = commands.list_()
    assert {"tiny", "small", "base", "pretrained"} <= {name for name, _ in listed["models"]}
    for name, _ in listed["models"]:
        assert callable(registry.find_model_maker(name))
        assert callable(registry.find_model_loader(name))
    for name, says in listed["experiments"]:
        assert registry.find_experiment(name).name == name
        assert says
    for name, says in listed["series"]:
        assert says
        plan = run.read_sweep(registry.find_series(name))
        assert plan.name == name
        run.check(plan, Path())
    with pytest.raises(ConfigError, match="no series"):
        registry.find_series("notation")
