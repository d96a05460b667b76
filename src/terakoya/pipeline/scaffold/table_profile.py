"""What a table of somebody's own is: its encoding, delimiter and columns, and what its targets are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from terakoya.codec.choose import choose_codec
from terakoya.codec.text import fold_source, split_emoji
from terakoya.data.formats import DELIMITERS, TABLE_SUFFIXES, TableRow, not_a_table, read_rows
from terakoya.data.formats.csv_tsv import read_delimited, read_layout
from terakoya.data.formats.encoding import detect_encoding, fitting_encodings, is_readable, refuse_archives
from terakoya.data.split import is_split_name
from terakoya.data.table import list_literal
from terakoya.errors import DataError
from terakoya.i18n import _

ROWS_LOOKED = 5000
_SOURCES = (
    "source", "input", "text", "sentence", "question", "prompt", "query", "src", "japanese", "title", "comment",
    "review", "入力", "文", "本文", "原文", "文章", "質問", "問", "問題", "テキスト", "内容", "コメント",
    "漢数字", "題名",
)  # fmt: skip
_TARGETS = (
    "target", "output", "label", "labels", "answer", "response", "completion", "class", "category", "tag",
    "tags", "tgt", "emoji", "translation", "english", "summary", "score", "value", "result", "chosen", "出力", "答え",
    "答", "回答", "正解", "解答", "ラベル", "分類", "カテゴリ", "カテゴリー", "タグ", "感情", "気分", "絵文字",
    "訳", "訳文", "要約", "値", "数", "数値", "結果",
)  # fmt: skip
_NUMBERS = ("id", "no", "no.", "number", "index", "#", "番号", "行", "連番")
_SEPARATORS = (",", "、", "，", "|", ";", "/", "・")
_ASIDE = re.compile(r"https?://\S+|\d{4}[-/]\d\d?[-/]\d\d?(?:[T ]\d\d?:\d\d.*)?")


@dataclass(frozen=True)
class TableProfile:
    """What was seen of a table, as a config needs it.

    encoding   to be stated; "" is detected by the reader too
    delimiter  between cells, "" where there are none
    columns    names of all columns
    source     column of inputs
    target     column of targets
    split      column that assigns rows to train, dev and exam; "" is none
    codec      text, number or labels
    separator  between labels; "" is white space
    rows       how many were looked at
    groups     different sources among them
    turns      whether rows are chats
    emoji      whether labels are emoji
    """

    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    source: str
    target: str
    split: str
    codec: str
    separator: str
    rows: int
    groups: int
    turns: bool = False
    emoji: bool = False


def look_at(path: Path, given: Mapping[str, str]) -> TableProfile:
    """Looks at a table of any of the formats; a .txt is one with cells between tabs or commas.

    path   the table
    given  what the user says himself: "encoding", "source", "target", "codec"; "" or nothing is looked for
    Raises DataError where it cannot be read, or has no two columns that can be input and target.
    """
    refuse_archives(path)
    if path.suffix.lower() not in (*TABLE_SUFFIXES, ".txt"):
        raise not_a_table(path)
    encoding = given.get("encoding") or ("" if path.suffix.lower() == ".parquet" else _encoding(path))
    rows, delimiter = sample_rows(path, encoding)
    if not rows:
        raise DataError(_("0 rows"), where=str(path), do=_("Bring a table with a header and at least one row."))
    names = list(dict.fromkeys(name for row in rows[:100] for name in row.cells))
    split = next((name for name in names if _names_splits([row.cells.get(name, "") for row in rows])), "")
    source, target = _columns(rows, [name for name in names if name != split], given, path)
    texts = [row.cells.get(target, "") for row in rows]
    lists = any(target in row.lists for row in rows) or all(list_literal(text) is not None for text in texts)
    codec, separator = ("labels", "") if lists else _kind([text for text in texts if text.strip()])
    if given.get("codec") and given["codec"] != codec:
        codec, separator = given["codec"], ""
    groups = len({fold_source(row.cells.get(source, "")) for row in rows})
    emoji = codec == "labels" and not lists and all(split_emoji(_spaced(text, separator)) for text in texts[:50])
    turns = any(row.turns for row in rows)
    return TableProfile(
        encoding, delimiter, tuple(names), source, target, split, codec, separator, len(rows), groups, turns, emoji
    )


def _encoding(path: Path) -> str:
    """The encoding to be stated: the most Japanese-looking one that reads the file, "" where the reader finds it."""
    usual = detect_encoding(path)
    if is_readable(path, usual):
        return ""
    return next(iter(fitting_encodings(path, excluded=usual)), "")


def sample_rows(path: Path, encoding: str) -> tuple[list[TableRow], str]:
    """The first ROWS_LOOKED rows of a table, and what separates its cells ("" where nothing does).

    path      the table; of a .csv, .tsv or .txt the delimiter is found
    encoding  of the text; "" is detected
    """
    suffix = path.suffix.lower()
    if suffix not in DELIMITERS and suffix != ".txt":
        return list(islice(read_rows(path, encoding=encoding), ROWS_LOOKED)), ""
    usual = DELIMITERS.get(suffix, "\t")
    # The delimiter that makes the most columns of the header; the suffix decides a tie.
    found = [(_columns_of(path, mark, encoding), mark) for mark in dict.fromkeys((usual, "\t", ",", ";", "|"))]
    delimiter = max(found, key=lambda item: item[0])[1]
    rows = read_delimited(path, delimiter, encoding, skip_blank=True)
    return list(islice(rows, ROWS_LOOKED)), delimiter


def _columns_of(path: Path, delimiter: str, encoding: str) -> int:
    """How many columns the header has with this delimiter; 0 where it cannot be the one.

    With another one between its cells, a header in quotes is no readable line ("source","target" between tabs).
    """
    try:
        return sum(1 for name in read_layout(path, delimiter, encoding).names if name.strip())
    except DataError:
        return 0


def _names_splits(words: Sequence[str]) -> bool:
    """Whether a column says train, dev or test in every row, and not the same everywhere."""
    return len(set(words)) > 1 and all(is_split_name(word) for word in set(words))


def _columns(rows: Sequence[TableRow], names: Sequence[str], given: Mapping[str, str], path: Path) -> tuple[str, str]:
    for key in ("source", "target"):
        if given.get(key) and given[key] not in names:
            found = ", ".join(map(repr, names))
            raise DataError(
                _("there is no column '{name}' (found: {names})", name=given[key], names=found),
                where=str(path),
                do=_("Name one of them with --source or --target."),
            )
    free = [name for name in names if _could_be_text(name, rows)]
    target = given.get("target") or _named(free, _TARGETS, given.get("source", ""))
    source = given.get("source") or _named(free, _SOURCES, target)
    others = [name for name in free if name not in (source, target)]
    if not source and others:
        source = max(others, key=lambda name: sum(len(row.cells.get(name, "")) for row in rows))
    others = [name for name in free if name not in (source, target)]
    target = target or (others[-1] if others else "")
    if not (source and target):
        found = ", ".join(map(repr, names))
        raise DataError(
            _("no two columns that could be input and target (found: {names})", names=found),
            where=str(path),
            do=_("Bring a table with a column of inputs and one of targets, or name them: --source A --target B."),
        )
    return source, target


def _could_be_text(name: str, rows: Sequence[TableRow]) -> bool:
    """Whether a column may be input or target: no number of the row, no date, no link, no raw messages."""
    cells = [row.cells[name] for row in rows if name in row.cells]
    if not cells or any(name in row.nested for row in rows):
        return False
    if name.strip().lower() in _NUMBERS and all(cell.strip().isdecimal() for cell in cells):
        return False
    return not all(_ASIDE.fullmatch(cell.strip()) for cell in cells) or name.strip().lower() in _TARGETS


def _named(names: Sequence[str], words: Sequence[str], taken: str) -> str:
    """The first column with one of these names, the most usual name first."""
    lowered = {name.strip().lower(): name for name in reversed(names) if name != taken}
    return next((lowered[word] for word in words if word in lowered), "")


def _kind(targets: Sequence[str]) -> tuple[str, str]:
    """(codec, separator) that fit the targets."""
    if not targets:
        return "text", ""
    for separator in ("", *_SEPARATORS):
        if all(split_emoji(_spaced(target, separator)) for target in targets):
            return "labels", separator
    few = len(set(targets)) <= max(2, len(targets) // 8) and max(map(len, targets)) <= 40
    if not few and _are_numbers(targets):
        return "number", ""
    if few:
        # One label each: a separator that occurs nowhere keeps "new york" in one piece.
        spaced = any(len(target.split()) > 1 for target in targets)
        return "labels", next((mark for mark in ("|", ";", ",") if spaced and not _occurs(mark, targets)), "")
    for separator in (*_SEPARATORS, ""):
        if _are_sets(targets, separator):
            return "labels", separator
    return "text", ""


def _are_numbers(targets: Sequence[str]) -> bool:
    codec = choose_codec("number", ())
    try:
        return all(codec.read(codec.write(target)) == codec.canonical(target) for target in targets)
    except DataError:
        return False


def _are_sets(targets: Sequence[str], separator: str) -> bool:
    """Whether the pieces between separators come again and again, as labels do and words of sentences do not."""
    pieces = [[piece.strip() for piece in _split(target, separator) if piece.strip()] for target in targets]
    uses = Counter(piece for found in pieces for piece in found)
    several = sum(len(found) > 1 for found in pieces)
    short = all(len(piece) <= 20 for piece in uses) and max(map(len, pieces)) <= 12
    again = uses.total() >= 5 * len(uses) and min(map(len, map(set, pieces))) > 0
    distinct = all(len(set(found)) == len(found) for found in pieces)
    return several > len(targets) / 10 and short and again and distinct


def _split(target: str, separator: str) -> list[str]:
    return target.split(separator) if separator else target.split()


def _spaced(target: str, separator: str) -> str:
    return target.replace(separator, " ") if separator else target


def _occurs(mark: str, targets: Sequence[str]) -> bool:
    return any(mark in target for target in targets)


def config_lines(profile: TableProfile, name: str, data: str) -> Iterator[tuple[str, str]]:
    """The lines of a config for the table, as (TOML, comment); either may be "".

    profile  of the table
    name     of the run
    data     path of the table, relative to the config
    """
    columns, rows = ", ".join(profile.columns), profile.rows
    yield "", _("Made by looking at the table. Only what differs from the defaults is written here.")
    yield "", _("terakoya audit {name}.toml: what is wrong with the data", name=name)
    yield "", _("terakoya run {name}.toml: train, take the exam, write the report", name=name)
    yield f"name = {_quoted(name)}", ""
    yield "seed = 1", ""
    yield "", ""
    yield "[task]", ""
    yield f"data = {_quoted(data)}", _("{rows} rows were looked at; columns: {columns}", rows=rows, columns=columns)
    if profile.encoding:
        yield f"encoding = {_quoted(profile.encoding)}", _("not UTF-8: this encoding reads the whole file")
    if profile.turns:
        yield "", _("the rows are chats: the last exchange is learned, what was said before it belongs to the input")
    if profile.source != "source":
        yield f"source = {_quoted(profile.source)}", _("column of inputs")
    if profile.target != "target":
        yield f"target = {_quoted(profile.target)}", _("column of targets")
    yield f"codec = {_quoted(profile.codec)}", _KINDS[profile.codec]
    if profile.separator:
        yield f"separator = {_quoted(profile.separator)}", _("between labels")
    if profile.split:
        yield f"split = {_quoted(profile.split)}", _("column that says train, dev or exam (test)")
    yield "", ""
    yield "[split]", ""
    yield from _split_lines(profile)
    yield "", ""
    yield "[model]", ""
    base = "tiny" if profile.rows < 2000 else "small"
    yield f"base = {_quoted(base)}", _("tiny, small, base (built in), a name on the Hugging Face Hub, or a folder")
    yield "", ""
    yield "[score]", ""
    yield "good_enough = 0", _("mean score that is good enough, like 0.9; the record says first whether it is reached")


def _split_lines(profile: TableProfile) -> Iterator[tuple[str, str]]:
    if profile.split:
        yield 'method = "column"', ""
    elif profile.groups < 200:
        yield 'method = "exact"', _("few rows: exact shares, so that no split is empty")
        yield "dev = 0.15", ""
        yield "exam = 0.3", _("with a thousand rows and more, leave these three out")
    else:
        share = "0.2" if profile.groups < 2000 else "0.1"
        yield f"exam = {share}", _("share of rows kept for the exam, which training never sees")


_KINDS = {
    "text": _("text; others are number, quantity, labels"),
    "number": _("every target is a number; others are text, quantity, labels"),
    "labels": _("targets are sets of labels that occur again and again; others are text, number, quantity"),
    "quantity": _("quantities with their units; others are text, number, labels"),
}


def _quoted(text: str) -> str:
    """A TOML string."""
    escaped = "".join(f"\\u{ord(char):04x}" if char < " " else "\\" + char if char in '"\\' else char for char in text)
    return f'"{escaped}"'
