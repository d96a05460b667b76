"""What runs the trials of a sweep: one interface, behind it this process, several, Ray or Slurm.

Queues, retries, placement and limits are the engine's. What no engine does is done here: the exam is opened once, a
trial is run by one process at a time and goes on from its checkpoint, its result is kept as a run folder (trial.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from terakoya.errors import TerakoyaError
from terakoya.sweeps.trial import TrialTask


@dataclass(frozen=True)
class Ended:
    """A task that an engine has done with; the result itself is the trial's file.

    task   as it was submitted
    error  what every trial would meet (other versions, Ctrl-C): the sweep ends with it
    lost   why the engine gave it up, "" where it ran to its end; the trial stays open
    """

    task: TrialTask
    error: TerakoyaError | None = None
    lost: str = ""


class Engine(Protocol):
    """Runs tasks.

    parallel  how many trials it can run at the same time, as far as it knows now; a search samples so many ahead
    """

    parallel: int

    def submit(self, tasks: Sequence[TrialTask]) -> None:
        """Queue `tasks`."""
        ...

    def wait(self, seconds: float) -> Sequence[Ended]:
        """What has ended since the last call; waits up to `seconds` for the first of them."""
        ...

    def close(self) -> None:
        """Stop what is running, so that it can be resumed, and give the engine back."""
        ...
