"""Examples written as JSON lines that read back as the same examples."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from terakoya.data.formats.csv_tsv import write_rows
from terakoya.records import Example


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Writes examples as JSON lines, one object per line: source, target, and what else the example carries.

    path      the file, replaced where there is one; its folder is made where it is missing
    examples  in the order to be written
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for example in examples:
            file.write(json.dumps(_line(example), ensure_ascii=False) + "\n")


def write_spreadsheet(path: Path, examples: Iterable[Example]) -> None:
    """Writes source, target, group and origin as CSV for a spreadsheet: marked as UTF-8, no cell a formula.

    path      the file, replaced where there is one; its folder is made where it is missing
    examples  in the order to be written
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [(example.source, example.target, example.group, example.origin) for example in examples]
    write_rows(path, ("source", "target", "group", "origin"), rows, for_spreadsheet=True)


def _line(example: Example) -> dict[str, Any]:
    line: dict[str, Any] = {"source": example.source, "target": example.target}
    line |= {key: getattr(example, key) for key in ("group", "origin", "subset") if getattr(example, key)}
    line |= {"accepted": list(example.accepted)} if example.accepted else {}
    line |= {"tags": dict(example.tags)} if example.tags else {}
    line |= {"turns": [{"role": turn.role, "content": turn.content} for turn in example.turns]} if example.turns else {}
    return line
