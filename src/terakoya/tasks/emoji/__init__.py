"""The task `emoji`: Japanese text → a set of 1 to 5 emoji, learnt from our own corpus, asked on a hand-written exam.

The training data is the corpus of `tasks/corpus`, labelled offline by a lexicon: skewed as the emoji log's first data
set (one emoji in half of the rows), or balanced as its cure. The exam `emoji-ja` was written by hand, sentence by
sentence, before anything was trained, and is never taught.
"""

from __future__ import annotations

import json
from importlib import resources
from types import MappingProxyType

from terakoya.codec.labels import LabelsCodec, labels_codec
from terakoya.config import SplitConfig
from terakoya.data.split import split as part
from terakoya.errors import ConfigError, nearest
from terakoya.generation.sentences import categories, lexicon
from terakoya.i18n import both
from terakoya.records import Example, Split
from terakoya.scoring.metrics import METRICS, category
from terakoya.task import Task
from terakoya.tasks.emoji.corpus import DATA, made, top_only
from terakoya.text import all_emoji, emoji_form, emoji_name, source_form

__all__ = ["task"]

EXAMS = ("emoji-ja", "held-out")
LABELS = ("lexicon", "all", "taught")


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
    """Emoji to be taught.

    data       "v1": 1,000 rows, skewed as in the emoji log; "v2": 5,000 rows, ✨ banned and no label above 1.5%
    exam       "emoji-ja": 408 sentences by hand; "held-out": a part of the same data, as the log measured
    labels     what may be answered beside what is taught: emoji of our "lexicon" (one never taught can be known by its
               names), "all" emoji there are, or nothing ("taught")
    top        keep only the so many most frequent labels, and the rows that still have one (0: all)
    counted    the number of emoji is written first (for models that write sequences)
    samples    other than the data's own number of rows (0)
    data_seed  another draw of the data; a run's seed changes nothing in it
    """
    for name, value, known in (("data", data, tuple(DATA)), ("exam", exam, EXAMS), ("labels", labels, LABELS)):
        if value not in known:
            raise ConfigError(
                both(f"'{name}' cannot be '{value}'", f"'{name}' を '{value}' にはできない"),
                where="[task.options]",
                do=nearest(value, known),
            )
    rows = top_only(made(data, samples, data_seed), top)
    codec = labels_codec(
        [row.target for row in rows],
        most=5,
        counted=counted,
        extra={"lexicon": lexicon(), "all": all_emoji(), "taught": ()}[labels],
    )
    parted = _parted(rows, exam, split or SplitConfig())
    return Task(
        name="emoji",
        examples=(*parted.train, *parted.dev, *parted.exam),
        codec=codec,
        metrics=MappingProxyType(
            {name: METRICS[name] for name in ("jaccard", "precision", "recall", "f1", "set_exact")}
            | {"category": category(categories())}
        ),
        split=parted,
        instruction="次の文に合う絵文字を1個から5個、空白で区切って答えてください。",
        label_names=MappingProxyType(_names(codec)),
        teaches="Japanese text → the one to five emoji that fit it",
    )


def _parted(rows: tuple[Example, ...], exam: str, how: SplitConfig) -> Split:
    if exam == "held-out":
        return part(rows, how)
    asked = hand_written_exam()
    # What the exam asks is not taught, should a sentence ever stand in both.
    held = {source_form(example.source) for example in asked}
    free = tuple(row for row in rows if source_form(row.source) not in held)
    parted = part(free, how.model_copy(update={"exam": 0.0}))
    return Split((*parted.train, *parted.exam), parted.dev, asked, "hand-written exam")


def hand_written_exam() -> tuple[Example, ...]:
    """The 408 sentences of emoji-ja, with every set that was judged fitting."""
    text = (resources.files("terakoya") / "tasks" / "exams" / "emoji-ja.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return tuple(
        Example(
            row["source"],
            row["target"],
            origin="emoji-ja",
            row=number,
            accepted=tuple(row["accepted"]),
            tags=(("topic", row["topic"]), ("style", row["style"])),
        )
        for number, row in enumerate(rows, 1)
    )


def _names(codec: LabelsCodec) -> dict[str, tuple[str, ...]]:
    """Unicode's Japanese name, then the cue words of our lexicon."""
    cues = {emoji_form(label) or label: words for label, words in lexicon().items()}
    return {
        label: tuple(dict.fromkeys(name for name in (emoji_name(label), *cues.get(label, ())) if name))
        for label in codec.labels
    }
