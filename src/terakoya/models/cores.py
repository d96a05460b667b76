"""Cores that this process may use under every limit: machine, affinity, control groups.

A container often shows all cores of its host and grants the time of two; a thread for every core of the host then
waits for the others most of the time.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def available_cores(groups: Path = _GROUPS, own: Path = _OWN) -> int:
    """Number of cores, at least 1: the fewest of machine, affinity mask and quota of every control group above.

    groups  where the control groups are mounted (version 1 and 2)
    own     the file that names the control groups of this process
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    quota = _quota(groups, own)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _quota(groups: Path, own: Path) -> float | None:
    """The tightest CPU quota in cores; None where there is none."""
    found: list[float] = []
    for line in _lines(own):
        _, kinds, path = line.split(":", 2)
        if kinds and "cpu" not in kinds.split(","):
            continue
        root = groups / kinds
        folder = root / path.lstrip("/")
        for place in [folder, *folder.parents]:
            if root not in (place, *place.parents):
                break
            limit = _limit(place)
            found += [] if limit is None else [limit]
    return min(found, default=None)


def _limit(folder: Path) -> float | None:
    """Quota over period of one group: `cpu.max` (version 2), or the two files of version 1 (-1: no limit)."""
    words = " ".join(_lines(folder / "cpu.max")).split()
    if not words:
        words = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    if len(words) != 2 or not all(word.isdecimal() for word in words) or not int(words[1]):
        return None
    return int(words[0]) / int(words[1]) or None


def _lines(path: Path) -> list[str]:
    """Lines of a file of the system; none where it does not exist or may not be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
