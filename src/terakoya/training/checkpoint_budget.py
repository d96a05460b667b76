"""When a checkpoint is worth its time: all of a training's take at most a twentieth of it, measured as it goes on.

A kill costs what was done since the last checkpoint, and nothing else: the steps are done again to the same bits.
"""

from __future__ import annotations

SHARE = 0.05  # of the training's time
# Bytes that are written at every evaluation: some hundredths of a second, and a training of minutes loses nothing.
SMALL = 64_000_000
# Bytes a second, at most: a page cache takes more for a while, and the disk pays for it later.
FASTEST = 300_000_000


class CheckpointBudget:
    """Decides at each evaluation whether a checkpoint is written.

    size     bytes of one checkpoint
    seconds  of training that lie behind it already, where it is resumed
    """

    def __init__(self, size: int, seconds: float = 0.0) -> None:
        self.size, self.since = size, seconds
        self.spent = 0.0
        self.slowest = size / FASTEST  # seconds that one takes

    def allows(self, seconds: float) -> bool:
        """Whether a checkpoint may be written now.

        seconds  of training and evaluation so far, without the time of checkpoints
        """
        return self.size <= SMALL or self.spent + self.slowest <= SHARE * (seconds - self.since)

    def record(self, seconds: float) -> None:
        """Remember what a checkpoint took.

        seconds  from the first copy of a weight to the renamed folder
        """
        self.slowest = max(self.slowest, seconds)
        self.spent += max(seconds, self.size / FASTEST)
