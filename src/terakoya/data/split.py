"""Whole groups go to one side, whatever the order of the rows.

The default cuts by a hash threshold on the group's fingerprint: an example keeps its side when rows are
added, removed or shuffled, and sizes are approximate. Exact, stratified and tail cuts are options; they
depend on the rest of the rows, and `stable` says so.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from terakoya.config import SplitConfig
from terakoya.errors import DataError
from terakoya.i18n import both, japanese, joined
from terakoya.records import Example, Split, fingerprint
from terakoya.text import source_form

Side = Literal["train", "dev", "exam"]
SIDES: tuple[Side, ...] = ("train", "dev", "exam")
# What authors call the sides in a split column of their own.
_COLUMN_WORDS: Mapping[str, Side] = {
    "train": "train", "training": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev",
    "exam": "exam", "test": "exam", "eval": "exam",
}  # fmt: skip


def group_of(example: Example) -> str:
    """The example's own group, or the normal form of its source (all turns of a conversation counted)."""
    if example.group:
        return example.group
    return source_form("\n".join([*(turn.content for turn in example.turns), example.source]))


def position(group: str, salt: str = "") -> float:
    """Where a group stands in [0, 1): uniform, and the same on every machine."""
    digest = hashlib.sha256(f"{salt}\x1f{group}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def side(group: str, *, salt: str = "", dev: float = 0.1, exam: float = 0.1) -> Side:
    """The side of a group by threshold: exam first, then dev, so that a larger dev never moves the exam."""
    place = position(group, salt)
    if place < exam:
        return "exam"
    return "dev" if place < exam + dev else "train"


def stable(config: SplitConfig) -> bool:
    """Whether a row keeps its side when other rows come or go."""
    return bool(config.folds) or config.method in ("hash", "column")


def split(
    examples: Iterable[Example],
    config: SplitConfig,
    *,
    sides: Sequence[str] | None = None,
    always_taught: Callable[[Example], bool] | None = None,
) -> Split:
    """Part examples into train, dev and exam.

    `sides` is the author's own split column, one word a row, for the method "column". Examples that are
    `always_taught` stand in train and, marked part="recall", in the exam too if the cut puts them there.
    """
    rows = list(examples)
    if len({group_of(row) for row in rows}) < 3:
        raise DataError(
            both(
                f"{len(rows)} examples in fewer than 3 groups cannot be split into train, dev and exam",
                f"{len(rows)}件の例では、グループが 3 に満たないため、学習・検証・試験に分けられない",
            ),
            do=both(
                "Bring more examples, or name files of your own with task.dev and task.exam.",
                "例を増やすか、task.dev と task.exam で自分のファイルを指定すること。",
            ),
        )
    if config.folds:
        chosen = _by_fold(rows, config)
    elif config.method == "column":
        chosen = _by_column(rows, sides)
    elif config.method == "tail":
        chosen = _by_tail(rows, config)
    elif config.method == "hash":
        chosen = [side(group_of(row), salt=config.salt, dev=config.dev, exam=config.exam) for row in rows]
    else:
        chosen = _by_size(rows, config)
    return _parted(rows, chosen, config.method, always_taught)


def _parted(
    rows: Sequence[Example], sides: Sequence[Side], method: str, always_taught: Callable[[Example], bool] | None
) -> Split:
    parts: dict[Side, list[Example]] = {name: [] for name in SIDES}
    for row, where in zip(rows, sides, strict=True):
        if always_taught is not None and always_taught(row):
            parts["train"].append(row)
            if where != "train":
                parts[where].append(replace(row, part="recall"))
        else:
            parts[where].append(row)
    if not parts["train"]:
        raise DataError(
            both("the split leaves nothing to train on", "分割の後に学習する行が残らない"),
            do=both("Lower split.dev and split.exam.", "split.dev と split.exam を小さくすること。"),
        )
    return Split(tuple(parts["train"]), tuple(parts["dev"]), tuple(parts["exam"]), method)


def _by_fold(rows: Sequence[Example], config: SplitConfig) -> list[Side]:
    """Fold number `fold` is the exam, the next one dev; membership is by hash, so folds are stable too."""
    if config.folds < 3 or config.fold >= config.folds:
        raise DataError(
            both(
                f"fold {config.fold} of {config.folds} cannot be cut",
                f"{config.folds}分割の {config.fold} 番は切り出せない",
            ),
            do=both(
                "Set split.folds to 3 or more and split.fold below it.",
                "split.folds を 3 以上、split.fold をそれより小さくすること。",
            ),
        )
    folds = [int(position(group_of(row), config.salt) * config.folds) for row in rows]
    following = (config.fold + 1) % config.folds
    return ["exam" if fold == config.fold else "dev" if fold == following else "train" for fold in folds]


def _by_column(rows: Sequence[Example], sides: Sequence[str] | None) -> list[Side]:
    if sides is None:
        raise DataError(
            both("the method 'column' needs a split column", "方法 'column' には分割の列が必要である"),
            do=both("Name it with task.split.", "task.split で指定すること。"),
        )
    unknown = [(row.row, word) for row, word in zip(rows, sides, strict=True) if _word(word) not in _COLUMN_WORDS]
    if unknown:
        shown = joined(
            ", ", (both(f"row {number}: {word!r}", f"{number}行目：{word!r}") for number, word in unknown[:5])
        )
        raise DataError(
            both(
                f"{len(unknown)} rows name no side ({shown})",
                f"{len(unknown)}行がどの側か示していない（{japanese(shown)}）",
            ),
            do=both(
                "Write train, dev or exam (test) in the split column.",
                "分割の列に train・dev・exam（test）のいずれかを書くこと。",
            ),
        )
    return [_COLUMN_WORDS[_word(word)] for word in sides]


def side_of_word(word: str) -> Side:
    """What an author's word in a split column means. Raises DataError for a word that names no side."""
    if _word(word) not in _COLUMN_WORDS:
        raise DataError(
            both(f"{word!r} names no side", f"{word!r} はどの側も示していない"),
            do=both(
                "Write train, dev or exam (test) in the split column.",
                "分割の列に train・dev・exam（test）のいずれかを書くこと。",
            ),
        )
    return _COLUMN_WORDS[_word(word)]


def _word(word: str) -> str:
    return word.strip().lower()


def _by_tail(rows: Sequence[Example], config: SplitConfig) -> list[Side]:
    """The last rows are the exam, as in the numerals log. It depends on the order of rows: the audit objects."""
    exam, dev = _sizes(len(rows), config)
    cut = len(rows) - exam
    return ["exam" if place >= cut else "dev" if place >= cut - dev else "train" for place in range(len(rows))]


def _by_size(rows: Sequence[Example], config: SplitConfig) -> list[Side]:
    """Exact sizes, counted in rows and filled with whole groups in hash order; "stratified" does so in each stratum."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        members[group_of(row)].append(number)
    chosen: list[Side] = ["train"] * len(rows)
    for groups in _strata(rows, members, config):
        groups.sort(key=lambda group: fingerprint(config.salt, group))
        exam, dev = _sizes(sum(len(members[group]) for group in groups), config)
        want: dict[Side, int] = {"exam": exam, "dev": dev}
        for group in groups:
            for name in want:
                if want[name] >= len(members[group]):
                    want[name] -= len(members[group])
                    for number in members[group]:
                        chosen[number] = name
                    break
    return chosen


def _strata(rows: Sequence[Example], members: Mapping[str, Sequence[int]], config: SplitConfig) -> Iterable[list[str]]:
    """Groups by stratum; one stratum for all unless "stratified". Those too small for a row on each side are one."""
    if config.method != "stratified":
        return [list(members)]
    strata: dict[str, list[str]] = defaultdict(list)
    for group, numbers in members.items():
        values = (rows[number].tag(config.stratify) if config.stratify else rows[number].target for number in numbers)
        strata[min(values)].append(group)  # not the first one: the order of rows has no say
    shares = [share for share in (config.dev, config.exam) if share]
    least = 1 / min(shares) if shares else 0.0
    pooled: dict[str, list[str]] = defaultdict(list)
    for stratum, groups in strata.items():
        small = sum(len(members[group]) for group in groups) < least
        pooled["" if small else f"={stratum}"] += groups
    return pooled.values()


def _sizes(rows: int, config: SplitConfig) -> tuple[int, int]:
    exact = config.method != "stratified"
    exam = config.exam_items if config.exam_items and exact else round(rows * config.exam)
    dev = config.dev_items if config.dev_items and exact else round(rows * config.dev)
    if exam + dev >= rows and exact:
        raise DataError(
            both(
                f"{rows} rows cannot give {exam} for the exam and {dev} for dev",
                f"{rows}行から試験{exam}件と検証{dev}件は取れない",
            ),
            do=both("Lower split.exam or split.dev.", "split.exam か split.dev を小さくすること。"),
        )
    return exam, dev
