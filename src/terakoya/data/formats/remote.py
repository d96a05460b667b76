"""Tables elsewhere: copied once to a temporary folder through fsspec, and read from there like any other."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError, DataError, need
from terakoya.i18n import _

# What must be installed beside fsspec for each kind of address.
PACKAGES = {
    "hf": "huggingface_hub",
    "s3": "s3fs",
    "gs": "gcsfs",
    "az": "adlfs",
}
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://")


def is_remote(name: str) -> bool:
    """Whether a name is the address of a file elsewhere.

    name  as a config names its table
    """
    return bool(_ADDRESS.match(name))


def _file_system(address: str) -> tuple[Any, str, str]:
    """(file system, path in it, scheme) of an address."""
    found = _ADDRESS.match(address)
    scheme = found[1] if found else ""
    if scheme not in PACKAGES:
        raise ConfigError(
            _("'{scheme}://' is no kind of address that Terakoya reads", scheme=scheme),
            where=address,
            do=_(
                "Known are {known}. Download any other file, and name the copy.",
                known=", ".join(f"{one}://" for one in PACKAGES),
            ),
        )
    fsspec = need("fsspec", extra="hub")
    try:
        files, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise ConfigError(
            _(
                "this needs the package '{package}', which is not installed ({error})",
                package=PACKAGES[scheme],
                error=error,
            ),
            where=address,
            do=_("Install it with: pip install {package}", package=PACKAGES[scheme]),
        ) from error
    return files, path, scheme


def remote_files(address: str) -> list[str]:
    """The addresses of the files that a remote address or pattern names, sorted.

    address  such as "s3://bucket/rows/*.parquet"
    Raises DataError where there is none, ConfigError where a package is missing.
    """
    if not re.search(r"[*?\[]", address):
        return [address]
    files, path, scheme = _file_system(address)
    try:
        found = sorted(files.glob(path))
    except Exception as error:  # what a service raises is its own: no bucket, no key, no network
        raise _unreachable(address, error) from error
    if not found:
        raise DataError(_("no file matches the pattern"), where=address, do=_("Check the bucket and the folder."))
    return [f"{scheme}://{str(one).lstrip('/')}" for one in found]


@cache
def local_copy(address: str) -> Path:
    """A copy of a remote file, made once in a process and removed at its end.

    address  of one file
    Raises DataError where it cannot be fetched, ConfigError where a package is missing.
    """
    files, path, _scheme = _file_system(address)
    # A folder for each: two files of one name from two folders are two copies, each with its suffix.
    copy = Path(tempfile.mkdtemp(prefix="terakoya-")) / path.rsplit("/", 1)[-1]
    atexit.register(shutil.rmtree, copy.parent, ignore_errors=True)
    try:
        files.get_file(path, str(copy))
    except Exception as error:  # what a service raises is its own: no bucket, no key, no network
        raise _unreachable(address, error) from error
    return copy


def _unreachable(address: str, error: Exception) -> DataError:
    reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return DataError(
        _("the file cannot be fetched ({reason})", reason=reason),
        where=address,
        do=_("Check the address, the connection and your key there; or download the file and name the copy."),
    )
