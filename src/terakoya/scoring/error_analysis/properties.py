"""Properties of sources and targets among whose items errors may gather: substrings, words, kinds of character,
lengths, tags, and how far the nearest training row is.

Substrings that stand in exactly the same sources are one property (closed patterns, Pasquier et al. 1999): the word,
else the longest of them, stands for all.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from terakoya.i18n import _
from terakoya.scoring.error_analysis.exact_tests import ALPHA, Counts, correction_factor, fisher_greater, least_p
from terakoya.scoring.error_analysis.items import ErrorItem, NamedError

LEAST_ITEMS = 3  # that a property must have
_LONGEST = 8  # characters of a substring
_MOST_PAIRS = 400_000  # of item and substring; longer sources are searched for shorter substrings
_MOST_CHARACTERS = 400  # of a source
_CUTS = (0.25, 0.5, 0.75, 0.9)  # quantiles at which lengths are cut
_LIKE_ENOUGH = 1e-9
MOST_NAMED = 5

KINDS_OF_CHARACTER: Mapping[str, re.Pattern[str]] = {
    "full-width digits": re.compile("[０-９]"),
    "half-width digits": re.compile("[0-9]"),
    "full-width letters": re.compile("[Ａ-Ｚａ-ｚ]"),
    "Latin capitals": re.compile("[A-Z]"),
    "Latin small letters": re.compile("[a-z]"),
    "numerals in kanji": re.compile("[〇一二三四五六七八九十百千万億兆]"),
    "numerals in formal kanji (daiji)": re.compile("[零壱弐参肆伍陸漆捌玖拾陌阡萬壹貳參]"),
    "kanji": re.compile("[一-鿿々]"),
    "hiragana": re.compile("[ぁ-ゖ]"),
    "katakana": re.compile("[ァ-ヺー]"),
    "half-width katakana": re.compile("[ｦ-ﾟ]"),
    "spaces": re.compile(r"\s"),
    "brackets": re.compile("[()（）「」『』［］\\[\\]【】]"),
    "commas": re.compile("[,，、]"),
    "signs": re.compile("[-+−ー±－＋]"),
}
_KIND_NAMES = {
    "full-width digits": _("full-width digits"),
    "half-width digits": _("half-width digits"),
    "full-width letters": _("full-width letters"),
    "Latin capitals": _("Latin capitals"),
    "Latin small letters": _("Latin small letters"),
    "numerals in kanji": _("numerals in kanji"),
    "numerals in formal kanji (daiji)": _("numerals in formal kanji (daiji)"),
    "kanji": _("kanji"),
    "hiragana": _("hiragana"),
    "katakana": _("katakana"),
    "half-width katakana": _("half-width katakana"),
    "spaces": _("spaces"),
    "brackets": _("brackets"),
    "commas": _("commas"),
    "signs": _("signs"),
}


@dataclass(frozen=True, slots=True)
class Property:
    """A property, and which items have it.

    key   ("word", "午後"), ("length", "≥ 12") …
    rows  numbers of the items
    """

    key: tuple[str, str]
    rows: tuple[int, ...]


def find_properties(items: Sequence[ErrorItem]) -> list[Property]:
    """Every property that at least three items have and at least three have not.

    items  of the exam
    """
    if not items:
        return []
    found = [
        *_kinds_of_character(items),
        *_lengths(items),
        *_distances(items),
        *_tags(items),
        *_substrings(items),
    ]
    # What two properties say of the same items is one test; the more general name comes first.
    distinct: dict[tuple[int, ...], Property] = {}
    for one in found:
        if LEAST_ITEMS <= len(one.rows) <= len(items) - LEAST_ITEMS:
            distinct.setdefault(one.rows, one)
    return list(distinct.values())


def named_properties(items: Sequence[ErrorItem], families: int = 1) -> list[NamedError]:
    """The properties with significantly more errors than elsewhere, the most significant first.

    items     of the exam
    families  of tests that share the error rate of 5%
    After the first, each must be significant among the items that have none of those before it.
    """
    properties = find_properties(items)
    if not properties or not any(item.wrong for item in items):
        return []
    alpha = ALPHA / families
    left = list(range(len(items)))
    found: list[NamedError] = []
    factor = 0
    while len(found) < MOST_NAMED:
        count = _counter(items, left)
        counted = [(one, counts) for one in properties if (counts := count(one.rows)) is not None]
        if not factor:
            factor = correction_factor([least_p(counts) for _one, counts in counted], alpha) * families
        best = min(((fisher_greater(counts), one.key, one, counts) for one, counts in counted), default=None)
        if best is None or best[0] * factor > ALPHA:
            return found
        p, key, one, counts = best
        rows = tuple(row for row in one.rows if items[row].wrong)
        found.append(_named(key, counts, min(1.0, p * factor), rows))
        gone = set(one.rows)
        left = [row for row in left if row not in gone]
    return found


def _counter(items: Sequence[ErrorItem], left: Sequence[int]) -> Callable[[tuple[int, ...]], Counts | None]:
    """Counts of a property among the items that are left. Items of one group count once with it and once without."""
    here = set(left)
    grouped = len({item.group or str(row) for row, item in enumerate(items)}) < len(items)
    if not grouped:
        total, wrong = len(left), sum(items[row].wrong for row in left)

        def of_items(rows: tuple[int, ...]) -> Counts | None:
            having = [row for row in rows if row in here]
            bad = sum(items[row].wrong for row in having)
            return _counts(bad, len(having), wrong - bad, total - len(having))

        return of_items
    names = [item.group or f"\0{row}" for row, item in enumerate(items)]
    whole, bad_whole = Counter(names[row] for row in left), Counter(names[row] for row in left if items[row].wrong)
    units_wrong = sum(_mostly(bad_whole[name], n) for name, n in whole.items())

    def of_groups(rows: tuple[int, ...]) -> Counts | None:
        having = [row for row in rows if row in here]
        size, bad = Counter(names[row] for row in having), Counter(names[row] for row in having if items[row].wrong)
        wrong = sum(_mostly(bad[name], n) for name, n in size.items())
        outside, outside_wrong = len(whole), units_wrong
        for name, n in size.items():
            outside_wrong -= _mostly(bad_whole[name], whole[name])
            if whole[name] == n:
                outside -= 1
            else:
                outside_wrong += _mostly(bad_whole[name] - bad[name], whole[name] - n)
        return _counts(wrong, len(size), outside_wrong, outside)

    return of_groups


def _mostly(bad: int, n: int) -> int:
    return int(2 * bad > n)


def _counts(wrong: int, n: int, wrong_elsewhere: int, n_elsewhere: int) -> Counts | None:
    return Counts(wrong, n, wrong_elsewhere, n_elsewhere) if n >= LEAST_ITEMS and n_elsewhere > 0 else None


def _named(key: tuple[str, str], counts: Counts, p: float, rows: tuple[int, ...]) -> NamedError:
    kind, value = key
    if kind == "characters":
        what = _("sources with {kind}", kind=_KIND_NAMES[value])
    elif kind == "source length":
        what = _("sources of {length} characters", length=value)
    elif kind == "target length":
        what = _("targets of {length} characters", length=value)
    elif kind == "nearest":
        what = _("sources unlike any training row (similarity below {value})", value=value)
    elif kind.startswith("tag "):
        what = _("{tag} = {value}", tag=kind.removeprefix("tag "), value=value)
    else:
        what = _("sources with '{text}'", text=value)
    message = _(
        "{what}: {wrong} of {n} wrong, elsewhere {wrong_elsewhere} of {n_elsewhere}",
        what=what,
        wrong=counts.wrong,
        n=counts.n,
        wrong_elsewhere=counts.wrong_elsewhere,
        n_elsewhere=counts.n_elsewhere,
    )
    return NamedError(
        "property", key, message, p, counts.wrong, counts.n, counts.wrong_elsewhere, counts.n_elsewhere, rows
    )


def _kinds_of_character(items: Sequence[ErrorItem]) -> Iterator[Property]:
    for name, pattern in KINDS_OF_CHARACTER.items():
        yield Property(
            ("characters", name), tuple(row for row, item in enumerate(items) if pattern.search(item.source))
        )


def _lengths(items: Sequence[ErrorItem]) -> Iterator[Property]:
    sources, targets = [len(item.source) for item in items], [len(item.target) for item in items]
    for kind, lengths in (("source length", sources), ("target length", targets)):
        ordered = sorted(lengths)
        for cut in sorted({ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in _CUTS}):
            yield Property((kind, f"≥ {cut}"), tuple(row for row, length in enumerate(lengths) if length >= cut))
            yield Property((kind, f"< {cut}"), tuple(row for row, length in enumerate(lengths) if length < cut))


def _distances(items: Sequence[ErrorItem]) -> Iterator[Property]:
    if any(item.nearest is None for item in items):
        return
    similarities = [item.nearest[1] for item in items if item.nearest is not None]
    ordered = sorted(similarities)
    for share in (0.1, 0.25, 0.5):
        cut = ordered[int(share * len(ordered))]
        rows = tuple(row for row, similarity in enumerate(similarities) if similarity < cut - _LIKE_ENOUGH)
        yield Property(("nearest", f"{cut:.2f}"), rows)


def _tags(items: Sequence[ErrorItem]) -> Iterator[Property]:
    values = {(tag, value) for item in items for tag, value in item.tags.items()}
    for tag, value in sorted(values):
        rows = tuple(row for row, item in enumerate(items) if item.tags.get(tag) == value)
        yield Property((f"tag {tag}", value), rows)


def _substrings(items: Sequence[ErrorItem]) -> list[Property]:
    """One property for every set of sources that some substring stands in: a word, else the longest substring."""
    texts = [item.source[:_MOST_CHARACTERS] for item in items]
    longest = max(2, min(_LONGEST, _MOST_PAIRS // max(1, sum(map(len, texts)))))
    where: dict[str, list[int]] = {}
    words: set[str] = set()
    for row, text in enumerate(texts):
        own_words = [word.strip("、。，．,.!?！？:;") for word in text.split()] if " " in text else []
        words.update(own_words)
        pieces = {text[at : at + n] for n in range(1, longest + 1) for at in range(len(text) - n + 1)}
        for piece in {*pieces, *own_words} - {""}:
            where.setdefault(piece, []).append(row)
    best: dict[tuple[int, ...], str] = {}
    for piece, rows in where.items():
        if piece != piece.strip() or len(rows) < LEAST_ITEMS:
            continue
        key = tuple(rows)
        if key not in best or _rank(piece, words) > _rank(best[key], words):
            best[key] = piece
    return [Property(("word", piece), rows) for rows, piece in best.items()]


def _rank(piece: str, words: set[str]) -> tuple[bool, bool, int, str]:
    readable = all(unicodedata.category(character)[0] in "LNM" for character in piece)
    return piece in words, readable, len(piece), piece
