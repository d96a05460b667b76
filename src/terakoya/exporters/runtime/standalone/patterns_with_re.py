"""What the copied modules use of the package `regex`, by Python's own `re`: partial matches by a pattern for prefixes.

Patterns are compiled when they are first used: those that `re` does not know are used in training alone.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

from terakoya.exporters.page.patterns import partial_pattern

ASCII, V1 = re.ASCII, 0
error = re.error
_INVISIBLE = r"[\p{Cf}--\u200d]"


class Pattern:
    """A compiled pattern.

    pattern  the regular expression
    flags    of `re`
    """

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.pattern, self.flags = pattern, flags

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        return re.compile(_invisible() if self.pattern == _INVISIBLE else self.pattern, self.flags)

    @cached_property
    def _prefix(self) -> re.Pattern[str]:
        return re.compile(partial_pattern(self.pattern, r"\Z"), self.flags)

    def fullmatch(self, text: str, pos: int = 0, partial: bool = False) -> re.Match[str] | None:
        """As `re` has it; `partial` also for a `text` that can still become a match, from the index `pos` on."""
        return (self._prefix if partial else self._whole).fullmatch(text, pos)

    def match(self, text: str, pos: int = 0) -> re.Match[str] | None:
        """As `re` has it, of `text` from the index `pos` on."""
        return self._whole.match(text, pos)

    def search(self, text: str) -> re.Match[str] | None:
        """As `re` has it, in `text`."""
        return self._whole.search(text)

    def sub(self, new: str | Callable[[Any], str], text: str) -> str:
        """As `re` has it: every match in `text` replaced by `new`."""
        return self._whole.sub(new, text)


@lru_cache(maxsize=1000)
def compile(pattern: str, flags: int = 0) -> Pattern:
    """A `pattern` with `flags`, compiled when it is first used."""
    return Pattern(pattern, flags)


def fullmatch(pattern: str, text: str, pos: int = 0, timeout: float | None = None) -> re.Match[str] | None:
    """As `re` has it: `pattern` over `text` from the index `pos` on. A `timeout` is not kept."""
    return compile(pattern).fullmatch(text, pos)


@lru_cache(maxsize=1)
def _invisible() -> str:
    """Formatting characters but the joiner, as a class."""
    codes = [code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) == "Cf" and code != 0x200D]
    return "[" + "".join(f"\\U{code:08x}" for code in codes) + "]"
