"""A generation under way: sentences go through the recipe's steps, hundreds at once; rows are taken in plan order.

What is accepted depends on what was accepted before (quotas, duplicates, which source comes next). So answers may come
in any order, but rows are judged in the order of the plan, and a sentence is planned only when a row has been judged.
That makes the data set a function of config and answers: a killed and resumed generation ends with the same rows.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from terakoya.errors import DataError, Interrupted, ProviderError, TerakoyaError
from terakoya.generation.balance import Feeder, Meter, Rules
from terakoya.generation.filters import objection, parse_labels
from terakoya.generation.output import Made, Rejected
from terakoya.generation.recipe import Recipe, RecipeStep
from terakoya.generation.sentences import Sentence
from terakoya.generation.teacher.offline import called_for
from terakoya.generation.teacher.protocol import Ask
from terakoya.generation.teacher.rate_limits import PATIENCE, Patience
from terakoya.generation.teacher.retries import Asking, GaveUp, Stopped
from terakoya.i18n import both, joined
from terakoya.progress import Listener, Silent
from terakoya.records import Turn, fingerprint
from terakoya.text import source_form

WINDOW = 512  # sentences planned beyond the last judged row; fixed, because the plan depends on it
_EVERY = 5.0  # seconds between two lines of progress
_AFTER_FATAL = 3.0  # seconds that answers under way are waited for when the generation must end
_SEEN = 40  # rows judged before the share of rejected ones is believed
_IN_VAIN, _IN_VAIN_PAID = 2000, 200  # sentences in a row without a row, for a free and for a paid teacher
_OURS = frozenset({"quota", "duplicate"})  # rejections that say nothing against the teacher


@dataclass(frozen=True, slots=True)
class Manner:
    """How every request of this generation is asked."""

    model: str
    max_tokens: int
    temperature: float
    seed: int
    max_rejected: float = 0.5


@dataclass(frozen=True, slots=True)
class Planned:
    """A sentence and the labels that were nearly full when its turn came."""

    sentence: Sentence
    avoid: tuple[str, ...]


class Generation:
    """Rows and rejected rows grow while it runs; both may be read whatever ends it."""

    def __init__(
        self,
        recipe: Recipe,
        manner: Manner,
        rules: Rules,
        sources: Iterator[Sentence],
        asking: Asking,
        *,
        listener: Listener | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self.recipe, self.manner, self.meter, self.asking = recipe, manner, Meter(rules), asking
        self._feeder = Feeder(sources, self.meter, self._hints)
        self._listener, self._patience = listener or Silent(), patience
        self.rows: list[Made] = []
        self.rejected: list[Rejected] = []
        self.reasons: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._pending: deque[asyncio.Task[Made | Rejected]] = deque()
        self._interrupted = False
        self._in_vain = 0
        self._start = self._told = time.monotonic()

    async def run(self) -> None:
        """Until done or out of sentences. Raises what ended it early, after answers under way were taken in."""
        stop = asyncio.create_task(self.asking.stopped())
        restore = self._on_signals()
        try:
            await self._until_done(stop)
            if self._interrupted:
                raise Interrupted(
                    both("stopped as asked", "指示どおり停止した"),
                    do=both(
                        "Give the same command again to go on; nothing is bought twice.",
                        "続けるには同じコマンドをもう一度実行すること。同じものを二度買うことはない。",
                    ),
                )
        except Stopped:
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
                both: set[asyncio.Task[Any]] = {head, stop}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not head.done():
                raise Stopped
            self._pending.popleft()
            self._judge(head.result())

    def _plan(self) -> None:
        """Never more sentences under way than rows are still wanted: nothing is bought that nobody needs."""
        while len(self._pending) < min(WINDOW, self.meter.wanted):
            sentence = next(self._feeder, None)
            if sentence is None:
                return
            self._pending.append(asyncio.ensure_future(self._make(Planned(sentence, self.meter.nearly_full()))))

    def _judge(self, made: Made | Rejected) -> None:
        """Take the next row of the plan, or set it aside."""
        if isinstance(made, Made):
            made = self._against_the_rest(made)
        if isinstance(made, Made):
            self._seen.add(source_form(made.source))
            self.meter.add(made.labels)
            self.rows.append(made)
            self._in_vain = 0
        else:
            self.rejected.append(made)
            self.reasons[made.check] += 1
            self._in_vain += 1
            self._refuse_to_go_on_in_vain()
            self._refuse_a_bad_teacher()
        self._tell()

    def _against_the_rest(self, made: Made) -> Made | Rejected:
        if source_form(made.source) in self._seen:
            return Rejected(
                made.original, made.origin, "", "duplicate", "同じ文がすでにある", (made.source, made.target)
            )
        if label := self.meter.over_quota(made.labels):
            return Rejected(made.original, made.origin, "", "quota", f"{label} はもう十分にある", (made.target,))
        return made

    async def _make(self, planned: Planned) -> Made | Rejected:
        """One sentence through all steps."""
        sentence, texts = planned.sentence, [planned.sentence.text]
        for step in self.recipe.steps:
            made = await self._step(planned, step, texts[-1])
            if isinstance(made, Rejected):
                return made
            texts.append(made)
        found = parse_labels(texts[-1]) if "labels" in self.recipe.steps[-1].checks else None
        target = texts[-1] if found is None else " ".join(found)
        origin = f"{sentence.origin} | {self.recipe.name} {self.asking.teacher.name}"
        return Made(texts[-2], target, origin, sentence.group, sentence.text, tuple(found or ()))

    async def _step(self, planned: Planned, step: RecipeStep, text: str) -> str | Rejected:
        """Ask; once more with the reason where the answer fails a check; then give the row up, raw answers kept."""
        sentence, check, reason = planned.sentence, "", ""
        raw: list[str] = []
        banned = tuple(sorted(self.meter.rules.banned))
        turns = step.turns(text, banned, planned.avoid)
        for again in (0, 1):
            ask = Ask(
                step.name, fingerprint(sentence.text), text, turns, self.manner.model, self.manner.max_tokens,
                self.manner.temperature, self.manner.seed, again,
            )  # fmt: skip
            try:
                answer = await self.asking.ask(ask)
            except GaveUp as end:
                return Rejected(sentence.text, sentence.origin, step.name, "unanswered", str(end), tuple(raw))
            check, reason = ("answer", answer.defect) if answer.defect else self._objection(answer.text, step)
            if not reason:
                return answer.text
            raw.append(answer.text)
            wish = f"その答えは使えません({reason})。はじめの指示どおりに、答えだけを書き直してください。"
            turns = (*turns, Turn("assistant", answer.text), Turn("user", wish))
        return Rejected(sentence.text, sentence.origin, step.name, check, reason, tuple(raw))

    def _objection(self, answer: str, step: RecipeStep) -> tuple[str, str]:
        check, reason = objection(answer, step)
        if not reason and "labels" in step.checks:
            reason = self.meter.objection(parse_labels(answer) or ())
            check = "label-set" if reason else ""
        return check, reason

    def _hints(self, sentence: Sentence) -> tuple[str, ...]:
        return sentence.emoji or tuple(called_for(sentence.text))

    def _refuse_to_go_on_in_vain(self) -> None:
        """A quota or density that cannot be reached would draw sentences for ever."""
        if self._in_vain >= (_IN_VAIN_PAID if self.asking.teacher.paid else _IN_VAIN):
            told = ", ".join(f"{check} {count}" for check, count in self.reasons.most_common(4))
            raise self.asking.end(
                DataError(
                    both(
                        f"the last {self._in_vain:,} sentences brought no row ({told})",
                        f"直近の{self._in_vain:,}文から一行もできなかった（{told}）",
                    ),
                    do=both(
                        "Raise teacher.quota, lower teacher.density, or bring sentences that call for other labels.",
                        "teacher.quota を上げるか、teacher.density を下げるか、別のラベルに合う文を用意すること。",
                    ),
                )
            )

    def _refuse_a_bad_teacher(self) -> None:
        judged = len(self.rows) + len(self.rejected)
        bad = sum(count for check, count in self.reasons.items() if check not in _OURS)
        if judged >= _SEEN and bad > self.manner.max_rejected * judged:
            told = ", ".join(f"{check} {count}" for check, count in self.reasons.most_common(4))
            raise self.asking.end(
                ProviderError(
                    both(
                        f"{bad} of {judged} rows were rejected ({told})",
                        f"{judged}行のうち{bad}行が不採用になった（{told}）",
                    ),
                    do=both(
                        "Look at rejected.jsonl; take another model or prompt, or raise teacher.max_rejected.",
                        "rejected.jsonl を見て、別のモデルかプロンプトにするか、teacher.max_rejected を上げること。",
                    ),
                )
            )

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told >= _EVERY:
            self._told = now
            self._listener.note(self.progress(now - self._start))

    def progress(self, seconds: float) -> str:
        """Rate, accepted, rejected by reason, cost so far and projected, the labels that lead."""
        rows, wanted = len(self.rows), self.meter.rules.samples
        parts = [
            both(f"{rows:,} of {wanted:,} rows", f"{wanted:,}行中{rows:,}行"),
            both(f"{rows / max(seconds, 1e-9):.1f} a second", f"毎秒{rows / max(seconds, 1e-9):.1f}行"),
        ]
        if self.reasons:
            told = ", ".join(f"{check} {count}" for check, count in self.reasons.most_common(4))
            parts.append(both(f"rejected {told}", f"不採用 {told}"))
        if cost := self.asking.cost:
            parts.append(
                both(
                    f"cost {cost:.4f}, projected {cost * wanted / max(rows, 1):.4f}",
                    f"費用 {cost:.4f}、見込み {cost * wanted / max(rows, 1):.4f}",
                )
            )
        if self.meter.uses:
            top = " ".join(f"{label} {count / self.meter.uses:.1%}" for label, count in self.meter.top(3))
            parts.append(both(f"labels {top}", f"ラベル {top}"))
        return joined("; ", parts)

    def _reason(self) -> TerakoyaError:
        return self.asking.fatal or Interrupted(
            both("stopped as asked", "指示どおり停止した"),
            do=both(
                "Give the same command again to go on; nothing is bought twice.",
                "続けるには同じコマンドをもう一度実行すること。同じものを二度買うことはない。",
            ),
        )

    async def _drain(self) -> None:
        """Take in the answers under way; what does not come in time is let go (and counted as spent)."""
        if not self._pending:
            return
        self.asking.stop()
        seconds = self._patience.drain if self._interrupted else min(_AFTER_FATAL, self._patience.drain)
        await asyncio.wait(self._pending, timeout=seconds)
        for task in self._pending:
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)
        for task in self._pending:
            if task.cancelled() or task.exception() is not None:
                break
            with suppress(Stopped):  # the first reason to end has been told
                self._judge(task.result())

    def _on_signals(self) -> Callable[[], None]:
        """Ctrl-C (and a polite kill) once: no new request, answers under way are taken in. Twice: at once."""
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        loop, wanted = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)

        def stop() -> None:
            if self._interrupted:
                for task in self._pending:
                    task.cancel()
            self._interrupted = True
            self.asking.stop()

        before = {number: signal.getsignal(number) for number in wanted}
        try:
            for number in wanted:
                loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows: Ctrl-C ends the loop; the journal has what was answered
            return lambda: None

        def restore() -> None:
            for number in wanted:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number])

        return restore
