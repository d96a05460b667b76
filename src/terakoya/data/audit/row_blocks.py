"""Many rows of a large table at once, as checks read them: columns instead of rows, each distinct target once.

A check sorts the rows of a block into those of which nothing is to be said, which it only counts, and the others, which
it looks at one by one as in a small table. What it says is therefore the same; only what it need not look at is found
by patterns that cover more than its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from terakoya.config import SplitConfig, TaskConfig
from terakoya.data.audit.folding import fold_many
from terakoya.data.audit.known_targets import KnownTargets, TargetFacts
from terakoya.data.audit.single_pass import AuditContext, AuditRow, Check, hash64, make_canonical
from terakoya.data.formats.block_reader import read_blocks
from terakoya.data.formats.blocks import NotPlain, TextBlock
from terakoya.data.formats.many_files import ROWS_PER_FILE, TableFile, checked_files, place_of
from terakoya.data.split import SPLIT_NAMES, parse_split_name
from terakoya.data.table import list_labels
from terakoya.errors import TerakoyaError, need
from terakoya.records import Example

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[Any]]

_KEPT = 400_000  # distinct targets that are remembered: at most about 250 MiB
_CHARACTERS = 20_000_000  # of them together: long texts seldom occur twice


@dataclass
class RowBlock:
    """Consecutive rows of a table.

    start    place of the first row, counted from 0
    lines    line of each row
    sources  polars column of texts
    forms    polars column of their folded forms
    keys     64 bits that stand for each form
    raws     64 bits that stand for each source
    splits   index into SPLIT_NAMES of each row
    targets  all distinct targets so far
    numbers  of each row's target among `targets`
    cells    polars column of the targets as they stand in the table
    origins  each row's origin: a column, or one text for all
    groups   each row's group, None where the table has none
    suspect  for each row whether its source may hold one of the patterns that checks look for
    """

    start: int
    lines: Numbers
    sources: Any
    forms: Any
    keys: Numbers
    raws: Numbers
    splits: Numbers
    targets: KnownTargets
    numbers: Numbers
    cells: Any
    origins: Any
    groups: Any | None
    suspect: Numbers
    _rows: dict[int, AuditRow] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    @cached_property
    def source_sizes(self) -> Numbers:
        """Characters of each source."""
        sizes: Numbers = self.sources.str.len_chars().to_numpy()
        return sizes

    @cached_property
    def form_sizes(self) -> Numbers:
        """Characters of each folded form."""
        sizes: Numbers = self.forms.str.len_chars().to_numpy()
        return sizes

    def values(self, name: str, find: Callable[[TargetFacts], int]) -> Numbers:
        """For each row what `find` says about its target, a whole number; called once for each distinct one.

        name  tells apart what is found
        find  from the facts of a target
        """
        return self.targets.table(name, find)[self.numbers]

    def of_targets(self, name: str, test: Callable[[TargetFacts], bool]) -> Numbers:
        """For each row whether `test` holds for its target; called once for each distinct one.

        name  tells apart what is tested
        test  of the facts of a target
        """
        found: Numbers = self.values(name, test) != 0
        return found

    def sources_with(self, pattern: str) -> Numbers:
        """For each row whether its source holds `pattern`, one of those that `suspect` covers."""
        import numpy as np

        found = np.zeros(len(self), dtype=bool)
        at = np.flatnonzero(self.suspect)
        if len(at):
            found[at] = self.sources.gather(at).str.contains(pattern).to_numpy()
        return found

    def sampled(self, mask: int) -> Numbers:
        """For each row whether a sample by hash with this `mask` would keep it."""
        import numpy as np

        found: Numbers = (self.keys & np.uint64(mask)) == 0
        return found

    def row(self, at: int) -> AuditRow:
        """The row at this index as it would be read alone.

        at  index in the block
        """
        self._build([at])
        return self._rows[at]

    def rows(self, chosen: Numbers | None = None) -> Iterator[AuditRow]:
        """Rows in their order.

        chosen  for each row whether it is meant; None: all
        """
        import numpy as np

        wanted = list(range(len(self))) if chosen is None else np.flatnonzero(chosen).tolist()
        for begin in range(0, len(wanted), 10_000):
            some = wanted[begin : begin + 10_000]
            self._build(some)
            yield from (self._rows[at] for at in some)

    def _build(self, wanted: Sequence[int]) -> None:
        """Make the rows at these indices, all at once: single cells of a column are slow to take."""
        new = [at for at in wanted if at not in self._rows]
        if not new:
            return
        sources, forms = self.sources.gather(new).to_list(), self.forms.gather(new).to_list()
        groups = self.groups.gather(new).to_list() if self.groups is not None else [""] * len(new)
        origins = [self.origins] * len(new) if isinstance(self.origins, str) else self.origins.gather(new).to_list()
        for at, source, form, group, origin in zip(new, sources, forms, groups, origins, strict=True):
            facts = self.targets.facts[self.numbers[at]]
            example = Example(source, facts.text, group=group, origin=origin, row=int(self.lines[at]))
            split = SPLIT_NAMES[self.splits[at]]
            self._rows[at] = AuditRow(example, split, self.start + at, form, int(self.keys[at]), facts.canonical)


class BlockCheck(Check, Protocol):
    """A check that can also be given many rows at once, and then says the same."""

    def add_block(self, block: RowBlock) -> None:
        """Takes many rows into account.

        block  consecutive rows, in the order of the file
        """
        ...


def read_row_blocks(
    path: Path, wanted: TaskConfig, cut: SplitConfig, subject: AuditContext, patterns: Sequence[str]
) -> Iterator[RowBlock]:
    """A table in blocks.

    path      the file, or a pattern
    wanted    names its columns
    cut       shares and salt of the split
    subject   what the data is for
    patterns  what checks look for in sources, as regular expressions of polars
    Raises NotPlain, at any time, where the table must be read row by row.
    """
    names = [wanted.source, wanted.target, *filter(None, (wanted.group, wanted.split))]
    lists = wanted.target if wanted.codec == "labels" else ""
    start, reader = 0, _Reader(wanted, cut, subject, "|".join(f"(?:{one})" for one in patterns))
    for file in _files(path, wanted, names):
        reader.file, before = file.name, start
        for block in read_blocks(file.path, wanted.encoding, names, lists=lists):
            if len(block.lines):
                if int(block.lines[-1]) >= ROWS_PER_FILE:
                    raise NotPlain
                yield reader.block(TextBlock(block.lines + file.first, block.columns), start)
                start += len(block.lines)
        if start == before:
            raise NotPlain  # a table without rows is refused with a reason


def _files(path: Path, wanted: TaskConfig, names: Sequence[str]) -> list[TableFile]:
    try:
        return checked_files(*place_of(path), names, wanted.encoding)
    except TerakoyaError as error:
        raise NotPlain from error


class _Reader:
    """Makes row blocks of text blocks; remembers distinct targets.

    wanted   names the columns
    cut      shares and salt of the split
    subject  what the data is for
    suspect  pattern of the sources that some check may look at
    """

    def __init__(self, wanted: TaskConfig, cut: SplitConfig, subject: AuditContext, suspect: str) -> None:
        self.wanted, self.cut, self.suspect = wanted, cut, suspect
        self.file = ""  # name of the file that is read, the origin of rows that name none
        self.canonical = make_canonical(subject.codec)
        self.known = KnownTargets()

    def block(self, block: TextBlock, start: int) -> RowBlock:
        """The rows of `block`; the first has the place `start`."""
        sources, cells = block.columns[self.wanted.source], block.columns[self.wanted.target]
        forms = fold_many(sources)
        digests = _digests("", forms)  # one for two uses: a split without a salt is by the same hash
        keys = _keys(digests)
        differs = (sources != forms).arg_true()
        raws = keys
        if len(differs):
            raws = keys.copy()
            raws[differs.to_numpy()] = _keys(_digests("", sources.gather(differs)))
        groups = f"{self.wanted.group}:" + block.columns[self.wanted.group] if self.wanted.group else None
        if groups is not None or self.cut.salt:
            digests = _digests(self.cut.salt, forms if groups is None else groups)
        numbers = self._numbers(cells)
        splits = self._splits(block, _by_hash(digests, self.cut))
        return RowBlock(
            start, block.lines, sources, forms, keys, raws, splits, self.known, numbers,
            cells, self._origins(block), groups, sources.str.contains(self.suspect).to_numpy(),
        )  # fmt: skip

    def _numbers(self, cells: Any) -> Numbers:
        """The number of each target. New ones come in the order in which they first occur: so labels are counted."""
        categories = self.known.categories(cells)
        new = self.known.new(categories)
        if len(self.known.facts) + len(new) > _KEPT or self.known.characters > _CHARACTERS:
            self.known = KnownTargets()
            categories = self.known.categories(cells)
            new = self.known.new(categories)
        self.known.add(categories[new], [self._facts(cell) for cell in cells.gather(new).to_list()])
        return self.known.numbers(categories)

    def _facts(self, cell: str) -> TargetFacts:
        text = list_labels(cell, self.wanted)
        canonical = self.canonical(text)
        name = text if canonical is None else canonical
        return TargetFacts(text, canonical, name, hash64(name))

    def _origins(self, block: TextBlock) -> Any:
        polars = need("polars", extra="tables")
        if "origin" not in block.columns:
            return self.file
        column = block.columns["origin"]
        return polars.select(polars.when(column == "").then(polars.lit(self.file)).otherwise(column)).to_series()

    def _splits(self, block: TextBlock, by_hash: Numbers) -> Numbers:
        """As `split_of` and the author's words have them."""
        import numpy as np

        if not self.wanted.split:
            return by_hash
        words = block.columns[self.wanted.split].to_list()
        known: Mapping[str, int] = {
            word: SPLIT_NAMES.index(parse_split_name(word)) for word in dict.fromkeys(words) if word
        }
        found = np.fromiter((known.get(word, 255) for word in words), dtype=np.uint8, count=len(words))
        return np.where(found == 255, by_hash, found)


def _digests(salt: str, texts: Any) -> Numbers:
    """The digest of `hash_position` of each text, 32 bytes a row."""
    import numpy as np

    polars = need("polars", extra="tables")
    sha256, start = hashlib.sha256, f"{salt}\x1f".encode()
    data = b"".join([sha256(start + text).digest() for text in texts.cast(polars.Binary).to_list()])
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, 32)


def _keys(digests: Numbers) -> Numbers:
    """`source_key` of each text."""
    keys: Numbers = digests[:, 8:16].copy().view("<u8").ravel()
    return keys


def _by_hash(digests: Numbers, cut: SplitConfig) -> Numbers:
    """`split_of` of each group."""
    import numpy as np

    digits = digests[:, :8].copy()
    digits[:, 7] = 0
    position = (digits.view(">u8").ravel() >> np.uint64(8)).astype(np.float64) / 2**56
    found = np.full(len(position), SPLIT_NAMES.index("train"), dtype=np.uint8)
    found[position < cut.exam + cut.dev] = SPLIT_NAMES.index("dev")
    found[position < cut.exam] = SPLIT_NAMES.index("exam")
    return found
