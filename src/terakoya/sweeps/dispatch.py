"""Gives the open trials of a sweep to an engine, shows how they stand, and takes up what has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from terakoya.i18n import _
from terakoya.runs import Lock
from terakoya.sweeps.engines import Engine, InProcess, make_engine, parse_engine
from terakoya.sweeps.engines.worker import newest_line
from terakoya.sweeps.plan import Trial, TrialResult
from terakoya.sweeps.summary import trial_label
from terakoya.sweeps.trial import TrialRunner, TrialTask

LOOK_SECONDS = 2.0  # between two looks at what runs elsewhere


class Dispatcher:
    """The trials of a sweep on an engine.

    runner     of the sweep
    engine     that runs them
    not_after  time (of the clock, in seconds) after which no trial is started any more; None: no limit
    """

    def __init__(self, runner: TrialRunner, engine: Engine, not_after: float | None) -> None:
        self.runner, self.engine, self.not_after = runner, engine, not_after

    def submit(self, trials: Sequence[Trial], *, exam: bool = False) -> list[Trial]:
        """Give the engine those trials that are open, or whose exam is to be opened.

        trials  settings and seed
        exam    whether exams are to be opened
        Returns those that it was given.
        """
        wanted = "trained" if exam else "open"
        given = {trial.key: trial for trial in trials if self.runner.result(trial).state == wanted}
        self.runner.sent |= given.keys()
        self.runner.known |= given
        beside, folder = self.runner.beside.resolve(), self.runner.folder.resolve()
        limit = None if exam else self.not_after
        self.engine.submit(
            [TrialTask(self.runner.config, beside, folder, trial, exam, limit) for trial in given.values()]
        )
        return list(given.values())

    def wait(self) -> list[Trial]:
        """Trials that have ended since the last call, at least one. Raises what every trial would meet."""
        while not (ended := self.engine.wait(LOOK_SECONDS)):
            if line := newest_line(self.runner.folder, self.runner.sent):
                self.runner.listener.progress(line)
        for one in ended:
            if one.error is not None:
                raise one.error
            self.runner.sent.discard(one.task.key)
            if one.lost:
                trial, why = trial_label(one.task.trial), one.lost
                self.runner.listener.note(_("{trial} is still open: {why}", trial=trial, why=why))
            if not isinstance(self.engine, InProcess):  # there the runner itself notifies the listener
                self.runner.listener.trials(self.runner.statuses)
        return [one.task.trial for one in ended]

    def run(self, trials: Sequence[Trial], *, exam: bool = False) -> list[TrialResult]:
        """Run these trials and return what all of them have come to.

        trials  settings and seed
        exam    whether exams are to be opened
        """
        left = len(self.submit(trials, exam=exam))
        while left:
            left -= len(self.wait())
        return [self._result(trial) for trial in trials]

    def _result(self, trial: Trial) -> TrialResult:
        result = self.runner.result(trial)
        held = result.state == "open" and self.runner.lock(trial).is_claimed()
        return TrialResult(trial, "held") if held else result


@contextmanager
def dispatcher(runner: TrialRunner, on: str, not_after: float | None) -> Iterator[Dispatcher]:
    """A dispatcher on the engine that the command line names; the engine is given back at the end.

    runner     of the sweep
    on         "local", "local:4", "ray", "ray://HOST:PORT" or "slurm"
    not_after  time (of the clock, in seconds) after which no trial is started any more; None: no limit
    Raises LockedError where another process gives this sweep's trials to Ray or Slurm.
    """
    lock = Lock(runner.folder / "trials" / ".dispatcher.lock")
    with ExitStack() as stack:
        if parse_engine(on)[0] != "local":  # processes of this machine see each other's locks
            lock.acquire()
            stack.callback(lock.release)
        yield Dispatcher(runner, stack.enter_context(closing(make_engine(on, runner))), not_after)
