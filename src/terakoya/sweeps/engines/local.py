"""Trials on this machine: one after another in this process, or side by side in processes of the standard library."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from terakoya.errors import TerakoyaError
from terakoya.i18n import _
from terakoya.runs.progress import Listener
from terakoya.sweeps.engines.protocol import Ended
from terakoya.sweeps.engines.worker import run_task
from terakoya.sweeps.trial import TrialRunner, TrialTask


class InProcess:
    """One trial after another, here; the listener receives every step.

    runner  of the sweep
    """

    parallel = 1

    def __init__(self, runner: TrialRunner) -> None:
        self._runner = runner
        self._queue: deque[TrialTask] = deque()

    def submit(self, tasks: Sequence[TrialTask]) -> None:
        """Queue `tasks`."""
        self._queue.extend(tasks)

    def wait(self, seconds: float) -> Sequence[Ended]:
        """Run the first of the queue, however many `seconds` it takes."""
        task = self._queue.popleft()
        if task.exam:
            self._runner.examine(task.trial)
        else:
            self._runner.train(task.trial, task.not_after)
        return [Ended(task)]

    def close(self) -> None:
        """Nothing runs beside this process."""


class Processes:
    """Several processes of this machine. Where one is killed, the pool is made anew and the open tasks go on.

    count     processes
    retries   how often a task is started again
    listener  is notified when a process has died
    """

    def __init__(self, count: int, retries: int, listener: Listener) -> None:
        self.parallel, self._retries, self._listener = count, retries, listener
        self._tasks: dict[Future[None], TrialTask] = {}
        self._started: Counter[str] = Counter()
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        # spawn: a fork of a process in which torch's threads run may hang.
        return ProcessPoolExecutor(self.parallel, multiprocessing.get_context("spawn"), initializer=_begin_worker)

    def submit(self, tasks: Sequence[TrialTask]) -> None:
        """Queue `tasks`."""
        for task in tasks:
            try:
                self._tasks[self._pool.submit(run_task, task)] = task
            except BrokenProcessPool:
                self._pool = self._new_pool()
                self._tasks[self._pool.submit(run_task, task)] = task

    def wait(self, seconds: float) -> Sequence[Ended]:
        """What has ended; waits up to `seconds`."""
        done, _open = wait(self._tasks, timeout=seconds, return_when=FIRST_COMPLETED)
        ended: list[Ended] = []
        again: list[TrialTask] = []
        for future in done:
            task, error = self._tasks.pop(future), future.exception()
            if isinstance(error, BrokenProcessPool):
                self._started[task.key] += 1
                if self._started[task.key] <= self._retries:
                    again.append(task)
                else:
                    ended.append(Ended(task, lost=_("its process was killed {count} times", count=self._retries + 1)))
            elif isinstance(error, TerakoyaError):
                ended.append(Ended(task, error=error))
            elif error is not None:
                raise error
            else:
                ended.append(Ended(task))
        if again:
            self._listener.note(_("A process was killed; {count} trials are started again.", count=len(again)))
            self.submit(again)
        return ended

    def close(self) -> None:
        """Ctrl-C for every process, which keeps a checkpoint and ends."""
        workers = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers if self._tasks else ():
            if worker.pid is not None and worker.is_alive():
                try:
                    os.kill(worker.pid, signal.SIGINT)
                except ProcessLookupError:
                    continue  # it has ended meanwhile
        for worker in workers:
            worker.join(timeout=30)


def _begin_worker() -> None:
    """In a process group of its own, so that a terminal's Ctrl-C comes once; ends with the process that began it."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)
