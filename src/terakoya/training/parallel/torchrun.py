"""A whole run under torchrun: the first process makes it, all train it.

The first process has the run folder, its checkpoints, the exam and the record. The others wait for a training, make the
same model from the same files, train along, and wait again. What the first one tells them goes through the key-value
store at which the processes of torchrun meet: unlike a collective operation, it may take days.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.records import set_fingerprint
from terakoya.training.parallel import processes
from terakoya.training.parallel.launch import rank
from terakoya.training.prepare import TrainingSetup

_LONGEST_WAIT = timedelta(days=30)


@dataclass
class _Channel:
    """What the first process has said so far, by number."""

    store: Any
    sent: int = field(default=0)

    def send(self, message: object) -> None:
        self.store.set(str(self.sent), pickle.dumps(message))
        self.sent += 1

    def receive(self) -> Any:
        self.store.wait([str(self.sent)], _LONGEST_WAIT)
        message = pickle.loads(self.store.get(str(self.sent)))  # from a process of the same torchrun
        self.sent += 1
        return message


_open: list[_Channel] = []  # one for the whole life of this process


def _channel() -> _Channel:
    if not _open:
        store, _rank, _size = next(rendezvous("env://"))
        # torchrun starts failed processes again, and its store remembers what was said before.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        _open.append(_Channel(PrefixStore(f"terakoya/{attempt}", store)))
    return _open[0]


@contextmanager
def main_process() -> Iterator[None]:
    """In the first process: whatever happens within is its own, but for the trainings that it announces."""
    channel = _channel()
    with processes.alone():
        yield
    # Not after an exception: the others may be in the middle of a step, and torchrun ends them.
    channel.send(None)


def announce(setup: TrainingSetup, experiment: object) -> None:
    """Tell the other processes what is trained next, where there are any.

    setup       its rows are those of all processes
    experiment  from which they prepare the same training
    """
    if _open:
        _open[0].send((experiment, set_fingerprint(setup.split.train)))


def train_along(prepare: Callable[[Any], TrainingSetup], train: Callable[[TrainingSetup], None]) -> None:
    """In the other processes: take part in every training that the first one announces, until its run has ended.

    prepare  an announced experiment → what is trained
    train    trains it, with the others
    Raises DataError where this process reads other rows than the first one.
    """
    channel = _channel()
    while (message := channel.receive()) is not None:
        experiment, rows = message
        setup = prepare(experiment)
        if set_fingerprint(setup.split.train) != rows:
            raise DataError(
                _("process {rank} reads other training rows than process 0", rank=rank()),
                where=str(setup.config.task.data or setup.config.task.use),
                do=_("Put the same files at the same place on every host, or on a disk that all of them see."),
            )
        train(setup)
