"""Providers whose figures are wrong: nothing ends in a traceback, nothing is bought twice, and the cap holds."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from faulty_server import Running, ServerPlan, running, usual_response

from terakoya.config import make_config
from terakoya.errors import BudgetError, ConfigError, CorruptError, ProviderError
from terakoya.generation.generate import GenerationResult, generate
from terakoya.generation.teacher import responses
from terakoya.generation.teacher.http_client import ApiTeacher
from terakoya.generation.teacher.ledger import JOURNAL, Ledger
from terakoya.generation.teacher.protocol import NANO, NoResponse, RawResponse, TeacherRequest
from terakoya.generation.teacher.rate_limits import RetryPolicy
from terakoya.generation.teacher.responses import TeacherResponse, parse_response
from terakoya.generation.teacher.retries import TeacherClient
from terakoya.generation.teacher.spending import SpendingCap, TokenPrices, cost_of
from terakoya.generation.teacher.usage import Usage, parse_usage
from terakoya.records import Turn
from terakoya.runs import read_lines

HASTY = RetryPolicy(base_wait=0.01, max_wait=0.05, drain=2.0)
DIGITS = "9" * 4000
PRICES = TokenPrices(1000.0, 5000.0)  # 1 and 5 units of money per million tokens

# What a provider may write behind "usage": raw JSON, because most of it has no Python value.
FIGURES = [
    f'{{"prompt_tokens": {DIGITS}, "completion_tokens": {DIGITS}, "cost": {DIGITS}}}',
    f'{{"prompt_tokens": 40, "completion_tokens": 5, "cost": {"9" * 6000}}}',
    f'{{"prompt_tokens": -{DIGITS}, "completion_tokens": 0.{DIGITS}, "cost": 0.0000{DIGITS}}}',
    '{"prompt_tokens": 1e308, "completion_tokens": 1e308, "cost": 1e308}',
    '{"prompt_tokens": 1e999, "completion_tokens": 5, "cost": 1e999}',
    '{"prompt_tokens": NaN, "completion_tokens": NaN, "cost": NaN}',
    '{"prompt_tokens": Infinity, "completion_tokens": -Infinity, "cost": -Infinity}',
    '{"prompt_tokens": 40, "completion_tokens": 5, "cost": -0.5}',
    '{"prompt_tokens": -40, "completion_tokens": -5, "cost": 0.0001}',
    '{"prompt_tokens": "40", "completion_tokens": "5", "cost": "0.0001"}',
    '{"prompt_tokens": "forty", "completion_tokens": "five", "cost": "free"}',
    '{"prompt_tokens": 40.0, "completion_tokens": 5.5, "cost": 0.0001}',
    '{"prompt_tokens": true, "completion_tokens": false, "cost": true}',
    '{"prompt_tokens": [40], "completion_tokens": {"x": 5}, "cost": [0.0001]}',
    '{"prompt_tokens": 40, "completion_tokens": 5, "cost": {"amount": 0.0001, "currency": "USD"}}',
    '{"prompt_tokens": 40, "completion_tokens": 5, "cost": {"amount": [], "currency": 7}}',
    '{"prompt_tokens": 40, "completion_tokens": 5, "cost": 0.5, "currency": "pieces of eight"}',
    '{"prompt_tokens": 40, "completion_tokens": 5, "cost": 0.5, "currency": 840}',
    '{"prompt_tokens": 0, "completion_tokens": 0, "cost": 0}',
    '{"prompt_tokens": 0, "completion_tokens": 0}',
    '{"cost": 0}', "[]", '"much"', "17", "null", "true", "{}", f"{{{chr(34)}x{chr(34)}: {'[' * 900}{']' * 900}}}",
]  # fmt: skip


def config_for(server: Running, **teacher: Any) -> Any:
    usual = {
        "kind": "api", "base_url": server.url, "model": "stub", "licence": "ours", "recipe": "emoji-v1", "samples": 4,
        "budget": 10.0, "price_in": 1.0, "price_out": 5.0, "key_variable": "", "max_concurrent": 8, "deadline": 8.0,
    }  # fmt: skip
    return make_config({"teacher": usual | teacher})


def make(server: Running, place: Path, **teacher: Any) -> GenerationResult:
    return generate(config_for(server, **teacher), place / "work", place / "data.jsonl", retry_policy=HASTY)


def with_usage(figures: str) -> Callable[[int, dict[str, Any]], str]:
    """Every response reports `figures`."""

    def script(number: int, request: dict[str, Any]) -> str:
        text = json.dumps(usual_response(request), ensure_ascii=False)
        choice = f'{{"index": 0, "message": {{"role": "assistant", "content": {text}}}, "finish_reason": "stop"}}'
        return f'body:{{"id": "{number}", "choices": [{choice}], "usage": {figures}}}'

    return script


@pytest.mark.parametrize("figures", FIGURES, ids=range(len(FIGURES)))
def test_no_figure_ends_in_a_traceback_or_is_bought_again(figures: str, tmp_path: Path) -> None:
    """Numbers of 4,000 digits, 1e308, NaN, negative costs, text: the answers are good, and were paid for."""
    with running(ServerPlan(script=with_usage(figures))) as server:
        first = make(server, tmp_path, samples=1)
        bought = server.requests()
        assert first.rows == 1
        assert bought == first.requests == 2
        assert first.cost > 0
        again = make(server, tmp_path, samples=1)
        assert server.requests() == bought
        assert again.cost == pytest.approx(first.cost)


@pytest.mark.parametrize(
    "report", ['{"prompt_tokens": 0, "completion_tokens": 0, "cost": 0}', '{"cost": 0}',
               '{"prompt_tokens": 1, "completion_tokens": 1, "cost": 1e-9}', '{"cost": 1e-9}',
               '{"prompt_tokens": "NaN", "completion_tokens": -1, "cost": -1}'],
)  # fmt: skip
def test_the_cap_holds_against_a_provider_that_reports_too_little(report: str, tmp_path: Path) -> None:
    """P4: it charges by the tokens that it sends and reports nothing of it. Charged stays below the cap."""
    text, budget = "長い答え。" * 40, 0.05
    price = len(text) * 0.25 * 5e-6  # a generous tokenizer: four characters of Japanese in one token

    def script(number: int, request: dict[str, Any]) -> str:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return f'body:{{"choices": [{json.dumps(choice)}], "usage": {report}}}'

    with running(ServerPlan(script=script)) as server:
        with pytest.raises((BudgetError, ProviderError)):
            make(server, tmp_path, samples=2000, budget=budget, max_rejected=1.0)
        sold = server.requests() * price
    assert sold <= budget
    booked = sum(record["cost"] for record in read_lines(tmp_path / "work" / JOURNAL) if record["event"] == "cost")
    assert booked / NANO >= sold


def test_what_is_booked_against_the_word_of_the_provider_is_said(tmp_path: Path) -> None:
    """A cost of 0 for an answer is a wrong figure, not a present."""
    with running(ServerPlan(cost=0.0)) as server:
        generated = make(server, tmp_path)
    assert generated.reported == 0
    assert generated.cost > 0
    assert generated.estimated == pytest.approx(generated.cost)
    assert any("a cost of 0" in note and "booked by your own prices" in note for note in generated.notes)


def test_a_free_model_stays_free(tmp_path: Path) -> None:
    """With a price of 0 a cost of 0 is right, and no flag is raised."""
    with running(ServerPlan(cost=0.0)) as server:
        generated = make(server, tmp_path, price_in=0.0, price_out=0.0)
    assert generated.cost == 0
    assert not generated.notes


def test_another_currency_is_refused_and_what_came_is_kept(tmp_path: Path) -> None:
    """A dollar budget says nothing about a bill in yen."""
    with running(ServerPlan(usage={"prompt_tokens": 40, "completion_tokens": 5, "currency": "jpy"})) as server:
        with pytest.raises(ProviderError, match="costs in JPY, and the budget is in USD") as refusal:
            make(server, tmp_path, samples=300)
        bought = server.requests()
        assert bought <= 8
        assert 'currency = "JPY"' in str(refusal.value)
        # The advice works: the same generation goes on in yen, with what was bought.
        generated = make(server, tmp_path, samples=12, currency="JPY")
        assert generated.rows == 12
        assert generated.reused > 0


def test_another_currency_is_converted_by_a_stated_rate(tmp_path: Path) -> None:
    """The cap counts in its own currency; what was converted is said, and a currency without a rate stays refused."""
    yen = {"prompt_tokens": 40, "completion_tokens": 5, "currency": "jpy"}
    with running(ServerPlan(usage=yen, cost=0.1)) as server:
        generated = make(server, tmp_path, samples=4, rates={"jpy": 0.0067, "EUR": 1.08})
        assert generated.cost == generated.reported == pytest.approx(server.requests() * 0.1 * 0.0067)
        assert any("costs in JPY" in note and "booked in USD" in note for note in generated.notes)
        with pytest.raises(BudgetError):
            make(server, tmp_path / "cap", samples=300, budget=0.1, rates={"JPY": 0.0067})
        assert sum(cost_events(tmp_path / "cap")) <= 0.1 * NANO
        with pytest.raises(ProviderError, match="costs in JPY") as refusal:
            make(server, tmp_path / "other", samples=300, rates={"EUR": 1.08})
        assert "rates = {JPY = …}" in str(refusal.value)
        # The advice works: the same generation goes on, converted.
        assert make(server, tmp_path / "other", samples=4, rates={"JPY": 0.0067}).complete


def cost_events(place: Path) -> list[int]:
    return [record["cost"] for record in read_lines(place / "work" / JOURNAL) if record["event"] == "cost"]


@pytest.mark.parametrize("rates", [{"JPY": 0.0}, {"JPY": -1.0}, {"JPY": math.inf}, {"yen": 1.0, "¥": 1.0}])
def test_what_is_no_rate_is_refused(rates: dict[str, float]) -> None:
    """A rate of 0 would make everything free."""
    with pytest.raises(ConfigError, match="rates"):
        make_config({"teacher": {"rates": rates}})


def test_money_is_shown_as_reported_as_estimated_and_at_risk(tmp_path: Path) -> None:
    """5xx and cuts may have been charged; what was told, what was computed and what is feared differ."""

    def script(number: int, request: dict[str, Any]) -> str:
        return {2: "status:502", 5: "status:500", 7: "cut:middle"}.get(number, "")

    with running(ServerPlan(script=script)) as server:
        generated = make(server, tmp_path)
    assert generated.reported > 0
    assert generated.unknown > 0
    assert generated.cost == pytest.approx(generated.reported + generated.estimated + generated.unknown)
    kinds = {record["by"] for record in read_lines(tmp_path / "work" / JOURNAL) if record["event"] == "cost"}
    assert kinds == {"provider", "at risk"}


def request(number: int = 1, text: str = "文") -> TeacherRequest:
    return TeacherRequest("emoji", str(number), "", (Turn("user", f"{text}{number}"),), "m", 64, 0.0, 0)


class Broken:
    """A teacher whose response breaks whatever interprets it."""

    name, paid, sent = "broken", True, 0

    async def send(self, request: TeacherRequest) -> RawResponse:
        self.sent += 1
        return RawResponse(200, '{"choices": [{"message": {"content": "🍎"}, "finish_reason": "stop"}]}')

    async def close(self) -> None:
        pass


def test_the_raw_response_is_in_the_journal_before_anything_interprets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parser that raises, kills or hangs must find the answer already on the disk."""
    seen: list[str] = []

    def parse(reply: RawResponse, *how: Any) -> TeacherResponse:
        lines = [json.loads(line) for line in (tmp_path / JOURNAL).read_text(encoding="utf-8").splitlines()]
        seen.extend(line["event"] for line in lines)
        assert lines[-1]["body"] == reply.body
        raise RuntimeError("a parser's fault")

    async def go() -> tuple[TeacherResponse, int, int]:
        book = Ledger(tmp_path, max_concurrent=1, max_tokens=64)
        teacher = Broken()
        client = TeacherClient(teacher, book, prices=PRICES, retry_policy=HASTY)
        response = await client.complete(request())
        await client.complete(request())
        await book.close()
        return response, teacher.sent, book.spent

    from terakoya.generation.teacher import retries

    monkeypatch.setattr(retries, "parse_response", parse)
    response, sent, spent = asyncio.run(go())
    assert seen[:2] == ["intent", "reply"]
    assert "RuntimeError" in response.defect
    assert sent == 1
    assert spent > 0
    monkeypatch.undo()
    kept = Ledger(tmp_path, max_concurrent=1, max_tokens=64).response(request().key)
    assert kept is not None
    assert isinstance(responses.parse_response(kept), TeacherResponse)


