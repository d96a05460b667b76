"""Matmuls of a few rows with a prepacked weight against the plain weight: the gain of `models/prepacked.py`.

    python -m benchmarks.speed.prepacked_matmuls [--rounds 7]

Shapes are those of Gemma-3-270M's layers and its output head; one thread, CPU seconds, the fastest of the rounds.
Written: results/prepacked_matmuls.md and .json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from benchmarks.reporting import machine_summary, markdown_table, write_results
from terakoya.models import prepacked

SHAPES = ((1024, 640), (640, 1024), (2048, 640), (640, 2048), (262144, 640))
ROWS = (1, 4, 16, 64, 128, 200)
DTYPES = (torch.float32, torch.bfloat16)
OPERATIONS = 1e9  # of a round, at least


def gflops(call: Callable[[], object], operations: int, rounds: int) -> float:
    """GFLOP/s of `call`, which takes `operations` floating-point operations: the best of the rounds."""
    repeats = max(1, int(OPERATIONS / operations))
    call()
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(repeats):
            call()
        best = min(best, (time.process_time() - started) / repeats)
    return operations / best / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    measured: list[dict[str, object]] = []
    with torch.inference_mode():
        for dtype in DTYPES:
            for outputs, inputs in SHAPES:
                weight = torch.randn(outputs, inputs, generator=rng).to(dtype)
                prepacked_matmul = prepacked._prepacked_linear(weight, None)
                for rows in ROWS:
                    x = torch.randn(rows, inputs, generator=rng).to(dtype)
                    operations = 2 * rows * outputs * inputs
                    plain = gflops(lambda x=x, weight=weight: functional.linear(x, weight), operations, rounds)  # type: ignore[misc]
                    ours = gflops(lambda x=x, matmul=prepacked_matmul: matmul(x), operations, rounds)  # type: ignore[misc]
                    name = str(dtype).removeprefix("torch.")
                    measured.append(
                        {"dtype": name, "weight": [outputs, inputs], "rows": rows, "plain": plain, "prepacked": ours}
                    )
    lines = [
        (one["dtype"], "{} × {}".format(*one["weight"]), one["rows"], f"{one['plain']:.0f}", f"{one['prepacked']:.0f}",  # type: ignore[misc]
         f"{one['prepacked'] / one['plain']:.2f}")  # type: ignore[operator]
        for one in measured
    ]  # fmt: skip
    about = f"{machine_summary(('torch',))}. One thread, fastest of {rounds} rounds."
    page = f"# Matmuls with prepacked weights\n\n{about}\n\n"
    page += markdown_table(("dtype", "weight", "rows", "plain GFLOP/s", "prepacked GFLOP/s", "ratio"), lines)
    write_results("prepacked_matmuls", page, {"rounds": rounds, "measured": measured})
    print(page)


if __name__ == "__main__":
    main()
