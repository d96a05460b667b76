"""Data sets for emoji from our own corpus: the recipes emoji-v1 and emoji-v2 with the offline teacher, in memory.

Every row says where its sentence came from (origin "hand …" or "phrases …", as data/sentences has it), with the
teacher that labelled it: the answers are a program's, not a writer's.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from terakoya.errors import DataError
from terakoya.generation.balance import Feeder, Meter, Rules
from terakoya.generation.recipe import find_recipe
from terakoya.generation.sentences import Sentence, lexicon, mixed
from terakoya.generation.teacher.offline import LexiconTeacher, called_for
from terakoya.generation.teacher.protocol import Ask
from terakoya.i18n import both
from terakoya.records import Example, fingerprint
from terakoya.text import emoji_form, emoji_in


@dataclass(frozen=True)
class Made:
    """How a data set is made: its recipe, number of rows, bans, and the largest share of one label (0: none)."""

    recipe: str
    samples: int
    banned: tuple[str, ...] = ()
    quota: float = 0.0


DATA: Mapping[str, Made] = MappingProxyType(
    {"v1": Made("emoji-v1", 1000), "v2": Made("emoji-v2", 5000, banned=("✨",), quota=0.015)}
)
# The offline teacher waits for nothing; one loop for all its answers, for a loop is dearer than an answer.
_LOOP = cache(asyncio.new_event_loop)
_TRIED = 6  # sentences looked at for every row that is wanted, before the data counts as exhausted


@cache
def made(data: str, samples: int = 0, seed: int = 0) -> tuple[Example, ...]:
    """The rows of a data set; the same name, size and seed give the same rows. Raises DataError where quotas leave
    no row to be found."""
    how = DATA[data]
    wanted = samples or how.samples
    recipe = find_recipe(how.recipe, Path())
    allowed = frozenset(emoji_form(one) or one for one in lexicon()) if recipe.labels == "lexicon" else frozenset()
    meter = Meter(Rules(wanted, frozenset(how.banned), allowed, how.quota))
    teacher = LexiconTeacher(recipe, how.banned, allowed)
    rows: dict[str, Example] = {}
    for tried, (sentence, source, labels) in enumerate(_answers(teacher, recipe.steps[-1].name, meter, seed)):
        if source not in rows and labels and not meter.objection(labels) and not meter.over_quota(labels):
            meter.add(labels)
            origin = f"{sentence.origin}, labelled by the lexicon"
            rows[source] = Example(source, " ".join(labels), group=sentence.group, origin=origin)
        if meter.done:
            return tuple(rows.values())
        if tried > _TRIED * wanted:
            break
    raise DataError(
        both(
            f"only {len(rows)} of {wanted} rows can be made within the quota",
            f"上限の中で作れるのは{wanted}行のうち{len(rows)}行だけである",
        ),
        where=f"task emoji, data {data}",
        do=both("Ask for fewer samples.", "件数を減らすこと。"),
    )


def _answers(teacher: LexiconTeacher, last: str, meter: Meter, seed: int) -> Iterator[tuple[Sentence, str, list[str]]]:
    """Sentence after sentence, rewritten as a post and answered."""
    for sentence in Feeder(mixed(seed), meter, lambda one: called_for(one.text)):
        post = _asked(teacher, "rewrite", sentence, sentence.text, seed)
        found = emoji_in(_asked(teacher, last, sentence, sentence.text, seed)) or []
        yield sentence, post, list(dict.fromkeys(found))


def _asked(teacher: LexiconTeacher, step: str, sentence: Sentence, text: str, seed: int) -> str:
    ask = Ask(step, fingerprint(sentence.text), text, (), "lexicon", 0, 0.0, seed)
    return str(json.loads(_LOOP().run_until_complete(teacher.send(ask)).body)["choices"][0]["message"]["content"])


def top_only(rows: tuple[Example, ...], top: int) -> tuple[Example, ...]:
    """Rows with the so many most frequent labels only, as the log's filter did; rows that lose all of theirs go."""
    if not top:
        return rows
    counts = Counter(label for row in rows for label in row.target.split())
    kept = {label for label, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]}
    cut = [(row, " ".join(label for label in row.target.split() if label in kept)) for row in rows]
    return tuple(Example(row.source, target, group=row.group, origin=row.origin) for row, target in cut if target)
