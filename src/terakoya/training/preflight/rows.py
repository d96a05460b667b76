"""Rows that the model does not take: too long, empty, or written in characters that it cannot carry. All are named."""

from __future__ import annotations

import re
from collections.abc import Iterator

from terakoya.records import Finding
from terakoya.tongue import both, japanese, joined
from terakoya.training.preflight.look import Look

_NAMED = 20
_ROW = re.compile(r"row (\d+)$")


def row_findings(look: Look) -> Iterator[Finding]:
    """Nothing is ever cut silently, so a row that does not fit would end the training when its turn comes."""
    if look.looked == 0:
        yield Finding(
            "rows",
            "stop",
            both("there is nothing to train on", "学習する行がない"),
            where="train",
            do=both("Look at the split.", "分割を見ること。"),
        )
    by_fault: dict[str, list[str]] = {}
    fault_do: dict[str, str] = {}
    for pair, error in look.bad:
        fault = re.sub(r"\d+|'[^']*'|\"[^\"]*\"", "…", error.what)
        by_fault.setdefault(fault, []).append(
            both(
                f"{pair.key or pair.ask.source[:40]} ({error.what})",
                f"{pair.key or pair.ask.source[:40]}（{japanese(error.what)}）",
            )
        )
        fault_do[fault] = error.do
    for fault, told in by_fault.items():
        shown = joined("; ", told[:5]) + (
            both(f"; and {len(told) - 5} more", f"、他{len(told) - 5}件") if len(told) > 5 else ""
        )
        yield Finding(
            "rows",
            "stop",
            both(
                f"{len(told)} of {look.looked} rows cannot be taught: {shown}",
                f"{look.looked}行のうち{len(told)}行を学習できない：{japanese(shown)}",
            ),
            where="train",
            do=fault_do[fault],
            rows=tuple(int(found[1]) for line in told[:_NAMED] if (found := _ROW.search(line.partition(" (")[0]))),
            figures={"rows": float(len(told)), "share": len(told) / look.looked},
        )
    if look.rows > look.looked:
        yield Finding(
            "rows",
            "note",
            both(
                f"the first {look.looked:,} of {look.rows:,} rows were tried",
                f"{look.rows:,}行のうち最初の{look.looked:,}行を試した",
            ),
            where="train",
        )
