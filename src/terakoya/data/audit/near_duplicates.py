"""Near copies, by the characters they share: the Jaccard similarity of the sets of character trigrams.

Up to NEAR_ROWS texts they are found exactly, by prefix filtering (Bayardo, Ma and Srikant, WWW 2007): two sets that
share enough must share one of their rarest grams, so only those are looked up. Of more texts MinHash names the pairs
that are compared (minhash.py), and of more than NEAR_KEPT a sample, in which near copies are kept or dropped together.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from terakoya.codec.text import fold_source
from terakoya.data.audit import thresholds as line
from terakoya.data.audit.minhash import candidate_pairs, probability_found
from terakoya.data.audit.near_sample import ComparedText, NearSample, count_grams, grams, hashed
from terakoya.data.audit.single_pass import AuditRow, format_percent, level_by, share, shorten
from terakoya.data.split import SPLIT_NAMES
from terakoya.i18n import _, joined
from terakoya.records import MEMORISED, Finding

if TYPE_CHECKING:
    from terakoya.data.audit.row_blocks import RowBlock

_NUMERALS = re.compile("[0-9〇零一二三四五六七八九十百千万億兆京壱弐参肆伍陸漆捌玖拾廿卅佰陌阡仟萬]")
_TRAIN, _EXAM = SPLIT_NAMES.index("train"), SPLIT_NAMES.index("exam")
T = TypeVar("T")
_TRIED = 50  # candidates compared for one text; templates would give thousands


class NearDuplicates:
    """Compares the sources of all rows; short texts are left out, and so are pairs that differ in a number."""

    def __init__(self) -> None:
        self.texts = NearSample()

    def add(self, row: AuditRow) -> None:
        """Offers the row to the texts that are compared.

        row  in the order of the file
        """
        if len(row.form) >= line.NEAR_LENGTH and row.example.subset != MEMORISED:
            form, number = _with_source_first(row), SPLIT_NAMES.index(row.split)
            self.texts.add(row.key, ComparedText(form, number, row.example.origin, row.example.row))

    def add_block(self, block: RowBlock) -> None:
        """Offers the rows of `block`."""
        import numpy as np

        self.texts.add_block(block, np.flatnonzero(block.form_sizes >= line.NEAR_LENGTH))

    def findings(self) -> Iterator[Finding]:
        # Exam items come last, so that each is compared with the whole of train.
        """Findings on near leaks and near copies."""
        kept = self.texts.kept()
        forms = [self.texts.forms[at] for at in kept]
        exact = self.texts.complete and len(forms) <= line.NEAR_ROWS
        pairs = near_pairs(forms) if exact else likely_near_pairs(forms, self.texts.common_grams())
        found = [(self.texts.text(kept[left]), self.texts.text(kept[right])) for left, right in pairs]
        if not found:
            return
        how = Comparison("" if exact else self._bound(), {} if exact else self._values())
        leaks = [(one, two) for one, two in found if two.split == _EXAM and one.split == _TRAIN]
        if leaks:
            yield _leak(leaks, self.texts.splits.count(_EXAM), how)
        yield _copies(found, len(kept), how)

    def _bound(self) -> str:
        """What MinHash and the sample leave out, in words."""
        rate, sampled = self.texts.rate, not self.texts.complete
        near, nearer = (format_percent(probability_found(one, sampled=sampled)) for one in (line.NEAR, line.NEARER))
        found = _(
            "copies of similarity {low:g} are found with probability {near}, of {high:g} with {nearer}",
            low=line.NEAR,
            near=near,
            high=line.NEARER,
            nearer=nearer,
        )
        if not sampled:
            return _(" (compared by MinHash: {found})", found=found)
        return _(" (in a sample of 1 in {rate} sources, compared by MinHash: {found})", rate=rate, found=found)

    def _values(self) -> dict[str, float]:
        sampled = not self.texts.complete
        return {"sampled 1 in": float(self.texts.rate)} | {
            f"found at {one:g}": probability_found(one, sampled=sampled) for one in (line.NEAR, line.NEARER)
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """How texts were compared.

    bound   what was left out, a message; "" is nothing
    values  the same as measured values
    """

    bound: str
    values: dict[str, float]


def _copies(pairs: Sequence[tuple[ComparedText, ComparedText]], whole: int, how: Comparison) -> Finding:
    """Of each pair the row that comes later in its file is the copy."""
    found = [(one, two) if one.row <= two.row else (two, one) for one, two in pairs]
    origins = Counter(two.origin or "?" for _, two in found)
    one, two = found[0]
    by = joined(
        _(", "),
        (_("{uses} from {origin}", uses=uses, origin=origin) for origin, uses in origins.most_common(5)),
    )
    copy, original = shorten(one.form), shorten(two.form)
    count, percent = len(found), format_percent(share(len(found), whole))
    return Finding(
        "near-duplicates",
        level_by(len(found), whole, line.NEAR_DUPLICATES),
        _(
            "{count} of {whole} longer sources ({percent}) are nearly another one ({by}): {copy} and {original}{bound}",
            count=count,
            whole=whole,
            percent=percent,
            by=by,
            copy=copy,
            original=original,
            bound=how.bound,
        ),
        do=_("Vary the sources, or give near copies one group, so that they stay in one split."),
        rows=tuple(sorted(two.row for _, two in found if two.row))[: line.ROWS_NAMED],
        values={f"from {origin}": float(count) for origin, count in origins.most_common(20)}
        | {"share": share(len(found), whole)}
        | how.values,
    )


def _with_source_first(row: AuditRow) -> str:
    """The folded form, the source before the turns that led to it: a long system prompt must not push it out."""
    if not row.example.turns:
        return row.form
    turns = [turn.content for turn in row.example.turns if turn.role != "system"]
    return fold_source("\n".join([row.example.source, *reversed(turns)]))


def _leak(leaks: Sequence[tuple[ComparedText, ComparedText]], items: int, how: Comparison) -> Finding:
    source, item = (shorten(text.form) for text in leaks[0])
    count, part = len(leaks), share(len(leaks), items)
    percent = format_percent(part)
    return Finding(
        "near-leak",
        level_by(count, items, line.NEAR_LEAKS),
        _(
            "{count} of {items} longer exam items ({percent}) are nearly a training source: {item} is {source}{bound}",
            count=count,
            items=items,
            percent=percent,
            item=item,
            source=source,
            bound=how.bound,
        ),
        do=_("Give near copies one group (task.group), so that they stay in one split."),
        where="exam",
        rows=tuple(sorted(two.row for _, two in leaks if two.row))[: line.ROWS_NAMED],
        values={"rows": float(count), "share": part} | how.values,
    )


def near_pairs(forms: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(earlier, later) indices for every later text that is nearly an earlier one; one pair each. Equal texts are no
    pair.

    forms  normal forms of sources
    """
    sets = _ranked([grams(form) for form in forms], line.TEMPLATE_SHARE)
    numbers = [_numerals(form) for form in forms]
    index: dict[int, list[int]] = defaultdict(list)
    for later, found in enumerate(sets):
        if not found:
            continue
        prefix = sorted(found)[: len(found) - math.ceil(line.NEAR * len(found)) + 1]
        tried: set[int] = set()
        match = -1
        for gram in prefix:
            for earlier in index[gram]:
                if len(tried) >= _TRIED:
                    break
                if earlier not in tried:
                    tried.add(earlier)
                    apart = forms[earlier] == forms[later] or numbers[earlier] != numbers[later]
                    if not apart and (match < 0 or earlier < match) and _near(sets[earlier], found):
                        match = earlier
        for gram in prefix:
            index[gram].append(later)
        if match >= 0:
            yield match, later


