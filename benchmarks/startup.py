"""How long `terakoya --help` takes beside a bare `import typer`: whole processes, in turn, median of the ratio.

python benchmarks/startup.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from machine import table, told, write

OURS = [sys.executable, "-c", "from terakoya.cli.main import main; main(['--help'])"]
BARE = [sys.executable, "-c", "import typer"]
PROMISE = 1.5


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for command in (OURS, BARE):
        seconds(command)  # files read once, byte code written
    pairs = [(seconds(OURS), seconds(BARE)) for _ in range(rounds)]
    ratio = statistics.median(ours / bare for ours, bare in pairs)
    rows = [
        ("terakoya --help", f"{statistics.median(pair[0] for pair in pairs):.3f}"),
        ("import typer", f"{statistics.median(pair[1] for pair in pairs):.3f}"),
    ]
    text = f"# Start-up\n\n{told()}\n\n{table(('process', 'median seconds'), rows)}\n"
    text += f"Ratio, median of {rounds} pairs: {ratio:.2f} (promised: at most {PROMISE}).\n"
    print(write("startup", text, {"machine": told(), "rounds": pairs, "ratio": ratio}).read_text(encoding="utf-8"))
    return int(ratio > PROMISE)


if __name__ == "__main__":
    raise SystemExit(main())
