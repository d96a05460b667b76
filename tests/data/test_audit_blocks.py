"""A large table audited in blocks of columns: what it says is what row by row it would say."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from terakoya.codec.text import fold_source
from terakoya.config import Config, make_config
from terakoya.data import audit as audit_module
from terakoya.data.audit import row_blocks, tables
from terakoya.data.audit import thresholds as line
from terakoya.data.audit.folding import fold_many
from terakoya.data.audit.row_blocks import read_row_blocks
from terakoya.data.audit.single_pass import EvenSample, HashSample
from terakoya.data.formats import blocks, jsonl_blocks, read_table
from terakoya.data.formats.block_reader import read_blocks
from terakoya.data.formats.blocks import NotPlain
from terakoya.data.formats.jsonl import parse_object
from terakoya.errors import DataError
from terakoya.records import Finding

TABLES, FIRST = (int(os.environ.get(f"TERAKOYA_{name}", less)) for name, less in (("TABLES", 60), ("FIRST_TABLE", 0)))
PIECES = [
    "今日は", "カレー", "食べた", "。", "！", "とても", "楽しい一日でした", "コーヒー", "ー", "-", " ", "　", "abc",
    "ＡＢＣ", "007", "1.0", "NA", "１２", "「", "」", "（", "🎉", "❤️", "👨‍👩‍👧", "ﾊﾟﾝ", "か\u3099", "\u200b", "～",
    "高", "髙", "[1]", "<s>", "????", "繧縺", "é", "\t", "…", "2026-01-02", "3月4日", "I am sorry",
    "申し訳ありませんが、お答えできません", "['a', 'b']", "==", "#N/A", "nan",
]  # fmt: skip
FAULTY = [
    "[1]", '{"source": "\\ud83d", "target": "1"}', '{"source": "a", "source": "b", "target": "1"}',
    '{"source": null, "target": "1"}', '{"source": "a", "target": {"a": "b"}}', '{"source": "a", "target": 007}',
]  # fmt: skip
LABELS = ["🎉", "📚", "❤️", "❤", "✨", "😄", "👍🏽", "x", "🎉,📚", "[🎉]", "♡", ""]


def random_cell(rng: random.Random) -> str:
    return "".join(rng.choices(PIECES, k=rng.choice([0, 1, 1, 2, 3, 5, 9])))


def near_copies(rng: random.Random) -> list[str]:
    """A long text and others that differ from it in a character."""
    text = "".join(rng.choices(PIECES[:7] + PIECES[22:], k=rng.randint(6, 14)))
    return [text, *(text[:at] + rng.choice("あいう") + text[at + 1 :] for at in rng.sample(range(8), 4))]


def random_table(rng: random.Random, path: Path) -> tuple[Path, dict[str, Any]]:
    """A table with every kind of cell, and how it is to be read."""
    codec = rng.choice(["labels", "labels", "text", "number", ""])
    suffix = rng.choice([".csv", ".csv", ".tsv", ".parquet", ".jsonl", ".jsonl"])
    names = ["source", "target"]
    task: dict[str, Any] = {"codec": codec}
    if rng.random() < 0.3:
        names.append("g")
        task["group"] = "g"
    if rng.random() < 0.3:
        names.append("part_of")
        task["split"] = "part_of"
    names += [name for name in ("origin", "note") if rng.random() < 0.3]
    rng.shuffle(names)
    known = [random_cell(rng) for _ in range(rng.randint(1, 12))]
    known += [text for _ in range(rng.choice([0, 2, 6])) for text in near_copies(rng)]
    plain = rng.random() < 0.4
    rows: list[dict[str, str]] = []
    for _ in range(rng.randint(1, 60)):
        cells = {name: rng.choice(known) if rng.random() < 0.5 else random_cell(rng) for name in names}
        if codec == "labels":
            cells["target"] = " ".join(rng.sample(LABELS, rng.randint(0, 4)))
        elif codec in {"number", ""} and rng.random() < 0.9:
            cells["target"] = str(rng.choice([7, 12, 2026, 38000, "007", "1.0"]))
        if "part_of" in cells:
            cells["part_of"] = rng.choice(["train", "test", "dev", "Train ", ""])
        if plain:
            cells = {name: cell.replace("\t", "") for name, cell in cells.items()}
        rows.append(cells)
    if rng.random() < 0.2 and len(rows) > 1:  # two files by a pattern
        cut = rng.randint(1, len(rows) - 1)
        for name, part in (("table-1", rows[:cut]), ("table-2", rows[cut:])):
            write(rng, path.with_name(name + suffix), names, part, quotes=not plain)
        return path.with_name(f"table-*{suffix}"), task
    return write(rng, path.with_suffix(suffix), names, rows, quotes=not plain), task


def write(rng: random.Random, path: Path, names: list[str], rows: list[dict[str, str]], *, quotes: bool) -> Path:
    if path.suffix == ".parquet":
        pl.DataFrame({name: [row[name] for row in rows] for name in names}).write_parquet(path)
        return path
    if path.suffix == ".jsonl":
        return write_lines(rng, path, names, rows)
    delimiter = "," if path.suffix == ".csv" else "\t"

    def written(cell: str) -> str:
        if any(mark in cell for mark in (delimiter, '"', "\n", "\r")) or (quotes and rng.random() < 0.1):
            return '"' + cell.replace('"', '""') + '"'
        return cell

    end = rng.choice(["\n", "\r\n"])
    lines = [delimiter.join(names), *(delimiter.join(written(row[name]) for name in names) for row in rows)]
    text = end.join(lines) + rng.choice(["", end])
    path.write_bytes(rng.choice([b"", b"\xef\xbb\xbf"]) + text.encode())
    return path


def write_lines(rng: random.Random, path: Path, names: list[str], rows: list[dict[str, str]]) -> Path:
    """JSON lines, in some files with everything that lines have: values of other types, keys in another order, blank
    lines, and now and then a line that is no row."""
    mixed, faulty, ascii_only = rng.random() < 0.5, rng.random() < 0.1, rng.random() < 0.5
    kind = rng.choice(["text", "text", "number", "list"])
    lines = []
    for row in rows:
        value: dict[str, Any] = {name: row[name] for name in names}
        if kind == "list" and (not mixed or rng.random() < 0.9):
            value["target"] = row["target"].split()
        elif kind == "number" and (not mixed or rng.random() < 0.9):
            value["target"] = rng.choice([7, 12, 2026, 1.5, -3])
        if mixed and rng.random() < 0.2:
            value["extra"] = rng.choice([None, 1, True, [1], {"a": "b"}, "x"])
        if mixed and rng.random() < 0.2:
            value = dict(rng.sample(sorted(value.items(), key=str), len(value)))
        if mixed and rng.random() < 0.2:
            value |= dict.fromkeys({"origin", "note"} & value.keys())
        text = json.dumps(value, ensure_ascii=ascii_only if not mixed else rng.random() < 0.5)
        if mixed:
            text = rng.choice(["", "", " ", "\t"]) + text + rng.choice(["", "", " "])
            lines += rng.choices([[], [""], ["　 "]], [20, 1, 1])[0]
        if faulty and rng.random() < 0.05:
            text = rng.choice([text[:-2], text.replace("source", "sauce"), *FAULTY])
        lines.append(text)
    end = rng.choice(["\n", "\r\n"])
    path.write_bytes(rng.choice([b"", b"\xef\xbb\xbf"]) + (end.join(lines) + rng.choice(["", end])).encode())
    return path


def by_rows(path: Path, config: Config) -> list[Finding]:
    subject, rows = tables.stream_table(path, config)
    return list(audit_module._run_checks(subject, rows, None))


def said(work: Any) -> Any:
    """The findings, or the refusal."""
    try:
        return work()
    except DataError as error:
        return str(error)


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bounds of samples that small tables reach, and blocks of a few rows."""
    monkeypatch.setattr(line, "FINGERPRINTS_KEPT", 24)
    monkeypatch.setattr(line, "NEAR_ROWS", 16)
    monkeypatch.setattr(line, "NEAR_KEPT", 24)
    monkeypatch.setattr(line, "NEAR_STEP", 7)
    monkeypatch.setattr(line, "TEMPLATE_TEXTS", 12)
    monkeypatch.setattr(line, "SAMPLE", 12)
    monkeypatch.setattr(line, "ORDER_ROWS", 8)
    monkeypatch.setattr(line, "LABELS_KEPT", 9)
    monkeypatch.setattr(line, "ORDER_SHUFFLES", 19)
    monkeypatch.setattr(row_blocks, "_KEPT", 20)
    monkeypatch.setattr(row_blocks, "_CHARACTERS", 200)
    monkeypatch.setattr(blocks, "_BLOCK", 700)
    monkeypatch.setattr(blocks, "_RECORDS", 7)
    yield


