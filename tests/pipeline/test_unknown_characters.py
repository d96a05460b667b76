"""Characters that a model does not know: said with every prediction, withheld by default, counted by the exam."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terakoya.cli.main import main
from terakoya.data.formats import read_rows
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline

KANJI = "〇一二三四五六七八九"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the digits 一 to 九; its exam has a row with a character that training never shows."""
    folder = tmp_path_factory.mktemp("unknown")
    pairs = [("".join(KANJI[int(digit)] for digit in str(n)), str(n)) for n in range(1, 61)]
    rows = [(*pair, "exam" if at % 6 == 0 else "dev" if at % 6 == 1 else "train") for at, pair in enumerate(pairs)]
    rows += [("Д五", "5", "exam"), ("三あ八", "38", "exam")]
    (folder / "a.csv").write_text("source,target,split\n" + "".join(",".join(row) + "\n" for row in rows), "utf-8")
    (folder / "a.toml").write_text('[task]\ndata = "a.csv"\nsplit = "split"\n[model]\nbase = "tiny"\n', "utf-8")
    done = pipeline.run(
        str(folder / "a.toml"), overrides=["train.steps=2", "score.resamples=100"], run_dir=folder / "runs", anyway=True
    )
    return Path(done.folder)


# geolonia (三あ八 must throw), JojiiOfficial previous_crashes (Д), ya_kansuji
@pytest.mark.parametrize(
    ("source", "unknown"),
    [
        ("Д", "Д"),
        ("丗", "丗"),
        ("皕", "皕"),
        ("半", "半"),
        ("Ⅲ", "Ⅲ"),
        ("①②③", "①②③"),
        ("三あ八", "あ"),
        ("皕三皕", "皕"),
        ("三八", ""),
    ],
)
def test_a_prediction_says_which_characters_the_model_does_not_know(run: Path, source: str, unknown: str) -> None:
    """They were dropped without a word: Д → 0 with p = .999, 三あ八 → 308."""
    line = next(iter(commands.predict(run, [source])))
    assert line.get("unknown", "") == unknown
    assert (line.get("withheld") == "characters") == bool(unknown)
    assert line["prediction"] is None or not unknown
    told = next(iter(commands.predict(run, [source], overrides=["decode.unknown=predict"])))
    assert told.get("unknown", "") == unknown and "withheld" not in told


def test_the_exam_counts_them_and_scores_from_the_rest(run: Path) -> None:
    scores = json.loads((run / "scores.json").read_text("utf-8"))
    assert scores["unknown_characters"] == {"items": 2.0}
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text("utf-8").splitlines()]
    assert {line["source"]: line["unknown"] for line in lines if "unknown" in line} == {"Д五": "Д", "三あ八": "あ"}
    assert not any(line.get("withheld") for line in lines)
    found = [json.loads(line) for line in (run / "findings.jsonl").read_text("utf-8").splitlines()]
    assert [finding["level"] for finding in found if finding["check"] == "unknown-characters"] == ["warn"]


def test_a_table_for_a_spreadsheet_says_so_too(run: Path, tmp_path: Path) -> None:
    """With a byte order mark, or Japanese is mojibake in Excel (yomitoku#48, kouchou-ai#297, fgosccnt#306)."""
    (tmp_path / "q.csv").write_bytes("質問,正解\n三八,38\nД,1\n=一,1\n".encode("cp932"))
    typed = ["predict", str(run), "--input", str(tmp_path / "q.csv"), "--output", str(tmp_path / "a.csv")]
    said = [*typed, "--encoding", "cp932", "--source", "質問", "--target", "正解"]
    assert main([*said, "--for-spreadsheet"]) == 0
    assert (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    rows = list(read_rows(tmp_path / "a.csv"))
    assert [row.cells["source"] for row in rows] == ["三八", "Д", "'=一"]
    assert [row.cells["unknown"] for row in rows] == ["", "Д", "'="] and rows[0].cells["target"] == "38"
    assert main(said) == 0 and not (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert main([*said, "--codec", "number"]) == 2