@pytest.mark.parametrize(
    ("usage", "cost", "tokens_out", "basis"),
    [
        ({"prompt_tokens": 40, "completion_tokens": 5, "cost": 0.001}, 1_000_000, 5, "provider"),
        ({"prompt_tokens": 40, "completion_tokens": 5}, 65_000, 5, "prices"),
        ({"input_tokens": 40, "output_tokens": 5}, 65_000, 5, "prices"),
        ({"prompt_tokens": 40, "completion_tokens": 5, "cost": 1e-9}, 65_000, 5, "prices"),
        ({"prompt_tokens": 40, "completion_tokens": 5, "cost": 0}, 2_000_000, 5, "reserved"),
        ({"prompt_tokens": 40, "completion_tokens": 0, "cost": 0.001}, 2_000_000, 0, "reserved"),
        ({"prompt_tokens": 40, "completion_tokens": 5, "cost": 0.001, "currency": "EUR"}, 2_000_000, 5, "reserved"),
        ({"prompt_tokens": 40, "completion_tokens": 5, "cost": 0.001, "currency": "usd"}, 1_000_000, 5, "provider"),
        ({"cost": 0.001}, 2_000_000, None, "reserved"),
        ({"cost": 0.5}, 500_000_000, None, "provider"),
        ({"prompt_tokens": "x", "completion_tokens": 5, "cost": 0.5}, 500_000_000, 5, "reserved"),
        ({}, 2_000_000, None, "reserved"),
    ],
)
def test_what_is_booked(usage: dict[str, Any], cost: int, tokens_out: int | None, basis: str) -> None:
    """One row for each way in which a report can be taken, completed or disbelieved."""
    body = {"choices": [{"message": {"content": "🍎"}, "finish_reason": "stop"}], "usage": usage}
    booked = cost_of(parse_response(RawResponse(200, json.dumps(body))), request(), 2_000_000, PRICES, "USD")
    assert (booked.amount, booked.tokens_out, booked.basis) == (cost, tokens_out, basis)
    assert bool(booked.flag) == (basis == "reserved" and bool(usage)) or booked.flag == "a cost below the prices"


