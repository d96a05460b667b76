"""The exam in three subsets: composed expressions, the memorised closed list, and idioms that training never shows."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import resources
from itertools import cycle
from random import Random

from terakoya.data.split import SplitName
from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.records import Example, Split
from terakoya.tasks.janum.expressions import FORMS
from terakoya.tasks.janum.idioms import Idiom, training_idioms, unseen_idioms
from terakoya.tasks.janum.sampler import ExpressionSampler

IDIOMS, UNSEEN = "idioms", "unseen idioms"
_TRAIN_ITEMS, _DEV_ITEMS = 1500, 400
_TRIES = 2000
# Items of one expression (alone and in sentences) in dev or exam. Without a cap the form that has few expressions
# has one of them 60 times among 900 items.
MOST_OF_A_GROUP = 10


def build_split(sampler: ExpressionSampler, items: int, seed: int) -> Split:
    """The task's split: train (every idiom twice, then a sample of what is drawn), dev and exam.

    sampler  draws expressions of each split
    items    composed expressions in the main subset of the exam
    seed     of the exam; a run's seed changes none of the splits
    """
    salt, rng = sampler.split_config.salt, Random(f"janum {seed} train")
    known = [sampler.idiom(rng, idiom) for idiom in training_idioms(salt) for _ in range(2)]
    train = {item.source: item for item in (*known, *(sampler.draw(rng, 1.0) for _ in range(_TRAIN_ITEMS)))}
    dev = tuple(draw_fresh(sampler, Random(f"janum {seed} dev"), _DEV_ITEMS, "dev"))
    exam = tuple(draw_fresh(sampler, Random(f"janum {seed} exam"), items, "exam"))
    return Split(
        tuple(train.values()),
        dev,
        (*exam, *idiom_items(training_idioms(salt), IDIOMS), *idiom_items(unseen_idioms(salt), UNSEEN)),
        "task",
    )


def draw_fresh(sampler: ExpressionSampler, rng: Random, items: int, where: SplitName) -> Iterator[Example]:
    """Distinct expressions of one split, form after form; a form that has no more is left out.

    sampler  draws them
    rng      makes every choice
    items    how many are wanted
    where    the split: "train", "dev" or "exam"
    Raises ConfigError where the split has fewer.
    """
    seen: set[str] = set()
    drawn: Counter[str] = Counter()
    forms = list(FORMS)

    def is_fresh(item: Example) -> bool:
        return item.source not in seen and drawn[item.group] < MOST_OF_A_GROUP

    for form in cycle(FORMS):
        if len(seen) == items:
            return
        if form not in forms:
            continue
        item = next((item for _ in range(_TRIES) if is_fresh(item := sampler.expression(rng, where, form))), None)
        if item is None:
            forms.remove(form)
            if not forms:
                count = len(seen)
                raise ConfigError(
                    _("the {where} split has only {count} expressions", where=where, count=count),
                    do=_("Request fewer items."),
                )
            continue
        seen.add(item.source)
        drawn[item.group] += 1
        yield item


def idiom_items(idioms: Iterable[Idiom], subset: str) -> Iterator[Example]:
    """Exam items: each idiom alone, and marked in its own sentence, which is never in the training set.

    idioms  of the lexicon
    subset  of the exam that the items belong to
    """
    for idiom in idioms:
        for where, source in (("alone", idiom.text), ("sentence", idiom.marked)):
            tags = (("form", idiom.kind), ("where", where))
            yield Example(
                source, idiom.value, f"{subset}:{idiom.text}", "number-idioms.tsv", idiom.row, (), subset, tags
            )


def log_list() -> tuple[Example, ...]:
    """50 expressions in the order of the numerals log: kind after kind, idioms at the end."""
    text = (resources.files(__package__) / "log-order.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    return tuple(
        Example(row["japanese"], row["arabic"], origin="log-order.tsv", row=at, tags=(("form", row["kind"]),))
        for at, row in enumerate(rows, 2)
    )
