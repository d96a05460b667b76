"""The ledger of requests that are sent in batches: intents of a whole batch, and where it is at the provider.

Every step is written before the next one is made: intents and plan, the uploaded file, the created batch, each
response, the end. A batch that was open when the process ended is found here again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from terakoya.generation.teacher.ledger import Ledger
from terakoya.generation.teacher.ledger_journal import BatchState
from terakoya.generation.teacher.protocol import NoResponse, TeacherRequest
from terakoya.generation.teacher.spending import NO_CAP, Reservation, SpendingCap

BATCHES = "batches"  # folder of the input files of open batches, inside the generation folder


class BatchLedger(Ledger):
    """A ledger that knows batches. Money reserved for an open batch is neither spent nor free.

    folder          of the ledger
    cap             what may be spent
    options         `max_concurrent`, `max_tokens`, `caps` and `first_teacher`, as of a Ledger
    """

    def __init__(self, folder: Path, cap: SpendingCap = NO_CAP, **options: Any) -> None:
        super().__init__(folder, cap, **options)
        for batch in self.open_batches.values():
            self._state.lose(batch.teacher, -sum(batch.open.values()), sent=True)
            for attempt, reserved in batch.open.items():
                self._hold(attempt, reserved, batch.teacher)

    @property
    def open_batches(self) -> Mapping[str, BatchState]:
        """Batches that were planned and have not ended, by key."""
        return {key: batch for key, batch in self._state.batches.items() if batch.state != "ended"}

    def open_batches_of(self, teacher: str) -> Mapping[str, BatchState]:
        """Those of the open batches that were planned for `teacher`; "" is the only one."""
        return {key: batch for key, batch in self.open_batches.items() if batch.teacher == teacher}

    async def plan_batch(
        self, key: str, requests: Sequence[TeacherRequest], max_costs: Sequence[int]
    ) -> list[Reservation]:
        """Reserve money for a batch and write its intents, all on the disk when this returns.

        key        of the batch, new
        requests   its requests, all to one teacher; those that no longer fit the cap are left out, the first of them
                   and all behind it
        max_costs  of each, in billionths
        Returns the reservations of the first requests. Raises BudgetError where not even one fits while nothing is
        open, DiskError where the disk is full: nothing is sent then, and nothing counts as spent.
        """
        made: list[Reservation] = []
        batch = self._state.batches.setdefault(key, BatchState())
        batch.teacher = requests[0].teacher
        try:
            for request, max_cost in zip(requests, max_costs, strict=True):
                if not self._fits(max_cost, request.teacher):
                    break
                reservation = self._intend(request, max_cost, batch=key)
                made.append(reservation)
                batch.open[reservation.id] = max_cost
                batch.known.add(reservation.id)
            if not made:
                raise self._exhausted(max_costs[0], batch.teacher)
            await self._durable()
        except BaseException:
            for reservation in made:
                self.record_failure(reservation, NoResponse("not sent", sent=False))
            batch.open.clear()
            batch.state = "ended"
            raise
        return made

    async def record_batch(self, key: str, state: str, value: str = "") -> None:
        """Write what has happened to the batch `key`, on the disk when this returns.

        key    of the batch
        state  "planned", "uploaded", "created" or "ended"
        value  the id that the provider gave to the file or the batch, or how it ended
        """
        self._write_with_reserve({"event": "batch", "id": key, "state": state, "value": value})
        self._state.batches.setdefault(key, BatchState()).record(state, value)
        await self._durable()

    def take_open(self, key: str, attempt: str) -> Reservation | None:
        """The reservation of an attempt of the batch `key` that has no outcome yet, which now gets one.

        key      of the batch
        attempt  as the provider returns it (custom_id)
        Returns None where the attempt has an outcome, or is none of this batch.
        """
        batch = self._state.batches[key]
        reserved = batch.open.pop(attempt, None)
        return None if reserved is None else Reservation(attempt, attempt.rpartition(".")[0], reserved, batch.teacher)
