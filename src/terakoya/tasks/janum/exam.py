"""The exam in three parts: expressions made of parts, the closed list (recall), and idioms that were never taught."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from importlib import resources
from itertools import cycle
from random import Random

from terakoya.data.split import Side
from terakoya.errors import ConfigError
from terakoya.i18n import both
from terakoya.records import Example, Split
from terakoya.tasks.janum.expressions import FORMS
from terakoya.tasks.janum.idioms import Idiom, taught, unseen
from terakoya.tasks.janum.sampler import Sampler

IDIOMS, UNSEEN = "idioms", "unseen idioms"
_TRAIN_ITEMS, _DEV_ITEMS = 1500, 400
_TRIES = 2000


def parted(sampler: Sampler, items: int, seed: int) -> Split:
    """Train (every idiom twice, then a sample of what is drawn), dev and exam. A run's seed changes none of them."""
    if not sampler.parting.dev or not sampler.parting.exam:
        raise ConfigError(
            both("janum needs expressions for dev and for the exam", "janum には検証と試験の表現が必要である"),
            where="[split]",
            do=both("Set split.dev and split.exam above 0.", "split.dev と split.exam を 0 より大きくすること。"),
        )
    salt, random = sampler.parting.salt, Random(f"janum {seed} train")
    known = [sampler.idiom(random, idiom) for idiom in taught(salt) for _ in range(2)]
    train = {item.source: item for item in (*known, *(sampler.draw(random, 1.0) for _ in range(_TRAIN_ITEMS)))}
    dev = tuple(fresh(sampler, Random(f"janum {seed} dev"), _DEV_ITEMS, "dev"))
    exam = tuple(fresh(sampler, Random(f"janum {seed} exam"), items, "exam"))
    return Split(
        tuple(train.values()), dev, (*exam, *asked(taught(salt), IDIOMS), *asked(unseen(salt), UNSEEN)), "task"
    )


def fresh(sampler: Sampler, random: Random, items: int, where: Side) -> Iterator[Example]:
    """Expressions of one side, each once, form after form; a form that has no more is left out."""
    seen: set[str] = set()
    forms = list(FORMS)
    for form in cycle(FORMS):
        if len(seen) == items:
            return
        if form not in forms:
            continue
        item = next(
            (item for _ in range(_TRIES) if (item := sampler.expression(random, where, form)).source not in seen), None
        )
        if item is None:
            forms.remove(form)
            if not forms:
                raise ConfigError(
                    both(
                        f"there are only {len(seen)} expressions on the {where} side",
                        f"{where} の側の表現は{len(seen)}件しかない",
                    ),
                    do=both("Ask for fewer items.", "問題を減らすこと。"),
                )
            continue
        seen.add(item.source)
        yield item


def asked(idioms: Iterable[Idiom], part: str) -> Iterator[Example]:
    """Each idiom alone, and marked in its own sentence, which is never taught."""
    for idiom in idioms:
        for where, source in (("alone", idiom.text), ("sentence", idiom.marked)):
            tags = (("form", idiom.kind), ("where", where))
            yield Example(source, idiom.value, f"{part}:{idiom.text}", "number-idioms.tsv", idiom.row, (), part, tags)


def log_list() -> tuple[Example, ...]:
    """50 expressions in the order of the numerals log: kind after kind, idioms at the end."""
    text = (resources.files(__package__) / "log-order.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    return tuple(
        Example(row["japanese"], row["arabic"], origin="log-order.tsv", row=at, tags=(("form", row["kind"]),))
        for at, row in enumerate(rows, 2)
    )
