"""Memory and disk while a training runs: ended in good order before the operating system ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from terakoya.i18n import both, japanese
from terakoya.memory import memory_held, memory_left, size
from terakoya.records import Finding, Level, Step
from terakoya.runs.disk import free_bytes

_EVERY = 2.0  # seconds between two looks
_FLOOR = 64_000_000  # bytes without which Python itself is in danger


class Watch:
    """Looks now and then; warns once, stops once. What it sees belongs to the machine, so it remembers nothing."""

    name = ""

    def __init__(self, warn: float, stop: float, left: Callable[[], int | None], every: float = _EVERY) -> None:
        self.bounds, self.left, self.every = (warn, stop), left, every
        self.next = 0.0
        self.told: Level = "note"

    def __call__(self, step: Step) -> Sequence[Finding]:
        now = time.monotonic()
        if now < self.next and step.dev is None:
            return ()
        self.next = now + self.every
        left = self.left()
        warn, stop = self.bounds
        level: Level = "note" if left is None or left > warn else "stop" if left <= stop else "warn"
        if left is None or level in ("note", self.told) or self.told == "stop":
            return ()
        self.told = level
        return [self.finding(level, left, step.step)]

    def finding(self, level: Level, left: int, step: int) -> Finding:
        raise NotImplementedError

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        pass


class Memory(Watch):
    """`one`: bytes of a checkpoint, which is gathered in memory before it is written."""

    name = "memory"

    def __init__(self, one: int, left: Callable[[], int | None] = memory_left, every: float = _EVERY) -> None:
        super().__init__(warn=3 * one + 2 * _FLOOR, stop=1.2 * one + _FLOOR, left=left, every=every)

    def finding(self, level: Level, left: int, step: int) -> Finding:
        held = memory_held()
        mine = both(f"; this process holds {size(held)}", f"。このプロセスは {size(held)} を使っている") if held else ""
        return Finding(
            "memory",
            level,
            both(
                f"memory is about to run out: {size(left)} are left at step {step}{mine}",
                f"メモリがまもなく足りなくなる：ステップ{step}で残りは {size(left)}{japanese(mine)}",
            ),
            where=both(f"step {step}", f"ステップ{step}"),
            do=both(
                "Close other programs, or set train.batch_size lower and train.accumulate higher by as much.",
                "他のプログラムを閉じるか、train.batch_size を下げて、その分 train.accumulate を上げること。",
            ),
            values={"left": float(left), "held": float(held or 0), "step": float(step)},
        )


class Disk(Watch):
    """Stops while one more checkpoint still fits."""

    name = "disk"

    def __init__(
        self, folder: Path, one: int, left: Callable[[], int | None] | None = None, every: float = _EVERY
    ) -> None:
        super().__init__(warn=4 * one, stop=2 * one, left=left or (lambda: free_bytes(folder)), every=every)
        self.folder, self.one = folder, one

    def finding(self, level: Level, left: int, step: int) -> Finding:
        return Finding(
            "disk",
            level,
            both(
                f"the disk is about to fill: {size(left)} are free at step {step}, and a checkpoint takes "
                f"{size(self.one)}",
                f"ディスクがまもなく満杯になる：ステップ{step}で空きは {size(left)}、"
                f"チェックポイント一つは {size(self.one)} である",
            ),
            where=str(self.folder),
            do=both(
                "Make room; then go on with: terakoya run RUN.", "空きを作ってから再開すること：terakoya run RUN。"
            ),
            values={"free": float(left), "checkpoint": float(self.one), "step": float(step)},
        )
