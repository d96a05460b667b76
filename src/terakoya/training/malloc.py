"""Memory that a step frees and the next one takes again, kept by the process meanwhile.

The C library of Linux gives what lies free at the end of its heap back to the system. When a step's gradients are let
go that is nearly all they took, and the next step pays for every page once more: the system's fault and its zeroing,
a twenty-fifth of a step at Gemma-3-270M's shape, more on a virtual machine. The most that is held does not change.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt, as malloc.h numbers them
_LARGE = 32 << 20  # bytes from which on a block has pages of its own: where glibc's own adjustment ends
_MOST = 2**31 - 1


def keep() -> bool:
    """From now on freed memory stays with this process. Whether it does: False without glibc."""
    libc = _libc()
    if libc is None:
        return False
    # To set one of them ends glibc's own adjustment of both.
    return bool(libc.mallopt(_MMAP_THRESHOLD, _LARGE)) and bool(libc.mallopt(_TRIM_THRESHOLD, _MOST))


def give_back() -> None:
    """What lies free goes to the system, now and from now on."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(_TRIM_THRESHOLD, 2 * _LARGE)
        libc.malloc_trim(0)


@functools.cache
def _libc() -> Any:
    try:
        libc = ctypes.CDLL(None)
        glibc = hasattr(libc, "gnu_get_libc_version") and hasattr(libc, "mallopt")
    except (OSError, TypeError):  # a system whose loader knows no such thing
        return None
    return libc if glibc else None
