"""Reading files and folders that users name or that others made, with uniform errors.

What would not end, or would read from elsewhere, is refused before it is opened: pipes, sockets and devices, and in a
folder links that lead out of it or in a circle.
"""

from __future__ import annotations

import errno
import os
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError, CorruptError, DataError, DiskError, TerakoyaError
from terakoya.i18n import _

_DISK = {errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EROFS, getattr(errno, "EDQUOT", -1)}


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
            _("not valid TOML: {error}", error=error),
            where=where,
            do=_("Correct the line named above."),
        ) from error


@contextmanager
def file_read_errors(
    path: Path, kind: type[TerakoyaError] = DataError, *, missing: str = "", do: str = ""
) -> Iterator[None]:
    """Translate whatever keeps a file from being read as UTF-8 inside the block; no special file gets so far.

    path     the file
    kind     the exception class to raise
    missing  the message where there is no such file
    do       the advice where there is no such file
    """
    try:
        require_regular_file(path, kind)
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise kind(
            missing or _("there is no such file"),
            where=str(path),
            do=do or _("Check the path."),
        ) from error
    except IsADirectoryError as error:
        raise kind(
            _("this is a folder, not a file"),
            where=str(path),
            do=_("Name a file in it."),
        ) from error
    except PermissionError as error:
        raise kind(
            _("no permission to read this file"),
            where=str(path),
            do=_("Check its permissions."),
        ) from error
    except UnicodeDecodeError as error:
        byte = error.start
        raise kind(
            _("not UTF-8 (byte {byte})", byte=byte),
            where=str(path),
            do=_("Save the file as UTF-8."),
        ) from error
    except (OSError, ValueError) as error:  # NUL in a path, a name too long, a loop of links, a disk that fails
        raise kind(
            _("cannot be read: {error}", error=error),
            where=repr(str(path)),
            do=_("Check the path."),
        ) from error


def system_error(error: BaseException) -> TerakoyaError | None:
    """What the operating system refused, as an error of ours; None for every other exception.

    error  that no caller foresaw
    Returns a DiskError for a disk that is full or fails, else a ConfigError: a path, a right or a limit to be changed.
    """
    if isinstance(error, MemoryError):
        return ConfigError(
            _("there is not enough memory for this"),
            do=_("Close other programs or raise the limit (ulimit -v), and run the same command again."),
        )
    if isinstance(error, UnicodeEncodeError):
        lone = error.object[error.start : error.end]
        return ConfigError(
            _("a name or text holds bytes that are no characters ({bytes})", bytes=ascii(lone)),
            do=_("Rename the file or folder so that its name is UTF-8, and correct the text."),
        )
    if not isinstance(error, OSError) or error.errno is None:
        return None
    kind = DiskError if error.errno in _DISK else ConfigError
    return kind(
        _("the system refused this: {reason}", reason=error.strerror or os.strerror(error.errno)),
        where=shortened(str(error.filename or "")),
        do=_("Free some space and run the same command again.") if kind is DiskError else _("Check the path."),
    )


def shortened(name: str) -> str:
    """A name that fits a message: one of thousands of characters is cut in the middle.

    name  of a file, a column, a setting
    """
    return name if len(name) <= 200 else f"{name[:120]} … {name[-60:]}"


def require_regular_file(path: Path, kind: type[TerakoyaError] = DataError) -> None:
    """Refuse a pipe, socket or device before it is opened: reading one may never end.

    path  the file; folders, and paths where nothing is, are left to the reader's own errors
    kind  the exception class to raise
    """
    special = _special(path.stat().st_mode) if path.exists() else ""
    if special:
        raise kind(
            _("this is {kind}, not a file", kind=special),
            where=str(path),
            do=_("Name a regular file; what comes through a pipe can be saved to one first."),
        )


def require_plain_file(path: Path) -> None:
    """Refuse a file that is to be written in place where it is a link, pipe, socket or device: what is written would
    land elsewhere.

    path  the file, which need not exist
    Raises CorruptError.
    """
    if path.is_symlink():
        raise _not_plain(path, _("this is a link, and what is written here would land elsewhere"))
    require_regular_file(path, CorruptError)


def require_plain_folder(folder: Path, *, root: Path | None = None) -> None:
    """Refuse a folder that somebody else may have made with more than files in it, before any of them is opened.

    folder  of a run, a model or a checkpoint; its own path may be a link
    root    the folder that links must not leave; default: `folder`
    Raises CorruptError, naming the entry, for special files and for links that lead out, nowhere or in a circle.
    """
    inside = Path(os.path.realpath(root or folder))
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    _require_inner_link(Path(entry.path), inside)
                elif entry.is_dir():
                    waiting.append(Path(entry.path))
                elif special := _special(entry.stat(follow_symlinks=False).st_mode):
                    raise _not_plain(Path(entry.path), _("this is {kind}, not a file", kind=special))


def _require_inner_link(link: Path, inside: Path) -> None:
    if link.name.startswith(".#"):  # an editor's lock, which leads nowhere by design and is read by nobody
        return
    try:
        target = Path(os.path.realpath(link, strict=True))
    except OSError as error:
        raise _not_plain(link, _("this link leads nowhere, or in a circle")) from error
    if not target.is_relative_to(inside):
        raise _not_plain(link, _("this link leads out of its folder"))
    if Path(os.path.realpath(link.parent)).is_relative_to(target):
        raise _not_plain(link, _("this link leads nowhere, or in a circle"))
    if special := _special(target.stat().st_mode):
        raise _not_plain(link, _("this is {kind}, not a file", kind=special))


def _not_plain(path: Path, what: str) -> CorruptError:
    return CorruptError(
        what,
        where=str(path),
        do=_("A folder of Terakoya holds plain files. Remove this, or put the file itself in its place."),
    )


def _special(mode: int) -> str:
    """What a file is that is neither regular nor a folder; "" for those two."""
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else _("a pipe, socket or device")
