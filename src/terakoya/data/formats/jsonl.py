"""One JSON object per line: pairs, or chats. Numbers stay as they are spelt, and null is nothing, not a word."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from terakoya.data.formats.encoding import open_text, split_lines
from terakoya.data.formats.rows import RowErrors, TableRow
from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.records import Turn

_ROLES = ("system", "user", "assistant")


class _RowError(Exception):
    """What is wrong with one line."""


def read_jsonl(path: Path, encoding: str) -> Iterator[TableRow]:
    """Rows of a JSON lines file, streamed; empty lines are skipped.

    path      the file
    encoding  "" is detected
    Raises DataError that lists the lines which are no rows.
    """
    errors = RowErrors(
        both("lines that are no rows", "データの行として読めない行"),
        both(
            'Write one JSON object a line, like {"source": "…", "target": "…"}.',
            '一行に一つの JSON オブジェクトを書くこと。例：{"source": "…", "target": "…"}。',
        ),
    )
    some = False
    with open_text(path, encoding) as file:
        for line, text in enumerate(split_lines(file, path), 1):
            if not text.strip():
                continue
            some = True
            try:
                row = row_from_object(_parse(text), line)
            except _RowError as error:
                errors.add(line, error.args[0])
                continue
            if not errors.count:
                yield row
    errors.raise_if_any(str(path))
    if not some:
        raise DataError(
            both("the file is empty", "ファイルが空である"),
            where=str(path),
            do=both("Bring at least one row.", "一行以上用意すること。"),
        )


def _parse(text: str) -> Mapping[str, Any]:
    try:
        # Numbers stay as they are spelt: 1.0 must not become 1, nor 007 pass unnoticed.
        value = json.loads(text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        position = error.pos + 1
        raise _RowError(
            both(
                f"not valid JSON ({error.msg}, character {position})",
                f"正しい JSON ではない（{error.msg}、{position}文字目）",
            )
        ) from error
    except RecursionError as error:
        raise _RowError(both("nested too deeply", "入れ子が深すぎる")) from error
    if not isinstance(value, dict):
        raise _RowError(both("no JSON object", "JSON オブジェクトではない"))
    if "\\u" in text:
        _refuse_surrogates(value)
    return value


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _RowError(both(f"the key {twice!r} occurs twice", f"キー {twice!r} が二度ある"))
    return found


def _refuse_surrogates(value: Any) -> None:
    """Half an emoji, as in "\\ud83d": no file can hold it and no tokenizer can read it."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise _RowError(
            both(
                f"a lone surrogate ({half!r}), half of a character",
                f"対にならないサロゲート（{half!r}）、文字の半分である",
            )
        ) from error


def row_from_object(value: Mapping[str, Any], line: int) -> TableRow:
    """A row from plain values; `messages` makes it a chat, unless it has a source of its own.

    value  column → value; what is no text is written as JSON, null leaves the column out
    line   in the file, counted from 1
    """
    cells = {key: _cell(item) for key, item in value.items() if item is not None}
    lists = {key: tuple(item) for key, item in value.items() if _texts(item)}
    if isinstance(value.get("messages"), list) and "source" not in value:
        turns, source, target = _chat(value["messages"])
        return TableRow(line, cells | {"source": source, "target": target}, lists, turns)
    said = value.get("turns")
    if isinstance(said, list) and all(isinstance(turn, dict) and "role" in turn for turn in said):
        return TableRow(line, cells, lists, tuple(_turn(turn) for turn in said))
    return TableRow(line, cells, lists)


def _cell(item: Any) -> str:
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)


def _texts(item: Any) -> bool:
    return isinstance(item, list) and all(isinstance(part, str) for part in item)


def _chat(messages: Sequence[Any]) -> tuple[tuple[Turn, ...], str, str]:
    """The turns before the last user turn, that turn, and the response to it."""
    said = [_turn(message) for message in messages]
    if len(said) < 2 or said[-1].role != "assistant" or said[-2].role != "user":
        raise _RowError(
            both(
                "a chat must end with a user's turn and the assistant's response",
                "会話は、利用者の発言とアシスタントの応答で終わらなければならない",
            )
        )
    return tuple(said[:-2]), said[-2].content, said[-1].content


def _turn(message: Any) -> Turn:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        roles = ", ".join(_ROLES)
        raise _RowError(
            both(
                f"a message needs a role ({roles}) and a content",
                f"メッセージには role（{roles}）と content が必要である",
            )
        )
    content = message.get("content")
    if isinstance(content, list):  # content in parts, as some servers write it
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise _RowError(both("a message holds something other than text", "メッセージにテキスト以外のものがある"))
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise _RowError(both("a message has no text", "メッセージに本文がない"))
    return Turn(str(message["role"]), content)


def rows_from_objects(values: Iterator[tuple[int, Mapping[str, Any]]], where: str) -> Iterator[TableRow]:
    """Rows from plain values that another reader brought (Parquet, the Hub), under the same rules.

    values  (line, column → value)
    where   for messages: the file
    Raises DataError that lists the rows which cannot be read.
    """
    errors = RowErrors(
        both("rows that cannot be read", "読めない行"), both("Correct them, or leave them out.", "直すか、外すこと。")
    )
    for line, value in values:
        try:
            row = row_from_object(value, line)
        except _RowError as error:
            errors.add(line, error.args[0])
            continue
        if not errors.count:
            yield row
    errors.raise_if_any(where)
