"""Refusals of a checkpoint: what all of them have in common, and the advice that several give."""

from __future__ import annotations

from terakoya.errors import CorruptError, IncompatibleError
from terakoya.i18n import _

DOWNLOAD_AGAIN = _("Download it again.")
FROM_SOURCE = _("Take the checkpoint from its source.")
COPY_TOKENIZER = _("Copy the tokenizer files of its base model beside it.")
NEWER_LIBRARY = _("Download it again, or take a newer transformers.")


def corrupt(what: str, where: str, do: str = DOWNLOAD_AGAIN) -> CorruptError:
    """The refusal of a checkpoint whose files are damaged or contradict each other.

    what   the fault, a message
    where  the checkpoint's name or folder
    do     advice, a message
    """
    return CorruptError(what, where=where, do=do)


def incompatible(what: str, where: str, do: str) -> IncompatibleError:
    """The refusal of a sound checkpoint that cannot be used here.

    what   the reason, a message
    where  the checkpoint's name or folder
    do     advice, a message
    """
    return IncompatibleError(what, where=where, do=do)


def short_error(error: BaseException) -> str:
    """Type and message of an `error` of a library, in one line of at most about 200 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
