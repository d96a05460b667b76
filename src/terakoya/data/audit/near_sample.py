"""The sources among which near copies are looked for: all of them up to a bound, beyond it a sample by MinHash."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.minhash import GramHashes, hash_grams, hash_texts, sampling_keys
from terakoya.data.audit.single_pass import HashSample
from terakoya.data.split import SPLIT_NAMES

if TYPE_CHECKING:
    import numpy as np

    from terakoya.data.audit.row_blocks import RowBlock

    Numbers = np.ndarray[Any, np.dtype[Any]]

_WAITING = 4096  # rows that are hashed at once
_TRAIN = SPLIT_NAMES.index("train")


@dataclass(frozen=True, slots=True)
class ComparedText:
    """A source that is compared with others.

    form    normal form, the source first
    split   index into SPLIT_NAMES
    origin  of the row
    row     its line
    """

    form: str
    split: int
    origin: str
    row: int


class NearSample:
    """At most NEAR_KEPT longer sources of a stream, near copies together; which ones does not depend on how the rows
    come, one by one or in blocks.

    A source is kept where a number of its own has zeros in the lowest bits; near copies mostly have the same number
    (`sampling_keys`), so that a copy of a kept source is kept as well. Trigrams of a template do not count for it.
    """

    def __init__(self) -> None:
        self.mask, self.seen = 0, 0
        self.forms: list[str] = []
        self._characters = 0  # of all forms
        self._keys: Numbers | None = None  # `sampling_keys` of all forms, once they are needed
        self.rows, self.splits, self.origins = array("Q"), array("B"), array("L")
        self._origin_names: list[str] = []
        self._origin_numbers: dict[str, int] = {}
        self._waiting: list[ComparedText] = []
        self._fair: HashSample[str] = HashSample(line.TEMPLATE_TEXTS)  # fair to every trigram
        self._template: frozenset[str] = frozenset()
        self._left_out = hashed(())

    @property
    def complete(self) -> bool:
        """Whether no source was dropped."""
        return not self.mask

    @property
    def rate(self) -> int:
        """One in how many sources is kept."""
        return self.mask + 1

    def add(self, key: int, text: ComparedText) -> None:
        """Offers one source.

        key   64 bits that stand for its form
        text  in the order of the file
        """
        if self._fair.wants(key):
            self._fair.add(key, text.form[: line.NEAR_CUT])
        self._waiting.append(text)
        self.seen += 1
        step = self.seen % line.NEAR_STEP == 0
        if step or len(self._waiting) >= _WAITING:
            self._take_waiting()
        if step:
            self._bound()

    def _take_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self.mask and waiting:
            keys = sampling_keys(hash_texts((text.form[: line.NEAR_CUT] for text in waiting), self._left_out))
            waiting = [waiting[at] for at in self._chosen(keys).tolist()]
        self._add_forms([text.form[: line.NEAR_CUT] for text in waiting])
        for text in waiting:
            self.rows.append(text.row)
            self.splits.append(text.split)
            self.origins.append(self._origin(text.origin))

    def add_block(self, block: RowBlock, at: Numbers) -> None:
        """Offers many sources.

        block  consecutive rows
        at     indices of those that are offered
        """
        while len(at):
            piece, at = self._piece(at)
            self._add_piece(block, piece)
            if self.seen % line.NEAR_STEP == 0:
                self._bound()

    def _piece(self, at: Numbers) -> tuple[Numbers, Numbers]:
        """What is left to the next step, and the rest."""
        most = line.NEAR_STEP - self.seen % line.NEAR_STEP
        self.seen += min(most, len(at))
        return at[:most], at[most:]

    def _add_piece(self, block: RowBlock, at: Numbers) -> None:
        import numpy as np

        keys = block.keys[at]
        fair = np.flatnonzero(self._fair.choose(keys, np.ones(len(at), dtype=bool)))
        for key, form in zip(keys[fair].tolist(), block.forms.gather(at[fair]).to_list(), strict=True):
            self._fair.add(key, form[: line.NEAR_CUT])
        if self.mask:
            at = at[self._chosen(sampling_keys(self._grams(block, at)))]
        self._add_forms(block.forms.gather(at).str.slice(0, line.NEAR_CUT).to_list())
        self.rows.extend(block.lines[at].tolist())
        self.splits.frombytes(block.splits[at].astype(np.uint8).tobytes())
        if isinstance(block.origins, str):
            self.origins.extend([self._origin(block.origins)] * len(at))
        else:
            self.origins.extend(map(self._origin, block.origins.gather(at).to_list()))

    def _grams(self, block: RowBlock, at: Numbers) -> GramHashes:
        consecutive = int(at[-1]) - int(at[0]) + 1 == len(at)
        bare = block.forms.slice(int(at[0]), len(at)) if consecutive else block.forms.gather(at)
        if int(block.form_sizes[at].max()) > line.NEAR_CUT:
            bare = bare.str.slice(0, line.NEAR_CUT)
        if bare.str.contains(" ", literal=True).any():
            bare = bare.str.replace_all(" ", "", literal=True)
        return hash_grams(bare.str.join("").item(), bare.str.len_chars().to_numpy(), self._left_out)

    def _origin(self, name: str) -> int:
        number = self._origin_numbers.setdefault(name, len(self._origin_names))
        if number == len(self._origin_names):
            self._origin_names.append(name)
        return number

    def _add_forms(self, forms: Sequence[str]) -> None:
        self.forms += forms
        self._characters += sum(map(len, forms))

    def _chosen(self, keys: Numbers) -> Numbers:
        """Indices of the texts with these `sampling_keys` that are kept; what is kept is remembered."""
        import numpy as np

        chosen = np.flatnonzero((keys & np.uint64(self.mask)) == 0)
        if self._keys is not None:
            self._keys = np.concatenate([self._keys, keys[chosen]])
        return chosen

    def _bound(self) -> None:
        """Drops sources until the bounds are kept."""
        if not self._full():
            return
        template = self._template | self.common_grams()
        if self._keys is None or template != self._template:
            self._template, self._left_out = template, hashed(template)
            self._keys = sampling_keys(hash_texts(self.forms, self._left_out))
        while self._full():
            self.mask = self.mask * 2 + 1
            keys, self._keys = self._keys, self._keys[:0]
            self._keep(self._chosen(keys))

    def _full(self) -> bool:
        return len(self.forms) > line.NEAR_KEPT or self._characters > line.NEAR_CHARACTERS

    def _keep(self, chosen: Numbers) -> None:
        import numpy as np

        forms, self.forms, self._characters = self.forms, [], 0
        self._add_forms([forms[at] for at in chosen.tolist()])
        for name in ("rows", "splits", "origins"):
            old: array[int] = getattr(self, name)
            kept = np.frombuffer(old, dtype=f"u{old.itemsize}")[chosen]
            setattr(self, name, array(old.typecode, kept.tobytes()))

    def common_grams(self) -> frozenset[str]:
        """Trigrams in so many of a fair sample of all sources that they are a template."""
        sets = [grams(form) for form in self._fair.kept()]
        limit = max(line.TEMPLATE_ROWS, line.TEMPLATE_SHARE * len(sets))
        return frozenset(gram for gram, uses in count_grams(sets).items() if uses > limit)

    def kept(self) -> list[int]:
        """Indices of the sources that are compared; those of train come first."""
        self._take_waiting()
        self._bound()
        return sorted(range(len(self.forms)), key=lambda at: self.splits[at] != _TRAIN)

    def text(self, at: int) -> ComparedText:
        """One of the sources.

        at  its index
        """
        return ComparedText(self.forms[at], self.splits[at], self._origin_names[self.origins[at]], self.rows[at])


def grams(text: str) -> frozenset[str]:
    """The set of character trigrams of a text, spaces left out.

    text  normal form of a source
    """
    bare = text.replace(" ", "")
    return frozenset(bare[at : at + 3] for at in range(len(bare) - 2))


def count_grams(sets: Iterable[frozenset[str]]) -> Counter[str]:
    """In how many sets each trigram is.

    sets  of trigrams, one a text
    """
    uses: Counter[str] = Counter()
    for found in sets:
        uses.update(found)
    return uses


def hashed(template: Iterable[str]) -> Numbers:
    """Sorted hashes of trigrams, as minhash.py leaves them out.

    template  trigrams
    """
    import numpy as np

    return np.unique(hash_texts(sorted(template)).values)
