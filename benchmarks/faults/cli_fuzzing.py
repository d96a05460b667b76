"""Wrong command lines: each is answered with a message and an exit code of its own; none is our fault (exit 70).

    python -m benchmarks.faults.cli_fuzzing [--runs 500] [--first 0]

Over all commands: names of 5,000 characters or of bytes that are no text, files that are empty, binary, huge, deep, of
another type or encoding, link loops, pipes and folders in place of files, damaged runs, unknown options, settings of
the wrong type. What is printed must hold no control or direction character, and be Japanese where that is asked for.
Written: results/cli_fuzzing.md and .json, with every fault in full.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.faults.random_commands import draw_words, make_files, try_words
from benchmarks.reporting import machine_summary, markdown_table, write_results

PIPED = b"\xff\xfe\x81 no text\n\0\n\xe5\x95\n"  # what stands on standard input


def try_lines(first: int, count: int) -> list[dict[str, Any]]:
    """Draw and try command lines, all in one folder of files.

    first  seed of the first one
    count  how many
    Returns one outcome each, as `try_words` does, with its seed as "number".
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "LC_ALL": "C.UTF-8"}  # nothing may leave this machine
    outcomes = []
    with TemporaryDirectory() as directory:
        folder = Path(directory) / "work"
        folder.mkdir()
        names = make_files(folder)
        for number in range(first, first + count):
            outcome = try_words(draw_words(Random(f"cli/{number}"), names), folder, PIPED)
            outcomes.append({"number": number, **outcome})
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    started = time.monotonic()
    outcomes = try_lines(args.first, args.runs)
    seconds = time.monotonic() - started
    faulty = [outcome for outcome in outcomes if outcome["faults"]]
    codes = sorted({int(outcome["code"] or 0) for outcome in outcomes})
    commands = Counter(outcome["command"] for outcome in outcomes)
    rows = [
        [
            name,
            count,
            *(sum(one["command"] == name and (one["code"] or 0) == code for one in outcomes) for code in codes),
        ]
        for name, count in sorted(commands.items())
    ]
    total = ["all", len(outcomes), *(sum((one["code"] or 0) == code for one in outcomes) for code in codes)]
    table = markdown_table(["command", "tried", *(f"exit {code}" for code in codes)], [*rows, total])
    faults = "".join(
        f"- {one['number']}: {ascii(one['words'])[:300]}: {ascii(one['faults'])[:300]}\n" for one in faulty
    )
    page = (
        f"# Wrong command lines\n\n`python -m benchmarks.faults.cli_fuzzing --runs {args.runs} --first {args.first}`"
        f" in {seconds:.0f} s on {machine_summary()}.\n\n"
        f"**{len(outcomes)} command lines, {sum(one['code'] == 70 for one in outcomes)} with exit 70, "
        f"{len(faulty)} with any fault** (exit 70, a traceback, no end, no message, a raw control or direction "
        f"character, English where Japanese was asked for).\n\n{table}\n{faults}"
    )
    kept = [{"number": one["number"], "code": one["code"], "faults": one["faults"]} for one in outcomes]
    print(write_results("cli_fuzzing", page, {"outcomes": kept}))
    print(table)
    for one in faulty:
        print(
            one["number"],
            ascii(one["words"])[:300],
            one["faults"],
            one["err"][-3000:].encode("ascii", "replace").decode(),
        )
    return int(bool(faulty))


if __name__ == "__main__":
    sys.exit(main())
