"""Crash tests of generation in batches, against a provider that counts what it sells.

    python -m benchmarks.faults.batch_crash_tests [--kills 1000] [--minutes 20] [--write]

Half of the kills strike at one step: before or after the n-th line of the journal, file, or call of the provider. The
others strike at random times. The provider executes a batch when it is created, answers out of order, lets single
requests fail, doubles lines, lets batches expire, and leaves calls unanswered. After every kill the ledger's total is
not less than the provider's. At the end of each generation every response sold stands in the ledger once, no body was
sold twice, and the data set equals, byte for byte, that of an uninterrupted run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batch_server import BatchPlan, running_batches
from faulty_server import PRICE

from benchmarks.faults.teacher_crash_tests import config_for, ends_within, faulty_response, output_bytes
from benchmarks.reporting import RESULTS
from terakoya.config import Config
from terakoya.generation.generate import generate
from terakoya.generation.teacher import batch_api, batches
from terakoya.generation.teacher.batches import BatchPolicy
from terakoya.generation.teacher.ledger import JOURNAL
from terakoya.generation.teacher.ledger_journal import read_journal
from terakoya.generation.teacher.rate_limits import RetryPolicy
from terakoya.runs import Journal, read_lines

RESULT = RESULTS / "batch_crash_tests.json"
SAMPLES, BATCH, SEEDS = 30, 10, 4
RETRIES = RetryPolicy(base_wait=0.002, max_wait=0.01, drain=0.2)
WAITS = BatchPolicy(poll=0.005, gather=0.01)


@dataclass
class BatchTally:
    """Counts over all kills and generations."""

    kills: int = 0
    kills_at_steps: int = 0
    generations: int = 0
    sold: int = 0
    sold_twice: int = 0
    lost: int = 0
    kept_twice: int = 0
    underrecorded: int = 0
    unreadable: int = 0
    different: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def violations(self) -> int:
        """How often a promise was broken."""
        broken = (self.sold_twice, self.lost, self.kept_twice, self.underrecorded, self.unreadable, self.different)
        return sum(broken) + self.failed


def _config(url: str, seed: int) -> Config:
    return config_for(url, seed, samples=SAMPLES, batch=BATCH, attempts=30)


def faulty_plan(sold: Path | None, seed: int) -> BatchPlan:
    """A provider that fails in every way that a resumed generation must survive, always the same for one `seed`."""

    def draw(*names: object) -> float:
        return random.Random(repr((seed, *names))).random()

    def fault(call: str, number: int) -> str:
        value = draw(call, number)
        return "cut" if value < 0.06 else "500" if value < 0.1 else "half" if value < 0.14 else ""

    def line(batch: int, at: int) -> str:
        value = draw("line", batch, at)
        return "doubled" if value < 0.08 else "500" if value < 0.12 else "expired" if value < 0.16 else ""

    def outcome(number: int) -> str:
        return "expired" if draw("outcome", number) < 0.15 else "completed"

    return BatchPlan(fault=fault, line=line, outcome=outcome, response=faulty_response, sold=sold, seed=seed)


def die_at(step: int) -> None:
    """Let this process be killed at its `step`-th disk change or call: each has a point before and one behind it."""
    passed = 0

    def point() -> None:
        nonlocal passed
        passed += 1
        if passed == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            point()
            made = call(*args, **options)
            point()
            return made

        return wrapped

    def around_call(call: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapped(*args: Any, **options: Any) -> Any:
            point()
            made = await call(*args, **options)
            point()
            return made

        return wrapped

    Journal.append = around(Journal.append)  # type: ignore[method-assign]
    batches.write_text = around(batches.write_text)  # type: ignore[attr-defined]
    Path.unlink = around(Path.unlink)  # type: ignore[method-assign]
    for name in ("upload", "create", "retrieve", "find", "download"):
        setattr(batch_api.BatchApi, name, around_call(getattr(batch_api.BatchApi, name)))


def start(config: Config, folder: Path, step: int = 0) -> int:
    """Fork a generation that is killed at its `step`-th step (0: never); returns the child's process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        if step:
            die_at(step)
        generate(config, folder / "work", folder / "data.jsonl", retry_policy=RETRIES, batch_policy=WAITS)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def batch_crash_test(kills: int, minutes: float, folder: Path, seed: int = 0) -> BatchTally:
    """Counts of at least `kills` kills, unless `minutes` are over; generations lie under `folder`."""
    with running_batches(BatchPlan(response=faulty_response)) as server:  # imports: no killed child waits for them
        config = _config(server.url, 99)
        generate(config, folder / "warm", folder / "warm.jsonl", retry_policy=RETRIES, batch_policy=WAITS)
    rng, tally, started = random.Random(seed), BatchTally(), time.monotonic()
    references: dict[int, tuple[bytes, float]] = {}
    step = 1
    while tally.kills < kills and time.monotonic() < started + 60 * minutes:
        one = tally.generations % SEEDS
        if one not in references:
            place = folder / f"reference-{one}"
            with running_batches(BatchPlan(response=faulty_response)) as server:
                begun = time.monotonic()
                assert os.waitpid(start(_config(server.url, one), place), 0)[1] == 0, "the reference run failed"
            references[one] = output_bytes(place), time.monotonic() - begun
        place = folder / f"generation-{tally.generations}"
        step = _killed_generation(place, one, references[one], step, rng, tally)
    tally.seconds = round(time.monotonic() - started, 1)
    return tally


