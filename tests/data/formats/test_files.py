"""Tables on disk: text stays text, and what cannot be trusted is refused with its line."""

from __future__ import annotations

import codecs
import csv
import json
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terakoya.data.formats import TableRow, detect_encoding, read_rows, read_table, require_columns, write_rows
from terakoya.errors import DataError

# NUL and the escapes of ISO-2022-JP speak of a wrong encoding and are refused; lone surrogates are no characters.
CELLS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\x1b"), max_size=12)
HARD = [
    "1",
    "1.0",
    "007",
    "1e3",
    "null",
    "NA",
    "None",
    "nan",
    "True",
    "１",
    " x ",
    "a\r\nb",
    "❤️",
    "👨‍👩‍👧",
    '"',
    ",",
    "が",
]


def rows_of(path: Path, **how: str) -> list[TableRow]:
    return list(read_rows(path, **how))


def refused(path: Path, text: str | bytes, **how: str) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as error:
        rows_of(path, **how)
    assert str(path) in str(error.value) or str(path) in error.value.where
    return str(error.value)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8), st.booleans())
def test_a_cell_comes_out_as_it_went_in(tmp_path_factory: pytest.TempPathFactory, rows: list, bom: bool) -> None:
    """`1` that becomes `1.0` is the numerals log's first illness."""
    path = tmp_path_factory.getbasetemp() / "round.csv"
    write_rows(path, ("source", "target"), rows, bom=bom)
    assert [tuple(row.cells.values()) for row in read_rows(path)] == rows


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_json_lines_keep_every_text(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    """Line separators inside a text (U+2028, \\r) are not ends of lines."""
    path = tmp_path_factory.getbasetemp() / "round.jsonl"
    lines = [json.dumps({"source": one, "target": two}, ensure_ascii=False) for one, two in rows]
    path.write_bytes("\n".join(lines).encode())
    assert [tuple(row.cells.values()) for row in read_rows(path)] == rows


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_words_of_programs_stay_words(tmp_path: Path, name: str) -> None:
    """NA is a place in Japan's neighbour and a label like any other; no reader may make it nothing."""
    delimiter = "\t" if name.endswith("tsv") else ","
    with (tmp_path / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([("source", "target"), *((cell, cell) for cell in HARD)])
    assert [row.cells["target"] for row in read_rows(tmp_path / name)] == HARD


def test_json_numbers_keep_their_spelling(tmp_path: Path) -> None:
    """1.0 and 1, 1e5 and 100000 are different texts, and null is no text at all."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1.0, "b": 1e5, "c": 12345678901234567890, "d": true, "e": null, "f": "null"}')
    assert rows_of(path)[0].cells == {"a": "1.0", "b": "1e5", "c": "12345678901234567890", "d": "true", "f": "null"}


def test_rows_are_named_by_the_line_they_begin_in(tmp_path: Path) -> None:
    """A cell with line breaks moves the rows below it; people look for lines."""
    path = tmp_path / "x.csv"
    path.write_bytes(b'a,b\r\n"1\r\n2",x\r\n\r\n3,y\r\n')
    assert [row.line for row in read_rows(path)] == [2, 5]


ENCODINGS = ["utf-8", "utf-8-sig", "cp932", "euc_jp", "iso2022_jp", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.parametrize("name", [*ENCODINGS, "shift_jis", "utf-32-le"])
def test_a_stated_encoding_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("source,target\n三百五十,350\nひらがな,カナ\n".encode(name))
    assert [row.cells["source"] for row in rows_of(path, encoding=name)] == ["三百五十", "ひらがな"]


@pytest.mark.parametrize("name", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_bom_is_no_part_of_the_header(tmp_path: Path, name: str) -> None:
    """A column called '\\ufeffsource' is what spreadsheets leave behind."""
    path = tmp_path / "x.csv"
    path.write_bytes("source,target\nあ,い\n".encode(name))
    assert list(rows_of(path)[0].cells) == ["source", "target"]
    assert detect_encoding(path) == name


@pytest.mark.parametrize(("name", "beside"), [("cp932", ()), ("euc_jp", ()), ("utf-16-le", ()), ("iso2022_jp", ())])
def test_a_wrong_encoding_is_named_with_the_option_that_reads_it(tmp_path: Path, name: str, beside: tuple) -> None:
    """Guessing would put mojibake into the data; the message spares the search."""
    text = "source,target\n" + "これはひらがなとカタカナのぶんです,はい\n" * 50
    said = refused(tmp_path / "x.csv", text.encode(name))
    assert name in said.split("reads as")[1].split(" or ")[0]
    assert "encoding" in said


def test_only_encodings_that_read_the_whole_file_are_offered(tmp_path: Path) -> None:
    """An offer that fails on the next try is worse than none."""
    good, bad = "あいうえお,か\n".encode("cp932"), b"\x81\x20\xff\xff,x\n"
    said = refused(tmp_path / "x.csv", b"a,b\n" + good * 20_000 + bad)
    assert "No encoding" in said and "cp932" not in said


def test_the_byte_offset_is_that_of_the_file(tmp_path: Path) -> None:
    """Counted within a buffer, an offset leads nowhere."""
    head = b"a,b\n" + "あ,い\n".encode() * 150_000
    assert f"byte {len(head)} (0xff)" in refused(tmp_path / "x.csv", head + b"\xff,x\n")
    split = b"a,b\n" + b"x" * ((1 << 20) - 5) + "あ".encode()[:2]  # a character cut by the end of a block and the file
    assert f"byte {len(split) - 2} " in refused(tmp_path / "x.csv", split)


FAULTY = {
    "empty.csv": (b"", "empty"),
    "only.jsonl": (b"\n\n", "empty"),
    "nul.csv": (b"a,b\n1,2\n\0,3\n", "line 3"),
    "ragged.csv": (b"a,b\n1\n1,2\n1,2,3\n", "2 times"),
    "index.csv": (b"a,b\n0,1,2\n1,3,4\n", "one column short"),
    "unclosed.csv": (b'a,b\n1,2\n"3,4\n5,6\n', "line 3"),
    "stray.csv": (b'a,b\n"1"x,2\n', "line 2"),
    "twice.csv": (b"a,a\n1,2\n", "more than once"),
    "notjson.jsonl": (b'{"a": 1}\n{"a": \n', "line 2"),
    "list.jsonl": (b"[1]\n", "no JSON object"),
    "double.jsonl": (b'{"a": 1, "a": 2}\n', "occurs twice"),
    "half.jsonl": (b'{"a": "\\ud83d"}\n', "lone surrogate"),
    "deep.jsonl": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "nested"),
    "no_role.jsonl": (b'{"messages": [{"content": "x"}]}\n', "role"),
    "no_answer.jsonl": (b'{"messages": [{"role": "user", "content": "x"}]}\n', "must end"),
    "x.parquet": (b"a,b\n1,2\n", "no Parquet"),
    "book.csv": (b"PK\x03\x04rest", "Excel"),
    "x.csv.gz": (b"a,b\n", "archive"),
    "x.xyz": (b"a,b\n", "no table"),
    "bad.parquet": (b"PAR1" + b"\0" * 64, "Parquet"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_what_cannot_be_trusted_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """Each of these was read silently, shifted or cut by some tool."""
    content, said = FAULTY[name]
    assert said in refused(tmp_path / name, content)


def test_all_errors_of_a_kind_are_reported_at_once(tmp_path: Path) -> None:
    """A file should be mended once, not fault by fault; twenty lines are enough to see what is wrong."""
    said = refused(tmp_path / "x.csv", "a,b\n" + "1,2\n1,2,3\n" * 50)
    assert "50 times" in said and said.count("cells") >= 20 and "30 more" in said


def test_a_cell_without_end_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'a,b\n1,2\n1,"' + b"x" * (17 * 1024 * 1024) + b'"\n')
    with pytest.raises(DataError, match="line 3"):
        rows_of(path)


def test_pipes_folders_and_missing_files_are_refused_at_once(tmp_path: Path) -> None:
    """A pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("pipe.csv", "folder.csv", "missing.csv", "x\0y.csv", "folder.csv/under.csv", "a" * 5000 + ".csv"):
        with pytest.raises(DataError):
            rows_of(tmp_path / name)
    with pytest.raises(DataError, match="device"):
        list(read_table("/dev/zero|/dev/zero", tmp_path))


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """Half of the old and half of the new is a data set that never was."""
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1,2\n" * 1000)
    reader = read_rows(path)
    next(reader)

    def append() -> None:
        with path.open("a") as file:
            file.write("3,4\n")

    writer = threading.Thread(target=append)
    writer.start()
    writer.join()
    with pytest.raises(DataError, match="changed"):
        list(reader)


def test_a_missing_column_offers_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("sorce,target\n1,2\n")
    with pytest.raises(DataError, match="sorce") as error:
        list(require_columns(read_rows(path), ["source"], "x.csv"))
    assert "sorce" in error.value.do
    path.write_text("source;target\n1;2\n")
    with pytest.raises(DataError) as error:
        list(require_columns(read_rows(path), ["source"], "x.csv"))
    assert "';'" in error.value.do


def test_rows_without_a_wanted_key_are_listed(tmp_path: Path) -> None:
    """null is not the word "null"."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": "1"}\n{"a": null}\n{"b": "2"}\n{"a": "3"}\n')
    with pytest.raises(DataError, match=r"line 2.*\nline 3"):
        list(require_columns(read_rows(path), ["a"], "x.jsonl"))


def test_a_header_alone_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n")
    with pytest.raises(DataError, match="0 rows"):
        list(require_columns(read_rows(path), ["a"], "x.csv"))


def test_a_chat_becomes_its_last_message_and_response(tmp_path: Path) -> None:
    """What was said before belongs to the question."""
    said = [("system", "s"), ("user", "u1"), ("assistant", "a1"), ("user", "u2"), ("assistant", "a2")]
    messages = [{"role": role, "content": content} for role, content in said]
    messages[3]["content"] = [{"type": "text", "text": "u"}, {"type": "text", "text": "2"}]  # type: ignore[assignment]
    (tmp_path / "x.jsonl").write_text(json.dumps({"messages": messages}))
    row = rows_of(tmp_path / "x.jsonl")[0]
    assert (row.cells["source"], row.cells["target"]) == ("u2", "a2")
    assert [(turn.role, turn.content) for turn in row.turns] == said[:3]


def test_parallel_texts_are_read_line_by_line(tmp_path: Path) -> None:
    """Empty lines keep their place, and a lone \\r is no end of line."""
    (tmp_path / "s.txt").write_bytes("一\r\n\n三\rつ\n四".encode())
    (tmp_path / "t.txt").write_bytes(b"1\n2\n3\n4\n")
    rows = list(read_table("s.txt|t.txt", tmp_path))
    assert [row.cells["source"] for row in rows] == ["一", "", "三\rつ", "四"]
    assert [row.cells["target"] for row in rows] == ["1", "2", "3", "4"]


def test_parallel_texts_of_different_length_are_refused(tmp_path: Path) -> None:
    """One lost line shifts every pair below it."""
    (tmp_path / "s.txt").write_text("1\n2\n")
    (tmp_path / "t.txt").write_text("1\n2\n3\n4\n")
    with pytest.raises(DataError, match=r"s\.txt has 2 lines and the other file 4"):
        list(read_table("s.txt | t.txt", tmp_path))


def test_reading_is_a_stream(tmp_path: Path) -> None:
    """Five million rows must not stand in memory to be looked at."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 2_000_000)
    start = time.perf_counter()
    reader = read_rows(path)
    assert next(reader).cells == {"a": "1", "b": "2"}
    assert time.perf_counter() - start < 0.5
    reader.close()


def test_a_bom_marks_a_file_for_spreadsheets(tmp_path: Path) -> None:
    write_rows(tmp_path / "x.csv", ["a"], [["✨"]], bom=True)
    assert (tmp_path / "x.csv").read_bytes() == codecs.BOM_UTF8 + "a\n✨\n".encode()
