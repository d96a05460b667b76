"""One generation: sentences pass through the recipe's steps, hundreds concurrently; rows are accepted in planned order.

Whether a row is accepted depends on the rows accepted before (quotas, duplicates, choice of sources). Responses may
arrive in any order, but rows are checked in planned order, and a sentence is planned only when a row has been checked.
The data set is therefore a function of config and responses: a killed and resumed generation ends with the same rows.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from terakoya.codec.text import normalise_source
from terakoya.errors import DataError, Interrupted, ProviderError, TerakoyaError
from terakoya.generation.balance import BalanceRules, LabelCounter, SourceSelector
from terakoya.generation.filters import first_failure, parse_labels
from terakoya.generation.output import GeneratedRow, OpenRow, RejectedRow, joined_teachers, last_teacher
from terakoya.generation.recipe import Recipe, RecipeStep
from terakoya.generation.rejections import Rejections, TeacherTally
from terakoya.generation.sentences import Sentence
from terakoya.generation.teacher.offline import cued_emoji
from terakoya.generation.teacher.pool import PoolMember, RequestDraft, RowLeftOpen, TeacherPool
from terakoya.generation.teacher.protocol import RequestSettings
from terakoya.generation.teacher.rate_limits import RETRY_POLICY, RetryPolicy
from terakoya.generation.teacher.retries import GenerationStopped, RequestAbandoned, TeacherClient
from terakoya.i18n import _, joined
from terakoya.records import Turn, fingerprint
from terakoya.runs.progress import Listener, SilentListener, clock

WINDOW = 512  # sentences planned beyond the last checked row; fixed, because the plan depends on it
_PROGRESS_EVERY = 0.5  # seconds between two lines of progress; a listener that prints them takes fewer
_RECENT = 120  # of these lines, over which the time left is estimated: rows from the ledger come at once
_AFTER_FATAL = 3.0  # seconds to wait for pending responses when the generation must end
_MIN_CHECKED = 40  # rows checked before the share of rejected ones is trusted
_MAX_FRUITLESS, _MAX_FRUITLESS_PAID = 2000, 200  # consecutive rejected rows, for a free and for a paid teacher


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A sentence, the labels near their quota when it was planned (`avoid`), and its place in the plan (`order`)."""

    sentence: Sentence
    avoid: tuple[str, ...]
    order: int