@pytest.mark.usefixtures("small_bounds")
def test_a_source_with_more_rows_than_are_kept_leaves_both_samples_alike(tmp_path: Path) -> None:
    """Halved only once for a row, the sample of one way was larger than it may be."""
    path, config = tmp_path / "table.csv", make_config({"task": {"data": "table.csv"}})
    for source in ("コーヒー", "カレー", "紅茶", "水", "本", "山", "川", "犬", "猫", "鳥", "花", "空"):
        rows = [*(f"文{number}" for number in range(10)), *[source] * 25]
        path.write_text("target,source\n" + "".join(f"1,{row}\n" for row in rows), encoding="utf-8")
        assert list(audit_module._stream_findings(path, config)) == by_rows(path, config), source


@pytest.mark.usefixtures("small_bounds")
def test_blocks_say_what_rows_say(tmp_path: Path) -> None:
    """Over random tables (`make audit-tables` for ten thousand), near copies in a sample by MinHash among them, some in
    two files. Both ways are taken by many of them."""
    in_blocks = near = 0
    for seed in range(FIRST, FIRST + TABLES):
        rng = random.Random(seed)
        path, task = random_table(rng, tmp_path / "table.csv")
        config = make_config({"task": {"data": path.name} | task})
        expected = said(lambda: by_rows(path, config))  # noqa: B023
        found = said(lambda: list(audit_module._stream_findings(path, config)))  # noqa: B023
        assert found == expected, f"seed {seed}"
        try:
            subject, _ = tables.stream_table(path, config)
            in_blocks += sum(1 for _ in read_row_blocks(path, config.task, config.split, subject, ["x"])) > 0
        except (NotPlain, DataError):
            pass
        near += "sample of 1 in" in str(expected) and "near-duplicates" in str(expected)
        for file in tmp_path.iterdir():
            file.unlink()
    assert in_blocks > TABLES / 3 and near > TABLES / 50


