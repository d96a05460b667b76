"""Products of a few rows with a packed weight and with a plain one: what `models/packed.py` is for.

    python benchmarks/packed_products.py [--rounds 7]

Shapes are those of Gemma-3-270M's layers and its head; one thread, CPU seconds, the quickest of the rounds. Written:
results/packed_products.md and .json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from machine import table, told, write
from terakoya.models import prepacked

SHAPES = ((1024, 640), (640, 1024), (2048, 640), (640, 2048), (262144, 640))
ROWS = (1, 4, 16, 64, 128, 200)
KINDS = (torch.float32, torch.bfloat16)
WORK = 1e9  # operations of a round, at least


def rate(call: Callable[[], object], operations: int, rounds: int) -> float:
    """GFLOP/s."""
    times = max(1, int(WORK / operations))
    call()
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(times):
            call()
        best = min(best, (time.process_time() - began) / times)
    return operations / best / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    chance = torch.Generator().manual_seed(0)
    found: list[dict[str, object]] = []
    with torch.inference_mode():
        for kind in KINDS:
            for out, into in SHAPES:
                weight = torch.randn(out, into, generator=chance).to(kind)
                quick = prepacked._product(weight, None)
                for rows in ROWS:
                    x = torch.randn(rows, into, generator=chance).to(kind)
                    operations = 2 * rows * out * into
                    plain = rate(lambda x=x, weight=weight: functional.linear(x, weight), operations, rounds)  # type: ignore[misc]
                    ours = rate(lambda x=x, quick=quick: quick(x), operations, rounds)  # type: ignore[misc]
                    name = str(kind).removeprefix("torch.")
                    found.append({"dtype": name, "weight": [out, into], "rows": rows, "plain": plain, "packed": ours})
    lines = [
        (one["dtype"], "{} × {}".format(*one["weight"]), one["rows"], f"{one['plain']:.0f}", f"{one['packed']:.0f}",  # type: ignore[misc]
         f"{one['packed'] / one['plain']:.2f}")  # type: ignore[operator]
        for one in found
    ]  # fmt: skip
    page = f"# Products with packed weights\n\n{told(('torch',))}. One thread, quickest of {rounds} rounds.\n\n"
    page += table(("dtype", "weight", "rows", "plain GFLOP/s", "packed GFLOP/s", "times"), lines)
    write("packed_products", page, {"rounds": rounds, "found": found})
    print(page)


if __name__ == "__main__":
    main()
