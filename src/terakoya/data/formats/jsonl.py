"""One JSON object per line: pairs, or chats. Numbers stay as they are spelt, and null is nothing, not a word."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from terakoya.data.formats.encoding import open_text, split_lines
from terakoya.data.formats.layouts import (
    CHATS,
    ROLES,
    RowError,
    UnknownRole,
    chat_of,
    is_objects,
    layout_of,
    read_turns,
    with_layout,
)
from terakoya.data.formats.rows import RowErrors, TableRow
from terakoya.errors import DataError
from terakoya.i18n import _, joined


def read_jsonl(path: Path, encoding: str) -> Iterator[TableRow]:
    """Rows of a JSON lines file, streamed; empty lines are skipped.

    path      the file
    encoding  "" is detected
    Raises DataError that lists the lines which are no rows.
    """
    errors = _Errors(
        _("lines that are no rows"),
        _('Write one JSON object a line, like {"source": "…", "target": "…"}.'),
    )
    some = False
    with open_text(path, encoding) as file:
        for line, text in enumerate(split_lines(file, path), 1):
            if not text.strip():
                continue
            some = True
            row = errors.row(lambda text=text: parse_object(text), line)  # type: ignore[misc]
            if row is not None:
                yield row
    errors.raise_if_any(str(path))
    if not some:
        raise DataError(
            _("the file is empty"),
            where=str(path),
            do=_("Bring at least one row."),
        )


def read_json(path: Path, encoding: str) -> Iterator[TableRow]:
    """Rows of a JSON file: an array of objects, an object with one such array, or JSON lines under this suffix.

    path      the file
    encoding  "" is detected
    Raises DataError for JSON of another shape, and as `read_jsonl` does. The line of a row is where its object begins.
    """
    with open_text(path, encoding) as file:
        text = "".join(split_lines(file, path))
    start = _array_start(text)
    if start is None:
        raise DataError(
            _("this JSON holds no array of objects"),
            where=str(path),
            do=_('Write an array of rows, [{"source": "…", "target": "…"}, …], or one object a line as .jsonl.'),
        )
    if start < 0:
        yield from read_jsonl(path, encoding)
        return
    errors = _Errors(_("elements that are no rows"), _("Write each row as an object of texts."))
    for line, element in _elements(text, start, path):
        row = errors.row(lambda element=element: _require_object(element), line)  # type: ignore[misc]
        if row is not None:
            yield row
    errors.raise_if_any(str(path))


def _array_start(text: str) -> int | None:
    """Where the array of rows begins; -1 for JSON lines, None for neither."""
    begin = len(text) - len(text.lstrip())
    if text[begin : begin + 1] == "[":
        return begin
    if text[begin : begin + 1] != "{":
        return None if text.strip() else -1
    try:
        value, end = json.JSONDecoder().raw_decode(text, begin)
    except (ValueError, RecursionError):
        return -1  # read line by line, the fault is named with its line
    arrays = [key for key, item in value.items() if is_objects(item) and key not in CHATS]
    if text[end:].strip() or len(arrays) != 1:
        return -1 if text[end:].strip() or _is_row(value) else None
    return text.index("[", text.index(json.dumps(arrays[0], ensure_ascii=False), begin))


def _is_row(value: Mapping[str, Any]) -> bool:
    return any(isinstance(item, str) for item in value.values()) or any(key in CHATS for key in value)


def _elements(text: str, start: int, path: Path) -> Iterator[tuple[int, Any]]:
    """(line, element) of the array that begins there."""
    decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_Pairs)
    at, line, counted = start + 1, 1, 0
    while True:
        at = _skip_space(text, at)
        if text[at : at + 1] == "]":
            break
        line += text.count("\n", counted, at)
        counted = at
        try:
            element, at = decoder.raw_decode(text, at)
            at = _skip_space(text, at)
            if text[at : at + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        except (json.JSONDecodeError, RecursionError) as error:
            what = error.msg if isinstance(error, json.JSONDecodeError) else _("nested too deeply")
            broken = text.count("\n", 0, error.pos) + 1 if isinstance(error, json.JSONDecodeError) else line
            raise DataError(
                _("not valid JSON ({what})", what=what),
                where=_("{path}, line {number}", path=path, number=broken),
                do=_("Mend the file there, or write it again."),
            ) from error
        yield line, element
        at += text[at] == ","


class _Pairs(list[Any]):
    """The pairs of a JSON object, not yet looked at: repeated keys are the fault of one row and not of the file."""


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n") and at < len(text):
        at += 1
    return at


def _require_object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, _Pairs):
        raise RowError(_("no JSON object"))
    found = _unfolded(value)
    _refuse_surrogates(found)
    return found  # type: ignore[no-any-return]


def _unfolded(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return _object([(key, _unfolded(item)) for key, item in value])
    return [_unfolded(item) for item in value] if isinstance(value, list) else value


def parse_object(text: str) -> Mapping[str, Any]:
    """The object of one line, its numbers as they are spelt.

    text  the line
    Raises RowError for what is no object, for repeated keys and for half a surrogate pair.
    """
    try:
        # Numbers stay as they are spelt: 1.0 must not become 1, nor 007 pass unnoticed.
        value = json.loads(text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        position = error.pos + 1
        raise RowError(_("not valid JSON ({msg}, character {position})", msg=error.msg, position=position)) from error
    except RecursionError as error:
        raise RowError(_("nested too deeply")) from error
    if not isinstance(value, dict):
        raise RowError(_("no JSON object"))
    if "\\u" in text:
        _refuse_surrogates(value)
    return value


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RowError(_("the key {twice!r} occurs twice", twice=twice))
    return found


def _refuse_surrogates(value: Any) -> None:
    """Half an emoji, as in "\\ud83d": no file can hold it and no tokenizer can read it."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise RowError(_("a lone surrogate ({half!r}), half of a character", half=half)) from error


