"""Crash tests of training: killed at random moments and inside saves, resumed until it is complete.

    python -m benchmarks.faults.training_crash_tests [--kills 500] [--minutes 60] [--families text labels …] [--write]

Every family trains a few steps with dropout and a checkpoint after every few. A child is killed either after a random
time, or (at least two times in five) at a random change that it makes on the disk below checkpoints/, which is inside a
save. It is started again until the run is complete. Then all weights, the steps logged and the state must be those of a
run that nobody killed, bit for bit, and no checkpoint may have been found damaged.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import checkpoints  # tests/models

from benchmarks.reporting import machine_summary, markdown_table, write_results
from terakoya.pipeline import run as pipeline
from terakoya.runs import Run

STEPS, EVERY = 24, 3
IN_SAVE = 0.6  # share of the kills that are aimed at a save; some of them come too late
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}
PRETRAINED = {
    **dict.fromkeys(checkpoints.FAMILIES, ""),
    "gemma3 lora": 'adaptation = "lora"\n',
    "gemma3 labels": "",
}
FAMILIES = ("text", "labels", *PRETRAINED)
CONFIG = """[task]
data = "rows.csv"
{codec}[model]
base = "{base}"
{more}[train]
steps = {steps}
batch_size = 8
threads = 1
evaluate_every = {every}
patience = 0
guards = false
[score]
resamples = 100
"""
TEXT = [
    (opening + word + ending, word[::-1])
    for word in ("あか", "あお", "しろ", "くろ", "みどり", "きいろ")
    for opening in ("", "この", "その", "あの")
    for ending in ("", "だ", "です", "かな", "よ")
]
LABELS = [
    (opening + word + ending, f"{label} 🌟" if ending else label)
    for word, label in (("雨", "☔"), ("雪", "⛄"), ("海", "🌊"), ("花", "🌸"), ("犬", "🐶"), ("猫", "🐱"))
    for opening in ("", "今日の", "あの", "白い", "ねえ")
    for ending in ("", "です", "かな", "よ")
]


@dataclass
class Tally:
    """Counts of one family."""

    kills: int = 0
    in_save: int = 0  # of them inside a save of a checkpoint
    runs: int = 0
    resumes: int = 0
    unfinished: int = 0  # runs that time cut off
    different: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def violations(self) -> list[str]:
        """Runs that ended otherwise than an undisturbed one, or could not go on."""
        return self.different + self.failed


def write_experiment(family: str, folder: Path) -> Path:
    """The config and data of a family; returns the config's path."""
    folder.mkdir(parents=True)
    labels = family.endswith("labels")
    rows = "".join(f"{source},{target}\n" for source, target in (LABELS if labels else TEXT))
    (folder / "rows.csv").write_text("source,target\n" + rows, encoding="utf-8")
    base = "tiny"
    if family in PRETRAINED:
        base = str(checkpoints.checkpoint(folder / "base", family.split()[0], width=16, words=400))
    text = CONFIG.format(
        codec='codec = "labels"\n' if labels else "", base=base, more=PRETRAINED.get(family, ""), steps=STEPS,
        every=EVERY,
    )  # fmt: skip
    (folder / "experiment.toml").write_text(text, encoding="utf-8")
    return folder / "experiment.toml"


