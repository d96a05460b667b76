"""Items that belong together: several written forms of one number, one idiom twice, sentences of one document.

Such items are right or wrong together, so n of them say less than n independent ones. They are resampled and permuted
in whole groups (Field and Welsh 2007), and a share of right predictions gets Wilson's interval for its effective
number of items (Kish 1965; Korn and Graubard 1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from terakoya.errors import DataError
from terakoya.i18n import _

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

FEW = 5  # with fewer groups than this that differ from the rest, how alike items of a group are cannot be estimated


def group_index(groups: Sequence[str] | None, n: int) -> Integers | None:
    """The number of each item's group, from 0; None where every item is a group of its own.

    groups  the group of each item; "" is an item alone, None: all are
    n       items
    Raises DataError where there is not one group an item.
    """
    import numpy as np

    if groups is None:
        return None
    if len(groups) != n:
        given = len(groups)
        raise DataError(
            _("{given} groups for {n} items", given=given, n=n),
            do=_("Give one group for each item, an empty one where it stands alone."),
        )
    numbers: dict[object, int] = {}
    index = [numbers.setdefault(group or position, len(numbers)) for position, group in enumerate(groups)]
    return None if len(numbers) == n else np.array(index, dtype=np.int64)


def count_groups(index: Integers | None, n: int) -> int:
    """How many groups there are.

    index  of `group_index`
    n      items
    """
    return n if index is None else int(index.max()) + 1


def group_sums(row: Floats, index: Integers) -> Floats:
    """The sum of each group's scores, or of each group's rows.

    row    (items,) or (rows, items)
    index  of `group_index`
    Returns (groups,) or (rows, groups).
    """
    import numpy as np

    table = np.atleast_2d(row)
    groups = count_groups(index, table.shape[1])
    sums: Floats = np.stack(
        [np.asarray(np.bincount(index, weights=line, minlength=groups), dtype=np.float64) for line in table]
    )
    return sums if np.ndim(row) == 2 else sums[0]


def group_values(row: Floats, index: Integers) -> Floats:
    """One value a group, whose mean is the mean over items and whose scatter is that of the mean under resampling of
    whole groups (the linearised ratio of sums to sizes; Woodruff 1971).

    row    (items,)
    index  of `group_index`
    Returns (groups,).
    """
    groups, mean = count_groups(index, row.size), float(row.mean())
    return mean + group_sums(row - mean, index) * groups / row.size


def effective_items(row: Floats, index: Integers) -> float:
    """How many independent items say as much about a share as these do.

    row    (items,), each 0 or 1
    index  of `group_index`
    Items divided by the design effect (Kish 1965), never more than there are, with the t quantile of the groups in
    place of the normal one (Korn and Graubard 1998). With too few groups that differ from the rest, the items of one
    group count as one.
    """
    return _effective(row, index, usual=float(round(float(row.mean()))))


def effective_pairs(differences: Floats, index: Integers) -> float:
    """How many independent items say as much about the difference of two shares as these do.

    differences  (items,), each 1, 0 or -1
    index        of `group_index`
    As `effective_items`. The score interval for so many pairs covers where a bootstrap of some dozen groups, whose
    means take few values, is too short (benchmarks/quality/verdict_validation.py).
    """
    return _effective(differences, index, usual=0.0)


def _effective(row: Floats, index: Integers, *, usual: float) -> float:
    from scipy.special import stdtrit

    n = row.size
    sizes = group_sums(row * 0 + 1, index)
    alike = n * n / float((sizes**2).sum())
    unusual = group_sums(abs(row - usual), index)
    if int((unusual > 0).sum()) < FEW or row.std() == 0:
        return alike
    values = group_values(row, index)
    effect = float(values.var(ddof=1)) / values.size / (float(row.var()) / n)
    quantiles = float(stdtrit(n - 1, 0.975)) / float(stdtrit(values.size - 1, 0.975))
    return min(float(n), n / effect * quantiles**2) if effect > 0 else float(n)
