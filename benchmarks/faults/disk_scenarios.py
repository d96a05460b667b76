"""What Terakoya does to a disk, in small: each scenario runs in a process of its own, into which faults are injected.

    python -m benchmarks.faults.disk_scenarios NAME FOLDER

Progress is kept in shared memory (FOLDER/progress), because printing it would be a system call like those that fail.
Ends with 0 where all was written, with 6 where a DiskError said that it was not.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path

from terakoya.errors import DiskError
from terakoya.generation.output import GeneratedRow, write_rows
from terakoya.generation.teacher.ledger import Ledger
from terakoya.generation.teacher.protocol import RawResponse, TeacherRequest
from terakoya.generation.teacher.spending import RequestCost
from terakoya.records import Turn
from terakoya.runs import Journal, Run, read_lines

RECORDS, REQUESTS, ROWS, PRICE = 6, 4, 30, 10
FILES = {"weights.bin": 3000, "state/random.json": 100}
DISK_ERROR = 6  # exit code
Mark = Callable[[], None]


def progress_file(folder: Path) -> Path:
    return folder / "progress"


def write_journal(folder: Path, mark: Mark) -> None:
    """Appends records; each is marked once it counts as written."""
    path = folder / "a.jsonl"
    done = len(list(read_lines(path)))
    journal = Journal(path)
    for number in range(done, RECORDS):
        journal.append({"n": number, "text": "三万八千"}, durable=number % 2 == 0)
        mark()
    journal.close()


def write_checkpoint(folder: Path, mark: Mark) -> None:
    """Saves a third checkpoint beside two older ones, which `prepare` has written."""
    with Run.resume(next(folder.glob("k-*"))) as run:
        run.save_checkpoint(300, lambda place: fill(place, 300))
        mark()


def fill(place: Path, step: int) -> None:
    for name, size in FILES.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(bytes([step % 256]) * size)


def write_run_files(folder: Path, mark: Mark) -> None:
    """A run that ends: predictions, scores, manifest, seal."""
    with Run.resume(next(folder.glob("k-*"))) as run:
        run.rewrite("predictions.jsonl", ({"n": number} for number in range(3)))
        run.write_json("scores.json", {"version": "new" * 500})
        run.finish("done")
        mark()


def write_table(folder: Path, mark: Mark) -> None:
    """A generated data set replaces an older one."""
    rows = [GeneratedRow(f"文{number}", "🍎", "o", "g", f"文{number}") for number in range(ROWS)]
    write_rows(folder / "data.jsonl", rows)
    mark()


def write_ledger(folder: Path, mark: Mark) -> None:
    """Requests at once; each is marked at the moment in which the provider would charge for it."""
    asyncio.run(_spend(folder, mark))


async def _spend(folder: Path, mark: Mark) -> None:
    book = Ledger(folder, max_concurrent=REQUESTS, max_tokens=8)
    try:
        await asyncio.gather(*(_buy(book, number, mark) for number in range(REQUESTS)))
    finally:
        await book.close()


async def _buy(book: Ledger, number: int, mark: Mark) -> None:
    request = request_number(number)
    if book.response(request.key) is not None:
        return
    reservation = await book.reserve(request, PRICE)
    mark()
    await asyncio.sleep(0)
    book.record_response(reservation, RawResponse(200, f"body {number}"))
    book.record_cost(reservation, RequestCost(PRICE, "provider", 9, 2))


def request_number(number: int) -> TeacherRequest:
    return TeacherRequest("s", str(number), "", (Turn("user", f"{number}"),), "m", 8, 0.0, 0)


def prepare(name: str, folder: Path) -> None:
    """What lies in the folder before the scenario runs."""
    folder.mkdir(parents=True)
    progress_file(folder).write_bytes(b"\0" * mmap.PAGESIZE)
    if name in {"checkpoint", "run files"}:
        with Run.create(folder, "k") as run:
            run.write_json("scores.json", {"version": "old"})
            for step in (100, 200):
                run.save_checkpoint(step, lambda place, step=step: fill(place, step))  # type: ignore[misc]
    if name == "table":
        write_rows(folder / "data.jsonl", [GeneratedRow("古い", "🍊", "o", "g", "古い")])


SCENARIOS: dict[str, Callable[[Path, Mark], None]] = {
    "journal": write_journal,
    "checkpoint": write_checkpoint,
    "run files": write_run_files,
    "table": write_table,
    "ledger": write_ledger,
}


def main(name: str, folder: Path) -> int:
    handle = os.open(progress_file(folder), os.O_RDWR)
    memory = mmap.mmap(handle, mmap.PAGESIZE)

    def mark() -> None:
        memory[0] += 1

    try:
        SCENARIOS[name](folder, mark)
    except DiskError:
        return DISK_ERROR
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1], Path(sys.argv[2])))
