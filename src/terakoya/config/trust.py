"""Which task files may run although a folder brings them: the user's own list, by content.

A run or model folder may be somebody else's, and a `.py` file in it is a program. It runs only if the user has said so
for this very content: with `--trust FILE`, or by running a config of his own that uses it. The list lies in the user's
config directory, where no folder reaches it: `$XDG_CONFIG_HOME/terakoya/trusted.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from terakoya.errors import ConfigError, DiskError
from terakoya.errors.files import file_read_errors
from terakoya.i18n import _

_LARGEST = 10_000_000  # bytes of a task file
_this_process: set[str] = set()  # holds where the list cannot be written


def trust_file(file: Path) -> str:
    """Remember that this file may run, whatever folder it comes with, until its content changes.

    file  a task file (.py)
    Returns its fingerprint. Raises ConfigError where it cannot be read, DiskError where the list cannot be written.
    """
    digest = fingerprint_code(read_code(file))
    _this_process.add(digest)
    try:
        _remember(digest, file)
    except OSError as error:
        raise DiskError(
            _("the list of trusted files cannot be written ({error})", error=error),
            where=str(list_path()),
            do=_("Set XDG_CONFIG_HOME to a folder of yours that can be written."),
        ) from error
    return digest


def trust_for_now(file: Path) -> None:
    """As `trust_file`, for a file that the user runs anyway: a list that cannot be written is no reason to refuse.

    file  a task file (.py)
    """
    try:
        trust_file(file)
    except DiskError:
        # The process itself remembers; resuming the run later needs --trust, and that command reports the fault.
        return


def is_trusted(code: bytes) -> bool:
    """Whether a task file with this content may run.

    code  as read from the file
    """
    digest = fingerprint_code(code)
    return digest in _this_process or digest in _listed()


def read_code(file: Path) -> bytes:
    """The content of a task file, read once: what was judged is what runs.

    file  a regular file of at most 10 MB
    Raises ConfigError.
    """
    with file_read_errors(
        file,
        ConfigError,
        missing=_("there is no such task file"),
        do=_("Check task.use; it is relative to the config."),
    ):
        if file.stat().st_size > _LARGEST:
            raise ConfigError(
                _("this is far too large for a task file"),
                where=str(file),
                do=_("Check task.use; it is relative to the config."),
            )
        return file.read_bytes()


def fingerprint_code(code: bytes) -> str:
    """The fingerprint (SHA-256) by which a task file is trusted.

    code  its content
    """
    return hashlib.sha256(code).hexdigest()


def list_path() -> Path:
    """Where the list lies; a relative XDG_CONFIG_HOME is ignored, as its standard says."""
    given = Path(os.environ.get("XDG_CONFIG_HOME") or os.environ.get("APPDATA") or "")
    return (given if given.is_absolute() else Path.home() / ".config") / "terakoya" / "trusted.json"


def _listed() -> dict[str, str]:
    """Fingerprint → the file's path when it was trusted; {} where there is no list, or none that can be read."""
    path = list_path()
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return dict(found) if isinstance(found, dict) else {}


def _remember(digest: str, file: Path) -> None:
    listed = _listed()
    if digest in listed:
        return
    path = list_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = json.dumps({"files": {**listed, digest: str(file.resolve())}}, ensure_ascii=False, indent=1) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)
