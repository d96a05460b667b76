"""Characters ↔ ids for the built-in models: every character of the training data is one token.

Ids are ordered so that a model has logits only for what it may generate: 0 is the end token, then come the characters
that occur in targets, then those that occur in sources only, then <start>, <unknown> and <pad>.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from terakoya.errors import CorruptError
from terakoya.i18n import _

END = 0
# A noncharacter of Unicode: it stands in no text, so padding can never be mistaken for data.
_PAD_CHAR = "\U0010ffff"


class CharacterVocabulary:
    """The characters that a model knows.

    target_chars  characters that may stand in targets (and in sources)
    source_chars  characters that occur in sources; those in `target_chars` too are ignored
    """

    def __init__(self, target_chars: Iterable[str], source_chars: Iterable[str] = ()) -> None:
        self.target_chars = tuple(sorted(set(target_chars) - {_PAD_CHAR}))
        self.source_chars = tuple(sorted(set(source_chars) - set(self.target_chars) - {_PAD_CHAR}))
        self.outputs = 1 + len(self.target_chars)  # ids 0 … outputs-1 can be generated
        self.start = self.outputs + len(self.source_chars)
        self.unknown = self.start + 1
        self.pad = self.start + 2
        self.size = self.start + 3

    @cached_property
    def _table(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Code points in ascending order, and their ids."""
        known = [(ord(char), index) for index, char in enumerate((*self.target_chars, *self.source_chars), start=1)]
        codes, ids = zip(*sorted([*known, (ord(_PAD_CHAR), self.pad)]), strict=True)
        return np.array(codes, dtype=np.uint32), np.array(ids, dtype=np.int64)

    def ids(self, texts: Sequence[str], width: int, *, left: bool) -> np.ndarray[Any, Any]:
        """Token ids (rows, width) of padded texts; an unknown character gets the id of <unknown>.

        texts  one per row, none longer than `width`
        width  characters of the longest row, or more
        left   whether padding stands on the left
        """
        padded = "".join(text.rjust(width, _PAD_CHAR) if left else text.ljust(width, _PAD_CHAR) for text in texts)
        # One encoding and one search for the whole batch: a dictionary look-up per character costs ten times more.
        characters = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        codes, ids = self._table
        indices = np.minimum(np.searchsorted(codes, characters), len(codes) - 1)
        found: np.ndarray[Any, Any] = np.where(codes[indices] == characters, ids[indices], self.unknown)
        return found.reshape(len(texts), width)

    def unknown_in(self, text: str) -> str:
        """The characters of a text that have no id of their own, each once, in order.

        text  as the model reads it
        """
        return "".join(char for char in dict.fromkeys(text) if char not in self._known)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset((*self.target_chars, *self.source_chars))

    def token_texts(self) -> tuple[str, ...]:
        """The text of every id that can be generated; the end token adds nothing."""
        return ("", *self.target_chars)

    def to_json(self) -> dict[str, str]:
        """The content of vocabulary.json."""
        return {"answered": "".join(self.target_chars), "asked": "".join(self.source_chars)}

    @classmethod
    def from_json(cls, data: Any, where: str) -> CharacterVocabulary:
        """The vocabulary that `to_json` described. Raises CorruptError where there is none.

        data   the content of vocabulary.json
        where  its path, for the error
        """
        if not isinstance(data, dict) or not all(isinstance(data.get(key), str) for key in ("answered", "asked")):
            raise CorruptError(_("this is no vocabulary of a built-in model"), where=where)
        return cls(data["answered"], data["asked"])