def test_figures_are_read_in_the_spellings_that_providers_use() -> None:
    """Text, floats, other names; what cannot be a figure is named."""
    assert parse_usage({"usage": {"prompt_tokens": "40", "completion_tokens": 5.2}}) == Usage(40, 6)
    assert parse_usage({"usage": {"cost": {"total": "0.5", "currency": " eur "}}}) == Usage(
        None, None, NANO // 2, "EUR"
    )
    assert parse_usage({"usage": {"prompt_tokens": math.inf, "cost": "½"}}).unusable == ("prompt_tokens", "cost")
    assert parse_usage({"usage": 7}).unusable == ("usage",)
    assert parse_usage({}) == Usage()


# ── a request that never left ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("http://127.0.0.1:1/v1", "k"), ("https://127.0.0.1:1/v1", "k"), ("http://nowhere.invalid/v1", "k"),
        ("http://a b/v1", "k"), ("http://127.0.0.1:99999/v1", "k"), ("ftp://127.0.0.1/v1", "k"), ("/v1", "k"),
        (f"http://{'a' * 70}.com/v1", "k"), ("LIVE", "鍵"), ("LIVE", "k\ny"), ("LIVE", "k\r\nX: 1"), ("LIVE", "k\0"),
    ],
)  # fmt: skip
def test_a_request_that_never_left_is_free_and_counts_against_no_cap(address: str, key: str, tmp_path: Path) -> None:
    """No connection, no such name, an illegal header: the provider has seen nothing of it."""

    async def go(url: str) -> Ledger:
        book = Ledger(tmp_path, SpendingCap(NANO, 3), max_concurrent=1, max_tokens=64)
        teacher = ApiTeacher("m", url, key, deadline=5.0)
        for number in range(5):  # more than the cap of three requests
            reservation = await book.reserve(request(number), NANO)
            with pytest.raises(NoResponse) as lost:
                await teacher.send(request(number))
            assert not lost.value.sent, lost.value.fault
            book.record_failure(reservation, lost.value)
        await teacher.close()
        await book.close()
        return book

    with running(ServerPlan()) as server:
        book = asyncio.run(go(server.url if address == "LIVE" else address))
        assert server.requests() == 0
    assert (book.committed, book.requests) == (0, 0)
    again = Ledger(tmp_path, max_concurrent=1, max_tokens=64)
    assert (again.committed, again.requests) == (0, 0)


