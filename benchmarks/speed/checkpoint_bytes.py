"""Bytes that a 100-step training of Gemma 3 270M writes, by the kernel's count (/proc/self/io); its checkpoints' time.

    python -m benchmarks.speed.checkpoint_bytes            # after scripts/get-gemma.sh; minutes
    python -m benchmarks.speed.checkpoint_bytes --vocabulary full

The run stops before its exam: training, checkpoints and the saved model are what is counted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".models" / "gemma-3-270m-q4_k_m.gguf"
REACH = 6e9  # bytes, for 100 steps


def written_bytes() -> int:
    """Bytes that this process has handed to write calls so far."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))


def main() -> int:
    """Train once and print the count. Returns 1 where it is beyond what is to be reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100, help="optimizer steps")
    parser.add_argument("--vocabulary", choices=("full", "trimmed"), default="trimmed", help="model.vocabulary")
    options = parser.parse_args()
    if not FILE.is_file():
        print("Run scripts/get-gemma.sh first: it fetches Gemma 3 270M.")
        return 2
    os.environ["XDG_CACHE_HOME"] = str(FILE.parent / "cache")

    from terakoya.models.pretrained.gguf_files import dequantise
    from terakoya.pipeline import run as pipeline
    from terakoya.runs import Run

    dequantise(FILE)  # a copy that is made once is no part of a training
    saves: list[float] = []
    save = Run.save_checkpoint

    def timed(run: Run, *given: object, **options: object) -> Path:
        started = time.monotonic()
        path = save(run, *given, **options)  # type: ignore[arg-type]
        saves.append(time.monotonic() - started)
        return path

    Run.save_checkpoint = timed  # type: ignore[method-assign,assignment]
    folder = Path(tempfile.mkdtemp(prefix="terakoya-bytes-", dir=ROOT))
    try:
        settings = [f"model.base={FILE}", f"model.vocabulary={options.vocabulary}", f"train.steps={options.steps}"]
        before = written_bytes()
        result = pipeline.train("kannume-160", overrides=settings, run_dir=folder, anyway=True)
        written = written_bytes() - before
        held = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        training = Run.open(result.folder).manifest["training"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{options.steps} steps, {options.vocabulary} vocabulary: {written / 1e9:.2f} GB written, {held / 1e9:.2f} GB "
        f"left; {len(saves)} checkpoints in {sum(saves):.1f} s of {training['seconds']:.0f} s training"
    )
    return int(written > REACH * options.steps / 100)


if __name__ == "__main__":
    raise SystemExit(main())
