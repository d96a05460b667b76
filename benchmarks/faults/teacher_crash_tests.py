"""Crash tests of generation: a client killed at random moments, against a server that counts what it charges.

    python -m benchmarks.faults.teacher_crash_tests [--kills 1000] [--minutes 8] [--write]

After every kill: the journal can be read, no paid response stands in it twice, no request that has a response was sent
again, every paid response that is missing belongs to a request in flight at a kill, and the ledger's total is not less
than the server's. Each finished data set is compared, byte for byte, with that of an uninterrupted run.
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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faulty_server import ServerPlan, running, usual_response

from benchmarks.reporting import RESULTS
from terakoya.config import Config, make_config
from terakoya.generation.generate import DATA, REJECTED, generate
from terakoya.generation.teacher.ledger import JOURNAL
from terakoya.generation.teacher.rate_limits import RetryPolicy
from terakoya.runs import read_lines

RESULT = RESULTS / "teacher_crash_tests.md"
IN_FLIGHT, SAMPLES, SEEDS = 8, 40, 4
RETRY_POLICY = RetryPolicy(base_wait=0.01, max_wait=0.05, drain=0.5)


@dataclass
class Tally:
    """Counts over all kills and generations of a crash test."""

    kills: int = 0
    finished: int = 0
    charged: int = 0
    recorded: int = 0
    missing: int = 0  # charged, and in flight at a kill
    missing_unaccounted: int = 0
    duplicated: int = 0
    resent: int = 0
    unreadable: int = 0
    underrecorded: int = 0
    different: int = 0
    failed: int = 0
    seconds: float = 0.0
    responses_at_kill: Counter[int] = field(default_factory=Counter)

    @property
    def violations(self) -> int:
        """How often a guarantee was violated."""
        return (
            self.missing_unaccounted + self.duplicated + self.resent + self.unreadable + self.underrecorded
            + self.different + self.failed
        )  # fmt: skip


def faulty_response(request: dict[str, Any]) -> str:
    """Some prompts get a refusal or seven emoji, always the same ones, so that retries with a reason are killed too."""
    digest = hashlib.sha256(request["messages"][-1]["content"].encode()).digest()
    if digest[0] < 12:
        return "申し訳ありませんが、お手伝いできません。"
    return "🍎 🍊 🍋 🍌 🍉 🍇 🍓" if digest[0] < 24 else usual_response(request)


def faulty_status(number: int, request: dict[str, Any]) -> str:
    """429 and 502 now and then: never the same request eight times in a row."""
    return {3: "status:429", 11: "status:502", 17: "cut:middle"}.get(number % 29, "")


def config_for(url: str, seed: int, **teacher: Any) -> Config:
    """The config of a generation against the server at `url`; `teacher` are further settings of [teacher]."""
    settings = {
        "kind": "api", "base_url": url, "model": "stub", "licence": "ours", "recipe": "emoji-v1", "samples": SAMPLES,
        "budget": 10.0, "price_in": 1.0, "price_out": 5.0, "key_variable": "", "deadline": 5.0,
    }  # fmt: skip
    single = {"max_concurrent": IN_FLIGHT, "attempts": 8}
    return make_config({"seed": seed, "teacher": settings | (teacher or single)})


def crash_test(
    kills: int, minutes: float, folder: Path, seed: int = 0, pool: Mapping[str, dict[str, Any]] | None = None
) -> Tally:
    """Counts of a crash test of at least `kills` kills, unless `minutes` are over; generations lie under `folder`.

    With a `pool` the rows are made by several teachers, all at the one server.
    """
    settings = {"pool": dict(pool), "attempts": 8} if pool else {}
    warm_up(folder)
    rng, tally, started = random.Random(seed), Tally(), time.monotonic()
    references: dict[int, tuple[bytes, float]] = {}
    end = started + 60 * minutes
    while tally.kills < kills and time.monotonic() < end:
        one = tally.finished % SEEDS
        if one not in references:
            references[one] = uninterrupted(folder / f"reference-{one}", one, settings)
        reference, replay = references[one]
        place = folder / f"generation-{tally.finished}"
        killed_generation(place, one, reference, 2 * replay, end, rng, tally, settings)
    tally.seconds = time.monotonic() - started
    return tally


def warm_up(folder: Path) -> None:
    """Load imports and tables in the parent, so that a killed child loses no time with them."""
    with running(ServerPlan(response=faulty_response)) as server:
        generate(config_for(server.url, 99), folder / "warm", folder / "warm.jsonl", retry_policy=RETRY_POLICY)


def uninterrupted(folder: Path, seed: int, settings: Mapping[str, Any]) -> tuple[bytes, float]:
    """(the data set of a run without kills, the seconds that resuming a finished run takes)."""
    with running(ServerPlan(response=faulty_response, script=faulty_status)) as server:
        for _ in range(2):
            started = time.monotonic()
            _, status = os.waitpid(start(config_for(server.url, seed, **settings), folder), 0)
            assert status == 0, "the uninterrupted run failed"
    return output_bytes(folder), time.monotonic() - started


def killed_generation(
    folder: Path,
    seed: int,
    reference: bytes,
    longest: float,
    end: float,
    rng: random.Random,
    tally: Tally,
    settings: Mapping[str, Any],
) -> None:
    """One generation, killed after at most `longest` seconds again and again until it is complete."""
    folder.mkdir(parents=True)
    charges = folder / "charges.tsv"
    server_plan = ServerPlan(
        response=faulty_response, script=faulty_status, delay=(0.001, 0.02), sold=charges, seed=rng.randrange(99)
    )
    with running(server_plan) as server:
        config = config_for(server.url, seed, **settings)
        while True:
            pid = start(config, folder)
            ended, status = ends_within(pid, rng.uniform(0.01, longest))
            if not ended and time.monotonic() > end:
                _, status = os.waitpid(pid, 0)  # out of time: this one may complete
                ended = True
            if not ended:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                tally.kills += 1
            check_ledger(folder, charges, tally)
            if ended:
                break
        # The server may still be writing what it charged to killed clients.
        time.sleep(0.05)
    tally.failed += status != 0
    tally.finished += 1
    tally.different += output_bytes(folder) != reference
    count_charges(folder, charges, tally)


def start(config: Config, folder: Path) -> int:
    """Fork a generation; returns the child's process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        # A child of a test or benchmark must neither run its parent's clean-up nor return into it.
        generate(config, folder / "work", folder / "data.jsonl", retry_policy=RETRY_POLICY)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def ends_within(pid: int, seconds: float) -> tuple[bool, int]:
    """(whether the child ends within `seconds`, its wait status)."""
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return True, status
        if time.monotonic() >= deadline:
            return False, 0
        time.sleep(0.002)


