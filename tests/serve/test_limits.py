"""Limits on body, length, time and waiting texts, each with its status code; and what is predicted together."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Running, chat, in_thread, raw, service_of, status_of

from terakoya.models.protocol import Query
from terakoya.records import Prediction
from terakoya.saved_model import read_skill
from terakoya.serving.batching import Batcher, Queue
from terakoya.serving.errors import RequestError
from terakoya.serving.limits import Limits
from terakoya.serving.skills import Output


def post(url: str, content: bytes, **headers: str) -> httpx.Response:
    return httpx.post(f"{url}/v1/completions", content=content, headers={"content-type": "application/json", **headers})


def completion(**more: Any) -> bytes:
    return json.dumps({"model": "moods", "prompt": "猫", **more}).encode()


def error_of(response: httpx.Response) -> Any:
    return response.json()["error"]


def test_a_body_has_a_largest_size(server: Running) -> None:
    """Announced or not, and the refusal can still be read."""
    large = completion(prompt="猫" * 2_000_000)
    assert len(large) > 10_000_000
    assert post(server.url, large).status_code == 413
    chunks = (large[first : first + 65536] for first in range(0, len(large), 65536))
    headers = {"content-type": "application/json"}
    assert httpx.post(f"{server.url}/v1/completions", content=chunks, headers=headers).status_code == 413


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (completion(prompt=float("nan")), 400, "invalid_json"),
        (b'{"model": "moods", "prompt": "\\ud800"}', 400, "invalid_json"),
        (b'{"model": "moods", "prompt": ' + b"9" * 5000 + b"}", 400, "invalid_json"),
        (b"[]", 422, "invalid_value"),
        (b'"text"', 422, "invalid_value"),
        (completion(prompt=""), 422, "empty_text"),
        (completion(prompt=[]), 422, "invalid_value"),
        (completion(prompt=["猫", ""]), 422, "empty_text"),
        (completion(prompt=[1, 2]), 422, "invalid_value"),
        (completion(prompt="猫" * 10_001), 422, "context_length_exceeded"),
        (completion(prompt=["猫"] * 65), 422, "too_many_prompts"),
        (completion(n=2), 422, "invalid_value"),
        (completion(stream="yes"), 422, "invalid_value"),
        (completion(model="../moods"), 404, "model_not_found"),
        (completion(model=7), 422, "invalid_value"),
    ],
    ids=lambda value: value[:30].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_what_is_wrong_with_a_body_is_said(server: Running, content: bytes, status: int, code: str) -> None:
    response = post(server.url, content)
    assert (response.status_code, error_of(response)["code"]) == (status, code)


def test_a_text_longer_than_the_model_reads_is_refused(server: Running) -> None:
    """Nothing is cut: the skill would predict for another text."""
    response = post(server.url, json.dumps({"model": "kannume-160", "prompt": "三" * 400}).encode())
    assert (response.status_code, error_of(response)["code"]) == (422, "context_length_exceeded")
    assert post(server.url, completion(), **{"content-type": "text/plain"}).status_code == 415


def test_a_body_that_comes_too_slowly_ends(moods: Path) -> None:
    service = service_of(read_skill(moods, predict_only=True), Limits(seconds=0.5))
    with in_thread(service) as url:
        port = int(url.rpartition(":")[2])
        head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        started = time.monotonic()
        assert status_of(raw(port, f"{head}content-length: 50\r\n\r\n{{".encode())) == 408
        assert time.monotonic() - started < 5


def test_headers_that_come_too_slowly_end(moods: Path) -> None:
    """Begun or not, first of its connection or not: the connection is closed, and others are served meanwhile."""
    service = service_of(read_skill(moods, predict_only=True), Limits(seconds=1.0))
    with in_thread(service) as url:
        port = int(url.rpartition(":")[2])
        whole = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        for begun in (b"", b"GET /health HTTP/1.1\r\nHost: 127.", whole + b"GET /hea"):
            started = time.monotonic()
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(begun)
                assert httpx.get(f"{url}/health").status_code == 200
                while connection.recv(65536):
                    pass
            assert 0.5 < time.monotonic() - started < 15
        with httpx.Client() as client:  # a connection that is used is not closed between its requests' parts
            for _number in range(4):
                assert client.get(f"{url}/health").status_code == 200
                time.sleep(0.4)


@dataclass
class SlowSkill:
    """Predicts the text itself, when it may."""

    may_go_on: threading.Event = field(default_factory=threading.Event)
    batches: list[list[str]] = field(default_factory=list)

    def predict(self, queries: Sequence[Query]) -> list[Output]:
        self.batches.append([query.source for query in queries])
        assert self.may_go_on.wait(30)
        if any(query.source == "bad" for query in queries):
            raise ValueError("bad\x1b[2J")
        return [Output(Prediction(query.source, query.source, query.source, 1.0), True, 1, 1) for query in queries]


def test_a_prediction_that_takes_too_long_ends(moods: Path) -> None:
    """504 for whoever waits; 429 with Retry-After for whoever comes when too many wait; then all is well again."""
    service, slow = service_of(read_skill(moods, predict_only=True), Limits(seconds=1.0, waiting=4)), SlowSkill()
    service._batchers["moods"]._predict = slow.predict
    with in_thread(service) as url, ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(chat, url, str(number)) for number in range(4)]
        while service.queue.waiting < 4:
            time.sleep(0.01)
        refused = chat(url, "one more")
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        assert error_of(refused)["type"] == "rate_limit_error"
        assert [one.result().status_code for one in waiting] == [504] * 4
        assert service.queue.waiting == 0
        slow.may_go_on.set()
        assert chat(url, "again").json()["choices"][0]["message"]["content"] == "again"


def test_what_waits_is_predicted_together() -> None:
    """Twelve requests that come during the first batch are the second one, up to its largest size."""
    slow = SlowSkill()

    async def all_of_them() -> list[list[Output]]:
        batcher = Batcher(slow.predict, Queue(Limits(batch=8)))
        tasks = [asyncio.create_task(batcher.submit([Query("first")]))]
        await asyncio.sleep(0.1)
        tasks += [asyncio.create_task(batcher.submit([Query(str(number))])) for number in range(12)]
        await asyncio.sleep(0.1)
        tasks[3].cancel()  # a client that has gone
        await asyncio.sleep(0.05)
        slow.may_go_on.set()
        done = [await task for number, task in enumerate(tasks) if number != 3]
        batcher.close()
        return done

    done = asyncio.run(all_of_them())
    expected = [str(number) for number in range(12) if number != 2]
    assert [one[0].prediction.text for one in done] == ["first", *expected]
    assert slow.batches == [["first"], expected[:8], expected[8:]]


def test_one_requests_fault_is_not_the_others() -> None:
    slow = SlowSkill()
    slow.may_go_on.set()

    async def three() -> list[Any]:
        batcher = Batcher(slow.predict, Queue(Limits()))
        waits = [batcher.submit([Query(text)]) for text in ("good", "bad", "better")]
        done = await asyncio.gather(*waits, return_exceptions=True)
        batcher.close()
        return done

    good, bad, better = asyncio.run(three())
    assert good[0].prediction.text == "good" and better[0].prediction.text == "better"
    assert isinstance(bad, ValueError)


def test_a_fault_of_ours_says_nothing_of_its_cause(moods: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A codec of somebody else's that raises: 500 in the form of every refusal; the cause is in the log, and what it
    holds of the request cannot steer a terminal."""
    service, slow = service_of(read_skill(moods, predict_only=True)), SlowSkill()
    slow.may_go_on.set()
    service._batchers["moods"]._predict = slow.predict
    with in_thread(service) as url:
        response = chat(url, "bad")
        assert response.status_code == 500 and error_of(response)["type"] == "server_error"
        assert "ValueError" not in response.text and "/" not in error_of(response)["message"]
        assert chat(url, "good").status_code == 200
    assert "ValueError: bad\\x1b[2J" in caplog.text and "\x1b" not in caplog.text


def test_a_client_that_has_gone_is_not_predicted_for(moods: Path) -> None:
    service, slow = service_of(read_skill(moods, predict_only=True)), SlowSkill()
    service._batchers["moods"]._predict = slow.predict
    with in_thread(service) as url:
        port = int(url.rpartition(":")[2])
        body = completion(prompt="gone")
        head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(chat, url, "first")
            while not slow.batches:
                time.sleep(0.01)
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(request)
                while service.queue.waiting < 2:
                    time.sleep(0.01)
            while service.queue.waiting > 1:
                time.sleep(0.01)
            slow.may_go_on.set()
            assert first.result().status_code == 200
    assert slow.batches == [["first"]]


def test_the_queue_counts_texts() -> None:
    """A request with several texts takes several places, and Retry-After follows from how long a text takes."""
    queue = Queue(Limits(waiting=10))
    queue.record(2, 8.0)
    queue.enter(8)
    with pytest.raises(RequestError) as refused:
        queue.enter(3)
    assert refused.value.status == 429 and refused.value.headers["retry-after"] == "32"
    queue.leave(1)
    queue.enter(3)
