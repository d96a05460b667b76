"""The ledger: the cap is never exceeded, no response is lost, and a full disk costs nothing."""

from __future__ import annotations

import asyncio
import errno
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from terakoya.errors import BudgetError, CorruptError, DiskError, LockedError
from terakoya.generation.teacher import ledger as ledgers
from terakoya.generation.teacher.ledger import JOURNAL, Ledger
from terakoya.generation.teacher.ledger_index import INDEX, costs, update_index, usage
from terakoya.generation.teacher.protocol import NoResponse, RawResponse, TeacherRequest, free_response
from terakoya.generation.teacher.spending import NO_CAP, RequestCost, SpendingCap
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
