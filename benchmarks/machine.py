"""What every benchmark says of the machine it ran on, and how its tables are written."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from terakoya.runs.environment import machine

RESULTS = Path(__file__).parent / "results"


def told(packages: Sequence[str] = ("torch", "transformers", "accelerate")) -> str:
    """Processor, cores, memory and versions, in one line."""
    about = machine()
    found = [f"{name} {metadata.version(name)}" for name in packages]
    memory = f"{about['memory'] / 2**30:.0f} GiB" if about["memory"] else "memory unknown"
    python = platform.python_version()
    return f"{about['processor']}, {about['cores']} cores, {memory}, Python {python}, {', '.join(found)}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write(name: str, text: str, values: Mapping[str, Any]) -> Path:
    """NAME.md for people and NAME.json for programs."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    page = RESULTS / f"{name}.md"
    page.write_text(text, encoding="utf-8")
    return page
