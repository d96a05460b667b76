"""The exam: fresh lines whose quantities and names training never shows, and 234 hand-written lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from itertools import islice
from random import Random

from terakoya.codec.recipe_numbers import VULGAR
from terakoya.data.split import SplitName
from terakoya.records import Example, Split
from terakoya.tasks.quantities.sampler import RecipeLineSampler
from terakoya.tasks.quantities.words import alphabet, is_like_an_amount

HAND = "hand-written"
_TRAIN_ITEMS, _DEV_ITEMS = 2000, 400
_SLICE = 6  # characters of a name that covers the alphabet


def hand_written() -> tuple[Example, ...]:
    """The 234 lines of recipe-lines.jsonl, none of which is ever in the training set."""
    text = (resources.files("terakoya.tasks") / "exams" / "recipe-lines.jsonl").read_text(encoding="utf-8")
    return tuple(_hand_row(json.loads(line), at) for at, line in enumerate(text.splitlines(), 1))


def _hand_row(row: dict[str, object], at: int) -> Example:
    accepted = row["accepted"]
    assert isinstance(accepted, list)
    return Example(
        str(row["source"]),
        str(row["target"]),
        origin="recipe-lines.jsonl",
        row=at,
        accepted=tuple(map(str, accepted)),
        subset=HAND,
        tags=(("kind", str(row["kind"])),),
    )


def build_split(sampler: RecipeLineSampler, items: int, seed: int) -> Split:
    """The task's split: train (every character once, then a sample of what is drawn), dev and exam.

    sampler  draws lines of each split
    items    fresh lines in the main subset of the exam
    seed     of the exam; a run's seed changes none of the splits
    """
    covering = list(_covering(Random(f"quantities {seed} alphabet"), sampler))
    train = (*covering, *_fresh(sampler, Random(f"quantities {seed} train"), _TRAIN_ITEMS, "train"))
    dev = _fresh(sampler, Random(f"quantities {seed} dev"), _DEV_ITEMS, "dev")
    exam = _fresh(sampler, Random(f"quantities {seed} exam"), items, "exam")
    return Split(train, dev, (*exam, *hand_written()), "task")


def _covering(rng: Random, sampler: RecipeLineSampler) -> Iterator[Example]:
    """The vocabulary is made of the characters in train; these lines hold every character that can be drawn."""
    yield from (sampler.one_amount(rng, sign) for sign in (*VULGAR, "半"))
    characters = [char for char in alphabet() if not char.isascii() or not char.isdigit()]
    characters = [char for char in characters if char not in VULGAR and char != "半"]
    rng.shuffle(characters)
    for at in range(0, len(characters), _SLICE):
        name = [*characters[at : at + _SLICE], "ん"]
        while is_like_an_amount("".join(name)):
            rng.shuffle(name)
        yield sampler.query(rng, "train", "".join(name))


def _fresh(sampler: RecipeLineSampler, rng: Random, items: int, where: SplitName) -> tuple[Example, ...]:
    """Distinct lines of that split."""
    drawn = iter(lambda: sampler.query(rng, where), None)
    seen: set[str] = set()
    new = (one for one in drawn if one.source not in seen and not seen.add(one.source))  # type: ignore[func-returns-value]
    return tuple(islice(new, items))
