"""Kills a generation at random moments, again and again, against a server that counts what it sells.

    python benchmarks/teacher_torture.py [--kills 1000] [--minutes 8] [--write]

After every kill: the journal can be read, no sold answer stands in it twice, no request that has an answer was asked
again, every sold answer that is missing belongs to a request that was under way at a kill, and the ledger's sum is not
less than the server's. Each finished data set is compared, byte for byte, with that of an uninterrupted run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "data"))
from faulty_server import Plan, running, usual_answer  # type: ignore[import-not-found]

from terakoya.config import Config, make_config
from terakoya.generation.generate import DATA, REJECTED, generate
from terakoya.generation.teacher.ledger import JOURNAL
from terakoya.generation.teacher.rate_limits import Patience
from terakoya.runs import read_lines

RESULT = Path(__file__).parent / "results" / "teacher_torture.md"
AT_ONCE, SAMPLES, SEEDS = 8, 40, 4
PATIENCE = Patience(base=0.01, longest=0.05, drain=0.5)


@dataclass
class Tally:
    kills: int = 0
    finished: int = 0
    sold: int = 0
    kept: int = 0
    missing: int = 0  # sold, and under way at a kill
    missing_unaccounted: int = 0
    twice: int = 0
    asked_again: int = 0
    unreadable: int = 0
    underbooked: int = 0
    different: int = 0
    failed: int = 0
    seconds: float = 0.0
    answers_at_kill: Counter[int] = field(default_factory=Counter)

    @property
    def broken(self) -> int:
        return (
            self.missing_unaccounted + self.twice + self.asked_again + self.unreadable + self.underbooked
            + self.different + self.failed
        )  # fmt: skip


def sometimes_bad(request: dict[str, Any]) -> str:
    """Some prompts get a refusal or seven emoji, always the same ones, so that retries with a reason are killed too."""
    digest = hashlib.sha256(request["messages"][-1]["content"].encode()).digest()
    if digest[0] < 12:
        return "申し訳ありませんが、お手伝いできません。"
    return "🍎 🍊 🍋 🍌 🍉 🍇 🍓" if digest[0] < 24 else usual_answer(request)


def sometimes_faulty(number: int, request: dict[str, Any]) -> str:
    """429 and 502 now and then: never the same request eight times in a row."""
    return {3: "status:429", 11: "status:502", 17: "cut:middle"}.get(number % 29, "")


def config_for(url: str, seed: int) -> Config:
    return make_config(
        {
            "seed": seed,
            "teacher": {
                "kind": "api", "base_url": url, "model": "stub", "licence": "ours", "recipe": "emoji-v1",
                "samples": SAMPLES, "budget": 10.0, "price_in": 1.0, "price_out": 5.0, "key_variable": "",
                "max_concurrent": AT_ONCE, "attempts": 8, "deadline": 5.0,
            },
        }
    )  # fmt: skip


def torture(kills: int, minutes: float, place: Path, seed: int = 0) -> Tally:
    """At least `kills` kills, unless the time is up."""
    warm(place)
    draw, tally, begun = random.Random(seed), Tally(), time.monotonic()
    references: dict[int, tuple[bytes, float]] = {}
    end = begun + 60 * minutes
    while tally.kills < kills and time.monotonic() < end:
        one = tally.finished % SEEDS
        if one not in references:
            references[one] = uninterrupted(place / f"reference-{one}", one)
        reference, replay = references[one]
        generation(place / f"generation-{tally.finished}", one, reference, 2 * replay, end, draw, tally)
    tally.seconds = time.monotonic() - begun
    return tally


def warm(place: Path) -> None:
    """Imports and tables are loaded in the parent: a killed child shall lose no time with them."""
    with running(Plan(answer=sometimes_bad)) as server:
        generate(config_for(server.url, 99), place / "warm", place / "warm.jsonl", patience=PATIENCE)


def uninterrupted(folder: Path, seed: int) -> tuple[bytes, float]:
    """The data set of a run that nobody disturbed, and the seconds in which a finished one is gone through again."""
    with running(Plan(answer=sometimes_bad, script=sometimes_faulty)) as server:
        for _ in range(2):
            begun = time.monotonic()
            _, status = os.waitpid(start(config_for(server.url, seed), folder), 0)
            assert status == 0, "the uninterrupted run failed"
    return made(folder), time.monotonic() - begun


def generation(
    folder: Path, seed: int, reference: bytes, longest: float, end: float, draw: random.Random, tally: Tally
) -> None:
    """One generation, killed until it is through, each time after at most `longest` seconds."""
    folder.mkdir(parents=True)
    sold = folder / "sold.tsv"
    plan = Plan(answer=sometimes_bad, script=sometimes_faulty, delay=(0.001, 0.02), sold=sold, seed=draw.randrange(99))
    with running(plan) as server:
        config = config_for(server.url, seed)
        while True:
            pid = start(config, folder)
            ended, status = ends_within(pid, draw.uniform(0.01, longest))
            if not ended and time.monotonic() > end:
                _, status = os.waitpid(pid, 0)  # time is up: this one may go through
                ended = True
            if not ended:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                tally.kills += 1
            look(folder, sold, tally)
            if ended:
                break
        # What the server sold to killed clients may still be on its way into its book.
        time.sleep(0.05)
    tally.failed += status != 0
    tally.finished += 1
    tally.different += made(folder) != reference
    account(folder, sold, tally)


def start(config: Config, folder: Path) -> int:
    """A generation in a child process, which is there in a millisecond."""
    pid = os.fork()
    if pid:
        return pid
    try:
        # A child of a test or benchmark must neither run its parent's clean-up nor return into it.
        generate(config, folder / "work", folder / "data.jsonl", patience=PATIENCE)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def ends_within(pid: int, seconds: float) -> tuple[bool, int]:
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return True, status
        if time.monotonic() >= deadline:
            return False, 0
        time.sleep(0.002)


def look(folder: Path, sold: Path, tally: Tally) -> None:
    """All that must hold after every kill."""
    try:
        book = read_book(folder / "work" / JOURNAL)
    except Exception:
        traceback.print_exc()
        tally.unreadable += 1
        return
    charged = [line.split("\t") for line in sold.read_text().splitlines()] if sold.exists() else []
    kept = set(book.marks)
    missing = [mark for mark, _ in charged if mark not in kept]
    tally.twice += len(book.marks) - len(kept)
    tally.asked_again += book.asked_again
    tally.missing_unaccounted += max(0, len(missing) - book.without_answer)
    tally.underbooked += book.booked < sum(int(amount) for _, amount in charged)
    tally.answers_at_kill[len(book.marks) // 20] += 1


def account(folder: Path, sold: Path, tally: Tally) -> None:
    book = read_book(folder / "work" / JOURNAL)
    charged = sold.read_text().splitlines()
    tally.sold += len(charged)
    tally.kept += len(book.marks)
    tally.missing += len(charged) - len(set(book.marks))


@dataclass
class Book:
    marks: list[str] = field(default_factory=list)  # the server's own marks of the answers in the journal
    booked: int = 0
    without_answer: int = 0  # intents that have no whole answer: under way at a kill, cut, or refused
    asked_again: int = 0


def read_book(journal: Path) -> Book:
    """The ledger's account, read from the journal by other code than the product's."""
    book, open_, answered = Book(), {}, set()
    for record in read_lines(journal):
        key = record["id"].partition(".")[0]
        if record["event"] == "intent":
            open_[record["id"]] = record["reserved"]
            book.asked_again += key in answered
        elif record["event"] == "lost":
            book.booked += record["cost"]
            del open_[record["id"]]
            book.without_answer += 1
        elif record["event"] == "reply":
            book.booked += record["cost"]
            del open_[record["id"]]
            if record["status"] == 200:
                answered.add(key)
                book.marks.append(json.loads(record["body"])["id"])
    book.booked += sum(open_.values())
    book.without_answer += len(open_)
    return book


def made(folder: Path) -> bytes:
    """The data set and the rejected rows, as they lie on the disk."""
    work = folder / "work"
    output = folder / "data.jsonl"
    assert not output.exists() or output.read_bytes() == (work / DATA).read_bytes()
    return b"".join(path.read_bytes() for path in (output, work / REJECTED) if path.exists())


def table(tally: Tally) -> str:
    spread = ", ".join(
        f"{20 * group}–{20 * group + 19}: {count}" for group, count in sorted(tally.answers_at_kill.items())
    )
    rows = [
        ("SIGKILLs", tally.kills),
        ("generations finished", tally.finished),
        ("answers sold by the server", tally.sold),
        ("of them in the ledger", tally.kept),
        ("of them under way at a kill, or cut by the server, and booked as spent", tally.missing),
        ("sold answers missing without a request under way", tally.missing_unaccounted),
        ("answers in the ledger twice", tally.twice),
        ("requests sent again although answered", tally.asked_again),
        ("checks in which the ledger knew less than the server charged", tally.underbooked),
        ("journals that could not be read", tally.unreadable),
        ("data sets that differ from an uninterrupted run", tally.different),
        ("resumes that failed", tally.failed),
    ]
    lines = [
        "# A teacher tortured",
        "",
        f"`python benchmarks/teacher_torture.py --write`: {SAMPLES} samples a generation, two requests and more a "
        f"sample, {AT_ONCE} in flight, a server that answers after 1–20 ms, refuses some prompts, answers some with "
        "seven emoji, and throws in 429, 502 and cut answers. Killed at random moments until each generation is "
        f"through ({tally.seconds:.0f} s in all).",
        "",
        "| | count |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in rows),
        "",
        f"Answers in the ledger when the process ended or was killed: {spread}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        tally = torture(options.kills, options.minutes, Path(place), options.seed)
    text = table(tally)
    print(text)
    if options.write:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(text, encoding="utf-8")
    return 1 if tally.broken or tally.kills < options.kills else 0


if __name__ == "__main__":
    raise SystemExit(main())
