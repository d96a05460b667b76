"""One table in several files and files elsewhere: a fixed order, and every finding names file and line."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import fsspec
import polars as pl
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from terakoya.cli.main import main
from terakoya.config import make_config, read_config
from terakoya.data.audit import audit_table, tables
from terakoya.data.formats import blocks, read_table, remote
from terakoya.data.table import read_examples
from terakoya.errors import ConfigError, DataError
from terakoya.pipeline import commands
from terakoya.pipeline.dataset import load_dataset, record_dataset
from terakoya.registry import Experiment
from terakoya.runs import Run

TEXT = {"task": {"codec": "text"}}


def write(path: Path, rows: list[tuple[str, str]], names: tuple[str, str] = ("source", "target")) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pl.DataFrame({names[0]: [one for one, _ in rows], names[1]: [two for _, two in rows]}).write_parquet(path)
    elif path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        path.write_text("\n".join(mark.join(row) for row in [names, *rows]) + "\n", encoding="utf-8")


def sentences(seed: int, count: int) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    kana = "あいうえおかきくけこさしすせそたちつてと"
    return [("".join(rng.choices(kana, k=20)), "".join(rng.choices(kana, k=5))) for _ in range(count)]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("held", [True, False])
def test_a_row_of_a_pattern_is_named_by_file_and_line(
    suffix: str, held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held in memory, in blocks and row by row: the copy in the third file is its fifth row."""
    monkeypatch.setattr(blocks, "_BLOCK", 300)
    if not held:
        monkeypatch.setattr(tables, "HELD", 0)
    rows = sentences(1, 90)
    for at, name in enumerate("bca"):  # written in another order than they are read in
        write(tmp_path / f"rows/{name}{suffix}", rows[at * 30 : at * 30 + 30])
    last = rows[30:60]
    last[4] = rows[0]  # the first row of b
    write(tmp_path / f"rows/c{suffix}", last)
    found = {one.check: one for one in audit_table(tmp_path / f"rows/*{suffix}", make_config(TEXT))}
    copy = found["duplicates"]
    assert copy.files == (str(tmp_path / f"rows/c{suffix}"),)
    line = 5 if suffix in (".jsonl", ".parquet") else 6
    assert copy.rows == (line,) and copy.locations(5) == f"{tmp_path}/rows/c{suffix}:{line}"


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Also below folders, by **; the origin of a row is its file."""
    for name in ("b.csv", "a.jsonl", "sub/c.tsv"):
        write(tmp_path / name, [(name, "x")])
    wanted = make_config({"task": {"data": "**/*.[cjt]s*"}}).task
    read = read_examples(wanted, wanted.data, tmp_path)
    assert [one.source for one in read] == ["a.jsonl", "b.csv", "sub/c.tsv"] == [one.origin for one in read]
    assert [row.cells["source"] for row in read_table(wanted.data, tmp_path)] == ["a.jsonl", "b.csv", "sub/c.tsv"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    """`rows[1].csv`, as browsers name a second download."""
    rows = sentences(1, 40)
    write(tmp_path / "rows[1].csv", rows)
    assert [row.cells["source"] for row in read_table("rows[1].csv", tmp_path)] == [source for source, _ in rows]
    assert audit_table(tmp_path / "rows[1].csv", make_config(TEXT))[0].files == ()


def test_a_pattern_without_a_file_and_unlike_columns_are_refused(tmp_path: Path) -> None:
    """With the tables that are there, and with the columns of both files."""
    write(tmp_path / "a.csv", [("a", "b")])
    with pytest.raises(DataError, match="no file matches") as caught:
        list(read_table("*.jsonl", tmp_path))
    assert "a.csv" in caught.value.do
    write(tmp_path / "b.csv", [("a", "b")], ("source", "output"))
    with pytest.raises(DataError, match=r"a\.csv has 'source', 'target', and .*b\.csv has 'source', 'output'"):
        audit_table(tmp_path / "*.csv", make_config(TEXT))
    write(tmp_path / "b.csv", [])
    with pytest.raises(DataError, match="0 rows") as caught:
        read_examples(make_config(TEXT).task, "*.csv", tmp_path)
    assert caught.value.where == "b.csv"


def test_a_missing_column_of_json_lines_is_named_with_its_file(tmp_path: Path) -> None:
    """Line 2 of the second file, and not line 1,000,000,002."""
    write(tmp_path / "a.jsonl", [("a", "b")])
    (tmp_path / "b.jsonl").write_text('{"source": "a", "target": "b", "tags": {}}\n{"source": "c"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"line 2: no 'target'") as caught:
        read_examples(make_config(TEXT).task, "*.jsonl", tmp_path)
    assert caught.value.where == "b.jsonl"


def test_new_makes_a_config_for_a_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pattern stays relative to the config, which reads all files."""
    monkeypatch.chdir(tmp_path)
    for at, name in enumerate("ab"):
        write(tmp_path / f"rows/{name}.csv", sentences(at, 60))
    assert main(["new", "mine", "--data", "rows/*.csv", "--good-enough", "0", "--lang", "en"]) == 0
    config = read_config(Path("mine/mine.toml"))
    assert config.task.data == "../rows/*.csv"
    assert len(load_dataset(Experiment("mine", config, Path("mine"))).task.examples) == 120


