"""Near copies, by the characters they share.

Jaccard similarity of the sets of character trigrams, found exactly by prefix filtering (Bayardo, Ma and Srikant,
WWW 2007): two sets that share enough must share one of their rarest grams, so only those are looked up.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from terakoya.codec.text import fold_source
from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import AuditRow, HashSample, format_percent, level_by, share, shorten
from terakoya.data.split import SPLIT_NAMES, SplitName
from terakoya.i18n import _, joined
from terakoya.records import MEMORISED, Finding

if TYPE_CHECKING:
    from terakoya.data.audit.row_blocks import RowBlock

_NUMERALS = re.compile("[0-9〇零一二三四五六七八九十百千万億兆京壱弐参肆伍陸漆捌玖拾廿卅佰陌阡仟萬]")
_TRIED = 50  # candidates compared for one text; templates would give thousands


@dataclass(frozen=True, slots=True)
class _ComparedText:
    form: str
    split: SplitName
    origin: str
    row: int


class NearDuplicates:
    """Compares a sample of each split; short texts are left out, and so are pairs that differ in a number."""

    def __init__(self) -> None:
        self.train_sample: HashSample[_ComparedText] = HashSample(line.NEAR_ROWS)
        self.exam_sample: HashSample[_ComparedText] = HashSample(line.NEAR_ROWS // 4)

    def add(self, row: AuditRow) -> None:
        """Offers the row to the sample of its split.

        row  in the order of the file
        """
        if len(row.form) >= line.NEAR_LENGTH and row.example.subset != MEMORISED:
            keep = self.train_sample if row.split == "train" else self.exam_sample
            if keep.wants(row.key):
                form = _with_source_first(row)
                keep.add(
                    row.key, _ComparedText(form[: 4 * line.LONG_TEXT], row.split, row.example.origin, row.example.row)
                )

    def add_block(self, block: RowBlock) -> None:
        """Offers the rows of `block` that a sample would keep."""
        long = block.form_sizes >= line.NEAR_LENGTH
        train = block.splits == SPLIT_NAMES.index("train")
        kept = self.train_sample.choose(block.keys, long & train) | self.exam_sample.choose(block.keys, long & ~train)
        for row in block.rows(kept):
            self.add(row)

    def findings(self) -> Iterator[Finding]:
        # Exam items come last, so that each is compared with the whole of train.
        """Findings on near leaks and near copies."""
        texts = [*self.train_sample.kept(), *self.exam_sample.kept()]
        pairs = list(near_pairs([text.form for text in texts]))
        if not pairs:
            return
        found = [(texts[left], texts[right]) for left, right in pairs]
        leaks = [(one, two) for one, two in found if two.split == "exam" and one.split == "train"]
        if leaks:
            items = sum(text.split == "exam" for text in self.exam_sample.kept())
            yield _leak(leaks, items)
        yield self._copies(found, len(texts))

    def _copies(self, pairs: Sequence[tuple[_ComparedText, _ComparedText]], whole: int) -> Finding:
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
                "{count} of {whole} longer sources ({percent}) are nearly another one ({by}): {copy} and {original}",
                count=count,
                whole=whole,
                percent=percent,
                by=by,
                copy=copy,
                original=original,
            ),
            do=_("Vary the sources, or give near copies one group, so that they stay in one split."),
            rows=tuple(sorted(two.row for _, two in found if two.row))[: line.ROWS_NAMED],
            values={f"from {origin}": float(count) for origin, count in origins.most_common(20)}
            | {"share": share(len(found), whole)},
        )


def _with_source_first(row: AuditRow) -> str:
    """The folded form, the source before the turns that led to it: a long system prompt must not push it out."""
    if not row.example.turns:
        return row.form
    turns = [turn.content for turn in row.example.turns if turn.role != "system"]
    return fold_source("\n".join([row.example.source, *reversed(turns)]))


def _leak(leaks: Sequence[tuple[_ComparedText, _ComparedText]], items: int) -> Finding:
    source, item = (shorten(text.form) for text in leaks[0])
    count, part = len(leaks), share(len(leaks), items)
    percent = format_percent(part)
    return Finding(
        "near-leak",
        level_by(count, items, line.NEAR_LEAKS),
        _(
            "{count} of {items} longer exam items ({percent}) are nearly a training source: {item} is {source}",
            count=count,
            items=items,
            percent=percent,
            item=item,
            source=source,
        ),
        do=_("Give near copies one group (task.group), so that they stay in one split."),
        where="exam",
        rows=tuple(sorted(two.row for _, two in leaks if two.row))[: line.ROWS_NAMED],
        values={"rows": float(count), "share": part},
    )


def grams(text: str) -> frozenset[str]:
    """The set of character trigrams of a text, spaces left out.

    text  normal form of a source
    """
    bare = text.replace(" ", "")
    return frozenset(bare[at : at + 3] for at in range(len(bare) - 2))


def near_pairs(forms: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(earlier, later) indices for every later text that is nearly an earlier one; one pair each. Equal texts are no
    pair.

    forms  normal forms of sources
    """
    sets = _ranked([grams(form) for form in forms], line.TEMPLATE_SHARE)
    numbers = ["".join(_NUMERALS.findall(form)) for form in forms]
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
    uses: Counter[str] = Counter()
    for found in sets:
        uses.update(found)
    limit = max(line.TEMPLATE_ROWS, most * len(sets))
    rank = {
        gram: at for at, gram in enumerate(sorted(uses, key=lambda gram: (uses[gram], gram))) if uses[gram] <= limit
    }
    kept = [frozenset([rank[gram] for gram in found if gram in rank]) for found in sets]
    return [found if len(found) >= line.NEAR_GRAMS else frozenset() for found in kept]


def _near(one: frozenset[int], two: frozenset[int]) -> bool:
    shared = len(one & two)
    return shared >= line.NEAR * (len(one) + len(two) - shared)
