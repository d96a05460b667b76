"""JSON lines in blocks of columns, by polars, where every line is certain to be read as jsonl.py reads it.

The first object of a file says which keys there are, in which order, and which of them hold texts. A regular
expression, written after the grammar of RFC 8259, says of every other line whether it is such an object: no repeated
key, no value that is nested, no half of a surrogate pair. Those lines are read by polars, all others one by one.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya.data.formats.blocks import NotPlain, TextBlock, taken_columns, whole_lines
from terakoya.data.formats.encoding import detect_encoding, open_bytes
from terakoya.data.formats.jsonl import parse_object, row_from_object
from terakoya.data.formats.layouts import RowError
from terakoya.errors import need

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[Any]]

_SPACE = "[ \\t]*"
_HEX = "[0-9a-fA-F]"
_UNICODE = f"u(?:[0-9a-cefA-CEF]{_HEX}{{3}}|[dD][0-7]{_HEX}{{2}}|[dD][89abAB]{_HEX}{{2}}\\\\u[dD][c-fC-F]{_HEX}{{2}})"
_STRING = f'"(?:[^"\\\\\\x00-\\x1f]|\\\\(?:["\\\\/bfnrt]|{_UNICODE}))*"'
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_PLAIN = f"(?:{_NUMBER}|true|false)"
_LIST = rf"\[{_SPACE}(?:{_STRING}(?:{_SPACE},{_SPACE}{_STRING})*{_SPACE})?\]"


def read_line_blocks(path: Path, encoding: str, wanted: Sequence[str], lists: str = "") -> Iterator[TextBlock]:
    """The wanted columns of a JSON lines file, block by block; blank lines are no rows.

    path      the file
    encoding  of the text; "" is detected
    wanted    columns; a column `origin` comes with them where it exists
    lists     the column that may hold lists of texts, which stay as they are spelt; "" is none
    Raises NotPlain, at any time, where the file must be read row by row.
    """
    name = detect_encoding(path, encoding)
    if name not in ("utf-8", "utf-8-sig"):
        raise NotPlain
    reader, first = LineReader(wanted, lists), 1
    with open_bytes(path) as file:
        for block in whole_lines(file):
            lines = split_block(block.removeprefix(b"\xef\xbb\xbf") if first == 1 and name == "utf-8-sig" else block)
            yield reader.block(lines, first)
            first += len(lines)


def split_block(block: bytes) -> Any:
    """A polars column of the lines of a block, without their ends.

    block  whole lines
    Raises NotPlain for characters that the reader of rows refuses, or at which it ends a line.
    """
    polars = need("polars", extra="tables")
    if b"\0" in block or b"\x1b" in block:
        raise NotPlain
    if b"\r" in block:
        if block.count(b"\r") != block.count(b"\r\n"):
            raise NotPlain
        block = block.replace(b"\r\n", b"\n")
    block = block.removesuffix(b"\n")
    if block and not block.startswith(b"\n") and b"\n\n" not in block and b"\x01" not in block:
        # As a table of one column: that control character never stands in JSON, so it separates nothing.
        frame = polars.read_csv(
            block, has_header=False, separator="\x01", quote_char=None, empty_string_is_null=False,
            schema={"line": polars.String},
        )  # fmt: skip
        if frame.height == block.count(b"\n") + 1 and not frame["line"].null_count():
            return frame["line"]
    return polars.Series("line", block.decode("utf-8").split("\n"), dtype=polars.String)


@dataclass(frozen=True, slots=True)
class LineShape:
    """What most lines of a file look like.

    pattern  that such a line matches as a whole, for polars
    texts    the taken columns whose values are strings
    spelt    taken column → a pattern whose group is its value as it is spelt: a number, true, false, a list of texts
    """

    pattern: str
    texts: tuple[str, ...]
    spelt: Mapping[str, str]


def line_shape(text: str, taken: Sequence[str], lists: str = "") -> LineShape | None:
    """The shape of a line; None where no line can be read by it.

    text   the line, a JSON object
    taken  columns that are used
    lists  the taken column that may hold lists of texts; "" is none
    """
    polars = need("polars", extra="tables")
    members, texts, spelt = [], [], {}
    for name, item in json.loads(text, parse_int=float).items():  # not int, which refuses 5,000 digits
        raw = json.dumps(name, ensure_ascii=False)
        raw = raw if raw in text else json.dumps(name)
        key = f"{polars.escape_regex(raw)}{_SPACE}:{_SPACE}"
        if name not in taken:
            # A row whose `source` is null takes it from other columns (layouts.py).
            value = f"(?:{_STRING}|{_PLAIN}{'' if name == 'source' else '|null'})"
        elif isinstance(item, str):
            value = _STRING
            texts.append(name)
        elif isinstance(item, float | bool) or (isinstance(item, list) and name == lists):
            value = _LIST if isinstance(item, list) else _PLAIN
            spelt[name] = f"{key}({value})"
        else:
            return None
        members.append(key + value)
    inside = f"{_SPACE},{_SPACE}".join(members)
    shape = LineShape(f"^{_SPACE}\\{{{_SPACE}{inside}{_SPACE}\\}}{_SPACE}$", tuple(texts), spelt)
    try:
        return shape if polars.Series([text]).str.contains(shape.pattern).item() else None
    except polars.exceptions.ComputeError:  # hundreds of keys make too large an expression
        return None


class LineReader:
    """Makes columns of texts of JSON lines.

    wanted  columns; a column `origin` comes with them where it exists
    lists   the column that may hold lists of texts, which stay as they are spelt; "" is none
    """

    def __init__(self, wanted: Sequence[str], lists: str = "") -> None:
        self.wanted, self.lists = wanted, lists
        self.shape: LineShape | None = None
        self.taken: list[str] = []

    def block(self, lines: Any, first: int) -> TextBlock:
        """The rows among consecutive lines.

        lines  polars column of them, without their ends
        first  number of the first one
        Raises NotPlain where the file must be read row by row.
        """
        import numpy as np

        if not self.taken:
            self._look_at(next((text for text in lines if text.strip()), ""))
        plain = np.zeros(len(lines), dtype=bool)
        if self.shape is not None:
            plain = lines.str.contains(self.shape.pattern).to_numpy()
        columns = self._columns(lines.filter(plain)) if plain.any() else None
        if columns is None:
            plain[:] = False
        elif plain.all():
            return TextBlock(np.arange(first, first + len(lines), dtype=np.int64), columns)
        others = np.flatnonzero(~plain)
        rows = self._rows(lines.gather(others).to_list(), (others + first).tolist())
        return _merged(np.flatnonzero(plain) + first, columns or {}, rows)

    def _look_at(self, text: str) -> None:
        """The columns and the shape, after the first line that is not blank."""
        if text:
            self.taken = taken_columns(list(_parsed(text)), self.wanted)
            self.shape = line_shape(text, self.taken, self.lists)

    def _columns(self, lines: Any) -> dict[str, Any] | None:
        """Of lines that have the shape; None where polars cannot read one, as of a number beyond all floats."""
        polars = need("polars", extra="tables")
        assert self.shape is not None
        columns = {name: lines.str.extract(one).alias(name) for name, one in self.shape.spelt.items()}
        if self.shape.texts:
            schema = dict.fromkeys(self.shape.texts, polars.String)
            data = io.BytesIO(lines.str.join("\n").item().encode())
            try:
                columns |= polars.read_ndjson(data, schema=schema).to_dict()
            except polars.exceptions.PolarsError:
                return None
        whole = all(len(column) == len(lines) and not column.null_count() for column in columns.values())
        return columns if whole else None

    def _rows(self, texts: Sequence[str], numbers: Sequence[int]) -> list[tuple[int, dict[str, str]]]:
        """Line and cells of the rows among lines of other shapes, read one by one."""
        found = []
        for text, number in zip(texts, numbers, strict=True):
            if not text.strip():
                continue
            try:
                row = row_from_object(_parsed(text), number)
            except RowError as error:
                raise NotPlain from error  # row by row it is named, and all others with it
            taken = taken_columns(list(row.cells), self.wanted)
            listed = {name for name in taken if name in row.lists and name in self.wanted and name != self.lists}
            if row.turns or listed or row.nested & set(self.wanted):
                raise NotPlain
            found.append((number, {name: row.cells[name] for name in taken}))
        return found


def _merged(lines: Numbers, columns: Mapping[str, Any], rows: Sequence[tuple[int, Mapping[str, str]]]) -> TextBlock:
    """Rows that were read in two ways, in the order of their lines; a cell that a row does not have is empty."""
    import numpy as np

    polars = need("polars", extra="tables")
    both = np.concatenate([lines, np.array([number for number, _cells in rows], dtype=np.int64)])
    order = np.argsort(both, kind="stable")
    found = {}
    for name in dict.fromkeys([*columns, *(name for _number, cells in rows for name in cells)]):
        one = columns[name] if name in columns else polars.Series(name, [""] * len(lines), dtype=polars.String)
        two = polars.Series(name, [cells.get(name, "") for _number, cells in rows], dtype=polars.String)
        found[name] = one.append(two).gather(order)
    return TextBlock(both[order], found)


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        return parse_object(text)
    except RowError as error:
        raise NotPlain from error
