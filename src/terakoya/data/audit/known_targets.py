"""Distinct targets of a large table: each is looked at once, however often it occurs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from terakoya.errors import need

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What is known of a target's text, wherever it occurs.

    text       the target
    canonical  its canonical form; None where the codec cannot write it
    name       what counts as the target: the canonical form, or the text
    hash       64 bits that stand for `name`
    """

    text: str
    canonical: str | None
    name: str
    hash: int


class KnownTargets:
    """Distinct targets of a table with a number each, and what checks have found about them, so that it is found once.

    A new one is begun where it has become large (row_blocks.py); then the numbers begin anew.
    """

    def __init__(self) -> None:
        import numpy as np

        polars = need("polars", extra="tables")
        self.facts: list[TargetFacts] = []
        self.characters = 0  # of their texts
        self._type = polars.Categorical(polars.Categories.random())
        self._categories = polars.Series([], dtype=self._type)  # they live as long as a column of them
        self._numbers = np.zeros(0, dtype=np.int64)  # by category, -1 where it is new
        self._tables: dict[str, Numbers] = {}

    def categories(self, cells: Any) -> Numbers:
        """The category of each target: found by polars, which keeps a table of all that it has seen.

        cells  polars column of targets as they stand in the table
        """
        found: Numbers = cells.cast(self._type).to_physical().to_numpy().astype("int64")
        return found

    def new(self, categories: Numbers) -> Numbers:
        """Indices at which a category without a number first occurs.

        categories  of consecutive rows
        """
        import numpy as np

        more = int(categories.max(initial=-1)) + 1 - len(self._numbers)
        self._numbers = np.concatenate([self._numbers, np.full(max(0, more), -1, dtype=np.int64)])
        unknown = np.flatnonzero(self._numbers[categories] < 0)
        first = np.unique(categories[unknown], return_index=True)[1]
        return unknown[np.sort(first)]

    def add(self, categories: Numbers, facts: Sequence[TargetFacts]) -> None:
        """Gives targets their numbers.

        categories  of new targets
        facts       about each
        """
        import numpy as np

        self._numbers[categories] = np.arange(len(self.facts), len(self.facts) + len(facts))
        self.facts += facts
        self.characters += sum(len(one.text) for one in facts)

    def numbers(self, categories: Numbers) -> Numbers:
        """The number of each target.

        categories  none of which is new
        """
        return self._numbers[categories]

    def table(self, name: str, find: Callable[[TargetFacts], int]) -> Numbers:
        """What `find` says about every known target, by number; `name` tells apart what is found."""
        import numpy as np

        known = self._tables.get(name, np.zeros(0, dtype=np.uint64))
        if len(known) < len(self.facts):
            new = np.array([find(facts) for facts in self.facts[len(known) :]], dtype=np.uint64)
            known = self._tables[name] = np.concatenate([known, new])
        return known
