"""Splits examples into train, dev and exam. Whole groups go into one split, whatever the order of the rows.

The default is a hash threshold on the group: an example keeps its split when rows are added, removed or shuffled, and
sizes are approximate. Exact, stratified and tail splits are options; they depend on the rest of the rows, as
`is_stable` says.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from terakoya.codec.text import fold_source
from terakoya.config import SplitConfig
from terakoya.errors import DataError
from terakoya.i18n import _, joined
from terakoya.records import MEMORISED, Example, Split, fingerprint

SplitName = Literal["train", "dev", "exam"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "dev", "exam")
# What authors call the splits in a column of their own.
_COLUMN_WORDS: Mapping[str, SplitName] = {
    "train": "train", "training": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev",
    "exam": "exam", "test": "exam", "eval": "exam",
}  # fmt: skip


def group_of(example: Example) -> str:
    """What must stay in one split: the example's own group, or the folded form of its source.

    example  all turns of a conversation count
    """
    if example.group:
        return example.group
    return fold_source("\n".join([*(turn.content for turn in example.turns), example.source]))


def hash_position(group: str, salt: str = "") -> float:
    """The position of a group in [0, 1): uniform, and the same on every machine.

    group  any text
    salt   another salt, another position
    """
    digest = hashlib.sha256(f"{salt}\x1f{group}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def split_of(group: str, *, salt: str = "", dev: float = 0.1, exam: float = 0.1) -> SplitName:
    """The split of a group by threshold: exam first, then dev, so that a larger dev never changes the exam.

    group  of an example (`group_of`)
    salt   another salt, another split
    dev    share of the dev split
    exam   share of the exam
    """
    position = hash_position(group, salt)
    if position < exam:
        return "exam"
    return "dev" if position < exam + dev else "train"


def is_stable(config: SplitConfig) -> bool:
    """Whether a row keeps its split when other rows come or go.

    config  the config's section `[split]`
    """
    return bool(config.folds) or config.method in ("hash", "column")


def split_examples(
    examples: Iterable[Example],
    config: SplitConfig,
    *,
    split_column: Sequence[str] | None = None,
    memorised: Callable[[Example], bool] | None = None,
) -> Split:
    """Splits examples into train, dev and exam.

    examples      in any order; at least three groups
    config        method, shares, salt, folds
    split_column  for the method "column": the author's word for each row (train, dev, exam, test …)
    memorised     example → whether it is to be in train and, if the method puts it there, in dev or exam too, with
                  the subset "memorised"; None: none is
    Raises DataError where too few groups or no training rows are left, and for words that name no split.
    """
    rows = list(examples)
    count = len(rows)
    if len({group_of(row) for row in rows}) < 3:
        raise DataError(
            _("{count} examples in fewer than 3 groups cannot be split into train, dev and exam", count=count),
            do=_("Bring more examples, or name files of your own with task.dev and task.exam."),
        )
    if config.folds:
        chosen = _by_fold(rows, config)
    elif config.method == "column":
        chosen = _by_column(rows, split_column)
    elif config.method == "tail":
        chosen = _by_tail(rows, config)
    elif config.method == "hash":
        chosen = [split_of(group_of(row), salt=config.salt, dev=config.dev, exam=config.exam) for row in rows]
    else:
        chosen = _by_size(rows, config)
    return _build_split(rows, chosen, config.method, memorised)


def _build_split(
    rows: Sequence[Example], assigned: Sequence[SplitName], method: str, memorised: Callable[[Example], bool] | None
) -> Split:
    members: dict[SplitName, list[Example]] = {name: [] for name in SPLIT_NAMES}
    for row, where in zip(rows, assigned, strict=True):
        if memorised is not None and memorised(row):
            members["train"].append(row)
            if where != "train":
                members[where].append(replace(row, subset=MEMORISED))
        else:
            members[where].append(row)
    if not members["train"]:
        raise DataError(
            _("the split leaves nothing to train on"),
            do=_("Lower split.dev and split.exam."),
        )
    return Split(tuple(members["train"]), tuple(members["dev"]), tuple(members["exam"]), method)


def _by_fold(rows: Sequence[Example], config: SplitConfig) -> list[SplitName]:
    """Fold number `fold` is the exam, the next one dev; membership is by hash, so folds are stable too."""
    fold, folds = config.fold, config.folds
    if folds < 3 or fold >= folds:
        raise DataError(
            _("there is no fold {fold} of {folds}", fold=fold, folds=folds),
            do=_("Set split.folds to 3 or more and split.fold below it."),
        )
    found = [int(hash_position(group_of(row), config.salt) * folds) for row in rows]
    following = (fold + 1) % folds
    return ["exam" if one == fold else "dev" if one == following else "train" for one in found]


def _by_column(rows: Sequence[Example], words: Sequence[str] | None) -> list[SplitName]:
    if words is None:
        raise DataError(
            _("the method 'column' needs a split column"),
            do=_("Name it with task.split."),
        )
    unknown = [(row.row, word) for row, word in zip(rows, words, strict=True) if _word(word) not in _COLUMN_WORDS]
    if unknown:
        shown = joined(", ", (_("row {number}: {word!r}", number=number, word=word) for number, word in unknown[:5]))
        count = len(unknown)
        raise DataError(
            _("{count} rows do not name a split ({shown})", count=count, shown=shown),
            do=_("Write train, dev or exam (test) in the split column."),
        )
    return [_COLUMN_WORDS[_word(word)] for word in words]


def parse_split_name(word: str) -> SplitName:
    """The split that an author's word in a split column means: "test" is the exam, "val" is dev.

    word  in any case
    Raises DataError for a word that names no split.
    """
    if _word(word) not in _COLUMN_WORDS:
        raise DataError(
            _("{word!r} is no name of a split", word=word),
            do=_("Write train, dev or exam (test) in the split column."),
        )
    return _COLUMN_WORDS[_word(word)]


def is_split_name(word: str) -> bool:
    """Whether a `word` of a split column names a split."""
    return _word(word) in _COLUMN_WORDS


def _word(word: str) -> str:
    return word.strip().lower()


def _by_tail(rows: Sequence[Example], config: SplitConfig) -> list[SplitName]:
    """The last rows are the exam, as in the numerals log. It depends on the order of rows: the audit objects."""
    exam, dev = _sizes(len(rows), config)
    cut = len(rows) - exam
    return ["exam" if at >= cut else "dev" if at >= cut - dev else "train" for at in range(len(rows))]


def _by_size(rows: Sequence[Example], config: SplitConfig) -> list[SplitName]:
    """Exact sizes in rows, reached with whole groups in hash order; "stratified" does so in each stratum."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        members[group_of(row)].append(number)
    chosen: list[SplitName] = ["train"] * len(rows)
    for groups in _strata(rows, members, config):
        groups.sort(key=lambda group: fingerprint(config.salt, group))
        exam, dev = _sizes(sum(len(members[group]) for group in groups), config)
        want: dict[SplitName, int] = {"exam": exam, "dev": dev}
        for group in groups:
            for name in want:
                if want[name] >= len(members[group]):
                    want[name] -= len(members[group])
                    for number in members[group]:
                        chosen[number] = name
                    break
    return chosen


def _strata(rows: Sequence[Example], members: Mapping[str, Sequence[int]], config: SplitConfig) -> Iterable[list[str]]:
    """Groups by stratum; one for all unless "stratified". Those too small for a row in each split are pooled."""
    if config.method != "stratified":
        return [list(members)]
    strata: dict[str, list[str]] = defaultdict(list)
    for group, numbers in members.items():
        values = (rows[number].tag(config.stratify) if config.stratify else rows[number].target for number in numbers)
        strata[min(values)].append(group)  # not the first one: the order of rows has no influence
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
            _("{rows} rows cannot give {exam} for the exam and {dev} for dev", rows=rows, exam=exam, dev=dev),
            do=_("Lower split.exam or split.dev."),
        )
    return exam, dev
