"""What a taught model is asked: fresh lines whose quantities and names were never taught, and 234 lines by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from itertools import islice
from random import Random

from terakoya.data.split import Side
from terakoya.errors import ConfigError
from terakoya.i18n import both
from terakoya.records import Example, Split
from terakoya.tasks.quantities.sampler import Sampler
from terakoya.tasks.quantities.words import alphabet

HAND = "hand-written"
_TRAIN_ITEMS, _DEV_ITEMS = 2000, 400
_SLICE = 6  # characters of a name that covers the alphabet


def hand_written() -> tuple[Example, ...]:
    """The 234 lines of recipe-lines.jsonl; never taught, no example is taken from them."""
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
        part=HAND,
        tags=(("kind", str(row["kind"])),),
    )


def parted(sampler: Sampler, items: int, seed: int) -> Split:
    """Train (every character once, then a sample of what is drawn), dev and exam. A run's seed changes none of them."""
    if not sampler.parting.dev or not sampler.parting.exam:
        raise ConfigError(
            both("quantities need lines for dev and for the exam", "分量には検証と試験の行が必要である"),
            where="[split]",
            do=both("Set split.dev and split.exam above 0.", "split.dev と split.exam を 0 より大きくすること。"),
        )
    covering = list(_covering(Random(f"quantities {seed} alphabet"), sampler))
    train = (*covering, *_fresh(sampler, Random(f"quantities {seed} train"), _TRAIN_ITEMS, "train"))
    dev = _fresh(sampler, Random(f"quantities {seed} dev"), _DEV_ITEMS, "dev")
    exam = _fresh(sampler, Random(f"quantities {seed} exam"), items, "exam")
    return Split(train, dev, (*exam, *hand_written()), "task")


def _covering(random: Random, sampler: Sampler) -> Iterator[Example]:
    """A model is made for the characters that it is shown; these names show every one that can be drawn."""
    characters = random.sample(alphabet(), len(alphabet()))
    for at in range(0, len(characters), _SLICE):
        name = "".join(characters[at : at + _SLICE])
        yield sampler.question(random, "train", name)


def _fresh(sampler: Sampler, random: Random, items: int, where: Side) -> tuple[Example, ...]:
    """So many questions of that side, each once."""
    drawn = iter(lambda: sampler.question(random, where), None)
    seen: set[str] = set()
    new = (one for one in drawn if one.source not in seen and not seen.add(one.source))  # type: ignore[func-returns-value]
    return tuple(islice(new, items))
