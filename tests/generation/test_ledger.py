"""The ledger: the cap is never exceeded, no response is lost, and a full disk costs nothing."""

from __future__ import annotations

import asyncio
import errno
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from terakoya.errors import BudgetError, CorruptError, DiskError, LockedError
from terakoya.generation.teacher import ledger as ledgers
from terakoya.generation.teacher.ledger import JOURNAL, CapReached, Ledger
from terakoya.generation.teacher.ledger_batches import BatchLedger
from terakoya.generation.teacher.ledger_index import INDEX, costs, update_index, usage
from terakoya.generation.teacher.protocol import NoResponse, RawResponse, TeacherRequest, free_response
from terakoya.generation.teacher.spending import NO_CAP, RequestCost, Spending, SpendingCap, TeacherAccount
from terakoya.records import Turn
from terakoya.runs import Lock, journal


def request(number: int) -> TeacherRequest:
    return TeacherRequest("emoji", str(number), "", (Turn("user", f"文{number}"),), "m", 8, 0.0, 0)


def opened(place: Path, cap: SpendingCap = NO_CAP) -> Ledger:
    return Ledger(place, cap, max_concurrent=4, max_tokens=8)


async def buy(book: Ledger, number: int, worst: int = 10, cost: int = 10) -> None:
    reservation = await book.reserve(request(number), worst)
    await asyncio.sleep(0)
    book.record_response(reservation, free_response("🍎"))
    book.record_cost(reservation, RequestCost(cost, "provider", 9, 2))


@pytest.mark.parametrize("workers", [1, 2, 8, 64])
@pytest.mark.parametrize("cost", [10, 4])
def test_the_cap_is_hard_for_any_number_at_once(workers: int, cost: int, tmp_path: Path) -> None:
    """P4: what is set aside counts, so that sixty-four requests together cannot pass the cap either."""

    async def worker(book: Ledger, number: int) -> int:
        bought = 0
        while True:
            try:
                await buy(book, number * 1000 + bought, 10, cost)
            except BudgetError:
                return bought
            bought += 1

    async def go() -> tuple[int, Ledger]:
        book = opened(tmp_path, SpendingCap(1000))
        bought = sum(await asyncio.gather(*(worker(book, number) for number in range(workers))))
        await book.close()
        return bought, book

    bought, book = asyncio.run(go())
    assert book.spent == bought * cost <= 1000
    # Nothing is left over that would have paid for one more.
    assert 1000 - book.spent < 10


def test_the_number_of_requests_is_a_cap_as_well(tmp_path: Path) -> None:
    """Where no price is known, a number bounds the damage."""

    async def go() -> None:
        book = opened(tmp_path, SpendingCap(None, 3))
        for number in range(3):
            await buy(book, number)
        with pytest.raises(BudgetError, match="all 3 requests are used"):
            await buy(book, 4)
        await book.close()

    asyncio.run(go())


def test_a_request_without_an_outcome_counts_as_spent(tmp_path: Path) -> None:
    """P3: who was killed while waiting may have been charged; the next budget must know."""

    async def go() -> Ledger:
        book = opened(tmp_path)
        await buy(book, 1, 10, 3)
        await book.reserve(request(2), 10)  # and then: killed
        lost = await book.reserve(request(3), 10)
        book.record_failure(lost, NoResponse("cut", sent=True))
        never = await book.reserve(request(4), 10)
        book.record_failure(never, NoResponse("no connection", sent=False))
        assert book.committed == 23
        await book.close()
        again = opened(tmp_path, SpendingCap(30))
        assert (again.spent, again.at_risk, again.requests) == (3, 20, 3)
        with pytest.raises(BudgetError, match=r"0\.000000 at risk \(sent without a usable outcome; counts as spent\)"):
            await again.reserve(request(5), 10)
        return again

    book = asyncio.run(go())
    assert book.response(request(1).key) is not None
    assert book.response(request(2).key) is None


def test_a_torn_last_line_loses_one_line_and_no_more(tmp_path: Path) -> None:
    """A kill in the middle of a write is what this file is for."""

    async def go() -> None:
        book = opened(tmp_path)
        for number in range(3):
            await buy(book, number)
        await book.close()
        whole = (tmp_path / JOURNAL).read_bytes()
        (tmp_path / JOURNAL).write_bytes(whole[:-30])
        torn = opened(tmp_path)
        assert (torn.response_count, torn.spent, torn.at_risk) == (3, 30, 0)
        await buy(torn, 2)
        await torn.close()
        assert opened(tmp_path).response_count == 3

    asyncio.run(go())