def row_from_object(value: Mapping[str, Any], line: int) -> TableRow:
    """A row from plain values. A chat gives its last exchange and the turns before it (layouts.py).

    value  column → value; what is no text is written as JSON, null leaves the column out
    line   in the file, counted from 1
    """
    cells = {key: _cell(item) for key, item in value.items() if item is not None}
    lists = {key: tuple(item) for key, item in value.items() if _texts(item)}
    nested = frozenset(key for key, item in value.items() if isinstance(item, list | dict) and key not in lists)
    if chat := chat_of(value):
        turns, found = chat
        return TableRow(
            line, with_layout(cells | found, layout_of(list(cells | found))), lists, turns, nested - set(found)
        )
    said = value.get("turns")
    turns = read_turns(said) if isinstance(said, list) and is_objects(said) and "role" in said[0] else ()
    return TableRow(line, with_layout(cells, layout_of(list(cells))), lists, turns, nested)


def _cell(item: Any) -> str:
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)


def _texts(item: Any) -> bool:
    return isinstance(item, list) and all(isinstance(part, str) for part in item)


def rows_from_objects(values: Iterator[tuple[int, Mapping[str, Any]]], where: str) -> Iterator[TableRow]:
    """Rows from plain values that another reader brought (Parquet, the Hub), under the same rules.

    values  (line, column → value)
    where   for messages: the file
    Raises DataError that lists the rows which cannot be read.
    """
    errors = _Errors(_("rows that cannot be read"), _("Correct them, or leave them out."))
    for line, value in values:
        row = errors.row(lambda value=value: value, line)  # type: ignore[misc]
        if row is not None:
            yield row
    errors.raise_if_any(where)


class _Errors:
    """Collects what is wrong with rows; each unknown role is named once, whatever the number of its rows.

    what  the kind of error, in the plural
    do    what to do about it
    """

    def __init__(self, what: str, do: str) -> None:
        self.rows = RowErrors(what, do)
        self.roles: dict[str, list[int]] = {}

    def row(self, value: Callable[[], Mapping[str, Any]], line: int) -> TableRow | None:
        """The row of these values, None where it or an earlier one is faulty.

        value  gives the values of the row, or raises RowError
        line   in the file
        """
        try:
            found = row_from_object(value(), line)
        except UnknownRole as error:
            self.roles.setdefault(error.args[0], []).append(line)
        except RowError as error:
            self.rows.add(line, error.args[0])
        else:
            return None if self.rows.count or self.roles else found
        return None

    def raise_if_any(self, where: str) -> None:
        """Raises DataError where a row was faulty.

        where  the file
        """
        self.rows.raise_if_any(where)
        if self.roles:
            named = joined(
                ", ",
                (
                    _("{role!r} ({count} rows, the first in line {line})", role=role, count=len(lines), line=lines[0])
                    for role, lines in self.roles.items()
                ),
            )
            known = ", ".join(ROLES)
            raise DataError(
                _("messages with roles that are not known: {named}", named=named),
                where=where,
                do=_("Known are {known}. Rename the roles, or leave those rows out.", known=known),
            )
