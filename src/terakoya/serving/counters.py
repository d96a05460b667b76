"""What a server has done since it started, in the text format that Prometheus reads (version 0.0.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counters:
    """Counts of requests, predictions and batches; every label is one of ours, so their number is bounded."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: Counter[float] = Counter()
        self._seconds_sum = 0.0
        self._predictions: Counter[tuple[str, str]] = Counter()
        self._batches: Counter[str] = Counter()
        self._batch_texts: Counter[str] = Counter()
        self._batch_seconds: Counter[str] = Counter()

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request.

        path     one that is served; any other counts as "other"
        status   of its response
        seconds  that it took
        """
        self._requests[path, status] += 1
        self._seconds[next((bound for bound in _BUCKETS if seconds <= bound), float("inf"))] += 1
        self._seconds_sum += seconds

    def prediction(self, model: str, reason: str) -> None:
        """Count a prediction.

        model   name of the skill
        reason  why it has no text; "" if it has
        """
        self._predictions[model, reason or "predicted"] += 1

    def batch(self, model: str, texts: int, seconds: float) -> None:
        """Count a batch.

        model    name of the skill
        texts    of the batch
        seconds  that it took
        """
        self._batches[model] += 1
        self._batch_texts[model] += texts
        self._batch_seconds[model] += seconds  # type: ignore[assignment]

    def text(self, waiting: int) -> str:
        """All of it in the text format.

        waiting  texts that wait or are being predicted now
        """
        return "\n".join([*self._lines(waiting), ""])

    def _lines(self, waiting: int) -> Iterator[str]:
        requests = {f'path="{path}",status="{status}"': n for (path, status), n in self._requests.items()}
        yield from _family("terakoya_requests_total", "counter", "Requests by path and status.", requests)
        yield "# HELP terakoya_request_seconds Time until the response was sent."
        yield "# TYPE terakoya_request_seconds histogram"
        so_far = 0
        for bound in (*_BUCKETS, float("inf")):
            so_far += self._seconds[bound]
            name = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'terakoya_request_seconds_bucket{{le="{name}"}} {so_far}'
        yield f"terakoya_request_seconds_sum {self._seconds_sum:.6f}"
        yield f"terakoya_request_seconds_count {so_far}"
        made = {f'model="{_escaped(name)}",outcome="{reason}"': n for (name, reason), n in self._predictions.items()}
        yield from _family("terakoya_predictions_total", "counter", "Predictions by outcome.", made)
        for name, help, values in (
            ("terakoya_batches_total", "Batches predicted.", self._batches),
            ("terakoya_batch_texts_total", "Texts in those batches.", self._batch_texts),
            ("terakoya_batch_seconds_total", "Seconds that those batches took.", self._batch_seconds),
        ):
            yield from _family(name, "counter", help, {f'model="{_escaped(key)}"': n for key, n in values.items()})
        yield from _family("terakoya_waiting_texts", "gauge", "Texts that wait or are being predicted.", {"": waiting})


def _family(name: str, kind: str, help: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values.items():
        shown = f"{value:.6f}" if isinstance(value, float) else str(value)
        yield f"{name}{{{labels}}} {shown}" if labels else f"{name} {shown}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