@pytest.mark.parametrize("fault", ["cut:before", "cut:headers", "cut:middle", "hang"])
def test_a_request_that_left_is_at_risk(fault: str, tmp_path: Path) -> None:
    """Who hangs up on a request has read it, and may charge for it."""

    async def go(url: str) -> NoResponse:
        teacher = ApiTeacher("m", url, "k", deadline=1.0)
        with pytest.raises(NoResponse) as lost:
            await teacher.send(request())
        await teacher.close()
        return lost.value

    with running(ServerPlan(script=lambda number, request: fault)) as server:
        assert asyncio.run(go(server.url)).sent


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """A server that sends these bytes to whoever connects; its address."""
    handle = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                link, _ = handle.accept()
                link.recv(1 << 16)
                link.sendall(reply)
                link.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{handle.getsockname()[1]}/v1"
    finally:
        handle.close()


@pytest.mark.parametrize(
    "reply",
    [
        b"garbage\r\n\r\n", b"HTTP/9.9 abc x\r\n\r\n", b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 99_999,
        b"HTTP/1.1 200 OK\r\n\xff\xfe: \xff\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 \xff\xfe\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 302 F\r\nLocation: http://[::1/\r\nContent-Length: 0\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n",
    ],
)  # fmt: skip
def test_a_malformed_response_is_at_risk_and_no_traceback(reply: bytes) -> None:
    """Whatever comes back, the request has left."""

    async def go(url: str) -> NoResponse:
        teacher = ApiTeacher("m", url, "k", deadline=3.0)
        with pytest.raises(NoResponse) as lost:
            await teacher.send(request())
        await teacher.close()
        return lost.value

    with answering(reply) as url:
        assert asyncio.run(go(url)).sent


