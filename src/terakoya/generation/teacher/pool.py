"""One teacher or several behind one interface: each request goes to the teacher that its row is assigned to.

    name, response = await pool.complete(draft, order, name)

What the ledger has is taken from there, whoever gave it: weights may change, and teachers be added, and nothing is
bought again. A teacher that is exhausted or down gets no further requests. Its rows stay open, or, where `fallback`
allows it, go to the next teacher of their sentence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from terakoya.errors import BudgetError, DiskError, TerakoyaError
from terakoya.generation.teacher.assignment import preferred_teachers
from terakoya.generation.teacher.ledger import CapReached
from terakoya.generation.teacher.protocol import RequestSettings, TeacherRequest
from terakoya.generation.teacher.responses import TeacherResponse
from terakoya.generation.teacher.retries import GenerationStopped, RequestAbandoned, TeacherClient
from terakoya.i18n import joined
from terakoya.records import Turn


class RowLeftOpen(Exception):
    """The row's teacher is exhausted or down, and no other one may make the row. `args[0]` is its name."""


@dataclass(frozen=True, slots=True)
class RequestDraft:
    """A request before it is known which teacher gets it.

    step    name of the recipe step
    source  fingerprint of the source sentence
    text    the text that the prompt is about
    turns   the prompt as messages
    retry   0: first attempt; 1: repeated with the reason for rejecting the first response
    """

    step: str
    source: str
    text: str
    turns: tuple[Turn, ...]
    retry: int


@dataclass(frozen=True, slots=True)
class PoolMember:
    """One teacher of a pool.

    name       in `teacher.pool`; "" for the only one
    weight     of its share of the rows
    client     sends its requests, within its limits
    settings   of its requests
    namespace  keeps the keys of its requests apart from those of the others; "" for the one the ledger began with
    """

    name: str
    weight: float
    client: TeacherClient
    settings: RequestSettings
    namespace: str = ""

    def request(self, draft: RequestDraft) -> TeacherRequest:
        """The request that `draft` becomes where this teacher gets it."""
        settings = self.settings
        return TeacherRequest(
            draft.step, draft.source, draft.text, draft.turns, settings.model, settings.max_tokens,
            settings.temperature, settings.seed, draft.retry, self.name, self.namespace,
        )  # fmt: skip


class TeacherPool:
    """The teachers of a generation.

    members   at least one
    fallback  whether rows of a teacher that is exhausted or down go to the others
    """

    def __init__(self, members: Sequence[PoolMember], *, fallback: bool = False) -> None:
        self.members = {member.name: member for member in members}
        self._weights = {member.name: member.weight for member in members}
        self._fallback = fallback
        self._stop = asyncio.Event()
        self.fatal: TerakoyaError | None = None
        self.out: dict[str, TerakoyaError] = {}  # teachers that get no further requests, and why

    @property
    def paid(self) -> bool:
        """Whether any request costs money."""
        return any(member.client.teacher.paid for member in self.members.values())

    @property
    def total_cost(self) -> float:
        """Money spent or possibly spent on all teachers, in the currency of the prices."""
        return max(member.client.total_cost for member in self.members.values())

    @property
    def models(self) -> set[str]:
        """Models that a teacher's provider said it used, where it said several."""
        several = (member.client.models for member in self.members.values() if len(member.client.models) > 1)
        return set[str]().union(*several)

    @property
    def reused(self) -> int:
        """Responses taken from the ledger."""
        return sum(member.client.reused for member in self.members.values())

    def label(self, names: Sequence[str]) -> str:
        """The teachers `names`, as the origin of a row says it: the model, behind the name where there are several."""
        shown = (f"{name}={self.members[name].client.teacher.name}" if name else self._only for name in names)
        return "+".join(dict.fromkeys(shown))

    @property
    def _only(self) -> str:
        return self.members[""].client.teacher.name

    def assigned(self, source: str) -> str:
        """Name of the teacher that the sentence with the fingerprint `source` is assigned to."""
        return preferred_teachers(source, self._weights)[0] if len(self.members) > 1 else next(iter(self.members))

    async def complete(self, draft: RequestDraft, order: int, assigned: str) -> tuple[str, TeacherResponse]:
        """(name of the teacher, its response), from the ledger or requested now.

        draft     the request
        order     place of the row in the plan: lower ones are sent first
        assigned  name of the teacher of the row
        Raises RequestAbandoned, RowLeftOpen, or GenerationStopped once the generation ends (`fatal` says why).
        """
        member = self._recorded(draft, assigned)
        while True:
            try:
                return member.name, await member.client.complete(member.request(draft), order)
            except RequestAbandoned as error:
                error.teacher = member.name
                raise
            except GenerationStopped:
                self._note(member)
                if self._stop.is_set():
                    raise
            member = self._next(draft, member)

    def _recorded(self, draft: RequestDraft, assigned: str) -> PoolMember:
        """Who has responded already; else who was sent the request; else to whom it is assigned."""
        first = self.members[assigned]
        if len(self.members) == 1:
            return first
        ordered = [first, *(member for member in self.members.values() if member is not first)]
        requests = [(member, member.request(draft)) for member in ordered]
        for known in (TeacherClient.is_recorded, TeacherClient.was_sent):
            for member, request in requests:
                if known(member.client, request):
                    return member
        return first

    def _next(self, draft: RequestDraft, member: PoolMember) -> PoolMember:
        if self._fallback:
            for name in preferred_teachers(draft.source, self._weights):
                if name not in self.out:
                    return self.members[name]
        raise RowLeftOpen(member.name)

    def _note(self, member: PoolMember) -> None:
        """Take a teacher out that has stopped. With it ends the generation where nobody else can go on."""
        error = member.client.fatal
        if error is None or self._stop.is_set():
            return
        if member.name and member.name not in self.out and not isinstance(error, DiskError):
            place = f"[teacher.pool.{member.name}]"
            error.where = joined(", ", (place, error.where)) if error.where else place
        self.out.setdefault(member.name, error)
        whole = isinstance(error, DiskError) or (isinstance(error, BudgetError) and not isinstance(error, CapReached))
        if whole or len(self.out) == len(self.members):
            self.abort(error if whole or len(self.members) == 1 else next(iter(self.out.values())))

    def take_out(self, name: str, error: TerakoyaError) -> None:
        """Send nothing more to the teacher `name`, because of `error`."""
        self.members[name].client.abort(error)
        self._note(self.members[name])

    def stop(self) -> None:
        """Send nothing more; pending responses are still recorded."""
        self._stop.set()
        for member in self.members.values():
            member.client.stop()

    def abort(self, error: TerakoyaError) -> GenerationStopped:
        """Stop sending because of `error`; the first such error is kept as `fatal`. Returns the exception to raise."""
        self.fatal = self.fatal or error
        self.stop()
        return GenerationStopped()

    async def wait_until_stopped(self) -> None:
        """Return when nothing more will be sent to anyone."""
        tasks = [asyncio.create_task(self._watch(member)) for member in self.members.values()]
        try:
            await self._stop.wait()
        finally:
            for task in tasks:
                task.cancel()

    async def _watch(self, member: PoolMember) -> None:
        await member.client.wait_until_stopped()
        self._note(member)

    async def close(self) -> None:
        """Leave nothing running, and no connection open."""
        for member in self.members.values():
            await member.client.close()
            await member.client.teacher.close()