def test_a_journal_broken_in_the_middle_is_refused(tmp_path: Path) -> None:
    """A ledger that skips what it cannot read knows less than was spent."""

    async def go() -> None:
        book = opened(tmp_path)
        for number in range(3):
            await buy(book, number)
        await book.close()

    asyncio.run(go())
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join([lines[0], lines[1][:9] + b"\n", *lines[2:]]))
    with pytest.raises(CorruptError, match="line 2"):
        opened(tmp_path)


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, reserve: Path, after: int) -> Iterator[list[int]]:
    """A disk with space for `after` lines, and for more once the reserved space is released."""
    writes, real = [0], journal._write_all

    def write(handle: int, data: bytes) -> None:
        writes[0] += 1
        if writes[0] > after and reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "_write_all", write)
        yield writes


@pytest.mark.parametrize("after", range(14))
def test_a_full_disk_costs_nothing(after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P5: the log's generator charged 800 and stored 100. Here every paid response fits into the reserved space."""
    sold: list[int] = []

    async def one(book: Ledger, number: int) -> None:
        reservation = await book.reserve(request(number), 10)
        sold.append(number)
        await asyncio.sleep(0)
        book.record_response(reservation, free_response("🍎"))
        book.record_cost(reservation, RequestCost(10, "provider"))

    async def go() -> list[Any]:
        book = opened(tmp_path)
        with full_disk(monkeypatch, tmp_path / ".reserve", after):
            done = await asyncio.gather(*(one(book, number) for number in range(4)), return_exceptions=True)
            refused = await asyncio.gather(one(book, 9), return_exceptions=True)
        assert after >= 12 or book.disk_error is not None
        await book.close()
        return [*done, *(refused if after < 12 else [])]

    outcomes = asyncio.run(go())
    kept = {number for number in range(10) if opened(tmp_path).response(request(number).key) is not None}
    assert kept == set(sold)
    errors = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(error, DiskError) for error in errors)
    assert bool(errors) == (after < 12)
    assert all(str(tmp_path / JOURNAL) in str(error) and "bytes" in str(error) for error in errors)


def test_space_is_reserved_before_the_first_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full from the start refuses at the start, with the bytes needed."""

    def no_space(handle: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ledgers.os, "posix_fallocate", no_space, raising=False)
    with pytest.raises(DiskError, match="are needed here"):
        opened(tmp_path)
    assert not (tmp_path / ".reserve").exists()


def test_a_failed_fsync_stops_everything_and_is_never_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync the kernel may mark lost data as clean: a second success would be false."""
    calls = []

    def fail(handle: int) -> None:
        calls.append(handle)
        raise OSError(errno.EIO, "Input/output error")

    async def go() -> None:
        book = opened(tmp_path)
        monkeypatch.setattr(ledgers, "_fsync", fail)
        with pytest.raises(DiskError, match="reports an error"):
            await buy(book, 1)
        await asyncio.sleep(0.3)
        with pytest.raises(DiskError, match="reports an error"):
            await buy(book, 2)

    asyncio.run(go())
    assert len(calls) == 1


def test_the_index_is_made_again_from_the_journal(tmp_path: Path) -> None:
    """The journal is the truth; the index may be lost, torn or of another hand."""

    async def go() -> None:
        book = opened(tmp_path)
        for number in range(5):
            await buy(book, number)
        book.record_failure(await book.reserve(request(7), 10), NoResponse("cut", sent=True))
        await book.reserve(request(8), 10)
        await book.close()

    asyncio.run(go())
    index = tmp_path / INDEX
    update_index(tmp_path / JOURNAL, index)
    first = costs(index)
    assert sum(row[4] for row in first) == pytest.approx(70e-9)
    assert {(row[1], row[3]) for row in first} == {("reply", 5), ("lost", 1), ("unknown", 1)}
    assert usage(index) == {"emoji": (9.0, 2.0)}
    update_index(tmp_path / JOURNAL, index)  # once more changes nothing
    assert costs(index) == first
    index.write_bytes(b"SQLite? no." * 100)
    update_index(tmp_path / JOURNAL, index)
    assert costs(index) == first
    index.unlink()
    update_index(tmp_path / JOURNAL, index)
    assert costs(index) == first


