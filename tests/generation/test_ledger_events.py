"""What the ledger writes, line by line, and what comes back from it: every event, single requests and batches."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from terakoya.errors import BudgetError, CorruptError, DiskError
from terakoya.generation.teacher.ledger import JOURNAL, Ledger
from terakoya.generation.teacher.ledger_batches import BatchLedger
from terakoya.generation.teacher.ledger_index import INDEX, update_index
from terakoya.generation.teacher.protocol import NoResponse, RawResponse, TeacherRequest, free_response
from terakoya.generation.teacher.spending import NO_CAP, RequestCost, SpendingCap
from terakoya.records import Turn


def request(number: int) -> TeacherRequest:
    return TeacherRequest("emoji", str(number), "", (Turn("user", f"文{number}"),), "m", 8, 0.0, 0)


def lines(folder: Path) -> list[dict[str, Any]]:
    """The journal's lines without their checksums."""
    found = [json.loads(line) for line in (folder / JOURNAL).read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name != "crc32"} for line in found]


def figures(book: Ledger) -> tuple[Any, ...]:
    counts = (book.spent, book.reported, book.at_risk, book.requests, book.committed, book.response_count)
    return (*counts, dict(book.flags), [book.abandoned_reason(request(number).key) for number in range(6)])


def test_every_event_is_written_and_comes_back(tmp_path: Path) -> None:
    """An older journal must be read by a newer program: names and values of every event are a format."""
    answer = RawResponse(200, "{}", 1.5, "text/x", "7")
    keys = [request(number).key for number in range(6)]
    found: list[tuple[Any, ...]] = []

    async def go() -> None:
        book = Ledger(tmp_path, SpendingCap(1000), max_concurrent=4, max_tokens=8)
        for number, flag in ((0, "a cost of 0"), (1, "a cost of 0"), (2, "")):
            held = await book.reserve(request(number), 10)
            book.record_response(held, answer)
            book.record_cost(held, RequestCost(4 + number, "provider", 9, 2, flag))
        book.record_failure(await book.reserve(request(3), 20), NoResponse("cut", sent=True))
        book.record_failure(await book.reserve(request(4), 30), NoResponse("refused", sent=False))
        book.record_abandoned(keys[5], "too long")
        assert book.overrun() == 0
        found.append(figures(book))
        await book.close()

    asyncio.run(go())
    reply = {"event": "reply", "status": 200, "body": "{}", "seconds": 1.5, "type": "text/x", "retry_after": "7"}
    cost = {"event": "cost", "by": "provider", "in": 9, "out": 2}
    wanted: list[dict[str, Any]] = []
    for number in range(3):
        attempt = {"id": f"{keys[number]}.1"}
        wanted.append({"event": "intent", **attempt, "step": "emoji", "source": str(number), "reserved": 10})
        wanted.append({**reply, **attempt})
        wanted.append({**cost, **attempt, "cost": 4 + number, **({"flag": "a cost of 0"} if number < 2 else {})})
    for number, reserved, fault, sent in ((3, 20, "cut", True), (4, 30, "refused", False)):
        attempt = {"id": f"{keys[number]}.1"}
        wanted.append({"event": "intent", **attempt, "step": "emoji", "source": str(number), "reserved": reserved})
        wanted.append({"event": "lost", **attempt, "fault": fault, "cost": reserved * sent, "sent": sent})
    wanted.append({"event": "given up", "id": f"{keys[5]}.0", "what": "too long"})
    assert lines(tmp_path) == wanted
    assert found == [(15, 15, 20, 4, 35, 3, {"a cost of 0": 2}, [*[""] * 5, "too long"])]
    again = Ledger(tmp_path, SpendingCap(1000), max_concurrent=4, max_tokens=8)
    assert figures(again) == found[0] and again.response(keys[0]) == answer


def test_a_second_attempt_has_its_own_number(tmp_path: Path) -> None:
    """Its cost is booked beside the first one's, in this process and after it."""

    async def go() -> None:
        for reopened in range(2):
            book = Ledger(tmp_path, NO_CAP, max_concurrent=4, max_tokens=8)
            for _attempt in range(2):
                held = await book.reserve(request(1), 10)
                book.record_response(held, RawResponse(500, "busy"))
                book.record_cost(held, RequestCost(10, "at risk", None, None))
            assert (book.at_risk, book.requests, book.response_count) == (20 * (reopened + 1), 2 * (reopened + 1), 0)
            await book.close()

    asyncio.run(go())
    assert [line["id"].rpartition(".")[2] for line in lines(tmp_path) if line["event"] == "intent"] == list("1234")


