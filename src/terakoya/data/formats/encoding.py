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
from terakoya.errors.files import file_read_errors
from terakoya.i18n import _, joined

MAX_CELL = 16 * 1024 * 1024  # characters; a longer cell is an unclosed quote, not training text
_CHUNK = 1 << 20
_ISO_2022 = re.compile(r"^[\x00-\x7f]*\x1b\$[@B][\x00-\x7f]*$")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its BOM has that of UTF-16 LE as a prefix
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSES = ("utf-8", "cp932", "euc_jp", "iso2022_jp", "utf-16-le", "utf-16-be")
_MAGIC = (
    (b"PK\x03\x04", _("a zip archive or an Excel workbook")),
    (b"\xd0\xcf\x11\xe0", _("an old Excel workbook")),
    (b"\x1f\x8b", _("a gzip archive")),
    (b"BZh", _("a bzip2 archive")),
    (b"\xfd7zXZ", _("an xz archive")),
    (b"7z\xbc\xaf", _("a 7-zip archive")),
    (b"\x28\xb5\x2f\xfd", _("a zstd archive")),
    (b"SQLite format 3", _("a database")),
)
_ARCHIVES = frozenset([".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst"])


@contextmanager
def open_file(path: Path) -> Iterator[io.BufferedReader]:
    """A regular file for reading; folders, pipes, devices are refused before a byte of them is read.

    path  the file
    Raises DataError.
    """
    with _open(path) as file:
        yield file


def _open(path: Path) -> io.BufferedReader:
    do = _("Check the path; it is relative to the config.")
    with file_read_errors(path, do=do):
        if not stat.S_ISREG(path.stat().st_mode):
            kind = _("a folder") if path.is_dir() else _("a pipe, socket or device")
            raise DataError(
                _("this is {kind}, not a file", kind=kind),
                where=str(path),
                do=_("Name a regular file."),
            )
        return path.open("rb")


def refuse_archives(path: Path) -> None:
    """Refuses archives and workbooks, by name or by their first bytes: what is inside is for a person to take out.

    path  the file
    Raises DataError, saying what it is.
    """
    with open_file(path) as file:
        head = file.read(16)
    kind = next((says for magic, says in _MAGIC if head.startswith(magic)), "")
    if kind or path.suffix.lower() in _ARCHIVES:
        kind = kind or _("an archive")
        do = _("Save the worksheet as CSV (UTF-8).") if "Excel" in kind else _("Unpack it, and name the table inside.")
        raise DataError(
            _("this is {kind}, not a table", kind=kind),
            where=str(path),
            do=do,
        )


def detect_encoding(path: Path, stated: str = "") -> str:
    """The encoding of a text file: as stated, else as its BOM says, else UTF-8.

    path    the file
    stated  by the config; "" is nothing. A BOM of the stated family is taken as a BOM
    Raises DataError for a stated name that is no encoding.
    """
    with open_file(path) as file:
        head = file.read(4)
    marked = next((name for bom, name in _BOMS if head.startswith(bom)), "utf-8")
    if not stated:
        return marked
    try:
        "".encode(stated)
        name = codecs.lookup(stated).name
    except LookupError as error:
        raise DataError(
            _("'{stated}' is no encoding of text", stated=stated),
            where=str(path),
            do=_("Try utf-8, cp932 (Shift_JIS) or euc_jp."),
        ) from error
    # A BOM of the family that was stated is a BOM, not the first letter of the header.
    return marked if marked.removesuffix("-sig") == name.removesuffix("-le").removesuffix("-be") else name


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """The file as bytes, which must not change while they are read.

    path  the file
    Raises DataError for an archive, and for a file that changed.
    """
    refuse_archives(path)
    with open_file(path) as raw:
        before = _state(raw)
        yield raw
        _require_unchanged(raw, path, before)


def _require_unchanged(raw: io.BufferedReader, path: Path, before: tuple[int, int, int]) -> None:
    if _state(raw) != before or _now(path) != before:
        raise DataError(
            _("the file changed while it was read"),
            where=str(path),
            do=_("Read it again when nobody writes to it."),
        )


