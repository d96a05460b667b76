"""The exam: fresh numbers that training never shows in any form, memorised numbers, and kannume-200.

An exam depends on its own seed and on the split's shares and salt, never on the seed of a run: runs with different
seeds are evaluated on the same exam.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from itertools import cycle
from random import Random

from terakoya.data.split import SplitName
from terakoya.errors import ConfigError, CorruptError
from terakoya.i18n import _
from terakoya.records import MEMORISED, Example, Split
from terakoya.tasks.numerals.kinds import MAGNITUDES, example, is_memorised_number, number_for
from terakoya.tasks.numerals.reader import ALIKE, read
from terakoya.tasks.numerals.sampler import NumeralSampler
from terakoya.tasks.numerals.spelling import BARE
from terakoya.tasks.numerals.writer import fits

EXAMS = ("fresh", "kannume-200")
KANNUME = "kannume-200"
_MEMORISED_ITEMS, _DEV_ITEMS, _TRAIN_ITEMS = 200, 600, 2000
_TRIES = 600  # draws for one cell before it counts as empty (one number in ten falls into a split of a tenth)


def kannume_items() -> tuple[Example, ...]:
    """The exam kannume-200: 200 kanji and daiji numerals in the style of the numerals log, chosen by hand.

    Raises CorruptError where the installed file and the oracle disagree.
    """
    text = (resources.files("terakoya.tasks") / "exams" / "kannume-200.csv").read_text(encoding="utf-8")
    return tuple(
        _kannume_row(row["source"], row["target"], at) for at, row in enumerate(csv.DictReader(text.splitlines()), 2)
    )


def _kannume_row(source: str, target: str, row: int) -> Example:
    number = read(source)
    if number is None or str(number) != target:
        raise CorruptError(
            _("{source} stands for {number}, not for {target}", source=source, number=number, target=target),
            where=_("kannume-200.csv, row {row}", row=row),
            do=_("Install Terakoya again."),
        )
    return example(number, _form_of(source), source, subset=KANNUME, origin="kannume-200.csv", row=row)


def _form_of(source: str) -> str:
    """The family of a numeral of the log: bare, kanji, daiji, or both mixed."""
    if any(source in shapes for shapes in BARE.values()):
        return "bare"
    kanji = any(char in "一二三四五六七八九十百千万" for char in source)
    daiji = any(char in "壱壹弐貳参參肆伍陸漆捌玖拾佰仟萬" for char in source)
    return "mixed" if kanji and daiji else "daiji" if daiji else "kanji"


def held_out() -> tuple[frozenset[int], frozenset[str]]:
    """What kannume-200 keeps out of the training set.

    Returns its numbers, which are held out in every form; and, of memorised numbers, its spellings (bare units
    excepted: a unit alone can only be memorised).
    """
    rows = [(int(row.target), row) for row in kannume_items()]
    numbers = frozenset(number for number, _ in rows if not is_memorised_number(number))
    sources = frozenset(row.source for number, row in rows if is_memorised_number(number) and row.tag("form") != "bare")
    return numbers, sources


def build_split(sampler: NumeralSampler, which: str, items: int, seed: int) -> Split:
    """The task's split: train (a sample of what is drawn while training), dev, and the exam of that name.

    sampler  draws numbers of each split
    which    the exam, one of EXAMS
    items    size of the main subset of the exam "fresh"
    seed     of the exam; a run's seed changes none of the splits
    """
    rng = Random(f"numerals {seed} train")
    train = tuple(sampler.draw(rng, 1.0) for _ in range(_TRAIN_ITEMS))
    dev = tuple(draw_fresh(sampler, Random(f"numerals {seed} dev"), _DEV_ITEMS, "dev"))
    if which == KANNUME:
        exam = tuple(
            replace(row, subset=MEMORISED if is_memorised_number(int(row.target)) else "") for row in kannume_items()
        )
    else:
        main = draw_fresh(sampler, Random(f"numerals {seed} exam"), items, "exam")
        exam = (*main, *memorised_items(sampler, Random(f"numerals {seed} recall")), *kannume_items())
    return Split(train, dev, exam)


def draw_fresh(sampler: NumeralSampler, rng: Random, items: int, where: SplitName) -> Iterator[Example]:
    """Distinct written numbers of one split, balanced over forms and magnitudes: cell after cell, empty cells left out.

    sampler  decides the split of a number and writes it
    rng      makes every choice
    items    how many are wanted
    where    the split: "train", "dev" or "exam"
    Raises ConfigError where the split has fewer.
    """
    cells = [(form, magnitude) for form in sampler.forms if form != "bare" for magnitude in MAGNITUDES]
    rng.shuffle(cells)
    seen: set[str] = set()
    empty: set[tuple[str, int]] = set()
    for cell in cycle(cells):
        if len(seen) >= items:
            return
        if cell in empty:
            continue
        item = _from_cell(sampler, rng, *cell, where, seen)
        if item is None:
            empty.add(cell)
            if len(empty) == len(cells):
                count = len(seen)
                raise ConfigError(
                    _(
                        "the {where} split has only {count} written numbers, not {items}",
                        where=where,
                        count=count,
                        items=items,
                    ),
                    do=_("Request fewer items, or set split.{where} higher.", where=where),
                )
            continue
        seen.add(item.source)
        yield item


def _from_cell(
    sampler: NumeralSampler, rng: Random, form: str, magnitude: int, where: SplitName, seen: set[str]
) -> Example | None:
    for _attempt in range(_TRIES):
        number = number_for(form, rng, magnitude)
        if not fits(number, form) or sampler.split_of(number) != where or number in sampler.held_out:
            continue
        item = sampler.write(number, form, rng)
        if item is not None and item.source not in seen and item.tag("magnitude") == str(magnitude):
            return item
    return None


def memorised_items(sampler: NumeralSampler, rng: Random) -> Iterator[Example]:
    """The memorised subset: every bare unit, every character that is a number by itself, then numbers that training
    shows in every form, form after form.

    sampler  draws the numbers and writes them
    rng      makes every choice
    """
    bare = [example(number, "bare", shape, subset=MEMORISED) for number, shapes in BARE.items() for shape in shapes]
    yield from bare if "bare" in sampler.forms else ()
    seen = {item.source for item in bare}
    if "shapes" in sampler.forms:
        alone = dict.fromkeys(char for one, others in ALIKE.items() if not one.isascii() for char in one + others)
        values = [(char, read(char)) for char in alone if char not in seen | sampler.excluded_sources]
        characters = [example(value, "shapes", char, subset=MEMORISED) for char, value in values if value is not None]
        yield from characters
        seen |= {item.source for item in characters}
    forms = cycle([form for form in sampler.forms if form != "bare"] or ["bare"])
    tries = 0
    while len(seen) < _MEMORISED_ITEMS and tries < 50 * _MEMORISED_ITEMS:
        tries += 1
        item = sampler.write(sampler.draw_memorised(rng), next(forms), rng, MEMORISED)
        if item is not None and item.source not in seen:
            seen.add(item.source)
            yield item
