"""The sources among which near copies are looked for: all of them up to a bound, beyond it a sample by MinHash."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
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
        self.rows, self.splits, self.origins = array("Q"), array("B"), array("L")
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
            chosen = self._sampled(text.form[: line.NEAR_CUT] for text in waiting)
            waiting = [text for text, kept in zip(waiting, chosen.tolist(), strict=True) if kept]
        for text in waiting:
            self.forms.append(text.form[: line.NEAR_CUT])
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
        self.forms += [form[: line.NEAR_CUT] for form in block.forms.gather(at).to_list()]
        self.rows.extend(block.lines[at].tolist())
        self.splits.frombytes(block.splits[at].astype(np.uint8).tobytes())
        named = [block.origins] * len(at) if isinstance(block.origins, str) else block.origins.gather(at).to_list()
        self.origins.extend(map(self._origin, named))

    def _grams(self, block: RowBlock, at: Numbers) -> GramHashes:
        consecutive = int(at[-1]) - int(at[0]) + 1 == len(at)
        bare = block.forms.slice(int(at[0]), len(at)) if consecutive else block.forms.gather(at)
        if int(block.form_sizes[at].max()) > line.NEAR_CUT:
            bare = bare.str.slice(0, line.NEAR_CUT)
        if bare.str.contains(" ", literal=True).any():
            bare = bare.str.replace_all(" ", "", literal=True)
        return hash_grams(bare.str.join("").item(), bare.str.len_chars().to_numpy(), self._left_out)

    def _origin(self, name: str) -> int:
        return self._origin_numbers.setdefault(name, len(self._origin_numbers))

    def _sampled(self, forms: Iterable[str]) -> Numbers:
        return self._chosen(sampling_keys(hash_texts(forms, self._left_out)))

    def _chosen(self, keys: Numbers) -> Numbers:
        import numpy as np

        chosen: Numbers = (keys & np.uint64(self.mask)) == 0
        return chosen

    def _bound(self) -> None:
        """Drops sources until the bounds are kept."""
        if not self._full():
            return
        self._template |= self.common_grams()
        self._left_out = hashed(self._template)
        while self._full():
            self.mask = self.mask * 2 + 1
            self._keep(self._sampled(self.forms))

    def _full(self) -> bool:
        return len(self.forms) > line.NEAR_KEPT or sum(map(len, self.forms)) > line.NEAR_CHARACTERS

    def _keep(self, chosen: Numbers) -> None:
        import numpy as np

        self.forms = [self.forms[at] for at in np.flatnonzero(chosen).tolist()]
        for name in ("rows", "splits", "origins"):
            old: array[int] = getattr(self, name)
            kept = np.frombuffer(old, dtype=f"u{old.itemsize}")[chosen]
            setattr(self, name, array(old.typecode, kept.tobytes()))

    def common_grams(self) -> frozenset[str]:
        """Trigrams in so many of a fair sample of all sources that they are a template."""
        sets = [grams(form) for form in self._fair.kept()]
        limit = max(line.TEMPLATE_ROWS, line.TEMPLATE_SHARE * len(sets))
        return frozenset(gram for gram, uses in count_grams(sets).items() if uses > limit)

    def kept(self) -> list[ComparedText]:
        """The sources that are compared; those of train come first."""
        self._take_waiting()
        self._bound()
        names = list(self._origin_numbers)
        texts = [
            ComparedText(form, split, names[origin], row)
            for form, split, origin, row in zip(self.forms, self.splits, self.origins, self.rows, strict=True)
        ]
        return sorted(texts, key=lambda text: text.split != _TRAIN)


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