def _ranked(sets: Sequence[frozenset[str]], most: float) -> list[frozenset[int]]:
    """Trigrams as ranks, the rarest first; without those that so many texts share that they are a template.

    What differs is compared: an instruction before every source would make all of them nearly equal. Of a text
    that says little beside the template nothing is concluded.
    """
    uses = count_grams(sets)
    limit = max(line.TEMPLATE_ROWS, most * len(sets))
    rank = {
        gram: at for at, gram in enumerate(sorted(uses, key=lambda gram: (uses[gram], gram))) if uses[gram] <= limit
    }
    kept = [frozenset([rank[gram] for gram in found if gram in rank]) for found in sets]
    return [found if len(found) >= line.NEAR_GRAMS else frozenset() for found in kept]


def likely_near_pairs(forms: Sequence[str], template: frozenset[str]) -> Iterator[tuple[int, int]]:
    """What `near_pairs` finds, among the pairs that MinHash names: of many texts nearly as much, in a fraction of the
    time.

    forms     normal forms of sources
    template  trigrams that are not compared
    """
    first: dict[str, int] = {}
    for at, form in enumerate(forms):
        first.setdefault(form, at)
    texts = list(first)
    sets = lru_cache(maxsize=100_000)(lambda at: grams(texts[at]) - template)
    near: dict[int, list[int]] = defaultdict(list)
    for earlier, later in candidate_pairs(texts, hashed(template)):
        one, two = sets(earlier), sets(later)
        alike = min(len(one), len(two)) >= line.NEAR_GRAMS and _near(one, two)
        if alike and _numerals(texts[earlier]) == _numerals(texts[later]):
            near[later].append(first[texts[earlier]])
            near[earlier].append(first[texts[later]])
    numbers = {texts[number]: min(found) for number, found in near.items()}
    for at, form in enumerate(forms):
        if numbers.get(form, at) < at:
            yield numbers[form], at


def _numerals(form: str) -> str:
    return "".join(_NUMERALS.findall(form))


def _near(one: frozenset[T], two: frozenset[T]) -> bool:
    shared = len(one & two)
    return shared >= line.NEAR * (len(one) + len(two) - shared)
