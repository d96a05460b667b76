"""A CRC-32 at the end of every line of a journal: a flipped bit is noticed, at its line.

The checksums are chained: each covers its own line and, through the checksum before it, everything above. A line that
was changed, removed, inserted or moved is therefore noticed too. Lines of older versions have no checksum; they may
stand before those that have one, whose first covers them all.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from enum import Enum

KEY = "crc32"
_TAIL = re.compile(rb'"crc32": "([0-9a-f]{8})"\}\Z')
_TAIL_BYTES = len(b'"crc32": "00000000"}')
_NEARLY = 16  # bits by which a damaged checksum may differ from the right one and is still known to be one


class LineState(Enum):
    """What a line of a journal is: whole with its checksum, without one (of an older version), cut by a kill, or
    damaged."""

    VALID = "valid"
    UNCHECKED = "unchecked"
    TORN = "torn"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class CheckedLine:
    """A line of a journal, checked.

    state  what it is
    chain  the checksum that the next line starts from
    """

    state: LineState
    chain: int


def add_checksum(text: str, chain: int) -> tuple[bytes, int]:
    """One line of a journal, and the checksum that the next one starts from.

    text   a JSON object without line breaks
    chain  the checksum of the line before; 0 for the first line
    """
    body = (text[:-1] + (", " if len(text) > 2 else "")).encode("utf-8")
    chain = zlib.crc32(body, chain)
    return body + _tail(chain) + b"\n", chain


def check_line(line: bytes, chain: int, *, chained: bool) -> CheckedLine:
    """Whether a line is as it was written.

    line     with its line break, which only the last line of a file may lack
    chain    the checksum of the line before; 0 for the first line
    chained  whether a line above has a checksum, so that this one must have one too
    """
    whole = line.endswith(b"\n")
    content = line[:-1] if whole else line
    own = _valid_chain(content, chain)
    if own is not None:
        return CheckedLine(LineState.VALID, own)
    if whole and (chained or _TAIL.search(content) or _has_damaged_tail(content, chain)):
        return CheckedLine(LineState.DAMAGED, chain)
    # A kill leaves the first part of a line. What goes on behind a complete line was its line break once.
    if not whole and _valid_chain(content[:-1], chain) is not None:
        return CheckedLine(LineState.DAMAGED, chain)
    if not whole and chained:
        return CheckedLine(LineState.TORN, chain)
    return CheckedLine(LineState.UNCHECKED, zlib.crc32(line, chain))


def chain_of(data: bytes) -> int:
    """The checksum that a line appended to the journal `data`, which ends with a line break, starts from."""
    last = data[data.rfind(b"\n", 0, -1) + 1 : -1]
    match = _TAIL.search(last)
    return int(match[1], 16) if match else zlib.crc32(data)


def _valid_chain(content: bytes, chain: int) -> int | None:
    """The checksum at the end of `content` where it is the right one, else None."""
    match, own = _TAIL.search(content), zlib.crc32(content[:-_TAIL_BYTES], chain)
    return own if match and own == int(match[1], 16) else None


def _tail(chain: int) -> bytes:
    return b'"%s": "%08x"}' % (KEY.encode(), chain)


def _has_damaged_tail(content: bytes, chain: int) -> bool:
    """Whether `content` ends in what was its checksum once: nearly the right one, but not quite."""
    found = content[-_TAIL_BYTES:]
    if len(found) < _TAIL_BYTES:
        return False
    right = _tail(zlib.crc32(content[:-_TAIL_BYTES], chain))
    return (int.from_bytes(found, "big") ^ int.from_bytes(right, "big")).bit_count() <= _NEARLY
