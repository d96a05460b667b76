"""How fast answers come in, beside a plain loop with ten in flight: one stub server, one run, both measured.

    python benchmarks/teacher_throughput.py [--samples 1500] [--rounds 3] [--write]

The stub answers after 200 ms; a sample takes two requests, one after the other. So concurrency sets the limit of
in_flight / 0.4 samples a second. The plain loop is what most scripts do: the openai client as it comes, ten at once,
nothing written down. Ours writes every intent and every answer to the ledger and fsyncs before it sends.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "data"))
from faulty_server import Plan, Running, running  # type: ignore[import-not-found]

from terakoya.config import make_config
from terakoya.generation.generate import generate
from terakoya.generation.recipe import find_recipe
from terakoya.generation.sentences import mixed

SECONDS, STEPS = 0.2, 2
RESULT = Path(__file__).parent / "results" / "teacher_throughput.md"


@dataclass(frozen=True)
class Measured:
    name: str
    in_flight: int
    samples: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.samples / self.seconds

    @property
    def share(self) -> float:
        """Of what concurrency allows."""
        return self.rate * SECONDS * STEPS / self.in_flight

    @property
    def milliseconds(self) -> float:
        """CPU of the client for one sample, start-up left out."""
        return 1000 * self.cpu / self.samples


def timed(name: str, in_flight: int, samples: int, work: Callable[[], object]) -> Measured:
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return Measured(name, in_flight, samples, time.perf_counter() - start, time.process_time() - cpu)


def ours(server: Running, samples: int, in_flight: int) -> Measured:
    config = make_config(
        {
            "teacher": {
                "kind": "api", "base_url": server.url, "model": "stub", "licence": "ours", "recipe": "emoji-v1",
                "samples": samples, "budget": 1000.0, "price_in": 1.0, "price_out": 5.0, "key_variable": "",
                "max_concurrent": in_flight,
            }
        }
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)

        def work() -> None:
            assert generate(config, folder / "generation", folder / "data.jsonl").rows == samples

        return timed("terakoya generate", in_flight, samples, work)


def plain_loop(server: Running, samples: int, in_flight: int = 10) -> Measured:
    async def go() -> None:
        import openai

        recipe, places = find_recipe("emoji-v1", Path()), asyncio.Semaphore(in_flight)
        sentences = [sentence.text for sentence, _ in zip(mixed(0), range(samples), strict=False)]
        async with openai.AsyncOpenAI(base_url=server.url, api_key="none") as client:

            async def one(text: str) -> str:
                async with places:
                    for step in recipe.steps:
                        turns: Any = [{"role": turn.role, "content": turn.content} for turn in step.turns(text, (), ())]
                        reply = await client.chat.completions.create(
                            model="stub", messages=turns, max_tokens=256, temperature=0.7
                        )
                        text = reply.choices[0].message.content or ""
                    return text

            await asyncio.gather(*(one(text) for text in sentences))

    return timed("plain loop", in_flight, samples, lambda: asyncio.run(go()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    runs: dict[tuple[str, int], list[Measured]] = {}
    with running(Plan(delay=(SECONDS, SECONDS))) as server:
        ours(server, 50, 50)  # imports and tables are loaded once, before anything is measured
        for _ in range(options.rounds):
            for in_flight in (64, 256):
                runs.setdefault(("ours", in_flight), []).append(ours(server, options.samples, in_flight))
            runs.setdefault(("plain", 10), []).append(plain_loop(server, max(100, options.samples // 6)))
    text = table(runs, options.rounds)
    print(text)
    if options.write:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(text, encoding="utf-8")


def table(runs: dict[tuple[str, int], list[Measured]], rounds: int) -> str:
    base = statistics.median(one.rate for one in runs["plain", 10])
    lines = [
        "# Teacher throughput",
        "",
        f"`python benchmarks/teacher_throughput.py --write`; {platform.machine()}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores for client and stub server together ({surroundings()}); "
        f"median of {rounds} interleaved rounds (least to most).",
        "The stub answers after 200 ms; two requests a sample.",
        "",
        "| client | in flight | samples a second | of the limit | × plain loop | client CPU, ms a sample |",
        "|---|---|---|---|---|---|",
    ]
    for found in runs.values():
        rates, cpu = sorted(one.rate for one in found), [one.milliseconds for one in found]
        rate, share = statistics.median(rates), statistics.median(one.share for one in found)
        lines.append(
            f"| {found[0].name} ({found[0].samples} samples) | {found[0].in_flight} "
            f"| {rate:.0f} ({rates[0]:.0f}–{rates[-1]:.0f}) | {share:.0%} | {rate / base:.1f} "
            f"| {statistics.median(cpu):.1f} ({min(cpu):.1f}–{max(cpu):.1f}) |"
        )
    return "\n".join(lines) + "\n"


def surroundings() -> str:
    """What else went on: a figure from a busy machine says so."""
    urgent = hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER
    return f"load average {os.getloadavg()[0]:.1f}" + (", at real-time priority" if urgent else "")


if __name__ == "__main__":
    main()