def start(config: Path, runs: Path, die_at: int) -> int:
    """Fork a training that begins or goes on; returns the child's process id.

    die_at  the change below checkpoints/ at which it is killed; 0: none
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        # A child of a benchmark must neither run its parent's clean-up nor return into it.
        sink = os.open(runs.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        if die_at:
            sys.addaudithook(_killer(str(runs), die_at))
        folders = [path.parent for path in runs.glob("*/manifest.json")]
        pipeline.train(str(folders[0] if folders else config), run_dir=runs, anyway=True)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _killer(runs: str, die_at: int) -> Any:
    count = 0

    def heard(event: str, given: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if (writes or event in CHANGES) and (path := str(given[0])).startswith(runs) and "/checkpoints/" in path:
            count += 1
            if count == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    return heard


def fingerprint(runs: Path) -> dict[str, str]:
    """Everything that must not depend on how often a run was killed: file → digest of its content."""
    (run,) = (path.parent for path in runs.glob("*/manifest.json"))
    opened = Run.open(run)
    steps = [
        {key: value for key, value in line.items() if key != "seconds"} for line in opened.read_lines("steps.jsonl")
    ]
    digests = {"steps.jsonl": hashlib.sha256(repr(steps).encode()).hexdigest()}
    digests["findings"] = ",".join(sorted({line["check"] for line in opened.read_lines("findings.jsonl")} - {"memory"}))
    for path in sorted((run / "model").rglob("*.safetensors")):
        digests[path.relative_to(run).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


def crash_test(family: str, kills: int, end: float, folder: Path, seed: int = 0) -> Tally:
    """Kill one family `kills` times, unless the clock (time.monotonic) passes `end`; runs lie under `folder`."""
    rng, tally, begun = random.Random(f"{family} {seed}"), Tally(), time.monotonic()
    config = write_experiment(family, folder)
    for name in ("warm", "reference"):  # the first one also pays for what is loaded once
        started = time.monotonic()
        runs = folder / name
        runs.mkdir()
        _, status = os.waitpid(start(config, runs, 0), 0)
        assert status == 0, (runs.with_suffix(".log")).read_text(encoding="utf-8")[-3000:]
    seconds, expected = time.monotonic() - started, fingerprint(folder / "reference")
    while tally.kills < kills and time.monotonic() < end:
        runs = folder / f"run-{tally.runs}"
        runs.mkdir()
        _killed_run(config, runs, seconds, kills, end, rng, tally)
        if tally.unfinished or tally.failed:
            break
        found = fingerprint(runs)
        wrong = sorted(name for name in expected | found if expected.get(name) != found.get(name))
        if wrong:
            tally.different.append(f"{family}, run {tally.runs}: {', '.join(wrong)}")
        tally.runs += 1
    tally.seconds = time.monotonic() - begun
    return tally


def _killed_run(
    config: Path, runs: Path, seconds: float, kills: int, end: float, rng: random.Random, tally: Tally
) -> None:
    """One run, killed again and again until it is complete."""
    attempts = 0
    while True:
        enough = tally.kills >= kills
        aimed = not enough and rng.random() < IN_SAVE
        pid = start(config, runs, rng.randint(1, 14) if aimed else 0)
        attempts += 1
        tally.resumes += attempts > 1
        limit = seconds * 20 + 60 if aimed or enough else rng.uniform(0.2, 1.0) * seconds
        ended, status = _ends_within(pid, limit)
        if not ended:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            tally.kills += 1
            tally.in_save += aimed and ended
        elif status:
            log = runs.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
            tally.failed.append(f"{runs.name} after {attempts} starts: {log.strip()[-300:]}")
            return
        else:
            return
        if time.monotonic() > end + 30:
            tally.unfinished += 1
            return


def _ends_within(pid: int, seconds: float) -> tuple[bool, int]:
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return True, status
        if time.monotonic() >= deadline:
            return False, 0
        time.sleep(0.002)


def load_before_forks(families: Sequence[str]) -> None:
    """Imports that every child needs, so that a kill does not only ever hit an import. Starts no threads."""
    import accelerate  # noqa: F401
    import torch

    import terakoya.models.builtin.model
    import terakoya.training.trainer

    if set(families) & set(PRETRAINED):
        import peft  # noqa: F401
        import transformers  # noqa: F401

        import terakoya.models.pretrained.build  # noqa: F401

    torch.set_num_threads(1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args(arguments)
    load_before_forks(args.families)
    tallies: dict[str, Tally] = {}
    begun, left = time.monotonic(), args.kills
    with tempfile.TemporaryDirectory() as folder:
        for index, family in enumerate(args.families):
            others = len(args.families) - index
            end = time.monotonic() + (begun + 60 * args.minutes - time.monotonic()) / others
            tally = crash_test(family, -(-left // others), end, Path(folder) / family.replace(" ", "-"), args.seed)
            tallies[family], left = tally, max(left - tally.kills, 0)
            print(family, tally, flush=True)
            if args.write:
                _write(tallies, args.kills)
    kills = sum(tally.kills for tally in tallies.values())
    return 1 if kills < args.kills or any(tally.violations for tally in tallies.values()) else 0


def _write(tallies: dict[str, Tally], wanted: int) -> None:
    total = Counter[str]()
    rows = []
    for family, tally in tallies.items():
        numbers = {
            "kills": tally.kills, "in_save": tally.in_save, "runs": tally.runs, "resumes": tally.resumes,
            "different": len(tally.different), "failed": len(tally.failed),
        }  # fmt: skip
        total.update(numbers)
        rows.append((family, *numbers.values(), f"{tally.seconds:.0f}"))
    rows.append(
        ("**all**", *(total[name] for name in ("kills", "in_save", "runs", "resumes", "different", "failed")), "")
    )
    page = [
        "# Crash tests of training",
        "",
        f"`python -m benchmarks.faults.training_crash_tests --write` (asked for {wanted} kills): {STEPS} steps, a "
        f"checkpoint every {EVERY}, dropout on; killed after a random time, or at a random change on the disk inside a "
        "save. *Different*: completed runs whose weights, logged steps or findings are not, bit for bit, those of a "
        f"run that nobody killed. {machine_summary()}",
        "",
        markdown_table(
            ("family", "kills", "inside a save", "runs completed", "resumes", "different", "failed", "seconds"), rows
        ),
    ]
    violations = [wrong for tally in tallies.values() for wrong in tally.violations]
    page += [f"- {wrong}" for wrong in violations]
    values = {
        family: {
            name: getattr(tally, name)
            for name in ("kills", "in_save", "runs", "resumes", "different", "failed", "seconds")
        }
        for family, tally in tallies.items()
    }
    write_results("training_crash_tests", "\n".join(page).rstrip() + "\n", values)


if __name__ == "__main__":
    raise SystemExit(main())
