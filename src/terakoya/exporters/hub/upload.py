"""Upload a folder to the Hugging Face Hub, by its client's own calls."""

from __future__ import annotations

import os
import re
from pathlib import Path

from terakoya.errors import ConfigError, TerakoyaError, need
from terakoya.i18n import _

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", flags=re.ASCII)


def upload(folder: Path, name: str) -> str:
    """Upload a folder as a model, made private where it does not exist yet.

    folder  whose files are uploaded
    name    owner/name
    Returns the address. Raises ConfigError for another form of name, TerakoyaError, with the command that goes on,
    where the Hub could not be reached or refused; the folder stays as it is.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            _("'{name}' is no name on the Hub", name=name), where="--push", do=_("Write it as owner/name.")
        )
    hub = need("huggingface_hub", extra="hub")
    client = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    try:
        client.create_repo(name, private=True, exist_ok=True)
        return str(client.upload_folder(repo_id=name, folder_path=folder, commit_message="Upload with Terakoya"))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise TerakoyaError(
            _("the export is complete, and the Hub did not take it ({reason})", reason=reason),
            where=name,
            do=_("Log in with `hf auth login` and go on with: hf upload {name} {folder}", name=name, folder=folder),
        ) from error
