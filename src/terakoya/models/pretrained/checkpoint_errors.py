"""Refusals of a checkpoint: what all of them have in common, and the advice that several give."""

from __future__ import annotations

from terakoya.errors import CorruptError, IncompatibleError
from terakoya.i18n import both

DOWNLOAD_AGAIN = both("Download it again.", "ダウンロードし直すこと。")
FROM_SOURCE = both("Take the checkpoint from its source.", "元の配布元のチェックポイントを使うこと。")
COPY_TOKENIZER = both(
    "Copy the tokenizer files of its base model beside it.",
    "元のモデルのトークナイザのファイルを隣にコピーすること。",
)
NEWER_LIBRARY = both(
    "Download it again, or take a newer transformers.",
    "ダウンロードし直すか、新しい transformers を使うこと。",
)


def corrupt(what: str, where: str, do: str = DOWNLOAD_AGAIN) -> CorruptError:
    """The refusal of a checkpoint whose files are damaged or contradict each other.

    what   the fault, in both languages
    where  the checkpoint's name or folder
    do     advice, in both languages
    """
    return CorruptError(what, where=where, do=do)


def incompatible(what: str, where: str, do: str) -> IncompatibleError:
    """The refusal of a sound checkpoint that cannot be used here.

    what   the reason, in both languages
    where  the checkpoint's name or folder
    do     advice, in both languages
    """
    return IncompatibleError(what, where=where, do=do)


def short_error(error: Exception) -> str:
    """Type and message of an `error` of a library, in one line of at most about 200 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
