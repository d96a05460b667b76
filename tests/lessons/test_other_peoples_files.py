"""Files as other people write them: each row is a bug that somebody reported of some tool, with the right value."""

from __future__ import annotations

import codecs
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from terakoya.cli.main import main
from terakoya.data.formats import read_rows, read_table
from terakoya.errors import ConfigError, DataError
from terakoya.generation.sources import source_sentences
from terakoya.pipeline import commands
from terakoya.registry import find_experiment

NUMBERS = [("一", "1"), ("二", "2"), ("三", "3"), ("四", "4")]
WANTED = ("source", "target")


def pairs(path: Path, **how: object) -> list[tuple[str, str]]:
    rows = read_table(path.name, path.parent, wanted=WANTED, **how)  # type: ignore[arg-type]
    return [(row.cells["source"], row.cells["target"]) for row in rows]


def json_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


# -- typed tables (dedupeio/dedupe#487, timescale/pgai#505, huggingface/dataset-viewer#67) ----------------------------


def test_a_typed_column_that_nobody_asked_for_never_matters(tmp_path: Path) -> None:
    """Dates, durations and bytes beside source and target ended in a traceback."""
    polars = pytest.importorskip("polars")
    when = datetime(2024, 1, 1, tzinfo=UTC)
    frame = {
        "source": ["一", "二"],
        "target": ["1", "2"],
        "at": [when] * 2,
        "took": [timedelta(1)] * 2,
        "raw": [b"x"] * 2,
    }
    polars.DataFrame(frame).write_parquet(tmp_path / "a.parquet")
    assert pairs(tmp_path / "a.parquet") == [("一", "1"), ("二", "2")]


def test_a_typed_column_that_is_used_is_iso_text_or_refused_by_name(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"source": ["元日"], "target": [date(2024, 1, 1)]})
    frame.write_parquet(tmp_path / "a.parquet")
    assert pairs(tmp_path / "a.parquet") == [("元日", "2024-01-01")]
    for value in (timedelta(1), b"\x00"):
        polars.DataFrame({"source": ["x"], "target": [value]}).write_parquet(tmp_path / "b.parquet")
        with pytest.raises(DataError, match="'target' holds"):
            pairs(tmp_path / "b.parquet")


# -- what kind of file it is (LLaMA-Factory's .json arrays, QwenLM/Qwen3#1314) ----------------------------------------


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"version": "1", "data": rows}])
def test_a_json_array_is_read(tmp_path: Path, wrap: object) -> None:
    rows = [{"instruction": "次の数を算用数字で", "input": source, "output": target} for source, target in NUMBERS]
    path = tmp_path / "data.json"
    path.write_text(json.dumps(wrap(rows), ensure_ascii=False, indent=2), encoding="utf-8")  # type: ignore[operator]
    assert pairs(path) == [(f"次の数を算用数字で\n{source}", target) for source, target in NUMBERS]


def test_json_numbers_and_faults_are_those_of_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('[\n {"source": "a", "target": 1.0},\n {"source": "b", "target": 007}\n]')
    with pytest.raises(DataError, match="line 3"):
        pairs(path)
    path.write_text('[\n {"source": "a", "target": 1.0},\n {"source": "b", "source": "c"}\n]')
    with pytest.raises(DataError, match="occurs twice"):
        pairs(path)
    path.write_text('{"source": ["a"], "target": ["b"]}')
    with pytest.raises(DataError, match="no array"):
        pairs(path)


def test_json_lines_under_the_suffix_of_an_array_are_read(tmp_path: Path) -> None:
    path = json_lines(tmp_path / "data.json", [{"source": source, "target": target} for source, target in NUMBERS])
    assert pairs(path) == NUMBERS


@pytest.mark.parametrize("name", ["data.txt", "data.dat", "notes.md"])
def test_a_file_that_is_no_config_is_not_called_bad_toml(tmp_path: Path, name: str) -> None:
    """'not valid TOML: mend the line named above' helps nobody with a table."""
    (tmp_path / name).write_text("source\ttarget\n一\t1\n", encoding="utf-8")
    for command in (find_experiment, commands.audit):
        with pytest.raises(ConfigError, match="neither a config") as refused:
            command(str(tmp_path / name))
        assert ".tsv" in refused.value.do


@pytest.mark.parametrize("head", [b"PK\x03\x04", b"\x1f\x8b"])
def test_a_workbook_or_archive_is_called_what_it_is(tmp_path: Path, head: bytes) -> None:
    """`audit book.xlsx` said "neither a config nor a table"; `new --data` knew better, and said how to save it."""
    book = tmp_path / ("book.xlsx" if head == b"PK\x03\x04" else "table.csv.gz")
    book.write_bytes(head + bytes(20))
    for command in (find_experiment, commands.audit):
        with pytest.raises(DataError, match="not a table") as refused:
            command(str(book))
        assert "CSV" in refused.value.do or "Unpack" in refused.value.do