class Generation:
    """Runs a recipe over source sentences. `rows` and `rejections` may be read whatever ends it.

    recipe        the steps
    settings      of every request; of a pool, `max_rejected` alone counts, and each teacher has its own
    rules         what may be accepted
    sources       source sentences
    client        sends requests and stores responses: of one teacher, or a pool of several
    listener      receives progress
    retry_policy  `drain` is the time allowed to pending responses
    window        sentences planned beyond the last checked row
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: RequestSettings,
        rules: BalanceRules,
        sources: Iterator[Sentence],
        client: TeacherClient | TeacherPool,
        *,
        listener: Listener | None = None,
        retry_policy: RetryPolicy = RETRY_POLICY,
        window: int = WINDOW,
    ) -> None:
        self._window = window
        self.recipe, self.settings, self.counter = recipe, settings, LabelCounter(rules)
        self.client = (
            client if isinstance(client, TeacherPool) else TeacherPool([PoolMember("", 1.0, client, settings)])
        )
        self._feeder = SourceSelector(sources, self.counter, self._hints)
        self._listener, self._retry_policy = listener or SilentListener(), retry_policy
        self.rows: list[GeneratedRow] = []
        self.rejections = Rejections()
        self.tallies: defaultdict[str, TeacherTally] = defaultdict(TeacherTally)
        self._seen: set[str] = set()
        self._pending: deque[asyncio.Task[GeneratedRow | RejectedRow | OpenRow]] = deque()
        self._interrupted = False
        self._fruitless = self._planned = 0
        self._reported = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque([(self._reported, 0)], maxlen=_RECENT)

    async def run(self) -> None:
        """Run until enough rows are accepted or sentences run out. Raises what ended it early."""
        stop = asyncio.create_task(self.client.wait_until_stopped())
        restore = self._on_signals()
        try:
            await self._until_done(stop)
            if self._interrupted:
                raise _interrupted()
        except GenerationStopped:
            raise self._reason() from None
        finally:
            restore()
            stop.cancel()
            await self._drain()

    async def _until_done(self, stop: asyncio.Task[None]) -> None:
        while True:
            self._plan()
            if not self._pending:
                return
            head = self._pending[0]
            if not head.done():
                either: set[asyncio.Task[Any]] = {head, stop}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not head.done():
                raise GenerationStopped
            self._pending.popleft()
            self._record(head.result())

    def _plan(self) -> None:
        """Never plan more sentences than rows are still needed: no response is paid for in vain."""
        while len(self._pending) < min(self._window, self.counter.remaining - self.open_rows):
            sentence = next(self._feeder, None)
            if sentence is None:
                return
            planned = PlannedSource(sentence, self.counter.nearly_full(), self._planned)
            self._planned += 1
            self._pending.append(asyncio.ensure_future(self._make(planned)))

    @property
    def open_rows(self) -> int:
        """Rows whose teacher is exhausted or down: the next call requests them again, in planned order."""
        return sum(tally.open for tally in self.tallies.values())

    def _record(self, row: GeneratedRow | RejectedRow | OpenRow) -> None:
        """Accept or reject the next row in planned order, or leave its place open."""
        if isinstance(row, OpenRow):
            self._leave_open(row)
            return
        if isinstance(row, GeneratedRow):
            row = self._check_against_accepted(row)
        self.tallies[last_teacher(row.teacher)].count(row)
        if isinstance(row, GeneratedRow):
            self._seen.add(normalise_source(row.source))
            self.counter.add(row.labels)
            self.rows.append(row)
            self._fruitless = 0
        else:
            self.rejections.add(row)
            self._fruitless += 1
            self._stop_if_fruitless()
            self._stop_if_mostly_rejected()
            self._take_out_if_mostly_rejected(last_teacher(row.teacher))
        self._report()

    def _leave_open(self, row: OpenRow) -> None:
        self.tallies[row.teacher].open += 1
        if self.counter.rules.reorders_sources:
            # What is planned next depends on the counts, which this row would change: others would be paid in vain.
            raise self.client.abort(self.client.out[row.teacher])

    def _check_against_accepted(self, row: GeneratedRow) -> GeneratedRow | RejectedRow:
        if normalise_source(row.source) in self._seen:
            return RejectedRow(
                row.original, row.origin, "", "duplicate", "同じ文がすでにある", (row.source, row.target), row.teacher
            )
        if label := self.counter.over_quota(row.labels):
            reason = f"{label} はもう十分にある"
            return RejectedRow(row.original, row.origin, "", "quota", reason, (row.target,), row.teacher)
        return row

    async def _make(self, planned: PlannedSource) -> GeneratedRow | RejectedRow | OpenRow:
        """Pass one sentence through all steps."""
        sentence, texts = planned.sentence, [planned.sentence.text]
        teachers: list[str] = []  # names of those that responded
        for step in self.recipe.steps:
            try:
                text = await self._step(planned, step, texts[-1], teachers)
            except RowLeftOpen as error:
                return OpenRow(error.args[0])
            if isinstance(text, RejectedRow):
                return text
            texts.append(text)
        found = parse_labels(texts[-1]) if "labels" in self.recipe.steps[-1].checks else None
        target = texts[-1] if found is None else " ".join(found)
        origin = f"{sentence.origin} | {self.recipe.name} {self.client.label(teachers)}"
        return GeneratedRow(
            texts[-2], target, origin, sentence.group, sentence.text, tuple(found or ()), joined_teachers(teachers)
        )

    async def _step(
        self, planned: PlannedSource, step: RecipeStep, text: str, teachers: list[str]
    ) -> str | RejectedRow:
        """Send the request; where the response fails a check, once more with the reason; then reject the row. Whoever
        responds is added to `teachers`: a row that one has begun stays with it."""
        source = fingerprint(planned.sentence.text)
        sentence, check, reason, detail = planned.sentence, "", "", ""
        raw: list[str] = []
        banned = tuple(sorted(self.counter.rules.banned))
        turns = step.turns(text, banned, planned.avoid)
        for retry in (0, 1):
            draft = RequestDraft(step.name, source, text, turns, retry)
            assigned = teachers[-1] if teachers else self.client.assigned(source)
            try:
                name, response = await self.client.complete(draft, planned.order, assigned)
            except RequestAbandoned as error:
                names = joined_teachers([*teachers, error.teacher])
                return RejectedRow(
                    sentence.text, sentence.origin, step.name, "unanswered", str(error), tuple(raw), names
                )
            teachers.append(name)
            check, reason = ("answer", response.defect) if response.defect else self._check(response.text, step)
            detail = f" ({response.detail})" if response.detail else ""
            if not reason:
                return response.text
            raw.append(response.text)
            correction = f"その答えは使えません({reason})。はじめの指示どおりに、答えだけを書き直してください。"
            turns = (*turns, Turn("assistant", response.text), Turn("user", correction))
        return RejectedRow(
            sentence.text, sentence.origin, step.name, check, reason + detail, tuple(raw), joined_teachers(teachers)
        )

    def _check(self, response: str, step: RecipeStep) -> tuple[str, str]:
        check, reason = first_failure(response, step)
        if not reason and "labels" in step.checks:
            reason = self.counter.rule_violation(parse_labels(response) or ())
            check = "label-set" if reason else ""
        return check, reason

    def _hints(self, sentence: Sentence) -> tuple[str, ...]:
        return sentence.emoji or tuple(cued_emoji(sentence.text))

    def _stop_if_fruitless(self) -> None:
        """Stop where a quota or density cannot be reached: sentences would be drawn for ever."""
        rejected = self._fruitless
        if rejected >= (_MAX_FRUITLESS_PAID if self.client.paid else _MAX_FRUITLESS):
            self.rejections.reported = True
            raise self.client.abort(
                DataError(
                    _(
                        "the last {rejected:,} sentences gave no accepted row ({reasons}); {commonest}",
                        rejected=rejected,
                        reasons=self.rejections.top(),
                        commonest=self.rejections.commonest(),
                    ),
                    do=_("Raise teacher.quota, lower teacher.density, or provide sentences that suit other labels."),
                )
            )

    def _stop_if_mostly_rejected(self) -> None:
        if error := self._mostly_rejected(len(self.rows), self.rejections, paid=self.client.paid):
            self.rejections.reported = True
            raise self.client.abort(error)

    def _take_out_if_mostly_rejected(self, name: str) -> None:
        """Of several teachers, a bad one is not hidden by the good ones: its rows alone are looked at."""
        if len(self.client.members) == 1 or name in self.client.out:
            return
        tally, paid = self.tallies[name], self.client.members[name].client.teacher.paid
        if error := self._mostly_rejected(tally.rows, tally.rejections, paid=paid):
            self.client.take_out(name, error)

    def _mostly_rejected(self, rows: int, rejections: Rejections, *, paid: bool) -> ProviderError | None:
        checked, bad = rows + len(rejections.rows), rejections.by_teacher
        # Ten alike are enough where each costs money; a limit of 1 says that the user wants none of these stops.
        hopeless = paid and self.settings.max_rejected < 1 and not rows and rejections.all_alike
        if not hopeless and (checked < _MIN_CHECKED or bad <= self.settings.max_rejected * checked):
            return None
        return ProviderError(
            _(
                "{bad} of {checked} rows were rejected ({reasons}); {commonest}",
                bad=bad,
                checked=checked,
                reasons=rejections.top(),
                commonest=rejections.commonest(),
            ),
            do=rejections.advice,
        )

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported >= _PROGRESS_EVERY:
            self._reported = now
            self._listener.progress(self.progress(now))

    def progress(self, now: float) -> str:
        """One line: time left, rows, rate, cost so far and projected, rejections by check, most frequent labels.

        now  time of the monotonic clock, in seconds
        """
        rows, wanted = len(self.rows), self.counter.rules.samples
        since, before = self._recent[0]
        self._recent.append((now, rows))
        rate = (rows - before) / max(now - since, 1e-9)
        parts = [
            _("{remaining} left", remaining=clock(max(wanted - rows, 0) / rate) if rate > 0 else "-:--"),
            _("{rows:,} of {wanted:,} rows", rows=rows, wanted=wanted),
            _("{rate:.1f} per second", rate=rate),
        ]
        if cost := self.client.total_cost:
            projected = cost * wanted / max(rows, 1)
            parts.append(_("cost {cost:.4f}, projected {projected:.4f}", cost=cost, projected=projected))
        if self.rejections.rows:
            parts.append(_("rejected: {reasons}", reasons=self.rejections.top()))
        if self.counter.label_uses:
            top = " ".join(f"{label} {count / self.counter.label_uses:.1%}" for label, count in self.counter.top(3))
            parts.append(_("labels {top}", top=top))
        return joined("; ", parts)

    def _reason(self) -> TerakoyaError:
        return self.client.fatal or _interrupted()

    async def _drain(self) -> None:
        """Wait for pending responses; what does not arrive in time is cancelled (and counts as spent)."""
        if not self._pending:
            return
        self.client.stop()
        seconds = self._retry_policy.drain if self._interrupted else min(_AFTER_FATAL, self._retry_policy.drain)
        await asyncio.wait(self._pending, timeout=seconds)
        for task in self._pending:
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)
        for task in self._pending:
            if task.cancelled() or task.exception() is not None:
                break
            with suppress(GenerationStopped):  # the first reason to end has been raised already
                self._record(task.result())

    def _on_signals(self) -> Callable[[], None]:
        """SIGINT or SIGTERM once: no new request, pending responses are awaited. Twice: cancel at once."""
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)

        def stop() -> None:
            if self._interrupted:
                for task in self._pending:
                    task.cancel()
            self._interrupted = True
            self.client.stop()

        before = {number: signal.getsignal(number) for number in signals}
        try:
            for number in signals:
                loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows: Ctrl-C ends the loop; the journal has every response
            return lambda: None

        def restore() -> None:
            for number in signals:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number])

        return restore


def _interrupted() -> Interrupted:
    return Interrupted(
        _("stopped on request"),
        do=_("Run the same command again to continue; no response is paid for twice."),
    )
