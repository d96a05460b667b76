"""Mutation testing: does some test fail when the code is changed? `make mutants`.

    python -m benchmarks.faults.mutation_testing [--sample 600] [--seed 1] [--minutes 30]

mutmut makes the mutants of scoring, codecs, the split, the ledger and the training loop in a copy of the repository,
and runs for each the tests that reach the changed function. A random sample is tried, the same one for the same seed.
Texts of messages are counted apart: no test asks for their wording. Writes benchmarks/results/mutation_testing.md and
.json, survivors with their change in full.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from benchmarks.reporting import ROOT, machine_summary, markdown_table, write_results

MUTATED = (
    "src/terakoya/scoring/*",
    "src/terakoya/codec/*",
    "src/terakoya/data/split.py",
    "src/terakoya/generation/teacher/ledger*",
    "src/terakoya/training/loop.py",
)
TESTS = (
    "tests/scoring",
    "tests/codec",
    "tests/data/test_split.py",
    "tests/plugins/test_entry_points.py",
    "tests/generation/test_ledger.py",
    "tests/generation/test_ledger_events.py",
    "tests/training/test_loop.py",
)
COPIED = (
    "src",
    "tests",
    "docs",
    "examples",
    "benchmarks",
    "pyproject.toml",
    "README.md",
    "README.ja.md",
    "CHANGELOG.md",
)
CONFIG = f"""
[tool.mutmut]
source_paths = ["src"]
only_mutate = {json.dumps(MUTATED)}
pytest_add_cli_args_test_selection = {json.dumps(TESTS)}
pytest_add_cli_args = ["-p", "no:xdist", "-p", "no:cacheprovider"]
also_copy = {json.dumps([name for name in COPIED if name not in ("src", "tests", "pyproject.toml")])}
track_dependencies = false
"""
KILLED, SURVIVED, NOT_TESTED = "killed", "survived", "no test reaches it"
UNDECIDED = "no outcome"  # its tests hung or died


def copy_repository(folder: Path) -> None:
    """The files that the tests need, with mutmut's settings, in `folder`."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "work"))
        else:
            shutil.copy(source, folder / name)
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as config:
        config.write(CONFIG)


def mutmut(folder: Path, *arguments: str, seconds: float | None = None) -> str:
    """What `mutmut` prints; it is ended after `seconds`, and keeps what it has found until then."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return ""
    if done.returncode and arguments[0] == "run":
        raise SystemExit(f"mutmut stopped:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def results(folder: Path) -> dict[str, int | None]:
    """Mutant → exit code of its tests; None where it was not tried."""
    found: dict[str, int | None] = {}
    for path in sorted((folder / "mutants").rglob("*.meta")):
        found |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return found


def state(exit_code: int) -> str:
    """What the exit code of a mutant's tests means: 1 is a failed test, 5 and 33 mean that no test reaches the
    function. What hangs until its time is over or dies of a signal is counted apart: the fault may be the machine's."""
    return {0: SURVIVED, 1: KILLED, 5: NOT_TESTED, 33: NOT_TESTED}.get(exit_code, UNDECIDED)


def is_message(diff: str) -> bool:
    """Whether a change lies in the text or the fields of a message: a line that is nothing but text counts, a line
    that only begins with text (`"verdict": scores[metric],`) does not."""
    removed = [line[1:].strip() for line in diff.splitlines() if re.match(r"-(?!--)", line)]
    return bool(removed) and all(
        re.search(r"_\(|^f?\"(?:[^\"\\]|\\.)*\"[,)]*$|\bdo=|\bwhere=", line) for line in removed
    )


def page(states: Mapping[str, str], survivors: Mapping[str, str], seconds: float, seed: int) -> str:
    """The results as a page: the score by module, and each survivor with its change."""
    modules = sorted({name.rsplit(".", 1)[0] for name in states})
    rows: list[Sequence[object]] = []
    for module in modules:
        own = [one for name, one in states.items() if name.rsplit(".", 1)[0] == module]
        rows.append((f"`{module}`", len(own), own.count(KILLED), f"{own.count(KILLED) / len(own):.0%}"))
    values = list(states.values())
    messages = sum(is_message(diff) for diff in survivors.values())
    without = len(values) - messages
    killed = values.count(KILLED)
    shown = "\n".join(
        f"### {name}{' (message)' if is_message(diff) else ''}\n\n```diff\n{diff.strip()}\n```\n"
        for name, diff in survivors.items()
    )
    return (
        f"# Mutation testing\n\n{machine_summary(('mutmut', 'pytest'))}; {seconds / 60:.0f} minutes, seed {seed}.\n\n"
        f"**{killed} of {len(values)} mutants killed ({killed / len(values):.1%})**; {messages} survivors change "
        f"only the text or fields of a message: {killed / without:.1%} without them. Tests that hung or died, which "
        f"count as not killed: {values.count(UNDECIDED)}.\n\n"
        + markdown_table(("module", "mutants", "killed", "share"), rows)
        + f"\n## Survivors\n\n{shown}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=600, help="mutants that are tried")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--minutes", type=float, default=30.0, help="after which no further mutant is tried")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="terakoya-mutants-") as name:
        folder = Path(name)
        copy_repository(folder)
        # The first call makes all mutants and learns which test reaches which function.
        mutmut(folder, "run", "terakoya.data.split.x_group_of__mutmut_1")
        everything = sorted(results(folder))
        sample = Random(options.seed).sample(everything, min(options.sample, len(everything)))
        left = options.minutes * 60 - (time.monotonic() - started)
        mutmut(folder, "run", *sample, seconds=max(60.0, left))
        codes = results(folder)
        states = {
            mutant: state(code) for mutant in sample if (code := codes[mutant]) not in (None, 2)
        }  # 2: interrupted
        survivors = {mutant: mutmut(folder, "show", mutant) for mutant, one in states.items() if one != KILLED}
    if not states:
        raise SystemExit("No mutant was tried in this time: give more with --minutes.")
    seconds = time.monotonic() - started
    summary = {"made": len(everything), "tried": len(states), "states": states, "survivors": survivors}
    path = write_results("mutation_testing", page(states, survivors, seconds, options.seed), summary)
    print("\n".join(path.read_text(encoding="utf-8").splitlines()[:5]))


if __name__ == "__main__":
    main()
