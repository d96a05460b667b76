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
from terakoya.file_errors import explained
from terakoya.i18n import both, japanese

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
    (b"PK\x03\x04", both("a zip archive or an Excel workbook", "zip アーカイブか Excel ブック")),
    (b"\xd0\xcf\x11\xe0", both("an old Excel workbook", "古い Excel ブック")),
    (b"\x1f\x8b", both("a gzip archive", "gzip アーカイブ")),
    (b"BZh", both("a bzip2 archive", "bzip2 アーカイブ")),
    (b"\xfd7zXZ", both("an xz archive", "xz アーカイブ")),
    (b"7z\xbc\xaf", both("a 7-zip archive", "7-zip アーカイブ")),
    (b"\x28\xb5\x2f\xfd", both("a zstd archive", "zstd アーカイブ")),
    (b"SQLite format 3", both("a database", "データベース")),
)
_ARCHIVES = frozenset([".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst"])


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """A regular file for reading. Folders, pipes, devices and archives are refused before a byte of them is read."""
    with _open(path) as file:
        yield file


def _open(path: Path) -> io.BufferedReader:
    do = both("Check the path; it is relative to the config.", "パスを確かめること。設定ファイルからの相対パスである。")
    with explained(path, do=do):
        if not stat.S_ISREG(path.stat().st_mode):
            kind = (
                both("a folder", "フォルダ")
                if path.is_dir()
                else both("a pipe, socket or device", "パイプ・ソケット・デバイスのいずれか")
            )
            raise DataError(
                both(f"this is {kind}, not a file", f"これは{japanese(kind)}であり、ファイルではない"),
                where=str(path),
                do=both("Name a regular file.", "通常のファイルを指定すること。"),
            )
        return path.open("rb")


def refuse_archives(path: Path) -> None:
    """Archives and workbooks, by name or by their first bytes: what is inside is for a person to take out."""
    with opened(path) as file:
        head = file.read(16)
    kind = next((says for magic, says in _MAGIC if head.startswith(magic)), "")
    if kind or path.suffix.lower() in _ARCHIVES:
        do = (
            both("Save the sheet as CSV (UTF-8).", "シートを CSV（UTF-8）で保存すること。")
            if "Excel" in kind
            else both("Unpack it, and name the table inside.", "展開して、中の表を指定すること。")
        )
        raise DataError(
            both(
                f"this is {kind or 'an archive'}, not a table",
                f"これは{japanese(kind) or 'アーカイブ'}であり、表ではない",
            ),
            where=str(path),
            do=do,
        )


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
            both(f"'{stated}' is no encoding of text", f"'{stated}' という文字コードはない"),
            where=str(path),
            do=both("Try utf-8, cp932 (Shift_JIS) or euc_jp.", "utf-8、cp932（Shift_JIS）、euc_jp などを試すこと。"),
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
                both("the file changed while it was read", "読んでいる間にファイルが変わった"),
                where=str(path),
                do=both("Read it again when nobody writes to it.", "誰も書き込んでいないときに読み直すこと。"),
            )


def lines(file: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """Its lines, ends kept. Refuses NUL and the escapes of ISO-2022-JP, which UTF-8 lets pass, and endless lines."""
    number = 0
    while line := file.readline(MAX_CELL + 1):
        number += 1
        if len(line) > MAX_CELL:
            raise DataError(
                both(f"a line longer than {MAX_CELL} characters", f"{MAX_CELL}文字より長い行がある"),
                where=both(f"{path}, line {number}", f"{path}、{number}行目"),
                do=both(
                    "Is it a table? Break the line up, or mend an unclosed quote.",
                    "これは表か。行を分けるか、閉じていない引用符を直すこと。",
                ),
            )
        if "\0" in line or ("\x1b$" in line and _ISO_2022.search(line)):
            mark = (
                both("the character NUL", "NUL 文字")
                if "\0" in line
                else both("an escape of ISO-2022-JP", "ISO-2022-JP のエスケープ")
            )
            raise DataError(
                both(
                    f"{mark} stands in the text{_hint(path, file.encoding)}",
                    f"本文に{japanese(mark)}がある{japanese(_hint(path, file.encoding))}",
                ),
                where=both(f"{path}, line {number}", f"{path}、{number}行目"),
                do=both(
                    "Take it out, or say which encoding the file has, with task.encoding (or --encoding).",
                    "取り除くか、ファイルの文字コードを task.encoding（または --encoding）で指定すること。",
                ),
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
    at = offset if offset is not None else "?"
    where = f" {offset}" if offset is not None else ""
    byte = f" ({error.object[error.start]:#04x})" if isinstance(error, UnicodeDecodeError) else ""
    fitting = fitting_encodings(path, but=name)
    do = (
        both(
            f'Say which encoding it is: task.encoding = "{fitting[0]}" (or --encoding {fitting[0]}).',
            f'文字コードを指定すること：task.encoding = "{fitting[0]}"（または --encoding {fitting[0]}）。',
        )
        if fitting
        else both(
            "No encoding that Terakoya knows reads the whole file: save it again as UTF-8.",
            "Terakoya の知るどの文字コードでも全体は読めない：UTF-8 で保存し直すこと。",
        )
    )
    return DataError(
        both(
            f"not {name}: byte{where}{byte} cannot be read{_reads_as(fitting)}",
            f"{name} ではない：{at}バイト目{byte}が読めない{japanese(_reads_as(fitting))}",
        ),
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
    return (
        both(
            f"; the whole file reads as {' or '.join(fitting)}",
            f"。ファイル全体は {' または '.join(fitting)} として読める",
        )
        if fitting
        else ""
    )


def _hint(path: Path, name: str) -> str:
    return _reads_as([found for found in fitting_encodings(path, but=name) if found.startswith(("utf-16", "iso"))])