@contextmanager
def open_text(path: Path, encoding: str = "") -> Iterator[io.TextIOWrapper]:
    """The file as text: ends of lines as they are, nothing replaced.

    path      the file
    encoding  "" is detected
    Raises DataError for bytes that the encoding cannot read, and for a file that changed while it was read.
    """
    refuse_archives(path)
    name = detect_encoding(path, encoding)
    with open_file(path) as raw:
        before = _state(raw)
        file = io.TextIOWrapper(raw, encoding=name, errors="strict", newline="")
        try:
            yield file
        except UnicodeError as error:
            raise _undecodable(path, name, error) from error
        _require_unchanged(raw, path, before)


def split_lines(file: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """The lines of an open text file, ends kept.

    file  as `open_text` gives it
    path  for messages
    Raises DataError for NUL, for the escapes of ISO-2022-JP (which UTF-8 lets pass), and for lines above MAX_CELL.
    """
    number = 0
    while line := file.readline(MAX_CELL + 1):
        number += 1
        if len(line) > MAX_CELL:
            raise DataError(
                _("a line longer than {max_cell} characters", max_cell=MAX_CELL),
                where=_("{path}, line {number}", path=path, number=number),
                do=_("Is it a table? Break the line up, or close an unclosed quote."),
            )
        if "\0" in line or ("\x1b$" in line and _ISO_2022.search(line)):
            mark = _("the character NUL") if "\0" in line else _("an escape of ISO-2022-JP")
            hint = _hint(path, file.encoding)
            raise DataError(
                _("there is {mark} in the text{hint}", mark=mark, hint=hint),
                where=_("{path}, line {number}", path=path, number=number),
                do=_("Take it out, or say which encoding the file has, with task.encoding (or --encoding)."),
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
    offset = _first_undecodable(path, name)
    at = "?" if offset is None else str(offset)
    byte = f" ({error.object[error.start]:#04x})" if isinstance(error, UnicodeDecodeError) else ""
    fitting = fitting_encodings(path, excluded=name)
    reads_as, first = _reads_as(fitting), "".join(fitting[:1])
    do = (
        _('Say which encoding it is: task.encoding = "{first}" (or --encoding {first}).', first=first)
        if fitting
        else _("No encoding that Terakoya knows reads the whole file: save it again as UTF-8.")
    )
    return DataError(
        _("not {name}: byte {at}{byte} cannot be read{reads_as}", name=name, at=at, byte=byte, reads_as=reads_as),
        where=str(path),
        do=do,
    )


def _first_undecodable(path: Path, name: str) -> int | None:
    """Offset of the first byte, counted from 0 in the whole file, at which it is not `name`."""
    decoder = codecs.getincrementaldecoder(name)()
    with open_file(path) as file:
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


def fitting_encodings(path: Path, *, excluded: str = "") -> list[str]:
    """The encodings that read the whole file as text, the most Japanese-looking first.

    path      the file
    excluded  a name that is left out
    """
    fitting = [name for name in _GUESSES if name != excluded and _fits(path, name)]
    return sorted(fitting, key=lambda name: -_japanese_share(path, name))


def is_readable(path: Path, name: str) -> bool:
    """Whether an encoding reads the whole file.

    path  the file
    name  of the encoding
    """
    return _first_undecodable(path, name) is None


def _fits(path: Path, name: str) -> bool:
    if name.startswith("utf-16") and _japanese_share(path, name) < 0.5:
        return False  # nearly every even number of bytes is some UTF-16
    return _first_undecodable(path, name) is None


def _japanese_share(path: Path, name: str) -> float:
    """Share of kana, ASCII and common marks among the first characters: nonsense is full of other things."""
    with open_file(path) as file:
        head = codecs.getincrementaldecoder(name)("replace").decode(file.read(1 << 16))
    usual = sum("\u3040" <= char <= "\u30ff" or " " <= char <= "~" or char in "\r\n\t、。「」！？ー" for char in head)
    return usual / len(head) if head else 0.0


def _reads_as(fitting: list[str]) -> str:
    if not fitting:
        return ""
    names = joined(_(" or "), fitting)
    return _("; the whole file reads as {names}", names=names)


def _hint(path: Path, name: str) -> str:
    return _reads_as([found for found in fitting_encodings(path, excluded=name) if found.startswith(("utf-16", "iso"))])
