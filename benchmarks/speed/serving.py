"""Load test of `terakoya serve`: clients that each send the next request when the last one is done.

    python -m benchmarks.speed.serving RUN [RUN …] [--clients 64] [--seconds 60]

First one client, then all of them with batches of one text (`one at a time`), then all of them with batches gathered
while they wait, in turn and on the same exam items; every response is compared with the run's own predictions. Writes
benchmarks/results/serving.json and .md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.reporting import machine_summary, markdown_table, write_results


@contextmanager
def served(runs: Sequence[str], *options: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A server of `runs` with further `options`: its address, and the names of its skills."""
    command = [sys.executable, "-m", "terakoya", "serve", *runs, "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "LANG": "C"}) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"Serving (.+) at (http://\S+)/v1", line)
        if found is None:
            raise SystemExit(f"the server did not start: {line}")
        try:
            yield found[2], tuple(found[1].split(", "))
        finally:
            process.terminate()
            process.wait(60)


@dataclass
class Load:
    """What clients saw.

    name      of the setting
    clients   at the same time
    seconds   that it took
    statuses  status → number of responses
    wrong     responses with another prediction than the run's own
    times     seconds of each response with status 200
    batch     mean number of texts of a batch
    """

    name: str
    clients: int
    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    wrong: int = 0
    times: list[float] = field(default_factory=list)
    batch: float = 0.0

    def quantile(self, share: float) -> float:
        """Milliseconds within which that `share` of the responses came."""
        return 1000 * sorted(self.times)[min(len(self.times) - 1, int(share * len(self.times)))]


async def load(name: str, url: str, model: str, items: Sequence[tuple[str, str | None]], clients: int,
               seconds: float) -> Load:  # fmt: skip
    """Let clients send requests.

    name     of the setting
    url      of the server
    model    name of the skill
    items    texts and their predictions
    clients  at the same time
    seconds  after which no further request is sent
    """
    import aiohttp

    seen = Load(name, clients)
    started = time.monotonic()

    async def client(number: int, session: aiohttp.ClientSession) -> None:
        at = number * 997
        while time.monotonic() - started < seconds:
            text, expected = items[at % len(items)]
            at += 1
            body = {"model": model, "messages": [{"role": "user", "content": text}]}
            before = time.monotonic()
            async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                said = await response.json()
                seen.statuses[response.status] = seen.statuses.get(response.status, 0) + 1
            if response.status == 200:
                seen.times.append(time.monotonic() - before)
                seen.wrong += said["choices"][0]["message"]["content"] != expected

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(client(number, session) for number in range(clients)))
        seen.seconds = time.monotonic() - started
        async with session.get(f"{url}/metrics") as response:
            text = await response.text()
    texts, batches = (
        sum(map(float, re.findall(rf"terakoya_{key}_total{{.*}} (\d+)", text))) for key in ("batch_texts", "batches")
    )
    seen.batch = texts / batches
    return seen


def measure(run: Path, clients: int, seconds: float) -> list[Load]:
    """One client, all of them one at a time, and all of them in batches.

    run      a run folder
    clients  at the same time
    seconds  of the last setting; the others take a third each
    """
    lines = (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    items = [(row["source"], row["prediction"]) for row in rows if not row.get("turns")]
    found = []
    for name, count, options, share in (
        ("one client", 1, (), 1 / 3),
        ("one at a time", clients, ("--batch", "1"), 1 / 3),
        ("in batches", clients, (), 1.0),
    ):
        with served([str(run)], *options) as (url, (model, *_others)):
            found.append(asyncio.run(load(name, url, model, items, count, seconds * share)))
            print(run.name, name, f"{len(found[-1].times) / found[-1].seconds:.0f} a second", flush=True)
    return found


def main() -> None:
    """Measures every run folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    rows, values, before = [], [], os.getloadavg()[0]
    for run in args.runs:
        for one in measure(run, args.clients, args.seconds):
            errors = sum(count for status, count in one.statuses.items() if status != 200)
            rows.append(
                [run.name.split("-")[0], one.name, one.clients, len(one.times), errors, one.wrong,
                 f"{len(one.times) / one.seconds:.0f}", f"{one.batch:.1f}",
                 *(f"{one.quantile(share):.0f}" for share in (0.5, 0.95, 0.99))]
            )  # fmt: skip
            about = asdict(one) | {"times": len(one.times), "mean": statistics.mean(one.times)}
            values.append(
                {"run": run.name, **about, **{f"p{int(100 * q)}": one.quantile(q) for q in (0.5, 0.95, 0.99)}}
            )
    header = ["skill", "setting", "clients", "responses", "errors", "other predictions", "a second", "texts a batch",
              "p50 ms", "p95 ms", "p99 ms"]  # fmt: skip
    page = (
        "# `terakoya serve` under load\n\n"
        "Clients that each send the next chat request when the last one is done, and the server, on the same "
        f"{os.cpu_count()} cores; texts of each run's exam, each response held against the run's own prediction. "
        f"Load average when it began: {before:.1f}.\n\n"
        + markdown_table(header, rows)
        + f"\n{machine_summary(('starlette', 'uvicorn', 'numpy'))}\n"
    )
    print(write_results("serving", page, {"loads": values, "load_average": before}))


if __name__ == "__main__":
    main()
