"""Data sets for emoji from our own corpus: the recipes emoji-v1 and emoji-v2 with the offline teacher, in memory.

Every row says where its sentence came from (origin "hand …" or "phrases …", as in generation/sentences), with the
teacher that labelled it: the labels are a program's, not a writer's.
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

from terakoya.codec.text import normalise_emoji, parse_emoji
from terakoya.errors import DataError
from terakoya.generation.balance import BalanceRules, LabelCounter, SourceSelector
from terakoya.generation.recipe import find_recipe
from terakoya.generation.sentences import Sentence, corpus_sentences, lexicon
from terakoya.generation.teacher.offline import LexiconTeacher, cued_emoji
from terakoya.generation.teacher.protocol import TeacherRequest
from terakoya.i18n import _
from terakoya.records import Example, fingerprint


@dataclass(frozen=True)
class CorpusSpec:
    """How a data set is made.

    recipe   name of the generation recipe
    samples  number of rows
    banned   labels that no row may have
    quota    the largest share of one label; 0 is none
    """

    recipe: str
    samples: int
    banned: tuple[str, ...] = ()
    quota: float = 0.0


DATA: Mapping[str, CorpusSpec] = MappingProxyType(
    {"v1": CorpusSpec("emoji-v1", 1000), "v2": CorpusSpec("emoji-v2", 5000, banned=("✨",), quota=0.015)}
)
# The offline teacher waits for nothing. One event loop serves all requests: making one costs more than a response.
_LOOP = cache(asyncio.new_event_loop)
_TRIED = 6  # sentences looked at for every row that is wanted, before the data counts as exhausted


@cache
def make_corpus(data: str, samples: int = 0, seed: int = 0) -> tuple[Example, ...]:
    """The rows of a data set; the same arguments give the same rows.

    data     a name in DATA
    samples  number of rows; 0 is the data set's own
    seed     another seed, another draw
    Raises DataError where quotas leave too few rows.
    """
    spec = DATA[data]
    wanted = samples or spec.samples
    recipe = find_recipe(spec.recipe, Path())
    allowed = frozenset(normalise_emoji(one) or one for one in lexicon()) if recipe.labels == "lexicon" else frozenset()
    meter = LabelCounter(BalanceRules(wanted, frozenset(spec.banned), allowed, spec.quota))
    teacher = LexiconTeacher(recipe, spec.banned, allowed)
    rows: dict[str, Example] = {}
    for tried, (sentence, source, labels) in enumerate(
        _labelled_sentences(teacher, recipe.steps[-1].name, meter, seed)
    ):
        if source not in rows and labels and not meter.rule_violation(labels) and not meter.over_quota(labels):
            meter.add(labels)
            origin = f"{sentence.origin}, labelled by the lexicon"
            rows[source] = Example(source, " ".join(labels), group=sentence.group, origin=origin)
        if meter.done:
            return tuple(rows.values())
        if tried > _TRIED * wanted:
            break
    count = len(rows)
    raise DataError(
        _("only {count} of {wanted} rows can be made within the quota", count=count, wanted=wanted),
        where=f"task emoji, data {data}",
        do=_("Request fewer samples."),
    )


def _labelled_sentences(
    teacher: LexiconTeacher, last: str, meter: LabelCounter, seed: int
) -> Iterator[tuple[Sentence, str, list[str]]]:
    """Sentence after sentence, rewritten as a post and labelled by the teacher."""
    for sentence in SourceSelector(corpus_sentences(seed), meter, lambda one: cued_emoji(one.text)):
        post = _response(teacher, "rewrite", sentence, sentence.text, seed)
        found = parse_emoji(_response(teacher, last, sentence, sentence.text, seed)) or []
        yield sentence, post, list(dict.fromkeys(found))


def _response(teacher: LexiconTeacher, step: str, sentence: Sentence, text: str, seed: int) -> str:
    request = TeacherRequest(step, fingerprint(sentence.text), text, (), "lexicon", 0, 0.0, seed)
    return str(json.loads(_LOOP().run_until_complete(teacher.send(request)).body)["choices"][0]["message"]["content"])


def keep_top_labels(rows: tuple[Example, ...], top: int) -> tuple[Example, ...]:
    """Rows with the most frequent labels only, as the log's filter did; rows that lose all of their labels are dropped.

    rows  with labels separated by spaces as targets
    top   how many labels are kept; 0 is all
    """
    if not top:
        return rows
    counts = Counter(label for row in rows for label in row.target.split())
    kept = {label for label, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]}
    cut = [(row, " ".join(label for label in row.target.split() if label in kept)) for row in rows]
    return tuple(Example(row.source, target, group=row.group, origin=row.origin) for row, target in cut if target)
