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

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import Fair, Seen, level_by, percent, share, shown
from terakoya.data.split import Side
from terakoya.i18n import both
from terakoya.records import Finding

_NUMERALS = re.compile("[0-9〇零一二三四五六七八九十百千万億兆京壱弐参肆伍陸漆捌玖拾廿卅佰陌阡仟萬]")
_TRIED = 50  # candidates compared for one text; templates would give thousands


@dataclass(frozen=True, slots=True)
class _Text:
    form: str
    side: Side
    origin: str
    row: int


class Near:
    """Keeps a fair sample of each side; short texts are left out, and so are pairs that differ in a number."""

    def __init__(self) -> None:
        self.taught: Fair[_Text] = Fair(line.NEAR_ROWS)
        self.asked: Fair[_Text] = Fair(line.NEAR_ROWS // 4)
        self.rows = self.exam = 0

    def see(self, seen: Seen) -> None:
        self.rows += 1
        self.exam += seen.side == "exam"
        if len(seen.form) >= line.NEAR_LENGTH and seen.example.part != "recall":
            keep = self.taught if seen.side == "train" else self.asked
            if keep.wants(seen.key):
                keep.add(
                    seen.key, _Text(seen.form[: 4 * line.LONG_TEXT], seen.side, seen.example.origin, seen.example.row)
                )

    def findings(self) -> Iterator[Finding]:
        # Exam items come last, so that each is compared with all that is taught.
        texts = [*self.taught.kept(), *self.asked.kept()]
        pairs = list(near_pairs([text.form for text in texts]))
        if not pairs:
            return
        found = [(texts[left], texts[right]) for left, right in pairs]
        leaks = [(one, two) for one, two in found if two.side == "exam" and one.side == "train"]
        if leaks:
            asked = sum(text.side == "exam" for text in self.asked.kept())
            yield _leak(leaks, asked)
        yield self._copies(found, len(texts))

    def _copies(self, pairs: Sequence[tuple[_Text, _Text]], whole: int) -> Finding:
        """Of each pair the row that stands later in its file is the copy."""
        found = [(one, two) if one.row <= two.row else (two, one) for one, two in pairs]
        origins = Counter(two.origin or "?" for _, two in found)
        one, two = found[0]
        by = ", ".join(f"{count} from {origin}" for origin, count in origins.most_common(5))
        by_ja = "、".join(f"{origin} から{count}件" for origin, count in origins.most_common(5))
        return Finding(
            "near-duplicates",
            level_by(len(found), whole, line.NEAR_DUPLICATES),
            both(
                f"{len(found)} of {whole} longer sources ({percent(share(len(found), whole))}) are nearly another one "
                f"({by}): {shown(one.form)} and {shown(two.form)}",
                f"長い入力{whole}件のうち{len(found)}件（{percent(share(len(found), whole))}）が他"
                f"の入力とほぼ同じである（{by_ja}）：{shown(one.form)} と {shown(two.form)}",
            ),
            do=both(
                "Vary the sources, or give near copies one group, so that they stay on one side of the split.",
                "入力に変化をつけるか、ほぼ同じものを一つのグループにして、分割の同じ側に置くこと。",
            ),
            rows=tuple(sorted(two.row for _, two in found if two.row))[: line.ROWS_NAMED],
            values={f"from {origin}": float(count) for origin, count in origins.most_common(20)}
            | {"share": share(len(found), whole)},
        )


def _leak(leaks: Sequence[tuple[_Text, _Text]], asked: int) -> Finding:
    one, two = leaks[0]
    return Finding(
        "near-leak",
        level_by(len(leaks), asked, line.NEAR_LEAKS),
        both(
            f"{len(leaks)} of {asked} longer exam items ({percent(share(len(leaks), asked))}) are nearly a training "
            f"source: {shown(two.form)} is {shown(one.form)}",
            f"試験の長い入力{asked}件のうち{len(leaks)}件（{percent(share(len(leaks), asked))}"
            f"）が学習の入力とほぼ同じである：{shown(two.form)} は {shown(one.form)}",
        ),
        do=both(
            "Give near copies one group (task.group), so that they stay on one side of the split.",
            "ほぼ同じものを一つのグループにして（task.group）、分割の同じ側に置くこと。",
        ),
        where="exam",
        rows=tuple(sorted(two.row for _, two in leaks if two.row))[: line.ROWS_NAMED],
        values={"rows": float(len(leaks)), "share": share(len(leaks), asked)},
    )


def grams(text: str) -> frozenset[str]:
    bare = text.replace(" ", "")
    return frozenset(bare[at : at + 3] for at in range(len(bare) - 2))


def near_pairs(forms: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(earlier, later) for every later text that is nearly an earlier one; one pair each. Equal texts are no pair."""
    sets = _ranked([grams(form) for form in forms])
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


def _ranked(sets: Sequence[frozenset[str]]) -> list[frozenset[int]]:
    """Grams as numbers, the rarest first."""
    uses = Counter(gram for found in sets for gram in found)
    rank = {gram: place for place, gram in enumerate(sorted(uses, key=lambda gram: (uses[gram], gram)))}
    return [frozenset(rank[gram] for gram in found) for found in sets]


def _near(one: frozenset[int], two: frozenset[int]) -> bool:
    shared = len(one & two)
    return shared >= line.NEAR * (len(one) + len(two) - shared)
