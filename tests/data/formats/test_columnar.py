"""Typed tables: Parquet and the Hub, taken as text or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from terakoya.data.formats import read_table
from terakoya.errors import DataError

polars = pytest.importorskip("polars")


def test_parquet_is_read_as_text(tmp_path: Path) -> None:
    frame = {"source": ["007", "NA", "一"], "target": [["✨", "📚"], ["🎉"], []], "n": [1, 2, None]}
    polars.DataFrame(frame).write_parquet(tmp_path / "x.parquet")
    rows = list(read_table("x.parquet", tmp_path, wanted=["source"]))
    assert [row.cells["source"] for row in rows] == ["007", "NA", "一"]
    assert rows[0].lists["target"] == ("✨", "📚")
    assert [row.cells.get("n") for row in rows] == ["1", "2", None]
    assert [row.line for row in rows] == [1, 2, 3]


def test_a_column_of_floats_has_lost_its_spelling(tmp_path: Path) -> None:
    """1 and 1.0 are one float: what was typed cannot be had back."""
    polars.DataFrame({"source": ["一"], "target": [1.0]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="floating-point"):
        list(read_table("x.parquet", tmp_path, wanted=["target"]))


def test_more_rows_than_a_batch_are_read_in_order(tmp_path: Path) -> None:
    polars.DataFrame({"source": [str(n) for n in range(45_000)]}).write_parquet(tmp_path / "x.parquet")
    read = [row.cells["source"] for row in read_table("x.parquet", tmp_path)]
    assert read == [str(n) for n in range(45_000)]


HUB = """
import sys
from pathlib import Path
from terakoya.errors import DataError
from terakoya.data.formats import read_table
for name in sys.argv[1:]:
    try:
        for row in read_table("hub:" + name, Path("."), wanted=["target"]):
            print(dict(row.cells))
    except DataError as error:
        print(str(error).replace("\\n", " "))
"""


def test_the_hub_gives_text_or_says_what_it_could_not_reach(tmp_path: Path) -> None:
    """Its package makes 7 of 007, nothing of NA and 1.0 of 1. A folder goes the same way as a name on the Hub."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.csv").write_text("source,target\n007,1\nNA,10\nnull,\n１,1.0\n", encoding="utf-8")
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    names = [str(tmp_path / "set"), "somebody/some-emoji"]
    done = subprocess.run([sys.executable, "-c", HUB, *names], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    *cells, said = done.stdout.splitlines()
    pairs = [("007", "1"), ("NA", "10"), ("null", ""), ("１", "1.0")]
    assert cells == [str({"source": one, "target": two}) for one, two in pairs]
    assert "somebody/some-emoji" in said and "Hugging Face Hub" in said and "download" in said