def test_running_a_table_offers_the_command_that_makes_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And that command works when it is typed."""
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text("source,target\n" + "".join(f"{s},{t}\n" for s, t in NUMBERS), encoding="utf-8")
    assert main(["run", "table.csv", "--lang", "en"]) == 2
    said = capsys.readouterr().err
    typed = said.partition("terakoya new")[2].split()
    assert typed == ["NAME", "--data", "table.csv"]
    assert main(["new", *typed]) == 0
    assert Path("NAME/NAME.toml").is_file()


# -- chats (hiyouga/LlamaFactory#2529, #2381, #7777, #9618; unslothai/unsloth#337; TRL) -------------------------------


def test_layouts_of_others_are_read(tmp_path: Path) -> None:
    """ShareGPT, TRL's conversational and plain prompt/completion, Alpaca with a history."""
    said = {
        "conversations": [{"from": "human", "value": "一"}, {"from": "gpt", "value": "1"}],
        "messages": [{"role": "user", "content": "一"}, {"role": "assistant", "content": "1"}],
    }
    rows: list[dict[str, object]] = [
        {"conversations": said["conversations"]},
        {"system": "短く", "conversations": said["conversations"]},
        {"conversations": said["messages"]},
        {"prompt": said["messages"][:1], "completion": said["messages"][1:]},
        {"prompt": said["messages"][:1], "completion": "1"},
        {"prompt": "一", "completion": "1"},
        {"instruction": "一", "input": "", "output": "1", "history": [["零", "0"]]},
    ]
    read = list(read_rows(json_lines(tmp_path / "a.jsonl", rows)))
    assert [(row.cells["source"], row.cells["target"]) for row in read] == [("一", "1")] * len(rows)
    assert [[turn.role for turn in row.turns] for row in read] == [
        [], ["system"], [], [], [], [], ["user", "assistant"],
    ]  # fmt: skip


def test_messages_are_never_taught_as_json(tmp_path: Path) -> None:
    """task.source = "prompt" made the text [{"role": …}] the source."""
    rows: list[dict[str, object]] = [
        {"prompt": [{"role": "user", "content": s}], "completion": [{"role": "assistant", "content": t}]}
        for s, t in NUMBERS
    ]
    path = json_lines(tmp_path / "a.jsonl", rows)
    read = list(read_table(path.name, tmp_path, wanted=("prompt", "completion")))
    assert [(row.cells["prompt"], row.cells["completion"]) for row in read] == NUMBERS
    mixed = json_lines(tmp_path / "b.jsonl", [{"a": [{"x": 1}], "b": "1"}] * 4)
    with pytest.raises(DataError, match="'a' holds a list"):
        commands.audit(str(mixed), overrides=["task.source=a", "task.target=b"])


def test_unknown_roles_are_named_once(tmp_path: Path) -> None:
    """Twenty lines of the same complaint hide the second role."""
    chat = [{"role": "user", "content": "一"}, {"role": "tool", "content": "x"}, {"role": "assistant", "content": "1"}]
    other = [{"from": "narrator", "value": "x"}]
    rows: list[dict[str, object]] = [{"messages": chat}] * 30 + [{"conversations": other}]
    with pytest.raises(DataError) as refused:
        list(read_rows(json_lines(tmp_path / "a.jsonl", rows)))
    said = str(refused.value)
    assert said.count("'tool'") == 1 and "30 rows" in said and "'narrator'" in said


# -- what spreadsheets write (digitaldemocracy2030/kouchou-ai#123, #297; kotaro-kinoshita/yomitoku#48) ----------------

BODY = "".join(f"{source},{target}\r\n" for source, target in NUMBERS)
WIDE = "".join(f"{source},{target},,,\r\n" for source, target in NUMBERS)
SPREADSHEETS = {
    "sep line": "sep=,\r\nsource,target\r\n" + BODY,
    "sep line, another delimiter": "sep=;\r\n" + ("source,target\r\n" + BODY).replace(",", ";"),
    "empty columns": "source,target,,,\r\n" + WIDE,
    "empty rows": "source,target\r\n,\r\n" + BODY + ",\r\n,\r\n",
    "title": "漢数字の表,\r\n,\r\nsource,target\r\n" + BODY,
    "title alone in its line": "漢数字の表\r\n\r\nsource,target\r\n" + BODY,
    "title of two cells": "漢数字の表,2024年\r\nsource,target\r\n" + BODY,
    "semicolons": ("source,target\r\n" + BODY).replace(",", ";"),
    "everything": "sep=,\r\n漢数字の表,,,,\r\n,,,,\r\nsource,target,,,\r\n" + WIDE + ",,,,\r\n",
}


