"""Every shipped experiment that needs no external weights, end to end: `make results` makes the table of the README.

    python -m benchmarks.quality.experiments [NAME …] [--table]

A run that is already under benchmarks/work/experiments/ is not repeated. The table is made from the run folders alone
and written into README.md, README.ja.md and docs/results.md; what was not run is named below it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

from benchmarks.reporting import ROOT
from benchmarks.reporting import WORK as WORK_FOLDERS

WORK = WORK_FOLDERS / "experiments"
SHIPPED = (
    "kannume",
    "kannume-bracketed",
    "kannume-plain",
    "kannume-exponent",
    "kannume-pds",
    "kannume-reversed",
    "kannume-160",
    "janum",
    "janum-unshuffled",
    "recipe-scaling",
    "emoji-v1-as-logged",
    "emoji-v1-cured",
    "emoji-focal",
    "emoji-top100",
    "emoji-beam",
    "emoji-sampling",
    "emoji-agreed",
    "emoji-v2",
    "martian",
)
# The logs' own faulty settings: audit or preflight stop them, and they are run with --anyway.
FAULTY = ("emoji-v1-as-logged", "janum-unshuffled")


def run_experiment(name: str) -> None:
    """One experiment as it ships, in a process of its own."""
    if list(WORK.glob(f"{name}-2*/scores.json")):
        return
    started = time.monotonic()
    command = [sys.executable, "-m", "terakoya", "run", name, "--run-dir", str(WORK)]
    command += ["--anyway"] if name in FAULTY else []
    code = subprocess.run(command, check=False).returncode
    print(json.dumps({"experiment": name, "exit": code, "seconds": round(time.monotonic() - started)}), flush=True)
    # Exit code 1 is a verdict or a finding, and a result like any other.
    if code not in (0, 1) or not list(WORK.glob(f"{name}-2*/scores.json")):
        raise SystemExit(f"{name} ended with {code}; fix it, and the same command continues with the others")


def docs_make() -> ModuleType:
    """The module docs/make.py."""
    spec = importlib.util.spec_from_file_location("make", ROOT / "docs" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def replace_block(page: Path, mark: str, text: str) -> None:
    """Replace what stands between the comments `mark`:begin and `mark`:end of a page by `text`."""
    old = page.read_text(encoding="utf-8")
    block = f"<!-- {mark}:begin -->\n{text.strip()}\n<!-- {mark}:end -->"
    new, count = re.subn(f"<!-- {mark}:begin -->.*?<!-- {mark}:end -->", lambda _: block, old, flags=re.S)
    assert count == 1, f"{page} has no block '{mark}'"
    page.write_text(new, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SHIPPED))
    parser.add_argument("--table", action="store_true", help="only make the table, from the runs that are there")
    args = parser.parse_args()
    for name in () if args.table else args.names:
        run_experiment(name)
    runs = [run for name in SHIPPED for run in sorted(WORK.glob(f"{name}-2*")) if (run / "scores.json").is_file()]
    table = docs_make().results(runs)
    if missing := [f"`{name}`" for name in SHIPPED if not any(run.name.startswith(f"{name}-2") for run in runs)]:
        table += f"\nNot run yet: {', '.join(missing)}.\n"
    (ROOT / "docs" / "results.md").write_text(f"# Results\n\nMade by `make results`.\n\n{table}", encoding="utf-8")
    for page in ("README.md", "README.ja.md"):
        replace_block(ROOT / page, "results", table)


if __name__ == "__main__":
    main()