def test_a_pattern_is_no_table_to_write(tmp_path: Path) -> None:
    """A teacher's rows would end in a file named *.csv."""
    config = tmp_path / "x.toml"
    config.write_text('[task]\ndata = "*.csv"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="no table that could be written"):
        commands.generate(str(config))


# -- elsewhere: a memory file system stands for S3; test_s3.py asks a server ------------------------------------------


class _Bucket(MemoryFileSystem):
    protocol = "s3"
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("s3://", "memory://", 1))


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    monkeypatch.setitem(_registry, "s3", _Bucket)
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    for at, name in enumerate(("b.csv", "a.csv")):
        write(tmp_path / name, sentences(at, 60))
        files.pipe_file(f"/shop/rows/{name}", (tmp_path / name).read_bytes())
    yield files
    files.store.clear()
    remote.local_copy.cache_clear()


@pytest.mark.usefixtures("bucket")
def test_files_elsewhere_are_read_by_pattern_and_recorded(tmp_path: Path) -> None:
    """Findings name the address, and the manifest its SHA-256."""
    config = make_config({"task": {"data": "s3://shop/rows/*.csv", "codec": "text"}})
    dataset = load_dataset(Experiment("x", config, tmp_path))
    assert {one.origin for one in dataset.task.examples} == {"s3://shop/rows/a.csv", "s3://shop/rows/b.csv"}
    with Run.create(tmp_path, "run") as run:
        record_dataset(run, dataset)
        files = run.manifest["data"]["files"]
    assert [one["name"] for one in files] == ["s3://shop/rows/a.csv", "s3://shop/rows/b.csv"]
    assert files[0]["sha256"] == hashlib.sha256((tmp_path / "a.csv").read_bytes()).hexdigest()
    assert files[0]["bytes"] == (tmp_path / "a.csv").stat().st_size


def test_what_is_wrong_elsewhere_is_said_by_address(bucket: MemoryFileSystem) -> None:
    """A cell too many, a pattern without a file, and a file that is not there; the copy in a folder is nobody's."""
    bucket.pipe_file("/shop/bad.csv", b"source,target\na,b,c\n")
    with pytest.raises(DataError, match="do not fit the header") as caught:
        commands.audit("s3://shop/bad.csv")
    assert caught.value.where == "s3://shop/bad.csv"
    with pytest.raises(DataError, match="no file matches"):
        commands.audit("s3://shop/none/*.csv")
    with pytest.raises(DataError, match="cannot be fetched"):
        commands.audit("s3://shop/none.csv")


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """s3fs is no part of Terakoya; other addresses are not read at all."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    with pytest.raises(ConfigError, match="s3fs") as caught:
        commands.audit("s3://shop/a.csv")
    assert caught.value.do == "Install it with: pip install s3fs"
    with pytest.raises(ConfigError, match="no kind of address"):
        commands.audit("ftp://shop/a.csv")
