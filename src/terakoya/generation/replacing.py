"""The table at the end of a generation: nothing of the user's is replaced, and what cannot be written is refused first.

A generation remembers the content of the tables it has written. A file with such content is its own and may be
replaced; any other file stays as it is unless `--overwrite` is said.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from terakoya.errors import ConfigError, DataError, DiskError
from terakoya.generation.output import GeneratedRow, write_rows
from terakoya.i18n import _
from terakoya.runs import read_json, write_json

SUFFIXES = (".jsonl", ".ndjson", ".csv")
_WRITTEN = "written.json"
_REMEMBERED = 20  # tables whose content is remembered
_DIFFERENT = _("Name another table with --output, or say --overwrite to replace this one.")


def require_output(output: Path, folder: Path, *, overwrite: bool) -> None:
    """Refuse a table that cannot be written, or that would replace a file of the user's; nothing is changed.

    output     the table
    folder     the generation folder, which need not exist
    overwrite  the user said that a file there may be replaced
    Raises DataError for the suffix, DiskError where there is no right to write, ConfigError for everything else.
    """
    if output.suffix not in SUFFIXES:
        raise DataError(
            _("'{suffix}' cannot be written", suffix=output.suffix),
            where=str(output),
            do=_("Name a .jsonl or .csv file."),
        )
    try:
        mode = output.stat().st_mode if output.exists() or output.is_symlink() else None
    except OSError as error:  # a loop of links, a name too long
        raise ConfigError(
            _("the table cannot be written here: {error}", error=os.strerror(error.errno or 0)),
            where=str(output),
            do=_("Name another table with --output."),
        ) from None
    if mode is not None and not stat.S_ISREG(mode):
        raise ConfigError(
            _("this is no file, so no table can be written here"),
            where=str(output),
            do=_("Name another table with --output."),
        )
    _require_writable_folder(output)
    if mode is not None and not overwrite and not _is_own(output, folder):
        raise _not_ours(output, folder)


def remember_own_output(output: Path, folder: Path) -> None:
    """Remember the table `output` where it is that of the generation in `folder`, of an older version perhaps, before
    its rows change."""
    if output.is_file() and _is_own(output, folder):
        _remember(output, folder)


def write_output(output: Path, rows: Sequence[GeneratedRow], folder: Path, *, overwrite: bool) -> None:
    """Write the finished table, and remember its content.

    output     the table
    rows       the accepted rows
    folder     the generation folder
    overwrite  the user said that a file there may be replaced
    Raises ConfigError where a file of the user's has appeared there since the generation began.
    """
    if output.exists() and not overwrite and not _is_own(output, folder):
        raise _not_ours(output, folder)
    write_rows(output, rows)
    _remember(output, folder)


def _is_own(output: Path, folder: Path) -> bool:
    digest = _digest(output)
    if digest in _written(folder):
        return True
    # Older versions did not remember; their table equals the rows in their folder.
    kept = folder / "data.jsonl"
    return output.suffix != ".csv" and kept.is_file() and kept.stat().st_size > 0 and _digest(kept) == digest


def _written(folder: Path) -> list[str]:
    path = folder / _WRITTEN
    return [str(digest) for digest in read_json(path)["sha256"]] if path.is_file() else []


def _sealed(folder: Path) -> dict[str, str]:
    """The tables that were written, each as a path relative to the folder → its content's SHA-256."""
    path = folder / _WRITTEN
    return dict(read_json(path).get("tables", {})) if path.is_file() else {}


def _remember(output: Path, folder: Path) -> None:
    """Seal the table: the checksum of its content, under its name."""
    known, sealed, digest, name = _written(folder), _sealed(folder), _digest(output), _name(output, folder)
    if digest in known and sealed.get(name) == digest:
        return
    known = [*(one for one in known if one != digest), digest][-_REMEMBERED:]
    sealed = {**{key: one for key, one in sealed.items() if key != name and one in known}, name: digest}
    write_json(folder / _WRITTEN, {"format": 1, "sha256": known, "tables": sealed})


def _name(output: Path, folder: Path) -> str:
    return os.path.relpath(output.resolve(), folder.resolve())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_writable_folder(output: Path) -> None:
    """Make and remove a file where the table will stand, or in the nearest folder that exists."""
    place = output.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    # As long as the temporary file of an atomic write, so that a name too long is noticed here.
    probe = place / f".{output.name}.{os.getpid()}.tmp"
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise DiskError(
            _("no table can be written in this folder ({reason})", reason=os.strerror(error.errno or 0)),
            where=str(output),
            do=_("Name another table with --output, or correct the permissions of the folder."),
        ) from None
    with suppress(OSError):
        probe.unlink()


def _not_ours(output: Path, folder: Path) -> ConfigError:
    if _name(output, folder) in _sealed(folder):
        return ConfigError(
            _("this table was changed after this generation wrote it"),
            where=str(output),
            do=_(
                "To keep the changes, name another table for the generation with --output; to write it anew without "
                "them, say --overwrite."
            ),
        )
    return ConfigError(_("this file exists, and this generation did not write it"), where=str(output), do=_DIFFERENT)
