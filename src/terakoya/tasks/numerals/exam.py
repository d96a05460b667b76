"""What a taught model is asked: fresh numbers that it was never taught in any form, recall, and kannume-200.

An exam depends on its own seed and on the split's shares and salt, never on the seed of a run: runs with
different seeds sit the same exam.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from itertools import cycle
from random import Random

from terakoya.data.split import Side
from terakoya.errors import ConfigError, CorruptError
from terakoya.i18n import both
from terakoya.records import Example, Split
from terakoya.tasks.numerals.kinds import MAGNITUDES, always_known, example, number_for
from terakoya.tasks.numerals.reader import read
from terakoya.tasks.numerals.sampler import Sampler
from terakoya.tasks.numerals.spelling import BARE
from terakoya.tasks.numerals.writer import fits

EXAMS = ("fresh", "kannume-200")
KANNUME = "kannume-200"
RECALL = "recall"
_RECALL_ITEMS, _DEV_ITEMS, _TRAIN_ITEMS = 200, 600, 2000
_TRIES = 600  # draws for one cell before it counts as empty (one number in ten falls on a side of a tenth)


def kannume() -> tuple[Example, ...]:
    """200 kanji and daiji numerals in the style of the numerals log, chosen by hand; the oracle agrees with each."""
    text = (resources.files("terakoya.tasks") / "exams" / "kannume-200.csv").read_text(encoding="utf-8")
    return tuple(
        _kannume_row(row["source"], row["target"], at) for at, row in enumerate(csv.DictReader(text.splitlines()), 2)
    )


def _kannume_row(source: str, target: str, row: int) -> Example:
    number = read(source)
    if number is None or str(number) != target:
        raise CorruptError(
            both(f"{source} stands for {number}, not for {target}", f"{source} は {number} であり、{target} ではない"),
            where=both(f"kannume-200.csv, row {row}", f"kannume-200.csv、{row}行目"),
            do=both("Install Terakoya again.", "Terakoya を入れ直すこと。"),
        )
    return example(number, _form_of(source), source, part=KANNUME, origin="kannume-200.csv", row=row)


def _form_of(source: str) -> str:
    """The family of a numeral of the log: bare, kanji, daiji, or both mixed."""
    if any(source in shapes for shapes in BARE.values()):
        return "bare"
    kanji = any(char in "一二三四五六七八九十百千万" for char in source)
    daiji = any(char in "壱壹弐貳参參肆伍陸漆捌玖拾佰仟萬" for char in source)
    return "mixed" if kanji and daiji else "daiji" if daiji else "kanji"


def held_out() -> tuple[frozenset[int], frozenset[str]]:
    """What kannume-200 forbids to teach: its numbers in every form; and, of numbers that are always taught, its
    spellings (the bare units excepted, for a unit alone can only be known)."""
    rows = [(int(row.target), row) for row in kannume()]
    numbers = frozenset(number for number, _ in rows if not always_known(number))
    sources = frozenset(row.source for number, row in rows if always_known(number) and row.tag("form") != "bare")
    return numbers, sources


def parted(sampler: Sampler, which: str, items: int, seed: int) -> Split:
    """Train (a sample of what is drawn while teaching), dev, and the exam of that name."""
    if not sampler.parting.dev or not sampler.parting.exam:
        raise ConfigError(
            both("numerals need numbers for dev and for the exam", "数詞には検証と試験の数が必要である"),
            where="[split]",
            do=both("Set split.dev and split.exam above 0.", "split.dev と split.exam を 0 より大きくすること。"),
        )
    random = Random(f"numerals {seed} train")
    train = tuple(sampler.draw(random, 1.0) for _ in range(_TRAIN_ITEMS))
    dev = tuple(fresh(sampler, Random(f"numerals {seed} dev"), _DEV_ITEMS, "dev"))
    if which == KANNUME:
        exam = tuple(replace(row, part=RECALL if always_known(int(row.target)) else "") for row in kannume())
    else:
        main = fresh(sampler, Random(f"numerals {seed} exam"), items, "exam")
        exam = (*main, *recall(sampler, Random(f"numerals {seed} recall")), *kannume())
    return Split(train, dev, exam)


def fresh(sampler: Sampler, random: Random, items: int, where: Side) -> Iterator[Example]:
    """Numbers of one side, balanced over forms and magnitudes: cell after cell, an empty cell left out."""
    cells = [(form, magnitude) for form in sampler.forms if form != "bare" for magnitude in MAGNITUDES]
    random.shuffle(cells)
    seen: set[str] = set()
    empty: set[tuple[str, int]] = set()
    for cell in cycle(cells):
        if len(seen) >= items:
            return
        if cell in empty:
            continue
        item = _from_cell(sampler, random, *cell, where, seen)
        if item is None:
            empty.add(cell)
            if len(empty) == len(cells):
                raise ConfigError(
                    both(
                        f"there are only {len(seen)} written numbers on the {where} side, not {items}",
                        f"{where} の側の表記は{len(seen)}件しかなく、{items}件に足りない",
                    ),
                    do=both(
                        f"Ask for fewer items, or set split.{where} higher.",
                        f"問題を減らすか、split.{where} を大きくすること。",
                    ),
                )
            continue
        seen.add(item.source)
        yield item


def _from_cell(
    sampler: Sampler, random: Random, form: str, magnitude: int, where: Side, seen: set[str]
) -> Example | None:
    for _ in range(_TRIES):
        number = number_for(form, random, magnitude)
        if not fits(number, form) or sampler.side_of(number) != where or number in sampler.held_out:
            continue
        item = sampler.written(number, form, random)
        if item is not None and item.source not in seen and item.tag("magnitude") == str(magnitude):
            return item
    return None


def recall(sampler: Sampler, random: Random) -> Iterator[Example]:
    """Every bare unit, then numbers that are taught in every form, form after form."""
    items = [example(number, "bare", shape, part=RECALL) for number, shapes in BARE.items() for shape in shapes]
    yield from items if "bare" in sampler.forms else ()
    seen = {item.source for item in items}
    forms = cycle([form for form in sampler.forms if form != "bare"] or ["bare"])
    tries = 0
    while len(seen) < _RECALL_ITEMS and tries < 50 * _RECALL_ITEMS:
        tries += 1
        item = sampler.written(sampler.recall_number(random), next(forms), random, RECALL)
        if item is not None and item.source not in seen:
            seen.add(item.source)
            yield item
