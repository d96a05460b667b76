"""`terakoya predict` on standard output and on a pipe that stays open."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from terakoya.errors import ConfigError
from terakoya.pipeline import run as pipeline
from terakoya.pipeline.predict import PredictInput, available, predict

SAID = {"笑った": "うれしい", "泣いた": "かなしい"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moods")
    rows = [f"{who}が{what},{mood}" for who in ("妹", "猫", "弟", "祖母", "先生", "友") for what, mood in SAID.items()]
    (folder / "a.csv").write_text("source,target\n" + "\n".join(rows) + "\n", encoding="utf-8")
    config = '[task]\ndata = "a.csv"\ncodec = "labels"\n[model]\nbase = "tiny"\n[score]\nresamples = 100\n'
    (folder / "a.toml").write_text(config, encoding="utf-8")
    return Path(pipeline.run(str(folder / "a.toml"), run_dir=folder / "runs", anyway=True).folder)


def shown(run: Path, form: str, *texts: str) -> str:
    command = [sys.executable, "-m", "terakoya", "predict", str(run), *texts, "--format", form]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode()


def test_every_form_holds_the_same_predictions(run: Path, tmp_path: Path) -> None:
    texts = ("妹が笑った", "猫が泣いた", '猫が"泣いた",と', "")
    lines = [json.loads(line) for line in shown(run, "jsonl", *texts).splitlines()]
    said = [line["prediction"] or "" for line in lines]
    assert said[:2] == ["うれしい", "かなしい"] and said[3] == ""
    assert shown(run, "text", *texts).split("\n") == [*said, ""]
    for form, delimiter in (("csv", ","), ("tsv", "\t")):
        written = shown(run, form, *texts)
        rows = list(csv.DictReader(io.StringIO(written), delimiter=delimiter))
        assert [row["source"] for row in rows] == list(texts) and [row["prediction"] for row in rows] == said
        table = tmp_path / f"again.{form}"
        table.write_text("".join(written.splitlines(keepends=True)[:3]), encoding="utf-8")
        again = list(predict(run, [], input=str(table), output="", overrides=()))
        assert [line["prediction"] for line in again] == said[:2]


def test_a_pipe_is_answered_line_by_line(run: Path) -> None:
    """The second question is asked only after the first answer has come."""
    command = [sys.executable, "-m", "terakoya", "predict", str(run), "--input", "-", "--format", "text"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for text, mood in (("妹が笑った", "うれしい"), ("猫が泣いた", "かなしい"), ("友が笑った", "うれしい")):
            child.stdin.write(f"{text}\n".encode())
            child.stdin.flush()
            assert child.stdout.readline().decode().strip() == mood
        child.stdin.close()
        assert child.stdout.read() == b"" and child.wait() == 0


def test_what_waits_is_read_together_and_errors_come_last() -> None:
    def lines() -> Iterator[PredictInput]:
        yield from (PredictInput(str(number)) for number in range(3000))
        raise ConfigError("broken")

    seen = []
    with pytest.raises(ConfigError, match="broken"):
        for chunk in available(lines()):
            time.sleep(0.01)  # the reader gets ahead
            seen.append(chunk)
    assert [one.source for chunk in seen for one in chunk] == [str(number) for number in range(3000)]
    assert 3 <= len(seen) < 100 and max(map(len, seen)) <= 1024


def test_a_missing_folder_is_told_before_anything_is_read(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "terakoya", "predict", str(tmp_path / "none"), "--input", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.wait(timeout=60) == 2  # although its standard input is still open
        assert child.stderr is not None
        assert b"no such run" in child.stderr.read()
