"""A checkpoint from the Hugging Face Hub, by the Hub client's own call, with its errors explained."""

from __future__ import annotations

import re
from pathlib import Path

from terakoya.errors import ConfigError, TerakoyaError, need
from terakoya.i18n import _


class UnavailableError(ConfigError):
    """A checkpoint that the Hub does not give: nothing is known but its name."""


_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.tiktoken"]
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NO_CONNECTION = {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError"}


def download(name: str, revision: str) -> tuple[Path, str]:
    """Fetch a checkpoint into the Hub's cache, or find it there.

    name      of the model on the Hub
    revision  branch, tag or commit; "" for the default branch
    Returns the folder and the commit, so that a run can be repeated.
    Raises UnavailableError where it cannot be had, with what to do.
    """
    hub = need("huggingface_hub", extra="hub")
    try:
        folder = Path(hub.snapshot_download(name, revision=revision or None, allow_patterns=_WANTED))
    except Exception as error:
        raise _explained(error, name, revision) from error
    commit = folder.name if _COMMIT.fullmatch(folder.name) else revision
    return folder, commit


def _explained(error: Exception, name: str, revision: str) -> TerakoyaError:
    """An error of the Hub's client with what to do. Types by name: they moved between versions of the library."""
    types = {kind.__name__ for kind in type(error).__mro__}
    if "GatedRepoError" in types:
        what = _("this model is gated: its owner wants you to accept terms first")
        do = _("Accept them at https://huggingface.co/{name}, then log in with `hf auth login`.", name=name)
    elif "RevisionNotFoundError" in types:
        what = _("there is no revision '{revision}'", revision=revision)
        do = _("Check model.revision.")
    elif "RepositoryNotFoundError" in types:
        what = _("the hub knows no such model, or it is private")
        do = _("Check model.base; for a private one log in with `hf auth login`.")
    elif "HFValidationError" in types:
        what = _("this is no hub name and no folder")
        do = _("Check model.base.")
    elif types & _NO_CONNECTION:
        what = _("the hub cannot be reached and the model is not in the cache")
        do = _("Connect once, or name a folder that holds the checkpoint.")
    else:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        what = _("the model cannot be fetched ({reason})", reason=reason)
        do = _("Check model.base and the connection; or name a folder that holds the checkpoint.")
    return UnavailableError(what, where=name, do=do)
