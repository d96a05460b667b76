"""CPU seconds from a folder to a pretrained base that is ready to train, against transformers opening the same folder.

    python -m benchmarks.speed.opening_base BASE [--name NAME] [--rounds 3]

Ours is all that stands between data and first step of `kannume-160-pretrained` with `task.augment=20` (2,400 rows or
so): the folder examined, tokenizer and weights opened, every row encoded, the vocabulary trimmed. transformers opens
tokenizer and weights. Fresh processes, one thread, in turn; imports are not counted, processes that ours starts are.
Writes benchmarks/results/opening_base.json and .md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.reporting import machine_summary, markdown_table, write_results


def cpu_seconds() -> float:
    """User and system time of this process and of those that it started and that have ended."""
    return sum(os.times()[:4])


def open_with_transformers(base: str) -> tuple[float, int]:
    """CPU seconds, and 0 rows."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    before = cpu_seconds()
    AutoTokenizer.from_pretrained(base, local_files_only=True)
    AutoModelForCausalLM.from_pretrained(base, local_files_only=True)
    return cpu_seconds() - before, 0


def prepare(base: str) -> tuple[float, int]:
    """CPU seconds, and the number of rows that are ready to train."""
    import transformers  # noqa: F401

    from terakoya import registry
    from terakoya.pipeline.dataset import load_dataset
    from terakoya.training.prepare import prepare_training

    found = registry.find_experiment("kannume-160-pretrained", [f"model.base={base}", "task.augment=20"])
    dataset = load_dataset(found)
    before = cpu_seconds()
    prepare_training(dataset.task, dataset.split, dataset.config, registry.find_model_maker(base))
    return cpu_seconds() - before, len(dataset.split.train)


WAYS = {"transformers": open_with_transformers, "terakoya": prepare}


def main() -> None:
    """Times both ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("--name", default="", help="of the base in the table; default: the folder's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)  # in a process of its own
    args = parser.parse_args()
    if args.way:
        print(*WAYS[args.way](str(args.base.resolve())))
        return
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    rows = 0
    for _ in range(args.rounds):
        for way, values in seconds.items():
            command = [sys.executable, "-m", "benchmarks.speed.opening_base", str(args.base), "--way", way]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            found = done.stdout.splitlines()[-1].split()
            values.append(float(found[0]))
            rows = max(rows, int(found[1]))
    name = args.name or args.base.name
    beyond = statistics.median(seconds["terakoya"]) - statistics.median(seconds["transformers"])
    table = markdown_table(
        ("way", "CPU s, median", "least to most"),
        [
            (way, f"{statistics.median(values):.1f}", f"{min(values):.1f} to {max(values):.1f}")
            for way, values in seconds.items()
        ],
    )
    about = machine_summary(("torch", "transformers"))
    page = (
        f"# Opening a pretrained base\n\n{about}; `python -m benchmarks.speed.opening_base` with {name}, "
        f"{rows:,} rows, {args.rounds} rounds.\n\n{table}\nBeyond transformers: {beyond:.1f} CPU s.\n"
    )
    print(page)
    write_results("opening_base", page, {"machine": about, "base": name, "rows": rows, "seconds": seconds})


if __name__ == "__main__":
    main()
