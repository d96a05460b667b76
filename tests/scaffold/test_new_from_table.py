"""`terakoya new NAME --data FILE` makes a config that runs, whatever kind of table it was shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from terakoya.config import read_config
from terakoya.errors import ConfigError, DataError
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline

KANJI = "〇一二三四五六七八九"


def kanji(number: int) -> str:
    return "".join(KANJI[int(digit)] for digit in str(number))


NUMBERS = [(kanji(n), str(n)) for n in range(1, 61)]
MOODS = [(f"{kanji(n)}番目の出来事は{word}ものだった", mood) for n in range(1, 31)
         for word, mood in (("たのしい", "うれしい"), ("さびしい", "かなしい"))]  # fmt: skip
EMOJI = [(f"{kanji(n)}回目の{thing}", labels) for n in range(1, 21)
         for thing, labels in (("読書", "📚 ✨"), ("試合", "⚽"), ("祝い", "🎉 ✨"))]  # fmt: skip
TEXTS = [(f"{kanji(n)}は数だ", f"{kanji(n)}は数です") for n in range(1, 61)]


def delimited(header: str, rows: Sequence[Sequence[str]], mark: str = ",", encoding: str = "utf-8") -> bytes:
    return "\r\n".join([header, *(mark.join(row) for row in rows), ""]).encode(encoding)


def json_lines(rows: Sequence[object]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def parquet(path: Path) -> None:
    polars = pytest.importorskip("polars")
    when = [f"2024-01-{1 + at % 28:02d}" for at in range(60)]
    frame = polars.DataFrame({"source": [s for s, _ in NUMBERS], "target": [t for _, t in NUMBERS], "day": when})
    frame.with_columns(polars.col("day").str.to_date()).write_parquet(path)


# kind → (file, its bytes or what writes it, codec expected, separator expected)
KINDS: dict[str, tuple[str, bytes | Callable[[Path], None], str, str]] = {
    "numbers": ("a.csv", delimited("source,target", NUMBERS), "number", ""),
    "classes": ("a.csv", delimited("文,気分", MOODS), "labels", ""),
    "classes of two words": (
        "a.csv", delimited("text,label", [(s, "very " + t) for s, t in MOODS]), "labels", "|",
    ),
    "emoji": ("a.csv", delimited("input,output", EMOJI), "labels", ""),
    "emoji with commas": (
        "a.csv", delimited("input,output", [(s, f'"{t.replace(" ", ", ")}"') for s, t in EMOJI]), "labels", ",",
    ),
    "lists saved as text": (
        "a.tsv", delimited("input\toutput", [(s, str(t.split())) for s, t in EMOJI], "\t"), "labels", "",
    ),
    "texts": ("a.tsv", delimited("原文\t訳文", TEXTS, "\t"), "text", ""),
    "semicolons": ("a.csv", delimited("質問;答え", NUMBERS, ";"), "number", ""),
    "cp932": (
        "a.csv", delimited("質問,答え", [(f"これは{s}です", t) for s, t in NUMBERS], encoding="cp932"), "number", "",
    ),
    "a spreadsheet's sep line": ("a.csv", b"\xef\xbb\xbfsep=,\r\n" + delimited("source,target", NUMBERS), "number", ""),
    "a title and empty columns": (
        "a.csv", "漢数字の表,,,\r\n,,,\r\n".encode() + delimited("source,target,,", [(*r, "", "") for r in NUMBERS])
        + b",,,\r\n", "number", "",
    ),
    "a column of numbers and dates": (
        "a.csv", delimited("番号,日付,本文,要約", [(str(at), "2024-01-05", *row) for at, row in enumerate(TEXTS)]),
        "text", "",
    ),
    "a split column": (
        "a.csv", delimited("text,label,split", [(*row, ("train", "test", "dev", "train")[at % 4]) for at, row in
                                                enumerate(MOODS)]), "labels", "",
    ),
    "tabs in a .txt": ("a.txt", delimited("source\ttarget", NUMBERS, "\t"), "number", ""),
    "JSON lines": ("a.jsonl", json_lines([{"question": s, "answer": t} for s, t in NUMBERS]), "number", ""),
    "lists of labels": ("a.jsonl", json_lines([{"text": s, "labels": t.split()} for s, t in EMOJI]), "labels", ""),
    "a JSON array": (
        "a.json", json.dumps([{"instruction": "算用数字で", "input": s, "output": t} for s, t in NUMBERS],
                             ensure_ascii=False, indent=1).encode(), "number", "",
    ),
    "ShareGPT": (
        "a.jsonl", json_lines([{"conversations": [{"from": "human", "value": s}, {"from": "gpt", "value": t}]}
                               for s, t in TEXTS]), "text", "",
    ),
    "prompt and completion as messages": (
        "a.jsonl", json_lines([{"prompt": [{"role": "system", "content": "短く"}, {"role": "user", "content": s}],
                                "completion": [{"role": "assistant", "content": t}]} for s, t in TEXTS]), "text", "",
    ),
    "Parquet with dates": ("a.parquet", parquet, "number", ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_for_a_table_is_audited_and_runs(tmp_path: Path, kind: str) -> None:
    """The first five minutes decide whether anybody stays: the config must run as it was written."""
    name, content, codec, separator = KINDS[kind]
    table = tmp_path / name
    content(table) if callable(content) else table.write_bytes(content)
    config = commands.new(str(tmp_path / "mine"), data=table, lang="ja")[0]
    made = read_config(config).task
    assert (made.codec, made.separator) == (codec, separator)
    stops = [finding for finding in commands.audit(str(config)) if finding.level == "stop"]
    assert not stops
    settings = ["train.steps=2", "score.resamples=100"]
    done = pipeline.run(str(config), overrides=settings, run_dir=tmp_path / "runs")
    assert done.scores


def test_the_comments_are_in_the_readers_language(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_bytes(delimited("質問,答え", NUMBERS))
    ours = {
        lang: commands.new(str(tmp_path / lang), data=table, lang=lang)[0].read_text("utf-8") for lang in ("en", "ja")
    }
    assert "column of inputs" in ours["en"] and "入力" in ours["ja"]
    assert 'data = "../a.csv"' in ours["en"]


def test_what_the_user_says_counts(tmp_path: Path) -> None:
    """A guess never overrules its owner."""
    table = tmp_path / "a.csv"
    table.write_bytes(delimited("a,b,c", [(s, t, "x" + t) for s, t in NUMBERS]))
    config = commands.new(str(tmp_path / "mine"), data=table, source="a", target="c", codec="text")[0]
    made = read_config(config).task
    assert (made.source, made.target, made.codec) == ("a", "c", "text")
    with pytest.raises(DataError, match="no column 'z'"):
        commands.new(str(tmp_path / "other"), data=table, source="z")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_a_header_in_quotes_is_read_whatever_separates_its_cells(tmp_path: Path, mark: str) -> None:
    """The other delimiters were tried as well, and the first that could not read the line ended the command."""
    table = tmp_path / "quoted.csv"
    rows = [("source", "target"), *((s, t) for s, t in NUMBERS)]
    table.write_text("".join(mark.join(f'"{cell}"' for cell in row) + "\n" for row in rows))
    made = read_config(commands.new(str(tmp_path / "mine"), data=table)[0]).task
    assert (made.source, made.target, made.codec) == ("source", "target", "number")


def test_of_two_answers_the_chosen_one_is_learnt(tmp_path: Path) -> None:
    """Pairs of preferences (prompt, chosen, rejected): the last column was taken, which is the answer not to give."""
    table = tmp_path / "pairs.jsonl"
    lines = [{"prompt": s, "chosen": t, "rejected": "x" + t} for s, t in NUMBERS]
    table.write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = read_config(commands.new(str(tmp_path / "mine"), data=table)[0]).task
    assert (made.source, made.target) == ("prompt", "chosen")


def test_nothing_that_exists_is_changed(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_bytes(delimited("source,target", NUMBERS))
    with pytest.raises(ConfigError, match="exists"):
        commands.new(str(tmp_path), data=table)
    assert table.read_bytes() == delimited("source,target", NUMBERS)


@pytest.mark.parametrize(
    ("name", "content"), [("a.docx", b"PK\x03\x04"), ("a.csv", b"source\r\nx\r\n"), ("a.csv", b"")]
)
def test_what_is_no_table_of_pairs_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError):
        commands.new(str(tmp_path / "mine"), data=tmp_path / name)
    assert not (tmp_path / "mine").exists()