def test_a_batch_is_written_step_by_step_and_found_again(tmp_path: Path) -> None:
    """Money of an open batch is committed, neither spent nor at risk, also after the process has ended."""
    keys = [request(number).key for number in range(3)]

    async def plan() -> None:
        book = BatchLedger(tmp_path, SpendingCap(25))
        made = await book.plan_batch("b1", [request(number) for number in range(3)], [10, 10, 10])
        assert [one.id for one in made] == [f"{key}.1" for key in keys[:2]]  # the third no longer fits
        assert [one.max_cost for one in made] == [10, 10]
        await book.record_batch("b1", "planned")
        await book.record_batch("b1", "uploaded", "file-7")
        await book.record_batch("b1", "created", "batch-9")
        assert figures(book)[:5] == (0, 0, 0, 2, 20)
        await book.close()

    asyncio.run(plan())
    intent = {"event": "intent", "step": "emoji", "reserved": 10, "batch": "b1"}
    assert lines(tmp_path) == [
        *({**intent, "id": f"{keys[number]}.1", "source": str(number)} for number in range(2)),
        *(
            {"event": "batch", "id": "b1", "state": state, "value": value}
            for state, value in (("planned", ""), ("uploaded", "file-7"), ("created", "batch-9"))
        ),
    ]

    async def go_on() -> None:
        book = BatchLedger(tmp_path, SpendingCap(25))
        (batch,) = book.open_batches.values()
        assert (batch.state, batch.file, batch.id) == ("created", "file-7", "batch-9")
        assert batch.open == {f"{key}.1": 10 for key in keys[:2]} and batch.known == set(batch.open)
        assert figures(book)[:5] == (0, 0, 0, 2, 20)
        held = book.take_open("b1", f"{keys[0]}.1")
        assert held is not None and (held.id, held.key, held.max_cost) == (f"{keys[0]}.1", keys[0], 10)
        book.record_response(held, free_response("🍎"))
        book.record_cost(held, RequestCost(6, "provider", 9, 2))
        assert book.take_open("b1", f"{keys[0]}.1") is None and book.take_open("b1", "another.1") is None
        assert figures(book)[:6] == (6, 6, 0, 2, 16, 1)
        lost = book.take_open("b1", f"{keys[1]}.1")
        assert lost is not None
        book.record_failure(lost, NoResponse("expired", sent=False))
        await book.record_batch("b1", "ended", "completed")
        assert not book.open_batches and figures(book)[:6] == (6, 6, 0, 1, 6, 1)
        await book.close()

    asyncio.run(go_on())
    ended = BatchLedger(tmp_path, SpendingCap(25))
    assert not ended.open_batches and figures(ended)[:6] == (6, 6, 0, 1, 6, 1)


def test_a_batch_that_cannot_be_kept_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent: neither money nor requests count, and the batch is not open."""

    async def go() -> None:
        book = BatchLedger(tmp_path, SpendingCap(100))

        async def full() -> None:
            raise DiskError("no space")

        monkeypatch.setattr(book, "_durable", full)
        with pytest.raises(DiskError):
            await book.plan_batch("b1", [request(0), request(1)], [10, 20])
        assert figures(book)[:5] == (0, 0, 0, 0, 0) and not book.open_batches
        monkeypatch.undo()
        with pytest.raises(BudgetError):
            await book.plan_batch("b2", [request(2)], [101])
        assert figures(book)[:5] == (0, 0, 0, 0, 0) and not book.open_batches
        await book.close()

    asyncio.run(go())
    assert [line["sent"] for line in lines(tmp_path) if line["event"] == "lost"] == [False, False]
    assert figures(BatchLedger(tmp_path, SpendingCap(100)))[:5] == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"event": "batch", "state": "begun", "value": ""}, "'state'"),
        ({"event": "reply", "status": 200, "body": "", "seconds": 1, "type": "", "retry_after": "", "cost": 1}, "cost"),
        ({"event": "cost", "cost": 1, "by": "guess", "in": 1, "out": 1}, "'by'"),
        ({"event": "cost", "cost": -1, "by": "provider", "in": 1, "out": 1}, "'cost'"),
        ({"event": "cost", "cost": 1, "by": "provider", "in": 1, "out": 1}, "without a response"),
        ({"event": "lost", "fault": "cut", "cost": 1}, "outcome of no request"),
        ({"event": "paid"}, "unknown event"),
    ],
)
def test_an_event_that_cannot_be_is_refused_with_its_line(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    """The journal says what was paid; a line that makes no sense is not skipped."""
    (tmp_path / JOURNAL).write_text(json.dumps({"id": "k.1", **change}) + "\n", encoding="utf-8")
    with pytest.raises(CorruptError, match=named) as caught:
        Ledger(tmp_path, NO_CAP, max_concurrent=4, max_tokens=8)
    assert "line 1" in caught.value.what


def test_the_index_goes_on_where_it_ended(tmp_path: Path) -> None:
    """Each line is taken once, whatever was there before, and a response is found at its place in the journal."""

    async def go(first: int) -> None:
        book = Ledger(tmp_path, NO_CAP, max_concurrent=4, max_tokens=8)
        for number in range(first, first + 3):
            held = await book.reserve(request(number), 10)
            book.record_response(held, free_response("🍎"))
            book.record_cost(held, RequestCost(number, "provider", 9, 2))
        await book.close()

    path, index = tmp_path / JOURNAL, tmp_path / INDEX
    for first in (0, 3):
        asyncio.run(go(first))
        update_index(path, index)
        with closing(sqlite3.connect(index)) as base:
            rows = base.execute("SELECT id, cost, line, outcome, status, cost_by, tokens_out FROM requests").fetchall()
            assert base.execute("SELECT value FROM facts").fetchall() == [(path.stat().st_size,)]
        assert [row[1] for row in rows] == list(range(first + 3))
        written = path.read_bytes()
        for key, _cost, at, *rest in rows:
            line = json.loads(written[at:].split(b"\n", 1)[0])
            assert (line["event"], line["id"]) == ("reply", key) and rest == ["reply", 200, "provider", 2]
