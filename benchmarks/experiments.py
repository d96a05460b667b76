"""Every shipped experiment that needs no outside weights, end to end: `make results` makes the table of the README.

    python benchmarks/experiments.py [NAME …] [--table]

A run that is already under benchmarks/work/experiments/ is not repeated. The table is made from the run folders alone
and set into README.md, README.ja.md and docs/results.md; what was not run stands below it by name.
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

ROOT = Path(__file__).parent.parent
WORK = Path(__file__).parent / "work" / "experiments"
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
# Shown as the logs had them: audit or preflight may object, and they are run all the same.
ILL = ("emoji-v1-as-logged", "janum-unshuffled")


def teach(name: str) -> None:
    """One experiment as it ships, in a process of its own."""
    if list(WORK.glob(f"{name}-2*/scores.json")):
        return
    began = time.monotonic()
    command = [sys.executable, "-m", "terakoya", "run", name, "--run-dir", str(WORK)]
    command += ["--anyway"] if name in ILL else []
    code = subprocess.run(command, check=False).returncode
    print(json.dumps({"experiment": name, "exit": code, "seconds": round(time.monotonic() - began)}), flush=True)
    # Exit code 1 is a verdict or a finding, and a result like any other.
    if code not in (0, 1) or not list(WORK.glob(f"{name}-2*/scores.json")):
        raise SystemExit(f"{name} ended with {code}; mend it, and the same command goes on with the others")


def page_maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make", ROOT / "docs" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def set_in(page: Path, mark: str, text: str) -> None:
    """Put `text` between the marks of a page."""
    old = page.read_text(encoding="utf-8")
    block = f"<!-- {mark}:begin -->\n{text.strip()}\n<!-- {mark}:end -->"
    new, count = re.subn(f"<!-- {mark}:begin -->.*?<!-- {mark}:end -->", lambda _: block, old, flags=re.S)
    assert count == 1, f"{page} has no place for '{mark}'"
    page.write_text(new, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(SHIPPED))
    parser.add_argument("--table", action="store_true", help="only make the table, from the runs that are there")
    asked = parser.parse_args()
    for name in () if asked.table else asked.names:
        teach(name)
    runs = [run for name in SHIPPED for run in sorted(WORK.glob(f"{name}-2*")) if (run / "scores.json").is_file()]
    table = page_maker().results(runs)
    if missing := [f"`{name}`" for name in SHIPPED if not any(run.name.startswith(f"{name}-2") for run in runs)]:
        table += f"\nNot run yet: {', '.join(missing)}.\n"
    (ROOT / "docs" / "results.md").write_text(f"# Results\n\nMade by `make results`.\n\n{table}", encoding="utf-8")
    for page in ("README.md", "README.ja.md"):
        set_in(ROOT / page, "results", table)


if __name__ == "__main__":
    main()