def test_what_is_found_in_a_sample_of_sources_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaks as well as copies: their number is that of a sample."""
    monkeypatch.setattr(line, "FINGERPRINTS_KEPT", 40)
    rows = [{"source": f"文{at % 50}", "target": "x", "side": "exam" if at >= 50 else "train"} for at in range(100)]
    pl.DataFrame(rows).write_parquet(tmp_path / "rows.parquet")
    config = make_config({"task": {"data": "rows.parquet", "codec": "labels", "split": "side"}})
    found = list(audit_module._stream_findings(tmp_path / "rows.parquet", config))
    (leak,) = [one for one in found if one.check == "leak"]
    assert leak.values["sampled 1 in"] >= 4 and f"in a sample of 1 in {leak.values['sampled 1 in']:g}" in leak.what


def test_long_targets_and_long_rows_keep_the_memory_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows of long texts are read at once, and distinct targets are forgotten by their characters."""
    rng = random.Random(0)
    texts = ["".join(chr(rng.randint(0x4E00, 0x9FFF)) for _ in range(1000)) for _ in range(400)]
    pl.DataFrame({"source": texts, "target": texts}).write_parquet(tmp_path / "rows.parquet")
    monkeypatch.setattr(blocks, "_BLOCK", 1 << 16)
    monkeypatch.setattr(row_blocks, "_CHARACTERS", 50_000)
    config = make_config({"task": {"data": "rows.parquet", "codec": "text"}})
    subject, _ = tables.stream_table(tmp_path / "rows.parquet", config)
    found = list(read_row_blocks(tmp_path / "rows.parquet", config.task, config.split, subject, ["x"]))
    assert max(map(len, found)) < 50
    assert max(len(block.targets.facts) for block in found) < 150
    assert [block.targets.facts[at].text for block in found for at in block.numbers] == texts


