"""What waits for one skill is predicted together: the longer a batch takes, the more the next one gathers."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from terakoya.models.protocol import Query
from terakoya.serving.errors import RequestError
from terakoya.serving.limits import Limits
from terakoya.serving.skills import Output

_SMOOTHING = 0.2  # weight of the newest batch in the mean time of a text
_LONGEST_RETRY = 60  # seconds
T = TypeVar("T")


@dataclass
class Queue:
    """How many texts wait or are being predicted, over all skills.

    limits   of the server
    waiting  number of texts
    seconds  mean time of one text, over the latest batches
    """

    limits: Limits
    waiting: int = 0
    seconds: float = 0.0

    def enter(self, count: int) -> None:
        """Admit `count` texts. Raises RequestError (429, with Retry-After) where they do not fit beside the others."""
        if self.waiting + count > self.limits.waiting:
            seconds = min(_LONGEST_RETRY, max(1, math.ceil(self.waiting * self.seconds)))
            raise RequestError(
                429,
                f"Too many texts are waiting; try again in {seconds} s.",
                code="too_many_waiting",
                headers={"retry-after": str(seconds)},
            )
        self.waiting += count

    def leave(self, count: int) -> None:
        """Say that `count` texts are predicted, or no longer wanted."""
        self.waiting -= count

    def record(self, count: int, seconds: float) -> None:
        """Take a batch into the mean time of a text.

        count    texts of the batch
        seconds  that it took
        """
        each = seconds / count
        self.seconds = each if not self.seconds else (1 - _SMOOTHING) * self.seconds + _SMOOTHING * each


@dataclass
class _Waiting:
    queries: tuple[Query, ...]
    outputs: asyncio.Future[list[Output]] = field(repr=False)


class Batcher:
    """Predicts for one skill in one thread of its own.

    predict   makes the predictions of a batch
    queue     shared by all skills
    on_batch  is called after each batch with its number of texts and its seconds
    """

    def __init__(
        self,
        predict: Callable[[Sequence[Query]], list[Output]],
        queue: Queue,
        on_batch: Callable[[int, float], None] = lambda count, seconds: None,
    ) -> None:
        self._predict, self._queue, self._on_batch = predict, queue, on_batch
        self._requests: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._work: asyncio.Task[None] | None = None

    async def submit(self, queries: Sequence[Query]) -> list[Output]:
        """The predictions for `queries`, which may share a batch with those of other requests.

        Raises RequestError: 429 where too many texts wait, 504 where the time is over.
        """
        self._queue.enter(len(queries))
        request = _Waiting(tuple(queries), asyncio.get_running_loop().create_future())
        self._requests.append(request)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._queue.limits.seconds):
                return await request.outputs
        except TimeoutError as error:
            raise RequestError(504, "The predictions took too long.", code="timeout") from error
        finally:
            request.outputs.cancel()
            self._queue.leave(len(queries))

    async def alone(self, function: Callable[[], T]) -> T:
        """The result of `function`, called between two batches, in their thread. Raises RequestError as `submit`."""
        self._queue.enter(1)
        try:
            async with asyncio.timeout(self._queue.limits.seconds):
                return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except TimeoutError as error:
            raise RequestError(504, "The predictions took too long.", code="timeout") from error
        finally:
            self._queue.leave(1)

    async def _run(self) -> None:
        while self._requests:
            batch = self._gathered()
            if not batch:
                continue
            try:
                await self._predict_batch(batch)
            except Exception as error:
                if len(batch) == 1:
                    _fail(batch[0], error)
                    continue
                for request in batch:  # one request's fault is not the others'
                    try:
                        await self._predict_batch([request])
                    except Exception as own:
                        _fail(request, own)

    def _gathered(self) -> list[_Waiting]:
        """The requests that waited longest, as many as make up a batch; those that nobody waits for are dropped."""
        batch: list[_Waiting] = []
        count = 0
        while self._requests:
            following = self._requests[0]
            if not following.outputs.done():
                if batch and count + len(following.queries) > self._queue.limits.batch:
                    break
                batch.append(following)
                count += len(following.queries)
            self._requests.popleft()
        return batch

    async def _predict_batch(self, batch: Sequence[_Waiting]) -> None:
        queries = [query for request in batch for query in request.queries]
        started = time.monotonic()
        outputs = await asyncio.get_running_loop().run_in_executor(self._thread, self._predict, queries)
        seconds = time.monotonic() - started
        self._queue.record(len(queries), seconds)
        self._on_batch(len(queries), seconds)
        first = 0
        for request in batch:
            own = outputs[first : first + len(request.queries)]
            first += len(request.queries)
            if not request.outputs.done():
                request.outputs.set_result(own)

    def close(self) -> None:
        """End the thread after what it is doing."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def _fail(request: _Waiting, error: Exception) -> None:
    if not request.outputs.done():
        request.outputs.set_exception(error)
