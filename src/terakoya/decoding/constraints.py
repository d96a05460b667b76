"""Constrained decoding: which tokens keep a generated text within the grammar of the codec.

Works with any tokenizer whose tokens are known as text. A token is legal where the text stays the prefix of some valid
encoding; the end token is legal where the text is a valid encoding itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from terakoya.codec.base import Codec

_CACHE_SIZE = 100_000  # prefixes


def grammar_constraints(
    codec: Codec, sources: Sequence[str], token_texts: Sequence[str], end: int, *, reject: bool = False
) -> list[GrammarConstraint]:
    """One constraint for each source: the same object, unless the grammar of the codec depends on the source.

    codec        whose grammar constrains the output
    sources      source texts of the queries
    token_texts  (V,) text of each token id, "" where it may never stand in a target
    end          id of the end token
    reject       whether an empty output, by which a model rejects a source, is legal too
    """
    bound = getattr(codec, "for_source", None)
    if bound is None or (sources and bound(sources[0]) is codec):
        return [GrammarConstraint(codec, token_texts, end, reject=reject)] * len(sources)
    return [GrammarConstraint(bound(source), token_texts, end, reject=reject) for source in sources]


class GrammarConstraint:
    """The legal next tokens after a prefix, cached.

    codec        whose grammar constrains the output
    token_texts  (V,) text of each token id, "" where it may never stand in a target
    end          id of the end token
    reject       whether an empty output, by which a model rejects a source, is legal too
    """

    def __init__(self, codec: Codec, token_texts: Sequence[str], end: int, *, reject: bool = False) -> None:
        self.codec, self.token_texts, self.end, self.reject = codec, token_texts, end, reject
        # A codec may name the characters of its grammar; tokens with others need never be tried.
        self.alphabet: frozenset[str] | None = getattr(codec, "alphabet", None)
        self._allowed: dict[str, dict[int, bool]] = {}
        self._legal: dict[str, tuple[int, ...]] = {}
        self._trie: _TrieNode | None = None

    def allows(self, prefix: str, token: int) -> bool:
        """Whether token id `token` may follow the text `prefix`."""
        cached = self._allowed.get(prefix)
        if cached is None:
            if len(self._allowed) >= _CACHE_SIZE:
                self._allowed.clear()
            cached = self._allowed[prefix] = {}
        allowed = cached.get(token)
        if allowed is None:
            allowed = cached[token] = self._is_legal(prefix, token)
        return allowed

    def legal(self, prefix: str) -> tuple[int, ...]:
        """Every token id that may follow the text `prefix`, by a walk over the trie of all token texts."""
        found = self._legal.get(prefix)
        if found is None:
            if len(self._legal) >= _CACHE_SIZE:
                self._legal.clear()
            if self._trie is None:
                self._trie = self._build_trie()
            ends = (self.end,) if self._may_end(prefix) else ()
            found = self._legal[prefix] = (*ends, *self._walk(self._trie, prefix))
        return found

    def _is_legal(self, prefix: str, token: int) -> bool:
        if token == self.end:
            return self._may_end(prefix)
        text = self.token_texts[token]
        return bool(text) and self.codec.viable(prefix + text)

    def _may_end(self, prefix: str) -> bool:
        return (self.reject and not prefix) or self.codec.complete(prefix)

    def _build_trie(self) -> _TrieNode:
        root = _TrieNode()
        for token, text in enumerate(self.token_texts):
            if token == self.end or not text or (self.alphabet is not None and not self.alphabet.issuperset(text)):
                continue
            node = root
            for char in text:
                node = node.children.setdefault(char, _TrieNode())
            node.tokens.append(token)
        return root

    def _walk(self, node: _TrieNode, prefix: str) -> Iterator[int]:
        """Legal tokens below `node`; a branch ends at the first character that leaves the grammar."""
        for char, child in node.children.items():
            text = prefix + char
            if self.codec.viable(text):
                yield from child.tokens
                yield from self._walk(child, text)


class _TrieNode:
    __slots__ = ("children", "tokens")

    def __init__(self) -> None:
        self.children: dict[str, _TrieNode] = {}
        self.tokens: list[int] = []