def test_parquet_is_measured_by_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressed, three million rows are 64 MiB and would take gigabytes of memory."""
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"source": [f"文{at}" for at in range(50)], "target": ["a", "b"] * 25}).write_parquet(path)
    config = make_config({"task": {"data": path.name}})
    monkeypatch.setattr(tables, "HELD", 8 * path.stat().st_size)
    assert tables.load_small_table(path, config) is not None
    monkeypatch.setattr(tables, "HELD", 8 * path.stat().st_size - 1)
    assert tables.load_small_table(path, config) is None


def test_cells_in_blocks_are_the_cells_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`007`, NA, full width, quotes over several lines, CRLF, a BOM: to the byte, with their line numbers."""
    monkeypatch.setattr(blocks, "_BLOCK", 64)
    monkeypatch.setattr(blocks, "_RECORDS", 3)
    texts = {
        "plain": "source,target\n007,NA\n１２,1.0\n , \n,\nnull,1e3\n",
        "crlf": "source,target\r\na,b\r\n,\r\nc ,d\r\n",
        "bom": "\ufeffsource,target\na,b\n",
        "no end": "source,target\na,b\nc,d",
        "quotes": "source,target\na,b\n" + "x,y\n" * 30 + '"a\nb","c,""d"""\ne,f\n',
        "index": ",source,target\n0,a,b\n1,c,d\n",
        "blank": "source,target\na,b\n\nc,d\n",
    }
    for name, text in texts.items():
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode())
        expected = [(row.line, row.cells["source"], row.cells["target"]) for row in read_table("table.csv", tmp_path)]
        found = [
            row
            for block in read_blocks(path, "", ["source", "target"])
            for row in zip(
                block.lines.tolist(), *(block.columns[one].to_list() for one in ("source", "target")), strict=True
            )
        ]
        assert found == expected, name


def read_as_rows(path: Path, wanted: list[str]) -> list[tuple[Any, ...]]:
    return [(row.line, *(row.cells[name] for name in wanted)) for row in read_table(path.name, path.parent)]