def test_the_index_of_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """The caller reports it as a note: no response depends on the index."""
    (tmp_path / JOURNAL).write_text("")
    with pytest.raises(sqlite3.OperationalError):
        update_index(tmp_path / JOURNAL, tmp_path / "nowhere" / INDEX)


def test_a_raw_response_is_kept_byte_for_byte(tmp_path: Path) -> None:
    """A stricter check reads it again years later: escapes, control characters and all."""
    body = json.dumps({"x": '\u2028\x1b[31m 🍎 \\ " \t'}, ensure_ascii=False) + "\r\n \x00\x7f"

    async def go() -> None:
        book = opened(tmp_path)
        book.record_response(await book.reserve(request(1), 10), RawResponse(200, body, 1.5, "text/x", "7"))
        await book.close()

    asyncio.run(go())
    assert opened(tmp_path).response(request(1).key) == RawResponse(200, body, 1.5, "text/x", "7")


def test_a_second_generation_in_one_folder_is_refused(tmp_path: Path) -> None:
    """P10: two processes in one folder paid twice in the log."""
    from terakoya.config import make_config
    from terakoya.generation.generate import generate

    lock = Lock(tmp_path / ".lock")
    lock.acquire()
    config = make_config({"teacher": {"kind": "lexicon", "recipe": "emoji-v1", "samples": 1}})
    try:
        with pytest.raises(LockedError, match="process"):
            generate(config, tmp_path, tmp_path / "data.jsonl")
    finally:
        lock.release()


def told(number: int, teacher: str) -> TeacherRequest:
    """A request to one of several teachers."""
    return replace(request(number), teacher=teacher, namespace=teacher)


async def pay(book: Ledger, asked: TeacherRequest, most: int, cost: RequestCost) -> None:
    reservation = await book.reserve(asked, most)
    book.record_response(reservation, free_response("🍎"))
    book.record_cost(reservation, cost)


def test_what_each_teacher_was_sent_is_counted_by_its_name(tmp_path: Path) -> None:
    """While they are asked, and again when the journal is read."""
    wanted = {
        "a": TeacherAccount(Spending(7, 4, 0), requests=2, responses=2, tokens_in=14, tokens_out=5),
        "b": TeacherAccount(Spending(0, 0, 20), requests=1),
    }

    async def go() -> None:
        book = opened(tmp_path)
        await pay(book, told(1, "a"), 10, RequestCost(7, "provider", 9, 2))
        await pay(book, told(2, "a"), 10, RequestCost(4, "prices", 5, 3))
        book.record_failure(await book.reserve(told(3, "b"), 20), NoResponse("cut", sent=True))
        book.record_failure(await book.reserve(told(4, "b"), 30), NoResponse("refused", sent=False))
        assert dict(book.accounts) == wanted
        assert (book.requests, book.spent, book.reported, book.at_risk, book.committed) == (3, 11, 7, 20, 31)
        await book.close()

    asyncio.run(go())
    again = opened(tmp_path)
    assert dict(again.accounts) == wanted and (again.requests, again.committed) == (3, 31)


def test_a_journal_without_names_belongs_to_the_first_teacher(tmp_path: Path) -> None:
    """A generation that began with one teacher and has two now: what was spent counts for the first one's cap."""

    async def go() -> None:
        book = opened(tmp_path)
        await pay(book, request(1), 10, RequestCost(7, "provider", 9, 2))
        await book.reserve(request(2), 5)  # and then: killed
        await book.close()
        more = Ledger(tmp_path, caps={"old": SpendingCap(20)}, first_teacher="old", max_concurrent=4, max_tokens=8)
        await pay(more, told(3, "old"), 8, RequestCost(8, "provider", 1, 1))
        assert set(more.accounts) == {"old"} and more.accounts["old"] == TeacherAccount(
            Spending(15, 0, 5), requests=3, responses=2, tokens_in=10, tokens_out=3
        )
        with pytest.raises(CapReached):
            await more.reserve(told(4, "old"), 1)
        await more.close()
        nameless = opened(tmp_path)
        assert {name: account.requests for name, account in nameless.accounts.items()} == {"": 2, "old": 1}
        await nameless.close()

    asyncio.run(go())


