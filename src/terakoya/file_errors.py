"""Reading text and TOML files that users name, with uniform errors."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError, DataError, TerakoyaError
from terakoya.i18n import both


def read_text(path: Path, kind: type[TerakoyaError] = ConfigError, *, missing: str = "", do: str = "") -> str:
    """The text of the UTF-8 file `path`, with or without a byte-order mark; `kind`, `missing` and `do` as in
    `file_read_errors`."""
    with file_read_errors(path, kind, missing=missing, do=do):
        return path.read_text(encoding="utf-8-sig")


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The values of the TOML `text`; `where` names its file in errors. Raises ConfigError."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(
            both(f"not valid TOML: {error}", f"正しい TOML ではない：{error}"),
            where=where,
            do=both("Correct the line named above.", "上に示された行を直すこと。"),
        ) from error


@contextmanager
def file_read_errors(
    path: Path, kind: type[TerakoyaError] = DataError, *, missing: str = "", do: str = ""
) -> Iterator[None]:
    """Translate whatever keeps a file from being read as UTF-8 inside the block.

    path     the file
    kind     the exception class to raise
    missing  the message where there is no such file
    do       the advice where there is no such file
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise kind(
            missing or both("there is no such file", "ファイルが存在しない"),
            where=str(path),
            do=do or both("Check the path.", "パスを確かめること。"),
        ) from error
    except IsADirectoryError as error:
        raise kind(
            both("this is a folder, not a file", "これはフォルダであり、ファイルではない"),
            where=str(path),
            do=both("Name a file in it.", "中のファイルを指定すること。"),
        ) from error
    except PermissionError as error:
        raise kind(
            both("no permission to read this file", "このファイルを読む権限がない"),
            where=str(path),
            do=both("Check its permissions.", "権限を確かめること。"),
        ) from error
    except UnicodeDecodeError as error:
        byte = error.start
        raise kind(
            both(f"not UTF-8 (byte {byte})", f"UTF-8 ではない（{byte}バイト目）"),
            where=str(path),
            do=both("Save the file as UTF-8.", "ファイルを UTF-8 で保存すること。"),
        ) from error
    except (OSError, ValueError) as error:  # NUL in a path, a name too long, a loop of links, a disk that fails
        raise kind(
            both(f"cannot be read: {error}", f"読めない：{error}"),
            where=repr(str(path)),
            do=both("Check the path.", "パスを確かめること。"),
        ) from error