@pytest.mark.parametrize("habit", SPREADSHEETS)
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_habits_of_spreadsheets_are_read(tmp_path: Path, habit: str, mark: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(mark + SPREADSHEETS[habit].encode())
    assert pairs(tmp_path / "a.csv") == NUMBERS


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(SPREADSHEETS["everything"], encoding="utf-8")
    said = [finding.what for finding in commands.audit(str(tmp_path / "a.csv")) if finding.check == "file-layout"]
    assert any("漢数字の表" in what for what in said) and any("without a name" in what for what in said)


def test_a_cell_under_no_name_is_refused_with_its_line(tmp_path: Path) -> None:
    """An unquoted comma shifts a row into the empty columns."""
    (tmp_path / "a.csv").write_text("source,target,,\n一,1,,\n二,と,2,\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 3: '2'"):
        pairs(tmp_path / "a.csv")


def test_a_table_for_a_spreadsheet_has_its_mark_and_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("source,target\n" + "".join(f"=1+{n},-{n}\n" for n in range(1, 9)), encoding="utf-8")
    config = tmp_path / "a.toml"
    config.write_text('[task]\ndata = "a.csv"\n[split]\nmethod = "exact"\ndev = 0.2\nexam = 0.2\n', encoding="utf-8")
    commands.split(str(config), tmp_path / "out", for_spreadsheet=True)
    written = (tmp_path / "out" / "train.csv").read_bytes()
    assert written.startswith(codecs.BOM_UTF8)
    rows = list(read_rows(tmp_path / "out" / "train.csv"))
    assert all(row.cells["source"].startswith("'=1+") and row.cells["target"].startswith("-") for row in rows)


# -- one reader for every text (kouchou-ai#123) -----------------------------------------------------------------------


def test_sources_in_another_encoding_are_refused_as_tables_are(tmp_path: Path) -> None:
    """A .txt in cp932 ended in a traceback, and the same bytes as a table named the encoding."""
    (tmp_path / "s.txt").write_bytes(
        "今日は公園で友だちと遊んで楽しかった。\n駅前の喫茶店で珈琲をのんだ。\n".encode("cp932")
    )
    from terakoya.config import make_config

    config = make_config({"task": {"data": "x.jsonl"}, "teacher": {"sources": "s.txt"}})
    with pytest.raises(DataError, match="cp932") as refused:
        list(source_sentences(config, "s.txt", tmp_path))
    assert "--encoding" in refused.value.do
    stated = make_config({"task": {"data": "x.jsonl", "encoding": "cp932"}, "teacher": {"sources": "s.txt"}})
    assert len(list(source_sentences(stated, "s.txt", tmp_path))) == 2


# -- comparisons that hang on spelling (EleutherAI/lm-evaluation-harness#3880) ----------------------------------------

A = [2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 12, 13, 14, 15, 16, 18, 18, 20, 21]
B = [1, 2, 3, 5, 6, 7, 7, 9, 9, 11, 12, 12, 14, 14, 16, 17, 17, 18, 20, 20]


def tables(tmp_path: Path, written: object) -> list[Path]:
    for name, values, form in (("a", A, str), ("b", B, written)):
        rows = "".join(f"問{n},{n},{form(value)}\n" for n, value in enumerate(values, 1))  # type: ignore[operator]
        (tmp_path / f"{name}.csv").write_text("source,target,inference\n" + rows, encoding="utf-8")
    return [tmp_path / "a.csv", tmp_path / "b.csv"]


@pytest.mark.parametrize(
    "written", [lambda value: f" {value} ", lambda value: str(value).translate({48 + n: 0xFF10 + n for n in range(10)})]
)
def test_a_verdict_that_hangs_on_spaces_or_width_is_warned_of(tmp_path: Path, written: object) -> None:
    """'a.csv is better, p = 1.5e-05', because the other one wrote ５ for 5."""
    paths = tables(tmp_path, written)
    right = sum(value == n for n, value in enumerate(B, 1))
    said = commands.compare(paths)[0].words()
    assert "Warning" in said and f"{right} of b.csv" in said and "--codec" in said
    settled = commands.compare(paths, codec="number")[0]
    assert settled.second_value == right / len(B) and "Warning" not in settled.words()
    assert "警告" in commands.compare(paths)[0].words("ja")


def test_predictions_that_differ_in_more_than_spelling_are_not_warned_of(tmp_path: Path) -> None:
    assert "Warning" not in commands.compare(tables(tmp_path, str))[0].words()


def test_what_predict_writes_is_compared(tmp_path: Path) -> None:
    """Its .jsonl says "prediction", and null where it withheld one."""
    rows: list[dict[str, object]] = [
        {"source": f"問{n}", "prediction": None if n == 3 else str(value), "raw": str(value), "target": str(n)}
        for n, value in enumerate(B, 1)
    ]
    paths = [tables(tmp_path, str)[0], json_lines(tmp_path / "b.jsonl", rows)]
    assert commands.compare(paths)[0].second_value == (sum(v == n for n, v in enumerate(B, 1)) - 1) / len(B)


@pytest.mark.parametrize("options", [{"encoding": "cp932"}, {"source": "質問", "target": "正解"}])
def test_columns_and_encoding_of_tables_can_be_said(tmp_path: Path, options: dict[str, str]) -> None:
    paths = tables(tmp_path, str)
    for path in paths:
        text = path.read_text(encoding="utf-8")
        text = text.replace("source", options.get("source", "source")).replace(
            "target", options.get("target", "target")
        )
        path.write_bytes(text.encode(options.get("encoding", "utf-8")))
    assert commands.compare(paths, **options)[0].effect.n == len(A)