def _killed_generation(
    folder: Path, seed: int, reference: tuple[bytes, float], step: int, rng: random.Random, tally: BatchTally
) -> int:
    """One generation, killed again and again until it is complete; returns the next step to strike at."""
    folder.mkdir(parents=True)
    sold = folder / "sold.tsv"
    status = 0
    with running_batches(faulty_plan(sold, rng.randrange(10**6))) as server:
        config = _config(server.url, seed)
        for attempt in range(400):
            at_step = attempt % 2 == 0
            pid = start(config, folder, step if at_step else 0)
            seconds = 60.0 if at_step else rng.uniform(0.01, 0.7 * reference[1])
            ended, status = ends_within(pid, seconds)
            if not ended:
                os.kill(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
            killed = os.WIFSIGNALED(status)
            tally.kills += killed
            tally.kills_at_steps += killed and at_step
            step = (step + 1 if step < 120 else 1) if at_step else step
            _check_ledger(folder, sold, tally)
            if not killed:
                break
    tally.failed += status != 0
    tally.generations += 1
    tally.different += output_bytes(folder) != reference[0]
    _check_end(folder, sold, tally)
    return step


def _sales(sold: Path) -> list[list[str]]:
    return [line.split("\t") for line in sold.read_text().splitlines()] if sold.exists() else []


def _check_ledger(folder: Path, sold: Path, tally: BatchTally) -> None:
    try:
        known = read_journal(folder / "work" / JOURNAL).spending.total
    except Exception:
        traceback.print_exc()
        tally.unreadable += 1
        return
    tally.underrecorded += known < len(_sales(sold)) * (PRICE // 2)


def _check_end(folder: Path, sold: Path, tally: BatchTally) -> None:
    sales = _sales(sold)
    kept = Counter(
        record["id"]
        for record in read_lines(folder / "work" / JOURNAL)
        if record["event"] == "reply" and record["status"] == 200 and json.loads(record["body"]).get("choices")
    )
    tally.sold += len(sales)
    tally.sold_twice += len(sales) - len({body for _id, body, _price in sales})
    tally.lost += sum(name not in kept for name, _body, _price in sales)
    tally.kept_twice += kept.total() - len(kept)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = batch_crash_test(args.kills, args.minutes, Path(folder), args.seed)
    found = {**asdict(tally), "violations": tally.violations, "samples": SAMPLES, "batch": BATCH}
    print(json.dumps(found, indent=1))
    if args.write:
        RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 1 if tally.violations or tally.kills < args.kills else 0


if __name__ == "__main__":
    raise SystemExit(main())
