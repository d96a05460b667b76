"""The regime of the numerals log: 160 rows to learn from, 40 to be asked, and nothing drawn beside them.

The rows are ours, made by rule in the style of the log (plain kanji, daiji, both mixed, bare units; short
numbers, some of them skipping places). The log had no dev rows; 40 further rows choose the checkpoint, and a
run that shall not use them sets train.select = "last".
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from terakoya.records import Example, Split
from terakoya.tasks.numerals.kinds import example
from terakoya.tasks.numerals.spelling import BARE
from terakoya.tasks.numerals.writer import write

_TRAIN, _EXAM, _DEV = 160, 40, 40
_FORMS = {"kanji": 45, "daiji": 20, "daiji-old": 5, "mixed": 30}
_BARE_SHARE = 0.04
_SHORT = 0.3  # share of numbers below 1,000


def small_split(seed: int) -> Split:
    """160, 40 and 40 rows of that seed; no number stands on two sides, and the exam is drawn first."""
    random = Random(f"numerals 160 {seed}")
    sides: list[list[Example]] = []
    taken: set[str] = set()
    for size in (_EXAM, _TRAIN, _DEV):
        rows: dict[str, Example] = {}
        while len(rows) < size:
            row = _row(random)
            if row.group not in taken:
                rows.setdefault(row.source, replace(row, row=len(rows) + 1))
        taken |= {row.group for row in rows.values()}
        sides.append(list(rows.values()))
    exam, train, dev = sides
    return Split(tuple(train), tuple(dev), tuple(exam), "160 rows")


def _row(random: Random) -> Example:
    if random.random() < _BARE_SHARE:
        number, form = random.choice(list(BARE)), "bare"
    else:
        number, form = _log_number(random), random.choices(list(_FORMS), list(_FORMS.values()))[0]
    return example(number, form, write(number, form, random))


def _log_number(random: Random) -> int:
    """One to four digits other than 0, close together or far apart, up to hundreds of 億 and seldom 兆."""
    magnitude = random.randrange(3) if random.random() < _SHORT else 3 + int(10 * random.random() ** 1.5)
    places = {magnitude}
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        near = random.random() < 0.7
        places.add(max(0, magnitude - len(places)) if near else random.randrange(magnitude + 1))
    return sum(random.randint(1, 9) * 10**place for place in places)
