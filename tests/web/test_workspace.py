"""What a page may show: the folders it was opened with and nothing else, under ids that say nothing."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from exam_runs import finished_run

from terakoya.errors import ConfigError
from terakoya.runs import read_lines
from terakoya.serving import Address
from terakoya.web import open_page
from terakoya.web.workspace import BUILT_IN, workspace_of


def test_runs_and_tables_are_found_where_they_were_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run, a table, a folder of runs, a folder of tables; a hidden file and a link are not."""
    run = finished_run(tmp_path / "elsewhere", "one", items=10)
    finished_run(tmp_path / "home" / "runs", "two", items=10)
    for name in ("a.csv", "b.txt", ".hidden.csv", "c.toml"):
        (tmp_path / "home" / name).write_text("source,target\n1,2\n", encoding="utf-8")
    (tmp_path / "home" / "linked.csv").symlink_to(tmp_path / "home" / "a.csv")
    table = tmp_path / "table.tsv"
    table.write_text("source\ttarget\n1\t2\n", encoding="utf-8")
    workspace = workspace_of([run, table, tmp_path / "home"])
    assert workspace.home == tmp_path / "home" and workspace.run_dir == tmp_path / "home" / "runs"
    assert {path.name.partition("-")[0] for path in workspace.runs().values()} == {"one", "two"}
    assert {path.name for path in workspace.tables().values()} == {"a.csv", "b.txt", "table.tsv"}
    for name in (*workspace.runs(), *workspace.tables()):
        assert len(name) == 16 and int(name, 16) >= 0
    monkeypatch.chdir(tmp_path)
    assert workspace_of([run, table]).home == tmp_path


def test_bases_are_those_of_the_command_line_and_of_the_home(tmp_path: Path) -> None:
    """A model folder in the home is offered, and what --base names; a browser can name no other."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    choices = workspace_of([tmp_path], ["owner/name"]).base_choices()
    assert list(choices.values()) == [*BUILT_IN, "owner/name", str(tmp_path / "model")]
    assert "owner/name" not in choices and str(tmp_path / "model") not in choices


def test_what_does_not_exist_is_refused_before_anything_listens(tmp_path: Path) -> None:
    """The path is named, and what may be named instead."""
    with pytest.raises(ConfigError, match="there is no such file or folder"):
        open_page([tmp_path / "nowhere.csv"], Address(port=0), on_ready=lambda opened: None)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    """A config was taken in silence, and the page showed nothing of it."""
    (tmp_path / "x.toml").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"this file is no table \(\.csv"):
        open_page([tmp_path / "x.toml"], Address(port=0), on_ready=lambda opened: None)


def _record_often(home: Path) -> None:
    for number in range(40):
        workspace_of([home]).record("row marked", row=number)


def test_two_servers_in_one_folder_share_its_journal(tmp_path: Path) -> None:
    """Two processes that appended at the same time broke its chain of checksums."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(_record_often, tmp_path) for _ in range(2)]:
            done.result()
    assert len(list(read_lines(tmp_path / ".terakoya" / "journal.jsonl"))) == 80


def test_everything_done_is_journaled(tmp_path: Path) -> None:
    """A removed table is kept, and comes back as it was."""
    workspace = workspace_of([tmp_path])
    kept = workspace.own / "tables" / "0123" / "x.csv"
    kept.parent.mkdir(parents=True)
    kept.write_text("a,b\n", encoding="utf-8")
    own = tmp_path / "own.csv"
    own.write_text("a,b\n", encoding="utf-8")
    assert not workspace.remove_upload(own) and own.is_file()
    assert workspace.remove_upload(kept.resolve()) and not kept.exists()
    workspace.bring_back()
    assert kept.read_text(encoding="utf-8") == "a,b\n"
    lines = (workspace.own / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert ["removed" in lines[0], "brought back" in lines[1], len(lines)] == [True, True, 2]
