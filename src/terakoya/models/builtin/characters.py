"""Characters ↔ ids for the built-in models: every character of the training data is one token.

Ids are ordered so that a model scores only what may be answered: 0 ends an answer, then come the characters
that occur in answers, then those that occur in sources only, then <start>, <unknown> and <pad>.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from terakoya.errors import CorruptError
from terakoya.i18n import both

END = 0
# A noncharacter of Unicode: it stands in no text, so filling can never be mistaken for data.
_FILL = "\U0010ffff"


class Characters:
    """The characters a model knows. `answered` may stand in answers; `asked` occur in sources only."""

    def __init__(self, answered: Iterable[str], asked: Iterable[str] = ()) -> None:
        self.answered = tuple(sorted(set(answered) - {_FILL}))
        self.asked = tuple(sorted(set(asked) - set(self.answered) - {_FILL}))
        self.outputs = 1 + len(self.answered)  # ids 0 … outputs-1 can be answered
        self.start = self.outputs + len(self.asked)
        self.unknown = self.start + 1
        self.pad = self.start + 2
        self.size = self.start + 3

    @cached_property
    def _table(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        known = [(ord(char), number) for number, char in enumerate((*self.answered, *self.asked), start=1)]
        codes, ids = zip(*sorted([*known, (ord(_FILL), self.pad)]), strict=True)
        return np.array(codes, dtype=np.uint32), np.array(ids, dtype=np.int64)

    def ids(self, texts: Sequence[str], width: int, *, left: bool) -> np.ndarray[Any, Any]:
        """(rows, width) ids, filled with `pad` on the left or on the right. No text may be longer than `width`."""
        filled = "".join(text.rjust(width, _FILL) if left else text.ljust(width, _FILL) for text in texts)
        # One encoding and one search for the whole batch: a dictionary asked for every character costs ten times more.
        wanted = np.frombuffer(filled.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        codes, ids = self._table
        place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        found: np.ndarray[Any, Any] = np.where(codes[place] == wanted, ids[place], self.unknown)
        return found.reshape(len(texts), width)

    def pieces(self) -> tuple[str, ...]:
        """The text of every id that can be answered; the end adds nothing."""
        return ("", *self.answered)

    def to_json(self) -> dict[str, str]:
        return {"answered": "".join(self.answered), "asked": "".join(self.asked)}

    @classmethod
    def from_json(cls, data: Any, where: str) -> Characters:
        if not isinstance(data, dict) or not all(isinstance(data.get(key), str) for key in ("answered", "asked")):
            raise CorruptError(
                both("this is no vocabulary of a built-in model", "組み込みモデルの語彙ではない"), where=where
            )
        return cls(data["answered"], data["asked"])
