"""Training steps beside other processes on the same cores: PyTorch's threads as they are and as Terakoya sets them.

    python -m benchmarks.speed.shared_cores [--rounds 3] [--steps 60] [--busy 2]

A step is forward, backward and AdamW through four blocks of the width of Gemma 3 270M (640, hidden 2,048) on 16 rows
of 24 tokens, with as many threads as there are cores. It is timed alone, and with `--busy` processes that only
compute. The ways take turns within each round. Writes benchmarks/results/shared_cores.json and .md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

from benchmarks.reporting import machine_summary, markdown_table, write_results

WAYS = {"PyTorch's default": "import torch", "with `import terakoya`": "import terakoya, torch"}
BUSY = "while True: pass"


def train_steps(steps: int) -> float:
    """Milliseconds of one step, the median of `steps`."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    blocks = nn.Sequential(
        *[nn.Sequential(nn.RMSNorm(640), nn.Linear(640, 2048), nn.SiLU(), nn.Linear(2048, 640)) for _ in range(4)]
    )
    optimizer = torch.optim.AdamW(blocks.parameters(), lr=1e-4, foreach=True)
    rows = torch.randn(16 * 24, 640)
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        blocks(rows).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)


def measure(way: str, steps: int) -> float:
    """`train_steps` in a fresh process whose environment says nothing about OpenMP."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    code = f"{WAYS[way]}; from benchmarks.speed.shared_cores import train_steps; print(train_steps({steps}))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Times both ways, alone and beside busy processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--busy", type=int, default=2)
    args = parser.parse_args()
    values: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        for busy in (0, args.busy):
            others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
            try:
                for way in WAYS:
                    values.setdefault(f"{way}, {busy} busy", []).append(measure(way, args.steps))
            finally:
                for other in others:
                    other.kill()
                    other.wait()
        print(values, flush=True)
    table = markdown_table(
        ("threads", "alone, ms a step", f"beside {args.busy} busy processes, ms a step"),
        [
            (way, *(_range(values[f"{way}, {busy} busy"]) for busy in (0, args.busy)))
            for way in WAYS
        ],
    )  # fmt: skip
    page = (
        f"# Training steps on shared cores\n\n{machine_summary(('torch',))}; {args.rounds} rounds of {args.steps} "
        f"steps, median (least to most). `python -m benchmarks.speed.shared_cores`\n\n{table}"
    )
    write_results("shared_cores", page, {"machine": machine_summary(("torch",)), "ms": values})
    print(table)


def _range(times: list[float]) -> str:
    return f"{statistics.median(times):.0f} ({min(times):.0f} to {max(times):.0f})"


if __name__ == "__main__":
    main()
