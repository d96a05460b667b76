"""Batches as large as memory allows.

A prediction does not depend on the other rows of its batch, so where memory runs out the rest runs in smaller batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.models.oom import is_oom, release_memory

Result = TypeVar("Result")


def in_batches(
    indices: Sequence[int], batch_size: int, work: Callable[[Sequence[int]], Sequence[Result]]
) -> Iterator[tuple[int, Result]]:
    """Each index with its result of `work`, in order.

    indices     what to work on
    batch_size  largest number of indices at a time
    work        takes some of the indices and returns one result for each
    Where memory runs out the same indices are worked on again in halves, and all that follow in batches of that size.
    Raises ConfigError where memory does not suffice for one.
    """
    first = 0
    while first < len(indices):
        batch = indices[first : first + batch_size]
        results = _try(work, batch)
        if results is None:
            release_memory()
            batch_size = _halved(len(batch))
            continue
        yield from zip(batch, results, strict=True)
        first += len(batch)


def _try(work: Callable[[Sequence[int]], Sequence[Result]], batch: Sequence[int]) -> Sequence[Result] | None:
    try:
        return work(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_oom(error):
            raise
        return None


def _halved(batch_size: int) -> int:
    if batch_size > 1:
        return batch_size // 2
    raise ConfigError(
        _("out of memory with a batch of one query"),
        where="decode",
        do=_(
            "Take fewer decode.beams or decode.max_tokens, a shorter source, model.vocabulary = 'trimmed' or a smaller "
            "model, or close other programs."
        ),
    )
