"""The task `emoji`: Japanese text → a set of 1 to 5 emoji, trained on our own corpus, evaluated on a hand-written exam.

The training data is the corpus of `tasks/corpus`, labelled offline by a lexicon: skewed as the emoji log's first data
set (one emoji in half of the rows), or balanced as its remedy. The exam `emoji-ja` was written by hand, sentence by
sentence, before anything was trained, and is never in the training set.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from terakoya.codec.labels import LabelsCodec, labels_codec
from terakoya.codec.text import all_emoji, emoji_name, normalise_emoji, normalise_source
from terakoya.config import SplitConfig
from terakoya.data.split import split_examples
from terakoya.generation.sentences import categories, lexicon
from terakoya.i18n import _
from terakoya.records import Example, Split
from terakoya.scoring.metrics import LABEL_METRICS, METRICS, category
from terakoya.task import Task
from terakoya.tasks.emoji.corpus import DATA, keep_top_labels, make_corpus
from terakoya.tasks.options import require_one_of

__all__ = ["task"]

EXAMS = ("emoji-ja", "held-out")
LABELS = ("lexicon", "all", "training")
ANNOTATORS = ("things", "mood")  # whose sets the exam has beside its own, see exams/README.md
_OLDER_NAMES = {"taught": "training"}  # of values of the option `labels`, in configs that users have


def task(
    *,
    data: str = "v2",
    exam: str = "emoji-ja",
    labels: str = "lexicon",
    top: int = 0,
    counted: bool = False,
    samples: int = 0,
    data_seed: int = 0,
    split: SplitConfig | None = None,
) -> Task:
    """The task of choosing emoji for a text.

    data       "v1": 1,000 rows, skewed as in the emoji log; "v2": 5,000 rows, ✨ banned and no label above 1.5%
    exam       "emoji-ja": 408 hand-written sentences; "held-out": a part of the same data, as the log measured
    labels     what may be predicted beside the labels of the training data: emoji of our "lexicon" (one without
               examples can be known by its names), "all" emoji there are, or nothing ("training")
    top        keep only so many of the most frequent labels, and the rows that still have one (0: all)
    counted    the number of emoji is written first (for models that write sequences)
    samples    number of rows (0: the data's own)
    data_seed  another draw of the data; a run's seed changes nothing in it
    split      shares and salt of the split; None is the default
    Raises ConfigError for an unknown option.
    """
    labels = _OLDER_NAMES.get(labels, labels)
    for name, value, known in (("data", data, tuple(DATA)), ("exam", exam, EXAMS), ("labels", labels, LABELS)):
        require_one_of(name, value, known)
    rows = keep_top_labels(make_corpus(data, samples, data_seed), top)
    codec = labels_codec(
        [row.target for row in rows],
        most=5,
        counted=counted,
        extra={"lexicon": lexicon(), "all": all_emoji(), "training": ()}[labels],
    )
    emoji_split = _build_split(rows, exam, split or SplitConfig())
    return Task(
        name="emoji",
        examples=(*emoji_split.train, *emoji_split.dev, *emoji_split.exam),
        codec=codec,
        metrics=MappingProxyType(
            {name: METRICS[name] for name in LABEL_METRICS} | {"category": category(categories())}
        ),
        split=emoji_split,
        instruction="次の文に合う絵文字を1個から5個、空白で区切って答えてください。",
        label_names=MappingProxyType(_names(codec)),
        annotators=MappingProxyType({name: annotator(name) for name in ANNOTATORS} if exam == "emoji-ja" else {}),
        summary=_("Japanese text → the one to five emoji that fit it"),
    )


def _build_split(rows: tuple[Example, ...], exam: str, config: SplitConfig) -> Split:
    if exam == "held-out":
        return split_examples(rows, config)
    items = hand_written_exam()
    # Exam items stay out of the training set, should a sentence ever occur in both.
    held_out = {normalise_source(example.source) for example in items}
    free = tuple(row for row in rows if normalise_source(row.source) not in held_out)
    rest = split_examples(free, config.model_copy(update={"exam": 0.0}))
    return Split((*rest.train, *rest.exam), rest.dev, items, "hand-written exam")


def hand_written_exam() -> tuple[Example, ...]:
    """The 408 sentences of emoji-ja; `accepted` holds every further set that its writer judged fitting."""
    return tuple(
        Example(
            row["source"],
            row["target"],
            origin="emoji-ja",
            row=number,
            accepted=tuple(row["accepted"]),
            tags=(("topic", row["topic"]), ("style", row["style"])),
        )
        for number, row in enumerate(_exam_rows(), 1)
    )


def annotator(name: str) -> Callable[[str], str | None]:
    """The sets of an annotator who did not write the exam: a function from a sentence of emoji-ja to a set.

    name  one of ANNOTATORS
    """

    def annotated(source: str) -> str | None:
        return _annotations(name).get(source)

    return annotated


@cache
def _annotations(name: str) -> dict[str, str]:
    return {row["source"]: row["annotators"][name] for row in _exam_rows()}


@cache
def _exam_rows() -> tuple[dict[str, Any], ...]:
    text = (resources.files("terakoya") / "tasks" / "exams" / "emoji-ja.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines())


def _names(codec: LabelsCodec) -> dict[str, tuple[str, ...]]:
    """Unicode's Japanese name, then the cue words of our lexicon."""
    cues = {normalise_emoji(label) or label: words for label, words in lexicon().items()}
    return {
        label: tuple(dict.fromkeys(name for name in (emoji_name(label), *cues.get(label, ())) if name))
        for label in codec.labels
    }
