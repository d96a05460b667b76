"""The table at the end: nothing of the user's is replaced, and what cannot be written is refused before any request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from faulty_server import ServerPlan, running
from test_generate import offline
from test_teacher_server import config_for

import terakoya
from terakoya.cli.main import main
from terakoya.errors import ConfigError, TerakoyaError
from terakoya.generation.generate import GenerationResult, generate

MINE = '{"source": "mine", "target": "🍎"}\n'


def make(place: Path, name: str = "data.jsonl", **more: Any) -> GenerationResult:
    samples = more.pop("samples", 5)
    return generate(offline(samples=samples), place / "work", place / name, **more)


def test_a_table_of_the_users_is_never_replaced(tmp_path: Path) -> None:
    """task.data may name the very table that somebody made by hand."""
    table = tmp_path / "data.jsonl"
    table.write_text(MINE, encoding="utf-8")
    with pytest.raises(ConfigError, match="--overwrite") as refusal:
        make(tmp_path)
    assert "did not write it" in str(refusal.value)
    assert table.read_text(encoding="utf-8") == MINE
    assert not (tmp_path / "work").exists()
    assert make(tmp_path, overwrite=True).complete
    assert table.read_text(encoding="utf-8") != MINE


def test_a_generation_replaces_its_own_table(tmp_path: Path) -> None:
    """The same command again, more samples, another format; and a table of a version that remembered nothing."""
    for samples in (5, 5, 8):
        assert make(tmp_path, samples=samples).rows == samples
    make(tmp_path, "data.csv", samples=8)
    make(tmp_path, "data.csv", samples=9)
    (tmp_path / "work" / "written.json").unlink()
    make(tmp_path, samples=9, overwrite=True)
    (tmp_path / "work" / "written.json").unlink()
    assert make(tmp_path, samples=12).rows == 12


def test_a_table_that_was_edited_is_the_users_again(tmp_path: Path) -> None:
    """Corrections made by hand are work."""
    make(tmp_path)
    with (tmp_path / "data.jsonl").open("a", encoding="utf-8") as table:
        table.write(MINE)
    with pytest.raises(ConfigError, match="--overwrite") as refusal:
        make(tmp_path)
    assert "data.jsonl: this table was changed after this generation wrote it" in str(refusal.value)
    assert (tmp_path / "data.jsonl").read_text(encoding="utf-8").endswith(MINE)
    # Both ways that the message names.
    assert make(tmp_path, "another.jsonl").complete
    assert (tmp_path / "data.jsonl").read_text(encoding="utf-8").endswith(MINE)
    assert make(tmp_path, overwrite=True).complete
    assert (tmp_path / "data.jsonl").read_bytes() == (tmp_path / "another.jsonl").read_bytes()


def test_a_flipped_bit_of_the_table_is_noticed(tmp_path: Path) -> None:
    """The seal is found again where generation folder and table were moved together."""
    make(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    table = tmp_path / "b" / "data.jsonl"
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content)
    with pytest.raises(ConfigError, match="changed after this generation wrote it"):
        make(tmp_path / "b")


def test_a_table_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    """Rows are in the folder, and the message says how to have them."""

    class Appears:
        def stage(self, *_: object) -> None:
            (tmp_path / "data.jsonl").write_text(MINE, encoding="utf-8")

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: None

    with pytest.raises(ConfigError, match="--overwrite"):
        make(tmp_path, listener=Appears())
    assert (tmp_path / "data.jsonl").read_text(encoding="utf-8") == MINE
    assert len((tmp_path / "work" / "data.jsonl").read_text(encoding="utf-8").splitlines()) == 5


@pytest.mark.parametrize(
    "kind", ["suffix", "none", "folder", "fifo", "loop", "under a file", "long", "closed", "device"]
)
def test_an_output_that_cannot_be_written_is_refused_before_the_first_request(kind: str, tmp_path: Path) -> None:
    """The suffix was refused after everything had been paid for."""
    outputs = {
        "suffix": tmp_path / "data.xlsx", "none": tmp_path / "data", "folder": tmp_path / "folder.jsonl",
        "fifo": tmp_path / "fifo.jsonl", "loop": tmp_path / "loop.jsonl",
        "under a file": tmp_path / "file" / "data.jsonl",
        "long": tmp_path / ("x" * 250 + ".jsonl"), "closed": Path("/proc/data.jsonl"), "device": Path("/dev/null"),
    }  # fmt: skip
    outputs["folder"].mkdir()
    os.mkfifo(outputs["fifo"])
    outputs["loop"].symlink_to("loop.jsonl")
    (tmp_path / "file").write_text("")
    with running(ServerPlan()) as server:
        for overwrite in (False, True):
            with pytest.raises(TerakoyaError) as refusal:
                generate(config_for(server), tmp_path / "work", outputs[kind], overwrite=overwrite)
            assert refusal.value.exit_code in {2, 3, 6}
            assert refusal.value.do
        assert server.requests() == 0
    assert not (tmp_path / "work").exists()


def test_the_command_and_the_function_say_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The advice works when typed."""
    table = tmp_path / "table.csv"
    table.write_text("source,target\nx,🍎\n", encoding="utf-8")
    command = ["generate", "generate-emoji-v1", "--set", "teacher.samples=3", "--output", str(table), "--lang", "en"]
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert main(command) == 0
    table.write_text("source,target\nx,🍎\n", encoding="utf-8")
    settings = ["teacher.samples=3"]
    with pytest.raises(ConfigError):
        terakoya.generate("generate-emoji-v1", table, overrides=settings)
    assert terakoya.generate("generate-emoji-v1", table, overrides=settings, overwrite=True).complete
    for name in (".", "..", "/"):
        assert main(["generate", "generate-emoji-v1", "--output", name]) in {2, 3}
