"""The codec's written language, seen through a tokenizer: which tokens may follow what was written so far.

Works with any tokenizer whose pieces are known as text. A token is legal where its whole piece keeps the answer
viable; the end is legal where the answer is complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from terakoya.codec.base import Codec

_KEPT = 100_000  # prefixes remembered


def languages(codec: Codec, sources: Sequence[str], pieces: Sequence[str], end: int) -> list[Language]:
    """The language of the answers to each source: one for all, but for a codec that is held to its source."""
    bound = getattr(codec, "bound", None)
    if bound is None or (sources and bound(sources[0]) is codec):
        return [Language(codec, pieces, end)] * len(sources)
    return [Language(bound(source), pieces, end) for source in sources]


class Language:
    """Legal next tokens. `pieces[token]` is the text a token adds, "" where it may never stand in an answer."""

    def __init__(self, codec: Codec, pieces: Sequence[str], end: int) -> None:
        self.codec, self.pieces, self.end = codec, pieces, end
        # A codec may name the characters of its language; pieces with others need never be tried.
        self.alphabet: frozenset[str] | None = getattr(codec, "alphabet", None)
        self._verdicts: dict[str, dict[int, bool]] = {}
        self._legal: dict[str, tuple[int, ...]] = {}
        self._tree: _Branch | None = None

    def allows(self, prefix: str, token: int) -> bool:
        """Whether this token may come next."""
        verdicts = self._verdicts.get(prefix)
        if verdicts is None:
            if len(self._verdicts) >= _KEPT:
                self._verdicts.clear()
            verdicts = self._verdicts[prefix] = {}
        verdict = verdicts.get(token)
        if verdict is None:
            verdict = verdicts[token] = self._judge(prefix, token)
        return verdict

    def legal(self, prefix: str) -> tuple[int, ...]:
        """Every token that may come next: a walk over a tree of all pieces that leaves dead branches alone."""
        found = self._legal.get(prefix)
        if found is None:
            if len(self._legal) >= _KEPT:
                self._legal.clear()
            if self._tree is None:
                self._tree = self._planted()
            ends = (self.end,) if self.codec.complete(prefix) else ()
            found = self._legal[prefix] = (*ends, *self._walk(self._tree, prefix))
        return found

    def _judge(self, prefix: str, token: int) -> bool:
        if token == self.end:
            return self.codec.complete(prefix)
        piece = self.pieces[token]
        return bool(piece) and self.codec.viable(prefix + piece)

    def _planted(self) -> _Branch:
        root = _Branch()
        for token, piece in enumerate(self.pieces):
            if token == self.end or not piece or (self.alphabet is not None and not self.alphabet.issuperset(piece)):
                continue
            branch = root
            for char in piece:
                branch = branch.below.setdefault(char, _Branch())
            branch.tokens.append(token)
        return root

    def _walk(self, branch: _Branch, prefix: str) -> Iterator[int]:
        for char, below in branch.below.items():
            written = prefix + char
            if self.codec.viable(written):
                yield from below.tokens
                yield from self._walk(below, written)


class _Branch:
    __slots__ = ("below", "tokens")

    def __init__(self) -> None:
        self.below: dict[str, _Branch] = {}
        self.tokens: list[int] = []
