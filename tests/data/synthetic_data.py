"""Small data sets with known defects, for tests of data and audit."""

from __future__ import annotations

import csv
from pathlib import Path
from random import Random

from terakoya.codec.choose import choose_codec
from terakoya.config import SplitConfig
from terakoya.data.split import split_examples
from terakoya.records import Example, Split
from terakoya.scoring.metrics import METRICS
from terakoya.task import Task

TASKS = Path(__file__).parent.parent.parent / "src" / "terakoya" / "tasks"

# The twenty most frequent emoji of the emoji log's first data set: 1,000 rows, 2,682 emoji, 296 kinds.
V1 = (
    ("✨", 500), ("📚", 111), ("🎉", 95), ("😅", 86), ("⚽", 73), ("🤔", 72), ("🌞", 65), ("🔬", 59), ("🎵", 55),
    ("🔥", 43), ("💔", 42), ("🏀", 42), ("😄", 38), ("😊", 37), ("😢", 37), ("💭", 32), ("🌍", 29), ("🏆", 28),
    ("😲", 28), ("🎮", 26),
)  # fmt: skip


def words(random: Random, size: int = 10) -> str:
    kana = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ"
    return " ".join("".join(random.choices(kana, k=random.randint(2, 4))) for _ in range(size))


def emoji_v1(seed: int = 0) -> list[Example]:
    """The log's first data set again: its counts to the last one, its sources nonsense."""
    random = Random(seed)
    with (TASKS / "corpus" / "lexicon.tsv").open(encoding="utf-8") as file:
        kinds = [row["emoji"] for row in csv.DictReader(file, delimiter="\t")]
    others = random.sample([kind for kind in kinds if kind not in dict(V1)], 276)
    left = 2682 - sum(count for _, count in V1)
    counts = [1] * len(others)
    while sum(counts) < left:  # a falling tail below the twentieth
        at = min(int(random.paretovariate(0.6)) - 1, len(others) - 1)
        if counts[at] < 25:
            counts[at] += 1
    rows: list[list[str]] = [[] for _ in range(1000)]
    for label, count in [*V1, *zip(others, counts, strict=True)]:
        room = [row for row in rows if len(row) < 5 and label not in row]
        for row in (
            sorted(random.sample(room, len(room)), key=lambda row: bool(row))[:count]
            if count < 112
            else (random.sample(room, count))
        ):
            row.append(label)
    return [Example(words(random), " ".join(row), origin="v1", row=at) for at, row in enumerate(rows, 2)]


def labels_task(rows: list[Example]) -> Task:
    codec = choose_codec("labels", [row.target for row in rows])
    return Task("moods", tuple(rows), codec, {"jaccard": METRICS["jaccard"]})


def text_task(rows: list[Example]) -> Task:
    return Task("text", tuple(rows), choose_codec("text", ()), {"exact": METRICS["exact"]})


def number_task(rows: list[Example]) -> Task:
    return Task("numbers", tuple(rows), choose_codec("number", ()), {"exact": METRICS["exact"]})


def make_split(rows: list[Example], method: str = "hash", **how: object) -> Split:
    return split_examples(rows, SplitConfig.model_validate({"method": method, **how}))
