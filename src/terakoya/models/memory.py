"""Memory available to this process under every limit: machine, control groups, address space.

A container's limit counts as much as the machine's own memory, and the operating system kills without a warning.
"""

from __future__ import annotations

import os
from pathlib import Path

_UNLIMITED = 1 << 60
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def available_memory() -> int | None:
    """Bytes that can still be allocated under the tightest limit; None where it cannot be determined."""
    known = [left for left in (_machine(), _groups(), _address_space()) if left is not None]
    return max(0, min(known)) if known else None


def resident_memory() -> int | None:
    """Resident memory of this process in bytes; None where it cannot be determined."""
    return _statm(1)


def _machine() -> int | None:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _groups() -> int | None:
    """The tightest of this process's control groups and those above it (version 1 and 2)."""
    left: list[int] = []
    for line in _lines(Path("/proc/self/cgroup")):
        _, kinds, path = line.split(":", 2)
        if kinds in ("", "memory"):
            root = Path("/sys/fs/cgroup") / kinds
            own = root / path.lstrip("/")
            for folder in [own, *own.parents]:
                if root not in (folder, *folder.parents):
                    break
                found = _group(folder)
                left += [] if found is None else [found]
    return min(left, default=None)


def _group(folder: Path) -> int | None:
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        most, now = _number(folder / limit), _number(folder / used)
        if most is not None and now is not None and most < _UNLIMITED:
            # The inactive page cache is reclaimed when memory is short.
            idle = [line for line in _lines(folder / "memory.stat") if line.startswith("inactive_file ")]
            return most - now + (int(idle[0].split()[1]) if idle else 0)
    return None


def _address_space() -> int | None:
    """What `ulimit -v` still allows."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    most, held = resource.getrlimit(resource.RLIMIT_AS)[0], _statm(0)
    return None if most in (resource.RLIM_INFINITY, -1) or held is None else most - held


def _statm(column: int) -> int | None:
    lines = _lines(Path("/proc/self/statm"))
    return int(lines[0].split()[column]) * _PAGE if lines else None


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _lines(path: Path) -> list[str]:
    """Lines of a file of the system; none where it does not exist or may not be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def format_bytes(count: float) -> str:
    """`count` bytes in words: "1.2 GB", "35 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
