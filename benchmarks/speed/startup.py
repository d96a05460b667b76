"""Start-up time of `terakoya --help` as a ratio to a bare `import typer`: whole processes, interleaved, medians.

python -m benchmarks.speed.startup [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from benchmarks.reporting import machine_summary, markdown_table, write_results

HELP = [sys.executable, "-c", "from terakoya.cli.main import main; main(['--help'])"]
TYPER = [sys.executable, "-c", "import typer"]
MOST_RATIO = 1.5


def run_seconds(command: list[str]) -> float:
    """Wall seconds of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for command in (HELP, TYPER):
        run_seconds(command)  # warm-up: file cache and byte code
    pairs = [(run_seconds(HELP), run_seconds(TYPER)) for _ in range(rounds)]
    ratio = statistics.median(help_seconds / typer_seconds for help_seconds, typer_seconds in pairs)
    rows = [
        ("terakoya --help", f"{statistics.median(pair[0] for pair in pairs):.3f}"),
        ("import typer", f"{statistics.median(pair[1] for pair in pairs):.3f}"),
    ]
    text = f"# Start-up\n\n{machine_summary()}\n\n{markdown_table(('process', 'median seconds'), rows)}\n"
    text += f"Ratio, median of {rounds} pairs: {ratio:.2f} (to be at most {MOST_RATIO}).\n"
    print(
        write_results("startup", text, {"machine": machine_summary(), "rounds": pairs, "ratio": ratio}).read_text(
            encoding="utf-8"
        )
    )
    return int(ratio > MOST_RATIO)


if __name__ == "__main__":
    raise SystemExit(main())