def test_open_batches_without_a_name_belong_to_the_first_teacher(tmp_path: Path) -> None:
    async def go() -> None:
        book = BatchLedger(tmp_path, NO_CAP, max_concurrent=4, max_tokens=8)
        await book.plan_batch("b1", [request(1), request(2)], [10, 15])
        await book.plan_batch("b2", [told(3, "new")], [4])
        await book.close()
        more = BatchLedger(tmp_path, NO_CAP, first_teacher="old", max_concurrent=4, max_tokens=8)
        assert list(more.open_batches_of("old")) == ["b1"] and list(more.open_batches_of("new")) == ["b2"]
        assert not more.open_batches_of("") and list(more.open_batches) == ["b1", "b2"]
        # What is open is neither spent nor at risk.
        assert {name: one.spending.total for name, one in more.accounts.items()} == {"old": 0, "new": 0}
        assert (more.accounts["old"].requests, more.committed, more.at_risk) == (2, 29, 0)
        held = more.take_open("b1", f"{request(2).key}.1")
        assert held is not None and (held.teacher, held.max_cost) == ("old", 15)
        more.record_failure(held, NoResponse("expired", sent=True))
        assert (more.accounts["old"].spending.at_risk, more.at_risk, more.committed) == (15, 15, 29)
        await more.close()

    asyncio.run(go())


def test_the_money_of_a_teacher_is_a_cap_of_its_own(tmp_path: Path) -> None:
    """What is spent, at risk and reserved by this teacher counts; the others go on."""

    async def go() -> None:
        caps = {"a": SpendingCap(30)}
        book = Ledger(tmp_path, SpendingCap(1000), caps=caps, max_concurrent=4, max_tokens=8)
        await pay(book, told(1, "a"), 10, RequestCost(9, "provider"))
        book.record_failure(await book.reserve(told(2, "a"), 11), NoResponse("cut", sent=True))
        await pay(book, told(3, "b"), 500, RequestCost(500, "provider"))
        with pytest.raises(CapReached) as caught:
            await book.reserve(told(4, "a"), 11)
        assert caught.value.what == "the next request may cost 0.000000, and 0.000000 is left"
        assert caught.value.do.startswith("Raise teacher.pool.a.budget or teacher.pool.a.requests and run the same")
        assert caught.value.where == str(tmp_path / JOURNAL)
        await pay(book, told(4, "a"), 10, RequestCost(10, "provider"))
        with pytest.raises(CapReached):
            await book.reserve(told(5, "a"), 1)
        await pay(book, told(6, "b"), 470, RequestCost(470, "provider"))
        with pytest.raises(BudgetError) as whole:
            await book.reserve(told(7, "b"), 1)
        assert not isinstance(whole.value, CapReached)
        assert whole.value.do.startswith("Raise teacher.budget or teacher.requests and run the same command")
        await book.close()

    asyncio.run(go())


def test_the_requests_of_a_teacher_are_a_cap_of_their_own(tmp_path: Path) -> None:
    async def go() -> None:
        caps = {"a": SpendingCap(None, 2)}
        book = Ledger(tmp_path, NO_CAP, caps=caps, max_concurrent=4, max_tokens=8)
        for number in range(3):
            await pay(book, told(number, "b"), 1, RequestCost(1, "provider"))
        for number in (3, 4):
            await pay(book, told(number, "a"), 1, RequestCost(1, "provider"))
        with pytest.raises(CapReached, match="all 2 requests are used"):
            await book.reserve(told(5, "a"), 1)
        await pay(book, told(6, "b"), 1, RequestCost(1, "provider"))
        await book.close()

    asyncio.run(go())


def test_a_teacher_waits_for_its_own_pending_requests_alone(tmp_path: Path) -> None:
    """What another teacher has open can free nothing of this one's cap; what it has open itself can."""

    async def go() -> None:
        caps = {"a": SpendingCap(10), "b": SpendingCap(100)}
        book = Ledger(tmp_path, SpendingCap(1000), caps=caps, max_concurrent=4, max_tokens=8)
        first = await book.reserve(told(1, "a"), 8)
        second = asyncio.ensure_future(book.reserve(told(2, "a"), 8))
        await asyncio.sleep(0.01)
        assert not second.done()
        book.record_cost(first, RequestCost(2, "provider"))
        held = await asyncio.wait_for(second, 5)
        book.record_cost(held, RequestCost(8, "provider"))
        await book.reserve(told(3, "b"), 8)
        with pytest.raises(CapReached):
            await asyncio.wait_for(book.reserve(told(4, "a"), 1), 5)
        await book.close()

    asyncio.run(go())


