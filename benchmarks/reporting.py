"""Where results are written, and how: a machine summary, a Markdown table, one page and one JSON file each."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from terakoya.runs.environment import machine

BENCHMARKS = Path(__file__).parent
ROOT = BENCHMARKS.parent
RESULTS = BENCHMARKS / "results"
EXAMS = BENCHMARKS / "exams"
WORK = BENCHMARKS / "work"  # run folders, kept from one call to the next


def machine_summary(packages: Sequence[str] = ("torch", "transformers", "accelerate")) -> str:
    """Processor, cores, memory and versions of Python and `packages`, in one line."""
    about = machine()
    versions = [f"{name} {metadata.version(name)}" for name in packages]
    memory = f"{about['memory'] / 2**30:.0f} GiB" if about["memory"] else "memory unknown"
    python = platform.python_version()
    return f"{about['processor']}, {about['cores']} cores, {memory}, Python {python}, {', '.join(versions)}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table with one column per entry of `header`."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write_results(name: str, page: str, values: Mapping[str, Any]) -> Path:
    """Write results/`name`.md (the `page`) and results/`name`.json (the `values`); returns the path of the page."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    path = RESULTS / f"{name}.md"
    path.write_text(page, encoding="utf-8")
    return path
