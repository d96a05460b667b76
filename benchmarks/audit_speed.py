"""How fast a large table is audited, and in how much memory.

    python benchmarks/audit_speed.py [--rows 5000000]

writes a CSV of Japanese sentences with sets of emoji (a third of a gigabyte), audits it as `terakoya audit` does, in a
process of its own, and writes benchmarks/results/audit_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
EMOJI = "📚🎉😅⚽🤔🌞🔬🎵🔥💔🏀😄😊😢💭🌍🏆😲🎮🐱🍛🚀🌸🎨"
KANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ"


def write_table(path: Path, rows: int) -> None:
    random = Random(0)
    words = ["".join(random.choices(KANA, k=random.randint(2, 5))) for _ in range(5000)]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("source,target\n")
        for _ in range(rows):
            target = " ".join(random.sample(EMOJI, random.randint(1, 4)))
            file.write(f"{''.join(random.choices(words, k=7))}。,{target}\n")


def audited(path: Path, codec: str) -> None:
    """In the child: the audit, its seconds and the peak of its memory."""
    from terakoya.config import make_config
    from terakoya.data.audit import audit_table

    begun = time.perf_counter()
    found = audit_table(path, make_config({"task": {"data": path.name, "codec": codec}}))
    figures = {
        "seconds": round(time.perf_counter() - begun, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "peak_mebibytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "findings": [f"{one.level} {one.check}" for one in found],
    }
    print(json.dumps(figures))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=5_000_000)
    asked.add_argument("--codec", default="labels")
    asked.add_argument("--child", type=Path)
    args = asked.parse_args()
    if args.child:
        return audited(args.child, args.codec)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "large.csv"
        write_table(table, args.rows)
        size = table.stat().st_size
        command = [sys.executable, __file__, "--child", str(table), "--codec", args.codec]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    figures = {"rows": args.rows, "mebibytes": round(size / 2**20), "codec": args.codec} | json.loads(done.stdout)
    figures["rows_per_second"] = round(args.rows / figures["seconds"])
    figures["rows_per_cpu_second"] = round(args.rows / figures["cpu_seconds"])
    print(json.dumps(figures, indent=1))
    (HERE / "results").mkdir(exist_ok=True)
    text = json.dumps(figures, indent=1)
    (HERE / "results" / "audit_speed.json").write_text(text + "\n", encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