def test_the_whole_waits_for_any_pending_request(tmp_path: Path) -> None:
    async def go() -> None:
        book = Ledger(tmp_path, SpendingCap(10), max_concurrent=4, max_tokens=8)
        first = await book.reserve(told(1, "a"), 8)
        second = asyncio.ensure_future(book.reserve(told(2, "b"), 8))
        await asyncio.sleep(0.01)
        assert not second.done()
        book.record_failure(first, NoResponse("refused", sent=False))
        held = await asyncio.wait_for(second, 5)
        assert (held.teacher, held.max_cost, book.committed, book.requests) == ("b", 8, 8, 1)
        with pytest.raises(BudgetError, match=r"0\.000000 is left"):
            book.record_cost(held, RequestCost(8, "provider"))
            await book.reserve(told(3, "b"), 3)
        await book.close()

    asyncio.run(go())


def test_a_response_that_cost_more_than_reserved_is_an_overrun_of_its_teacher(tmp_path: Path) -> None:
    """The largest one counts; without any limit of money there is nothing to overrun."""

    async def go() -> None:
        book = Ledger(tmp_path, NO_CAP, caps={"a": SpendingCap(1000)}, max_concurrent=4, max_tokens=8)
        for number, (teacher, cost) in enumerate([("a", 13), ("a", 17), ("a", 12), ("b", 90)]):
            await pay(book, told(number, teacher), 10, RequestCost(cost, "provider"))
        assert (book.overrun("a"), book.overrun("b"), book.overrun()) == (7, 0, 0)
        await book.close()
        whole = Ledger(tmp_path, SpendingCap(1000), max_concurrent=4, max_tokens=8)
        await pay(whole, told(9, "b"), 10, RequestCost(11, "provider"))
        assert (whole.overrun("a"), whole.overrun("b")) == (0, 1)
        await whole.close()

    asyncio.run(go())


def test_what_was_spent_is_said_in_one_sentence(tmp_path: Path) -> None:
    """In units of the currency: reported, estimated, and at risk, where reservations count as well."""

    async def go() -> None:
        book = opened(tmp_path, SpendingCap(10_000_000_000, 5))
        await pay(book, request(1), 2_000_000_000, RequestCost(1_500_000_000, "provider"))
        await pay(book, request(2), 2_000_000_000, RequestCost(250_000_000, "reserved"))
        book.record_failure(await book.reserve(request(3), 1_000_000), NoResponse("cut", sent=True))
        await book.reserve(request(4), 2_000_000)
        sentence = (
            "Spent 1.753000{}: 1.500000 charged as reported, 0.250000 charged as estimated, 0.003000 at risk (sent "
            "without a usable outcome; counts as spent)."
        )
        assert str(book.summary()) == sentence.format("") and str(book.summary("EUR")) == sentence.format(" EUR")
        with pytest.raises(TimeoutError):  # while a request is open its money may still be freed
            await asyncio.wait_for(book.reserve(request(5), 9_000_000_000), 0.02)
        await book.close()

    asyncio.run(go())
    again = opened(tmp_path, SpendingCap(10_000_000_000, 5))

    async def refused() -> None:
        with pytest.raises(BudgetError) as caught:
            await again.reserve(request(5), 9_000_000_000)
        assert caught.value.what == "the next request may cost 9.000000, and 8.247000 is left"
        assert caught.value.saved.startswith("2 responses are kept. Spent 1.753000: 1.500000 charged as reported")
        await again.close()

    asyncio.run(refused())


def test_attempts_are_counted_by_request(tmp_path: Path) -> None:
    async def go() -> None:
        book = opened(tmp_path)
        for _ in range(2):
            book.record_failure(await book.reserve(request(1), 10), NoResponse("cut", sent=True))
        await book.reserve(request(2), 10)
        assert [book.attempts(request(number).key) for number in (1, 2, 3)] == [2, 1, 0]
        await book.close()

    asyncio.run(go())
    again = opened(tmp_path)
    assert [again.attempts(request(number).key) for number in (1, 2, 3)] == [2, 1, 0]
    assert (tmp_path / ".reserve").stat().st_size == 4 * (64 * 1024 + 32 * 8)
    assert (tmp_path / JOURNAL).stat().st_mode & 0o777 == 0o600
