"""A table of up to a hundred million rows with planted defects, audited by `terakoya audit` in bounded memory.

    python -m benchmarks.speed.audit_planted [--rows 100000000] [--folder PLACE] [--result NAME]

Writes Parquet files of Japanese sentences with sets of emoji and with copies, contradictions, leaks, near copies and
damaged cells whose numbers are known; audits them by a pattern; and compares the findings with what was planted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import numpy as np
import polars as pl

from benchmarks.reporting import machine_summary, markdown_table, write_results
from benchmarks.speed.audit_speed import EMOJI, KANA

FILE = 5_000_000  # rows of a file
# Of a million rows so many are planted, each as a change of one of the file's first rows; each is expected under a
# finding of this name. Copies, contradictions and leaks are counted in a sample of sources, near copies in a smaller
# one; damage is counted in all rows.
PLANTED = {
    "copy": (2000, "duplicates"),
    "contradiction": (1000, "contradictions"),
    "leak": (400, "leak"),
    "near copy": (4000, "near-duplicates"),
    "mojibake": (10, "mojibake"),
    "invisible character": (12, "invisible"),
    "refusal": (8, "refusals"),
    "header": (1, "header-rows"),
}


def plant(kind: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The planted rows made of some rows of train."""
    source, target = pl.col("source"), pl.col("target")
    changes = {
        "copy": [],
        "contradiction": [pl.lit("🗿 🧊").alias("target")],
        "leak": [pl.lit("exam").alias("side")],
        "near copy": [(source + "ね").alias("source")],
        "mojibake": [(pl.lit("繧縺繧九") + source).alias("source")],
        "invisible character": [(pl.lit("\u200b\u200b") + source + "ぞ").alias("source")],
        "refusal": [
            pl.lit("申し訳ありませんが、お答えできません").alias("target"),
            (pl.lit("さて") + source).alias("source"),
        ],
        "header": [pl.lit("source").alias("source"), pl.lit("target").alias("target")],
    }
    return rows.with_columns(changes[kind]).select(source, target, "side")


def write_file(path: Path, rows: int, seed: int) -> dict[str, int]:
    """A file of `rows` rows; returns how many of each kind are planted, in its last rows."""
    rng, numbers = Random(0), np.random.default_rng(seed)
    words = pl.Series("w", ["".join(rng.choices(KANA, k=rng.randint(2, 5))) for _ in range(5000)])
    targets = pl.Series("t", [" ".join(rng.sample(EMOJI, rng.randint(1, 4))) for _ in range(20_000)])
    planted = {kind: round(rows / 1e6 * rate) for kind, (rate, _) in PLANTED.items()}
    clean = rows - sum(planted.values())
    columns = [words.gather(numbers.integers(len(words), size=clean)).alias(str(at)) for at in range(7)]
    sides = np.where(numbers.random(clean) < 0.02, "exam", "train")
    frame = pl.DataFrame(columns).select(
        pl.concat_str([*map(pl.col, map(str, range(7))), pl.lit("。")]).alias("source"),
        targets.gather(numbers.integers(len(targets), size=clean)).alias("target"),
        pl.Series("side", sides),
    )
    train = frame.head(4 * sum(planted.values())).filter(pl.col("side") == "train")
    parts, begin = [frame], 0
    for kind, count in planted.items():
        parts.append(plant(kind, train.slice(begin, count)))
        begin += count
    pl.concat(parts).write_parquet(path, compression="zstd", compression_level=1, row_group_size=200_000)
    return planted


def write_table(folder: Path, rows: int) -> dict[str, int]:
    """Files of FILE rows each; returns how many of each kind are planted in all."""
    planted = dict.fromkeys(PLANTED, 0)
    for number, begin in enumerate(range(0, rows, FILE)):
        for kind, count in write_file(folder / f"rows-{number:03d}.parquet", min(FILE, rows - begin), number).items():
            planted[kind] += count
    return planted


def write_in_child(folder: Path, rows: int) -> dict[str, int]:
    """`write_table` in a process of its own: the peak memory of a child counts from that of its parent on."""
    command = [sys.executable, "-m", "benchmarks.speed.audit_planted", "--rows", str(rows), "--write", str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    planted: dict[str, int] = json.loads(process.stdout)
    return planted


def audit(folder: Path) -> dict[str, object]:
    """What the command says, and what it took."""
    command = [sys.executable, "-m", "terakoya", "audit", str(folder / "rows-*.parquet"), "--codec", "labels",
               "--set", "task.split=side", "--json"]  # fmt: skip
    env = os.environ | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "LANG": "C.UTF-8"}
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, env=env)
        _, status, spent = os.wait4(process.pid, 0)  # of this child alone, which the one that wrote the table is not
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read().decode().replace(f"{folder}/", "")
    if not text:
        raise SystemExit(f"terakoya audit said nothing (status {status})")
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(spent.ru_utime + spent.ru_stime, 1),
        "peak_mebibytes": round(spent.ru_maxrss / 1024),
        "exit_status": os.waitstatus_to_exitcode(status),
        "findings": json.loads(text),
    }


def page(measured: dict[str, object], planted: dict[str, int]) -> str:
    """The measurement and the findings against what was planted, as Markdown."""
    text = json.dumps(measured["findings"], ensure_ascii=False)
    listed = json.loads(text)
    findings = listed.get("findings", listed) if isinstance(listed, dict) else listed
    rows = []
    for kind, (_, check) in PLANTED.items():
        said = [one["what"] for one in findings if one["check"] == check]
        rows.append((kind, planted[kind], check, "; ".join(said) or "–"))
    figures = [(name, measured[name]) for name in ("machine", "rows", "mebibytes", "seconds", "cpu_seconds",
               "rows_per_cpu_second", "peak_mebibytes")]  # fmt: skip
    return (
        "# A large table with planted defects, audited\n\n"
        + markdown_table(("figure", "value"), figures)
        + "\n"
        + markdown_table(("planted", "rows", "check", "what the audit said"), rows)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--folder", type=Path, help="where the table is written for the time of the measurement")
    parser.add_argument("--result", default="audit_planted")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write:
        print(json.dumps(write_table(args.write, args.rows)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        planted = write_in_child(Path(folder), args.rows)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        measured: dict[str, object] = {
            "machine": machine_summary(("polars",)),
            "rows": args.rows,
            "mebibytes": round(size / 2**20),
            "planted": planted,
        } | audit(Path(folder))
    cpu = measured["cpu_seconds"]
    assert isinstance(cpu, float)
    measured["rows_per_cpu_second"] = round(args.rows / cpu)
    print(page(measured, planted))
    write_results(args.result, page(measured, planted), measured)


if __name__ == "__main__":
    main()
