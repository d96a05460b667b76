"""Parsing of responses, rate limits, and messages when the provider refuses."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest

from terakoya.generation.teacher.http_client import ApiTeacher
from terakoya.generation.teacher.protocol import NoResponse, RawResponse, TeacherRequest, free_response
from terakoya.generation.teacher.rate_limits import CircuitBreaker, RateLimiter, RetryPolicy
from terakoya.generation.teacher.responses import ResponseFault, TeacherResponse, parse_response, parse_retry_after
from terakoya.records import Turn

NO_DATA = float("nan")


def body(content: Any = "🍎 🍊", finish: Any = "stop", **message: Any) -> str:
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return json.dumps({"choices": [choice]}, ensure_ascii=False)


DEFECTIVE_RESPONSES = [
    body(finish="length"), body(finish="content_filter"), body(finish=None), body(finish="tool_calls"),
    body(finish="error"), body(None), body(""), body("  \n "), body([{"type": "image_url", "image_url": {}}]), body(7),
    body({"text": "🍎"}), body(refusal="I cannot"), body(tool_calls=[{"id": "x"}]), body(function_call={"name": "f"}),
    body("<think>りんごかな</think>🍎"), body("<think>りんごかな"), body("🍎</think>"), body("<|channel|>analysis🍎"),
    body("<reasoning>x</reasoning>🍎"), body("[THINK]x[/THINK]🍎"), body("🍎\0"), body("\ud83c"),
    '{"choices": [{"message": null, "finish_reason": "stop"}]}', '{"choices": [{"finish_reason": "stop"}]}',
]  # fmt: skip

UNUSABLE_RESPONSES = [
    "", "null", "[]", "3", '"🍎"', '{"choices": null}', '{"choices": []}', '{"choices": {}}', '{"choices": ["🍎"]}',
    '{"error": {"message": "overloaded", "code": 503}}', '{"error": {"message": "slow down", "code": 429}}',
    '{"error": "broken"}', '{"error": {"code": "x"}}', '{"choices": [{"error": {"code": 502}}]}', "{}",
    body()[:-20], "<html><body>Just a moment…</body></html>", "data: [DONE]", "upstream connect error",
    '{"error": {"message": "no key", "code": 401}}', "[" * 100_000,
]  # fmt: skip


def test_the_corpus_of_unusable_responses_is_large_enough() -> None:
    """P8 names forty kinds of responses of which none is accepted."""
    assert len({*DEFECTIVE_RESPONSES, *UNUSABLE_RESPONSES}) >= 40


@pytest.mark.parametrize("text", DEFECTIVE_RESPONSES, ids=range(len(DEFECTIVE_RESPONSES)))
def test_a_defective_response_never_becomes_a_label(text: str) -> None:
    """P8: what is truncated, contains reasoning, is refused or empty was paid for, and must not be trained on."""
    response = parse_response(RawResponse(200, text))
    assert isinstance(response, TeacherResponse)
    assert response.defect


@pytest.mark.parametrize("text", UNUSABLE_RESPONSES, ids=range(len(UNUSABLE_RESPONSES)))
def test_http_200_alone_is_no_success(text: str) -> None:
    """Providers put errors, HTML and nothing at all into a 200."""
    assert isinstance(parse_response(RawResponse(200, text)), ResponseFault)


def test_a_complete_response_is_taken_with_its_cost() -> None:
    """Else the test above could pass by refusing everything."""
    text = json.dumps(json.loads(body()) | {"usage": {"prompt_tokens": 9, "completion_tokens": 2, "cost": 0.00034}})
    assert parse_response(RawResponse(200, text)) == TeacherResponse("🍎 🍊", "", 9, 2, 340_000)


@pytest.mark.parametrize("cost", [NO_DATA, float("inf"), -1, "free", None, True])
def test_a_nonsense_cost_is_no_cost(cost: Any) -> None:
    """NaN compares false with every cap."""
    text = json.dumps(json.loads(body()) | {"usage": {"cost": cost, "prompt_tokens": -3, "completion_tokens": True}})
    response = parse_response(RawResponse(200, text))
    assert isinstance(response, TeacherResponse)
    assert (response.cost, response.tokens_in, response.tokens_out) == (None, None, None)


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (401, "no", "hopeless"), (402, "no credit", "hopeless"), (403, "key limit exceeded", "hopeless"),
        (404, "no such model", "hopeless"), (403, "flagged by moderation", "refused"), (400, "too long", "refused"),
        (422, "unknown field", "refused"), (429, "slow", "busy"), (408, "", "down"), (409, "", "down"),
        (500, "", "down"), (502, "", "down"), (503, "", "down"), (504, "", "down"), (529, "", "down"),
    ],
)  # fmt: skip
def test_a_status_says_whether_to_stop_to_wait_or_to_leave_the_row(status: int, said: str, kind: str) -> None:
    """P6: hopeless errors stop at once; moderation concerns one row."""
    for reply in (RawResponse(status, json.dumps({"error": {"message": said}})),
                  RawResponse(200, json.dumps({"error": {"message": said, "code": status}}))):  # fmt: skip
        fault = parse_response(reply)
        assert isinstance(fault, ResponseFault)
        assert fault.kind == kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0), ("0", 0.0), ("1.5", 1.5), ("-7", 0.0), ("1e9", 120.0), ("121", 120.0), ("", None), ("soon", None),
        ("nan", None), ("inf", 120.0), ("-inf", 0.0), ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0), ("Fri, 01 Jan 2100 00:00:00 GMT", 120.0), ("Thu, 99 Jan 1970", None),
        ("１", 1.0), ("0x10", None), (" 2 ", 2.0), ("2, 3", None), ("Thursday", None), ("1_000", 120.0),
    ],
)  # fmt: skip
def test_retry_after_is_held_to_two_minutes(header: str, seconds: float | None) -> None:
    """A header from outside must not stop us for a year, nor crash us."""
    assert parse_retry_after(header, now=10.0) == seconds


def test_no_minute_holds_more_requests_than_allowed() -> None:
    """A provider that counts by the minute bans whoever does not."""
    now, sent = [0.0], []

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    async def go() -> None:
        pace = RateLimiter(120, 6000, tick=lambda: now[0], sleep=sleep)
        for number in range(300):
            await pace.acquire(100 if number < 150 else 10)
            sent.append(now[0])

    asyncio.run(go())
    in_a_minute = [sum(start <= moment < start + 60 for moment in sent) for start in sent]
    assert max(in_a_minute) <= 121
    # The first half is bound by tokens (100 each, 6,000 a minute), the second by requests.
    assert sent[149] >= 148
    assert sent[-1] - sent[151] <= 76


def test_a_pause_holds_everybody() -> None:
    """One 429 with Retry-After speaks for all requests, also for those that already wait."""

    async def go() -> float:
        pace = RateLimiter()
        pace.pause(0.2)
        start = asyncio.get_running_loop().time()
        await asyncio.gather(*(pace.acquire(1) for _ in range(20)))
        return asyncio.get_running_loop().time() - start

    assert asyncio.run(go()) >= 0.19


def test_the_breaker_probes_one_by_one_and_then_gives_up() -> None:
    """Twenty failures in a row are no accident; a hundred more requests would not help."""

    async def go() -> tuple[int, int, bool]:
        breaker, probes, refused = CircuitBreaker(RetryPolicy(base_wait=0.001, failure_limit=5, probe_limit=3)), 0, 0
        for _ in range(40):
            probing = await breaker.acquire()
            if breaker.open and not probing:
                refused += 1
                continue
            probes += probing
            breaker.record_outcome(probing, failed="HTTP 500")
        return probes, refused, breaker.exhausted

    assert asyncio.run(go()) == (3, 40 - 5 - 3, True)


def test_one_response_closes_the_breaker_again() -> None:
    """A provider that recovered receives requests as before."""

    async def go() -> bool:
        breaker = CircuitBreaker(RetryPolicy(base_wait=0.001, failure_limit=2))
        for _ in range(2):
            breaker.record_outcome(False, failed="HTTP 500")
        assert breaker.open
        probing = await breaker.acquire()
        breaker.record_outcome(probing)
        return breaker.open

    assert not asyncio.run(go())


def test_waits_grow_and_are_spread() -> None:
    """Hundreds that return at the same moment bring the provider down again."""
    patience, random = RetryPolicy(base_wait=1.0, max_wait=10.0), Random(1)
    waits = [[patience.wait(attempt, random) for _ in range(200)] for attempt in (1, 3, 9)]
    assert max(waits[0]) <= 1.0 < max(waits[1]) <= 4.0 < max(waits[2]) <= 10.0
    assert all(len(set(some)) == 200 for some in waits)


def test_everything_that_decides_a_request_is_in_its_key() -> None:
    """P2 and P9: requests with equal keys are paid once, so whatever changes the response belongs to the key."""
    base = TeacherRequest("emoji", "s", "t", (Turn("user", "p"),), "m", 10, 0.5, 1)
    others = [
        TeacherRequest("rewrite", "s", "t", base.turns, "m", 10, 0.5, 1),
        TeacherRequest("emoji", "x", "t", base.turns, "m", 10, 0.5, 1),
        TeacherRequest("emoji", "s", "t", (Turn("user", "q"),), "m", 10, 0.5, 1),
        TeacherRequest("emoji", "s", "t", (Turn("system", "p"),), "m", 10, 0.5, 1),
        TeacherRequest("emoji", "s", "t", base.turns, "n", 10, 0.5, 1),
        TeacherRequest("emoji", "s", "t", base.turns, "m", 11, 0.5, 1),
        TeacherRequest("emoji", "s", "t", base.turns, "m", 10, 0.6, 1),
        TeacherRequest("emoji", "s", "t", base.turns, "m", 10, 0.5, 2),
        TeacherRequest("emoji", "s", "t", base.turns, "m", 10, 0.5, 1, 1),
    ]
    assert len({request.key for request in (base, *others)}) == 10
    assert base.key == "dee64b484ed071ed", "keys changed: every response paid for would be paid for again"


def test_an_offline_response_passes_the_same_checks() -> None:
    """Same face: what is checked for a paid teacher is checked for a free one."""
    assert parse_response(free_response("🍎")) == TeacherResponse("🍎", cost=0)
    assert parse_response(free_response("")).defect == "empty answer"  # type: ignore[union-attr]


def test_no_connection_costs_nothing() -> None:
    """A name that does not resolve or a closed port has sold nothing."""

    async def go() -> NoResponse:
        teacher = ApiTeacher("m", "http://127.0.0.1:9/v1", "key", deadline=5)
        try:
            await teacher.send(TeacherRequest("s", "", "", (Turn("user", "x"),), "m", 5, 0.0, 0))
        except NoResponse as lost:
            return lost
        finally:
            await teacher.close()
        raise AssertionError("a response from a closed port")

    assert not asyncio.run(go()).sent
