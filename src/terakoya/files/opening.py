"""Files opened with care: regular ones only, in a known encoding, unchanged while they are read."""

from __future__ import annotations

import codecs
import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from terakoya.errors import DataError

MAX_CELL = 16 * 1024 * 1024  # characters; a longer cell is a broken quote, not text to teach
_CHUNK = 1 << 20
_ISO_2022 = re.compile(r"^[\x00-\x7f]*\x1b\$[@B][\x00-\x7f]*$")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its BOM begins with that of UTF-16 LE
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSES = ("utf-8", "cp932", "euc_jp", "iso2022_jp", "utf-16-le", "utf-16-be")
_MAGIC = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7-zip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"SQLite format 3", "a database"),
)
_ARCHIVES = frozenset([".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst"])


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """A regular file for reading. Folders, pipes, devices and archives are refused before a byte of them is read."""
    with _open(path) as file:
        yield file


def _open(path: Path) -> io.BufferedReader:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a folder" if path.is_dir() else "a pipe, socket or device"
            raise DataError(f"this is {kind}, not a file", where=str(path), do="Name a regular file.")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            "there is no such file", where=str(path), do="Check the path; it is relative to the config."
        ) from error
    except PermissionError as error:
        raise DataError("this file may not be read", where=str(path), do="Check its permissions.") from error
    except (ValueError, OSError) as error:  # NUL in a path, a name too long, a loop of links
        raise DataError(f"this cannot be opened: {error}", where=repr(str(path)), do="Check the path.") from error


def refuse_archives(path: Path) -> None:
    """Archives and workbooks, by name or by their first bytes: what is inside is for a person to take out."""
    with opened(path) as file:
        head = file.read(16)
    kind = next((says for magic, says in _MAGIC if head.startswith(magic)), "")
    if kind or path.suffix.lower() in _ARCHIVES:
        do = "Save the sheet as CSV (UTF-8)." if "Excel" in kind else "Unpack it, and name the table inside."
        raise DataError(f"this is {kind or 'an archive'}, not a table", where=str(path), do=do)


def encoding_of(path: Path, stated: str = "") -> str:
    """The stated encoding, else the one a BOM names, else UTF-8."""
    with opened(path) as file:
        head = file.read(4)
    marked = next((name for bom, name in _BOMS if head.startswith(bom)), "utf-8")
    if not stated:
        return marked
    try:
        "".encode(stated)
        name = codecs.lookup(stated).name
    except LookupError as error:
        raise DataError(
            f"'{stated}' is no encoding of text", where=str(path), do="Try utf-8, cp932 (Shift_JIS) or euc_jp."
        ) from error
    # A BOM of the family that was stated is a BOM, not the first letter of the header.
    return marked if marked.removesuffix("-sig") == name.removesuffix("-le").removesuffix("-be") else name


@contextmanager
def opened_text(path: Path, encoding: str = "") -> Iterator[io.TextIOWrapper]:
    """The file as text: ends of lines as they are, nothing replaced. Refuses a file that changed under the reader."""
    refuse_archives(path)
    name = encoding_of(path, encoding)
    with opened(path) as raw:
        before = _state(raw)
        file = io.TextIOWrapper(raw, encoding=name, errors="strict", newline="")
        try:
            yield file
        except UnicodeError as error:
            raise _undecodable(path, name, error) from error
        if _state(raw) != before or _now(path) != before:
            raise DataError(
                "the file changed while it was read", where=str(path), do="Read it again when nobody writes to it."
            )


def lines(file: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """Its lines, ends kept. Refuses NUL and the escapes of ISO-2022-JP, which UTF-8 lets pass, and endless lines."""
    number = 0
    while line := file.readline(MAX_CELL + 1):
        number += 1
        if len(line) > MAX_CELL:
            raise DataError(
                f"a line longer than {MAX_CELL} characters",
                where=f"{path}, line {number}",
                do="Is it a table? Break the line up, or mend an unclosed quote.",
            )
        if "\0" in line or ("\x1b$" in line and _ISO_2022.search(line)):
            mark = "the character NUL" if "\0" in line else "an escape of ISO-2022-JP"
            raise DataError(
                f"{mark} stands in the text{_hint(path, file.encoding)}",
                where=f"{path}, line {number}",
                do="Take it out, or say which encoding the file has, with task.encoding (or --encoding).",
            )
        yield line


def _state(raw: io.BufferedReader) -> tuple[int, int, int]:
    found = os.fstat(raw.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns


def _now(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns


def _undecodable(path: Path, name: str, error: UnicodeError) -> DataError:
    offset = _first_fault(path, name)
    where = f" {offset}" if offset is not None else ""
    byte = f" ({error.object[error.start]:#04x})" if isinstance(error, UnicodeDecodeError) else ""
    fitting = fitting_encodings(path, but=name)
    do = (
        f'Say which encoding it is: task.encoding = "{fitting[0]}" (or --encoding {fitting[0]}).'
        if fitting
        else "No encoding that Terakoya knows reads the whole file: save it again as UTF-8."
    )
    return DataError(
        f"not {name}: byte{where}{byte} cannot be read{_reads_as(fitting)}",
        where=str(path),
        do=do,
    )


def _first_fault(path: Path, name: str) -> int | None:
    """Offset of the first byte, counted from 0 in the whole file, at which it is not `name`."""
    decoder = codecs.getincrementaldecoder(name)()
    with opened(path) as file:
        done = 0
        while True:
            chunk = file.read(_CHUNK)
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return done - held + error.start
            except UnicodeError:  # ISO-2022-JP says of some escapes only that they are none
                return done
            if not chunk:
                return None
            done += len(chunk)


def fitting_encodings(path: Path, *, but: str = "") -> list[str]:
    """The encodings that read the whole file as text, the most Japanese-looking first."""
    fitting = [name for name in _GUESSES if name != but and _fits(path, name)]
    return sorted(fitting, key=lambda name: -_japanese(path, name))


def _fits(path: Path, name: str) -> bool:
    if name.startswith("utf-16") and _japanese(path, name) < 0.5:
        return False  # nearly every even number of bytes is some UTF-16
    return _first_fault(path, name) is None


def _japanese(path: Path, name: str) -> float:
    """Share of kana, ASCII and common marks among the first characters: nonsense is full of other things."""
    with opened(path) as file:
        head = codecs.getincrementaldecoder(name)("replace").decode(file.read(1 << 16))
    usual = sum("\u3040" <= char <= "\u30ff" or " " <= char <= "~" or char in "\r\n\t、。「」！？ー" for char in head)
    return usual / len(head) if head else 0.0


def _reads_as(fitting: list[str]) -> str:
    return f"; the whole file reads as {' or '.join(fitting)}" if fitting else ""


def _hint(path: Path, name: str) -> str:
    return _reads_as([found for found in fitting_encodings(path, but=name) if found.startswith(("utf-16", "iso"))])
