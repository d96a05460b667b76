"""Memory that a step frees and the next one allocates again, kept by the process meanwhile.

The C library of Linux returns free memory at the end of its heap to the system. When a step's gradients are freed, that
is nearly all they took, and the next step pays for every memory page once more: the page fault and its zeroing, a
twenty-fifth of a step at Gemma-3-270M's shape, more on a virtual machine. The peak does not change.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt, as malloc.h numbers them
_MMAP_BYTES = 32 << 20  # from which on a block is mapped by itself: where glibc's own adjustment ends
_NEVER_TRIM = 2**31 - 1


def keep_freed_memory() -> bool:
    """From now on freed memory stays with this process. Returns whether it does: False without glibc."""
    libc = _libc()
    if libc is None:
        return False
    # To set one of them ends glibc's own adjustment of both.
    return bool(libc.mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)) and bool(libc.mallopt(_TRIM_THRESHOLD, _NEVER_TRIM))


def release_freed_memory() -> None:
    """Free memory is returned to the system, now and from now on."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(_TRIM_THRESHOLD, 2 * _MMAP_BYTES)
        libc.malloc_trim(0)


@functools.cache
def _libc() -> Any:
    try:
        libc = ctypes.CDLL(None)
        glibc = hasattr(libc, "gnu_get_libc_version") and hasattr(libc, "mallopt")
    except (OSError, TypeError):  # a system whose loader knows no such thing
        return None
    return libc if glibc else None