@pytest.mark.parametrize(
    "head", ["Content-Type: text/あ; charset=÷", "Content-Encoding: gzip", "X-あ: い", "Retry-After-Ms: ²"]
)
def test_a_response_with_odd_headers_is_kept(head: str) -> None:
    """Its body was paid for: a header that is no ASCII, or wrong, does not cost it."""
    reply = f"HTTP/1.1 200 OK\r\n{head}\r\nContent-Length: 10\r\n\r\n0123456789".encode()

    async def go(url: str) -> RawResponse:
        teacher = ApiTeacher("m", url, "k", deadline=3.0)
        try:
            return await teacher.send(request())
        except NoResponse as lost:
            assert lost.sent
            return RawResponse(0, "")
        finally:
            await teacher.close()

    with answering(reply) as url:
        kept = asyncio.run(go(url))
    assert kept.body == "0123456789" or "あ:" in head  # a name that is no token breaks the message itself


# ── an outage ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["status:429", "status:503", "cut:before", "status:402"])
def test_an_outage_leaves_every_row_open(fault: str, tmp_path: Path) -> None:
    """A storm, an empty account or a broken line pauses the generation; the next call goes on and finishes."""
    down = tmp_path / "down"
    down.touch()

    def script(number: int, request: dict[str, Any]) -> str:
        return fault if down.exists() and number > 9 else ""

    with running(ServerPlan()) as undisturbed:
        make(undisturbed, tmp_path / "reference", samples=12)
    with running(ServerPlan(script=script)) as server:
        with pytest.raises(ProviderError):
            make(server, tmp_path, samples=12, attempts=2)
        assert not [record for record in read_lines(tmp_path / "work" / JOURNAL) if record["event"] == "given up"]
        down.unlink()
        assert make(server, tmp_path, samples=12, attempts=2).rows == 12
    assert (tmp_path / "data.jsonl").read_bytes() == (tmp_path / "reference" / "data.jsonl").read_bytes()