def check_ledger(folder: Path, charges: Path, tally: Tally) -> None:
    """Count violations of all that must hold after every kill."""
    try:
        journal_summary = summarise_journal(folder / "work" / JOURNAL)
    except Exception:
        traceback.print_exc()
        tally.unreadable += 1
        return
    charged = [line.split("\t") for line in charges.read_text().splitlines()] if charges.exists() else []
    recorded = set(journal_summary.response_ids)
    missing = [response_id for response_id, _ in charged if response_id not in recorded]
    tally.duplicated += len(journal_summary.response_ids) - len(recorded)
    tally.resent += journal_summary.resent
    tally.missing_unaccounted += max(0, len(missing) - journal_summary.incomplete)
    tally.underrecorded += journal_summary.recorded_cost < sum(int(amount) for _, amount in charged)
    tally.responses_at_kill[len(journal_summary.response_ids) // 20] += 1


def count_charges(folder: Path, charges: Path, tally: Tally) -> None:
    """Add what the server charged, and what of it the ledger holds, to the counts."""
    journal_summary = summarise_journal(folder / "work" / JOURNAL)
    charged = charges.read_text().splitlines()
    tally.charged += len(charged)
    tally.recorded += len(journal_summary.response_ids)
    tally.missing += len(charged) - len(set(journal_summary.response_ids))


@dataclass
class JournalSummary:
    """What the journal says was requested, received and paid."""

    response_ids: list[str] = field(default_factory=list)  # response ids given by the server
    recorded_cost: int = 0
    incomplete: int = 0  # intents without a whole response: in flight at a kill, cut, or refused
    resent: int = 0


def summarise_journal(journal: Path) -> JournalSummary:
    """A summary of the journal by code independent of the package's."""
    journal_summary, completed = JournalSummary(), set()
    open_: dict[str, int] = {}  # sent without an outcome: the reservation counts
    uncosted: dict[str, int] = {}  # responses whose cost is not booked: the reservation counts as well
    for record in read_lines(journal):
        key = record["id"].partition(".")[0]
        if record["event"] == "intent":
            open_[record["id"]] = record["reserved"]
            journal_summary.resent += key in completed
        elif record["event"] == "lost":
            journal_summary.recorded_cost += record["cost"]
            del open_[record["id"]]
            journal_summary.incomplete += 1
        elif record["event"] == "reply":
            uncosted[record["id"]] = open_.pop(record["id"])
            if record["status"] == 200:
                completed.add(key)
                journal_summary.response_ids.append(json.loads(record["body"])["id"])
        elif record["event"] == "cost":
            journal_summary.recorded_cost += record["cost"]
            del uncosted[record["id"]]
    journal_summary.recorded_cost += sum(open_.values()) + sum(uncosted.values())
    journal_summary.incomplete += len(open_)
    return journal_summary


def output_bytes(folder: Path) -> bytes:
    """The bytes of the data set and of the rejected rows on disk."""
    work = folder / "work"
    output = folder / "data.jsonl"
    assert not output.exists() or output.read_bytes() == (work / DATA).read_bytes()
    return b"".join(path.read_bytes() for path in (output, work / REJECTED) if path.exists())


def format_page(tally: Tally) -> str:
    spread = ", ".join(
        f"{20 * group}–{20 * group + 19}: {count}" for group, count in sorted(tally.responses_at_kill.items())
    )
    rows = [
        ("SIGKILLs", tally.kills),
        ("generations finished", tally.finished),
        ("responses charged by the server", tally.charged),
        ("of them in the ledger", tally.recorded),
        ("of them in flight at a kill, or cut by the server, and recorded as spent", tally.missing),
        ("charged responses missing without a request in flight", tally.missing_unaccounted),
        ("responses in the ledger twice", tally.duplicated),
        ("requests sent again although completed", tally.resent),
        ("checks in which the ledger recorded less than the server charged", tally.underrecorded),
        ("journals that could not be read", tally.unreadable),
        ("data sets that differ from an uninterrupted run", tally.different),
        ("resumes that failed", tally.failed),
    ]
    lines = [
        "# Crash tests of generation",
        "",
        f"`python -m benchmarks.faults.teacher_crash_tests --write`: {SAMPLES} samples a generation, two requests and "
        f"more a sample, {IN_FLIGHT} in flight, a server that responds after 1–20 ms, refuses some prompts, "
        "responds to some "
        "with seven emoji, and returns 429, 502 and truncated responses now and then. Killed at random moments "
        "until each "
        f"generation is complete ({tally.seconds:.0f} s in all).",
        "",
        "| | count |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in rows),
        "",
        f"Responses in the ledger when the process ended or was killed: {spread}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = crash_test(args.kills, args.minutes, Path(folder), args.seed)
    text = format_page(tally)
    print(text)
    if args.write:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(text, encoding="utf-8")
    return 1 if tally.violations or tally.kills < args.kills else 0


if __name__ == "__main__":
    raise SystemExit(main())
