"""As many asks at once as there is memory for.

An answer does not depend on who is asked beside it, so where memory runs out the rest is asked in smaller parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from terakoya.errors import ConfigError
from terakoya.i18n import both
from terakoya.models.oom import is_oom, released

Found = TypeVar("Found")


def in_parts(
    places: Sequence[int], at_once: int, work: Callable[[Sequence[int]], Sequence[Found]]
) -> Iterator[tuple[int, Found]]:
    """Each place with what `work` finds for it, at most `at_once` of them at a time, in order.

    Where memory runs out the same places are worked on again in halves, and what follows in parts of that size.
    Raises ConfigError where there is no room for one.
    """
    first = 0
    while first < len(places):
        some = places[first : first + at_once]
        found = _tried(work, some)
        if found is None:
            released()
            at_once = _fewer(len(some))
            continue
        yield from zip(some, found, strict=True)
        first += len(some)


def _tried(work: Callable[[Sequence[int]], Sequence[Found]], some: Sequence[int]) -> Sequence[Found] | None:
    try:
        return work(some)
    except (RuntimeError, MemoryError) as error:
        if not is_oom(error):
            raise
        return None


def _fewer(count: int) -> int:
    if count > 1:
        return count // 2
    raise ConfigError(
        both("out of memory with one question at once", "一度に一問だけでもメモリが足りない"),
        where="decode",
        do=both(
            "Take fewer decode.beams or decode.max_tokens, a shorter source, model.vocabulary = 'trimmed' or a smaller "
            "model, or close other programs.",
            "decode.beams や decode.max_tokens を小さくする、入力を短くする、model.vocabulary = 'trimmed' や"
            "小さなモデルにする、または他のプログラムを閉じること。",
        ),
    )
