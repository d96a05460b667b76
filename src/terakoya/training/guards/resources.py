"""Memory and disk during a training: ended in good order before the operating system ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from terakoya.i18n import _
from terakoya.models.memory import available_memory, format_bytes, resident_memory
from terakoya.records import Finding, Level, Step
from terakoya.runs.disk import free_bytes

_INTERVAL = 2.0  # seconds between two checks
_MIN_BYTES = 64_000_000  # without which Python itself is in danger


class HeadroomGuard:
    """Checks now and then; warns once, stops once. What it sees belongs to the machine, so it remembers nothing.

    warn   bytes of headroom at or below which it warns
    stop   bytes of headroom at or below which it ends the training
    left   gives the bytes that are left, None where that is not known
    every  seconds between two checks; every evaluation is checked besides
    """

    name = ""

    def __init__(self, warn: float, stop: float, left: Callable[[], int | None], every: float = _INTERVAL) -> None:
        self.bounds, self.left, self.every = (warn, stop), left, every
        self.next_check = 0.0
        self.reported: Level = "note"

    def __call__(self, step: Step) -> Sequence[Finding]:
        """A finding where at this `step` less is left than at the last finding's bound."""
        now = time.monotonic()
        if now < self.next_check and step.dev is None:
            return ()
        self.next_check = now + self.every
        left = self.left()
        warn, stop = self.bounds
        level: Level = "note" if left is None or left > warn else "stop" if left <= stop else "warn"
        if left is None or level in ("note", self.reported) or self.reported == "stop":
            return ()
        self.reported = level
        return [self.finding(level, left, step.step)]

    def finding(self, level: Level, left: int, step: int) -> Finding:
        """What is reported at this `level` when `left` bytes are left at this `step`."""
        raise NotImplementedError

    def state(self) -> Mapping[str, Any]:
        """Nothing: a resumed run may be on another machine."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing is taken from `state`."""


class MemoryGuard(HeadroomGuard):
    """Stops while a checkpoint, which is gathered in memory before it is written, still fits.

    checkpoint  bytes of one checkpoint
    left        gives the bytes of memory that are left, None where that is not known
    every       seconds between two checks
    """

    name = "memory"

    def __init__(
        self, checkpoint: int, left: Callable[[], int | None] = available_memory, every: float = _INTERVAL
    ) -> None:
        super().__init__(
            warn=3 * checkpoint + 2 * _MIN_BYTES, stop=1.2 * checkpoint + _MIN_BYTES, left=left, every=every
        )

    def finding(self, level: Level, left: int, step: int) -> Finding:
        """What is reported at this `level` when `left` bytes of memory are left at this `step`."""
        held = resident_memory()
        used, remaining = format_bytes(held or 0), format_bytes(left)
        own = _("; this process holds {used}", used=used) if held else ""
        return Finding(
            "memory",
            level,
            _(
                "memory is about to run out: {remaining} are left at step {step}{own}",
                remaining=remaining,
                step=step,
                own=own,
            ),
            where=_("step {step}", step=step),
            do=_("Close other programs, or set train.batch_size lower and train.accumulate higher by as much."),
            values={"left": float(left), "held": float(held or 0), "step": float(step)},
        )


class DiskGuard(HeadroomGuard):
    """Stops while one more checkpoint still fits on the disk.

    folder      where the checkpoints lie
    checkpoint  bytes of one checkpoint
    left        gives the free bytes; default: of the folder's disk
    every       seconds between two checks
    """

    name = "disk"

    def __init__(
        self, folder: Path, checkpoint: int, left: Callable[[], int | None] | None = None, every: float = _INTERVAL
    ) -> None:
        super().__init__(
            warn=4 * checkpoint, stop=2 * checkpoint, left=left or (lambda: free_bytes(folder)), every=every
        )
        self.folder, self.checkpoint = folder, checkpoint

    def finding(self, level: Level, left: int, step: int) -> Finding:
        """What is reported at this `level` when `left` bytes are free at this `step`."""
        free, checkpoint = format_bytes(left), format_bytes(self.checkpoint)
        return Finding(
            "disk",
            level,
            _(
                "the disk is about to fill: {free} are free at step {step}, and a checkpoint takes {checkpoint}",
                free=free,
                step=step,
                checkpoint=checkpoint,
            ),
            where=str(self.folder),
            do=_("Free some disk space; then resume with: terakoya run RUN."),
            values={"free": float(left), "checkpoint": float(self.checkpoint), "step": float(step)},
        )
