"""MinHash: which of many texts may be near copies, found without comparing all of them.

The probability that two sets have the same minimum under a random hash is their Jaccard similarity s (Broder, "On the
resemblance and containment of documents", SEQUENCES 1997). A signature holds BANDS × ROWS such minima; texts that agree
in a whole band are candidates, which happens with probability 1 − (1 − s^ROWS)^BANDS (Leskovec, Rajaraman and Ullman,
Mining of Massive Datasets, chapter 3), and are compared exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[Any]]

BANDS, ROWS = 10, 5
# Candidates that agree in fewer minima are not compared: of pairs with similarity 0.8 one in 20,000 is lost by it.
_AGREE = 28
_TRIED = 50  # candidates of one text in one band; templates would give thousands
_CELLS = 1 << 17  # hashes of one chunk: it stays in the cache
_SAMPLING = 2  # minima by which texts are sampled; those of the signature come after them


@dataclass(frozen=True, slots=True)
class GramHashes:
    """The hashes of the character trigrams of many texts.

    values  32 bits for each trigram, one text after the other
    counts  trigrams of each text
    """

    values: Numbers
    counts: Numbers


def hash_grams(text: str, lengths: Numbers, left_out: Numbers | None = None) -> GramHashes:
    """Every trigram of many texts as a number that looks random.

    text      the texts without spaces, one after the other
    lengths   characters of each
    left_out  sorted hashes of trigrams that do not count; None: all count
    """
    import numpy as np

    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    counts = np.maximum(lengths.astype(np.int64) - 2, 0)
    if len(codes) < 3:
        return GramHashes(np.zeros(0, dtype=np.uint32), counts)
    values = np.empty(len(codes) - 2, dtype=np.uint32)
    for begin in range(0, len(values), _CELLS):
        some = codes[begin : begin + _CELLS + 2]
        mixed = some[:-2] * np.uint32(0x9E3779B1)
        mixed += some[1:-1] * np.uint32(0x85EBCA77)
        mixed += some[2:] * np.uint32(0xC2B2AE3D)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):  # the finaliser of MurmurHash3
            mixed ^= mixed >> np.uint32(shift)
            mixed *= np.uint32(factor)
        values[begin : begin + len(mixed)] = mixed ^ (mixed >> np.uint32(16))
    ends = np.cumsum(lengths.astype(np.int64))
    inside = np.ones(len(codes), dtype=bool)
    inside[ends[ends > 0] - 1] = False  # a trigram over the end of a text is none of its own
    inside[ends[ends > 1] - 2] = False
    found = GramHashes(values[inside[:-2]], counts)
    return found if left_out is None or not len(left_out) else _without(found, left_out)


def hash_texts(texts: Iterable[str], left_out: Numbers | None = None) -> GramHashes:
    """`hash_grams` of texts as they are.

    texts     normal forms of sources; spaces are left out
    left_out  sorted hashes of trigrams that do not count
    """
    import numpy as np

    bare = [text.replace(" ", "") for text in texts]
    return hash_grams("".join(bare), np.fromiter(map(len, bare), dtype=np.int64, count=len(bare)), left_out)


def _without(grams: GramHashes, left_out: Numbers) -> GramHashes:
    import numpy as np

    high = np.zeros(1 << 16, dtype=bool)  # few hashes have the first half of one that is left out
    high[left_out >> np.uint32(16)] = True
    suspect = np.flatnonzero(high[grams.values >> np.uint32(16)])
    at = np.minimum(np.searchsorted(left_out, grams.values[suspect]), len(left_out) - 1)
    dropped = suspect[left_out[at] == grams.values[suspect]]
    keep = np.ones(len(grams.values), dtype=bool)
    keep[dropped] = False
    texts = np.searchsorted(np.cumsum(grams.counts), dropped, side="right")
    return GramHashes(grams.values[keep], grams.counts - np.bincount(texts, minlength=len(grams.counts)))


def _factors(first: int, count: int) -> list[tuple[int, int]]:
    """Multiplier and summand of each hash function, the same in every process."""
    from random import Random

    rng = Random(1997)
    drawn = [(rng.getrandbits(32) | 1, rng.getrandbits(32)) for _ in range(first + count)]
    return drawn[first:]


def sampling_keys(grams: GramHashes) -> Numbers:
    """64 bits of each text by which near copies are sampled together: equal with a probability of about s².

    Two minima, not one: by one, every text that holds a frequent trigram might be kept or dropped together.

    grams  of the texts
    Returns one number a text; a text without trigrams has the largest.
    """
    import numpy as np

    keys = np.full(len(grams.counts), np.iinfo(np.uint64).max, dtype=np.uint64)
    some = np.flatnonzero(grams.counts)
    if len(some):
        starts = np.concatenate([[0], np.cumsum(grams.counts[some])[:-1]])
        both = np.zeros(len(some), dtype=np.uint64)
        for multiplier, summand in _factors(0, _SAMPLING):
            hashed = grams.values * np.uint32(multiplier)
            hashed += np.uint32(summand)
            both = (both << np.uint64(32)) | np.minimum.reduceat(hashed, starts)
        both *= np.uint64(0x9E3779B97F4A7C15)
        keys[some] = both ^ (both >> np.uint64(32))
    return keys


def probability_found(similarity: float, *, sampled: bool = False) -> float:
    """Probability that a pair is found.

    similarity  Jaccard similarity of the two sets of trigrams
    sampled     True: that the copy of a text in the sample is in it too, and found; False: both are there
    """
    minima = BANDS * ROWS
    candidate = 1 - (1 - similarity**ROWS) ** BANDS
    lost = sum(
        math.comb(minima, equal) * similarity**equal * (1 - similarity) ** (minima - equal) for equal in range(_AGREE)
    )
    return max(candidate - lost, 0.0) * (similarity**_SAMPLING if sampled else 1.0)


def candidate_pairs(texts: Sequence[str], left_out: Numbers | None = None) -> Iterator[tuple[int, int]]:
    """(earlier, later) indices of texts that may be near copies, each pair once, in the order of the later one.

    texts     normal forms, all different
    left_out  sorted hashes of trigrams that do not count
    """
    import numpy as np

    bands, signatures = _signatures(texts, left_out)
    found = []
    for band in bands:
        order = np.argsort(band, kind="stable")
        hashes = band[order]
        for apart in range(1, min(_TRIED + 1, len(order))):
            same = np.flatnonzero((hashes[apart:] == hashes[:-apart]) & (hashes[apart:] != 0))
            if not len(same):
                break
            for begin in range(0, len(same), _CELLS):
                at = same[begin : begin + _CELLS]
                earlier, later = order[at], order[at + apart]
                alike = (signatures[earlier] == signatures[later]).sum(axis=1) >= _AGREE
                found.append((later[alike] << np.int64(32)) | earlier[alike])
    pairs = np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)
    for pair in pairs.tolist():
        yield pair & 0xFFFFFFFF, pair >> 32


def _signatures(texts: Sequence[str], left_out: Numbers | None) -> tuple[Numbers, Numbers]:
    """A hash of each band of each text, (BANDS, texts), 0 where a text has no trigram; and eight bits of each minimum,
    (texts, BANDS × ROWS)."""
    import numpy as np

    functions = _factors(_SAMPLING, BANDS * ROWS)
    bands = np.zeros((BANDS, len(texts)), dtype=np.uint64)
    signatures = np.zeros((len(texts), BANDS * ROWS), dtype=np.uint8)
    by_length = np.argsort(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)), kind="stable")
    begin = 0
    while begin < len(texts):
        # As many texts as fill a chunk, by the longest among the next ones.
        many = by_length[begin : begin + 4096]
        while len(many) > 1 and len(texts[many[-1]]) * len(many) > 2 * _CELLS:
            many = many[: (len(many) + 1) // 2]
        begin += len(many)
        grams = hash_texts([texts[at] for at in many], left_out)
        some = np.flatnonzero(grams.counts)
        if not len(some):
            continue
        counts = grams.counts[some]
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        # Shorter texts repeat their last trigram: a minimum does not count.
        table = grams.values[starts + np.minimum(np.arange(counts.max())[:, None], counts - 1)]
        hashed = np.empty_like(table)
        for number, (multiplier, summand) in enumerate(functions):
            np.multiply(table, np.uint32(multiplier), out=hashed)
            np.add(hashed, np.uint32(summand), out=hashed)
            least = hashed.min(axis=0)
            signatures[many[some], number] = least >> np.uint32(24)
            row = bands[number // ROWS]
            row[many[some]] = (row[many[some]] + least + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    return bands, signatures