def read_as_blocks(path: Path, wanted: list[str], **options: str) -> list[tuple[Any, ...]]:
    return [
        row
        for block in read_blocks(path, "", wanted, **options)
        for row in zip(block.lines.tolist(), *(block.columns[name].to_list() for name in wanted), strict=True)
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"source": "a", "target": "b"}\n{"source":"c","target":"d"}\n',
        '\ufeff{"source": "a", "target": "b"}\r\n\r\n{"source": "c", "target": "d"}',
        '\n \n　\n{"source": "a", "target": "b"}\n\n{"target": "d", "source": "c"}\n',
        '{"source": "\\u3042\\n\\"\\/\\\\", "target": "\\ud83d\\ude00"}\n'
        '{"source": "\\u0000\x7f\u2028\x85", "target": ""}\n',
        '{"source": "a", "target": 007}\n'.replace("007", "1.0") + '{"source": "b", "target": 1e400}\n'
        '{"source": "b", "target": "1.0"}\n{"source": "b", "target": NaN}\n{"source": "b", "target": true}\n',
        '{"source": "a", "target": "b", "id": 1, "score": 0.5, "ok": null}\n'
        '{"source": "a", "target": "b", "id": [1], "score": {"x": 1}}\n'
        f'{{"source": "a", "target": "b", "id": {"9" * 5000}, "score": 1e999, "ok": false}}\n',
        '{"source": "a", "target": true}\n{"source": "b", "target": false}\n',
        '{"a b.*": "x", "source": "\\"target\\": 5,", "target": 7}\n' * 3,
    ],
)
def test_lines_in_blocks_are_the_lines_of_rows(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Escapes, numbers as they are spelt, blank lines, keys in another order: to the byte, with their line numbers."""
    monkeypatch.setattr(blocks, "_BLOCK", 64)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(text.encode())
    assert read_as_blocks(path, ["source", "target"]) == read_as_rows(path, ["source", "target"])


def test_most_lines_are_read_by_polars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what differs from the first line is parsed one by one: that is what the speed comes from."""
    path = tmp_path / "rows.jsonl"
    rows = [{"id": at, "source": f'"{at}"\\', "target": ["🎉", "📚"], "none": None} for at in range(1000)]
    path.write_text("\n".join(map(json.dumps, rows)) + '\n{"source": "a", "target": "b"}\n')
    alone: list[str] = []
    monkeypatch.setattr(jsonl_blocks, "_parsed", lambda text: alone.append(text) or parse_object(text))
    found = read_as_blocks(path, ["source", "target"], lists="target")
    assert len(alone) == 2  # the first, for the shape, and the last
    assert found[-2:] == [(1000, '"999"\\', '["\\ud83c\\udf89", "\\ud83d\\udcda"]'), (1001, "a", "b")]


@pytest.mark.parametrize(
    "text",
    ['{"source": "a", "target": "b"', '{"source": "a", "source": "b", "target": "c"}', '{"source": "a"}', "[1]",
     '{"source": "\\ud83d", "target": "b"}', '{"source": "a", "target": ["b"]}', '{"source": "a", "target": null}',
     '{"source": "a", "target": "b", "tags": {}}', '{"source": "a\tb", "target": "c"}', '{"source": "a", "target": 01}',
     '{"source": "a",\r "target": "b"}', '{"source": "a", "target": "b"} {}', '{"source": "\\x", "target": "b"}',
     "CHAT"],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", '{"source": "x", "target": "y"}\n'])
def test_odd_lines_are_left_to_the_reader_of_rows(before: str, text: str, tmp_path: Path) -> None:
    """It names all faults with their lines, and knows chats and lists."""
    turns = [{"role": role, "content": role} for role in ("user", "assistant") * 2]
    text = text.replace("CHAT", json.dumps({"messages": turns}))
    (tmp_path / "rows.jsonl").write_text(f"{before}{text}\n", encoding="utf-8")
    with pytest.raises(NotPlain):
        list(read_blocks(tmp_path / "rows.jsonl", "", ["source", "target"]))


def test_a_prompt_beside_the_columns_of_the_config_is_no_other_target(tmp_path: Path) -> None:
    """prompt and completion make a source and a target of their own (layouts.py), in blocks as in rows."""
    row = {"prompt": "a", "completion": "b", "target": "c"}
    pl.DataFrame([row]).write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    for path in tmp_path.iterdir():
        with pytest.raises(NotPlain):
            read_as_blocks(path, ["prompt", "target"])


@pytest.mark.parametrize(
    "text",
    ["source,target\na,b,c\n", "source,target\na\n", 'source,target\n"a,b\n', "title\nsource,target\na,b\n",
     "source\na\n", "source,target\na\0,b\n", "sep=,\nsource,target\na,b\n", "source,target,tags\na,b,c\n",
     "source,source\na,b\n"],
)  # fmt: skip
def test_what_is_not_certain_is_left_to_the_reader_of_rows(text: str, tmp_path: Path) -> None:
    """Ragged rows, open quotes, titles, NUL, columns that make more of a row."""
    (tmp_path / "table.csv").write_bytes(text.encode())
    with pytest.raises(NotPlain):
        list(read_blocks(tmp_path / "table.csv", "", ["source", "target"]))


def test_bytes_of_another_encoding_are_named_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal comes from the reader of rows, with offset and advice."""
    monkeypatch.setattr(tables, "HELD", 0)
    path = tmp_path / "table.csv"
    path.write_bytes("source,target\n今日は,雨\n".encode("cp932"))
    with pytest.raises(DataError, match=r"byte 14 .*cp932"):
        audit_module.audit_table(path, make_config({"task": {"data": path.name}}))


def test_many_texts_are_folded_as_each_alone() -> None:
    """Also beside the characters that decide by their neighbours."""
    rng = random.Random(0)
    chars = [
        *"あアカヶケーー--  　.…⋯！？ＡｂＣabcXYZ。〜～∼髙圓'\"“\t\n<[$1０―‐ßİΣς①㍻é",
        "\u200b",
        "\u3099",
        "❤️",
        "ﾊﾟ",
        "\u200d",
    ]
    texts = ["".join(rng.choices(chars, k=rng.randint(0, 6))) for _ in range(20_000)]
    assert fold_many(pl.Series(texts)).to_list() == [fold_source(text) for text in texts]
    assert fold_many(pl.Series(["すべて平文です。"])).to_list() == ["すべて平文です。"]


@pytest.mark.parametrize("most", [1, 3, 8])
def test_a_sample_chosen_at_once_is_that_of_one_by_one(most: int) -> None:
    """Both samples, whatever the sizes of the blocks."""
    import numpy as np

    rng = random.Random(most)
    alone, together = HashSample[int](most), HashSample[int](most)
    spaced, at_once = EvenSample[int](most), EvenSample[int](most)
    first = 0
    for _ in range(40):
        count = rng.randint(0, 30)
        numbers = [rng.getrandbits(64) for _ in range(count)]
        for at, number in enumerate(numbers):
            alone.add(number, first + at)
            spaced.add(first + at)
        kept = together.choose(np.array(numbers, dtype=np.uint64), np.ones(count, dtype=bool))
        for at in np.flatnonzero(kept).tolist():
            together.add(numbers[at], first + at)
        chosen = at_once.choose(count)
        at_once.items += [first + at for at in chosen]
        first += count
        assert together.kept() == alone.kept()
        assert at_once.items == spaced.items