# ── journals that are JSON but wrong ────────────────────────────────────────────────────────────────────

INTENT = {"event": "intent", "id": "a.1", "step": "s", "source": "x", "reserved": 10}
REPLY = {
    "event": "reply", "id": "a.1", "status": 200, "body": "{}", "seconds": 0.1, "type": "t", "retry_after": "",
}  # fmt: skip
COST = {"event": "cost", "id": "a.1", "cost": 5, "by": "provider", "in": 1, "out": 1}
LOST = {"event": "lost", "id": "a.1", "fault": "cut", "cost": 10, "sent": True}


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ([{}], 1), ([{"event": "intent"}], 1), ([INTENT | {"event": "paid"}], 1), ([INTENT | {"id": 7}], 1),
        ([INTENT | {"reserved": "10"}], 1), ([INTENT | {"reserved": -1}], 1), ([INTENT | {"reserved": 1.5}], 1),
        ([INTENT | {"reserved": True}], 1), ([INTENT | {"reserved": None}], 1), ([INTENT, INTENT], 2), ([REPLY], 1),
        ([INTENT, REPLY | {"status": "200"}], 2), ([INTENT, REPLY | {"body": {}}], 2), ([INTENT, REPLY, REPLY], 3),
        ([INTENT, REPLY | {"id": "b.1"}], 2), ([INTENT, COST], 2), ([INTENT, REPLY, COST | {"cost": -5}], 3),
        ([INTENT, REPLY, COST | {"cost": "5"}], 3), ([INTENT, REPLY, COST | {"by": "me"}], 3),
        ([INTENT, REPLY, COST | {"in": "1"}], 3), ([INTENT, REPLY, COST, COST], 4), ([LOST], 1),
        ([INTENT, LOST | {"cost": None}], 2), ([INTENT, LOST, LOST], 3), ([INTENT, REPLY | {"cost": 5}], 2),
        ([INTENT, {"event": "given up", "id": "a.0"}], 2), ([[1, 2]], 1), ([7], 1), (["x"], 1), ([None], 1),
    ],
)  # fmt: skip
def test_a_journal_that_is_json_but_wrong_is_refused_with_its_line(
    lines: list[Any], number: int, tmp_path: Path
) -> None:
    """A ledger that is read halfway knows less than was spent. Without checksums, as older versions wrote it."""
    (tmp_path / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(CorruptError, match=rf"line {number}\b|:{number}\b"):
        Ledger(tmp_path, max_concurrent=1, max_tokens=8)
    assert not (tmp_path / ".reserve").exists()


def test_a_journal_of_an_older_version_opens_and_goes_on(tmp_path: Path) -> None:
    """Without checksums, with the cost in the reply, with "lost" that does not say whether it was sent."""
    old = [
        INTENT, REPLY | {"cost": 5, "by": "provider", "in": 1, "out": 1},
        INTENT | {"id": "b.1"},
        REPLY | {"id": "b.1", "status": 502, "cost": 10, "by": "reserved", "in": None, "out": None},
        INTENT | {"id": "c.1"}, {"event": "lost", "id": "c.1", "fault": "no connection", "cost": 0},
        INTENT | {"id": "d.1"}, {"event": "given up", "id": "d.0", "what": "refused"},
    ]  # fmt: skip
    (tmp_path / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in old), encoding="utf-8")

    async def go() -> None:
        book = Ledger(tmp_path, max_concurrent=1, max_tokens=8)
        assert (book.spent, book.reported, book.at_risk, book.requests) == (5, 5, 20, 3)
        assert book.abandoned_reason("d") == "refused"
        reservation = await book.reserve(request(), 10)
        book.record_failure(reservation, NoResponse("cut", sent=True))
        await book.close()

    asyncio.run(go())
    assert Ledger(tmp_path, max_concurrent=1, max_tokens=8).at_risk == 30
    lines = (tmp_path / JOURNAL).read_text(encoding="utf-8").splitlines()
    assert ["crc32" in line for line in lines] == [False] * len(old) + [True] * 2
