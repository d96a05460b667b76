"""The user's cache folder, and scores of texts kept in it: a base that takes minutes for them scores each text once.

    cache = ScoreCache(cache_folder("scores") / key, columns=781)     # the key says of which base, prompt and labels
    scores = cache.get(texts, compute)            # (texts, columns); `compute` sees new texts alone

One safetensors file for each part that was computed, so that what was interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from terakoya.errors import CorruptError
from terakoya.i18n import _

_PART = 256  # texts that are computed before they are kept


def cache_folder(kind: str) -> Path:
    """Where what can be made again is kept: below XDG_CACHE_HOME, LOCALAPPDATA on Windows, or ~/.cache.

    kind  name of the folder, such as "scores"; it need not exist yet
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(home) / "terakoya" / kind


class ScoreCache:
    """Rows of scores by the fingerprint of their text.

    folder   made when the first part is kept
    columns  length of a row
    Raises CorruptError where a file of the folder cannot be read.
    """

    def __init__(self, folder: Path, columns: int) -> None:
        self.folder, self.columns = folder, columns
        self._rows: dict[str, Tensor] = {}
        for file in sorted(folder.glob("*.safetensors")):
            self._read(file)

    def get(self, texts: Sequence[str], compute: Callable[[Sequence[str]], Tensor]) -> Tensor:
        """(texts, columns), float32.

        texts    any number
        compute  the rows of texts that are not kept yet
        """
        keys = [_key(text) for text in texts]
        missing = sorted(self.missing(texts), key=len)  # texts of similar length are computed together
        for start in range(0, len(missing), _PART):
            part = missing[start : start + _PART]
            self._keep([_key(text) for text in part], compute(part).float().contiguous())
        return torch.stack([self._rows[key] for key in keys]) if keys else torch.zeros(0, self.columns)

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Those of `texts` that are not kept yet, each once."""
        return list({_key(text): text for text in texts if _key(text) not in self._rows}.values())

    def _keep(self, keys: Sequence[str], rows: Tensor) -> None:
        self._rows.update(zip(keys, rows, strict=True))
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256("".join(keys).encode()).hexdigest()[:16]
        unfinished = self.folder / f".{name}.{os.getpid()}"
        save_file({"scores": rows}, unfinished, metadata={"texts": " ".join(keys)})
        unfinished.replace(self.folder / f"{name}.safetensors")

    def _read(self, file: Path) -> None:
        try:
            with safe_open(file, "pt") as opened:
                keys, rows = opened.metadata()["texts"].split(), opened.get_tensor("scores")
            if rows.shape != (len(keys), self.columns):
                raise ValueError(rows.shape)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise CorruptError(
                _("this file of kept scores cannot be read ({error})", error=error),
                where=str(file),
                do=_("Delete it: its texts are scored again."),
            ) from error
        self._rows.update(zip(keys, rows, strict=True))


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
