"""Rows that the model does not take: too long, empty, or written in characters that it cannot carry. All are named."""

from __future__ import annotations

import re
from collections.abc import Iterator

from terakoya.records import Finding
from terakoya.training.preflight.look import Look

_NAMED = 20
_ROW = re.compile(r"row (\d+)$")


def row_findings(look: Look) -> Iterator[Finding]:
    """Nothing is ever cut silently, so a row that does not fit would end the training when its turn comes."""
    if look.looked == 0:
        yield Finding("rows", "stop", "there is nothing to train on", where="train", do="Look at the split.")
    by_fault: dict[str, list[str]] = {}
    fault_do: dict[str, str] = {}
    for pair, error in look.bad:
        fault = re.sub(r"\d+|'[^']*'|\"[^\"]*\"", "…", error.what)
        by_fault.setdefault(fault, []).append(f"{pair.key or pair.ask.source[:40]} ({error.what})")
        fault_do[fault] = error.do
    for fault, told in by_fault.items():
        shown = "; ".join(told[:5]) + (f"; and {len(told) - 5} more" if len(told) > 5 else "")
        yield Finding(
            "rows",
            "stop",
            f"{len(told)} of {look.looked} rows cannot be taught: {shown}",
            where="train",
            do=fault_do[fault],
            rows=tuple(int(found[1]) for line in told[:_NAMED] if (found := _ROW.search(line.partition(" (")[0]))),
            figures={"rows": float(len(told)), "share": len(told) / look.looked},
        )
    if look.rows > look.looked:
        yield Finding("rows", "note", f"the first {look.looked:,} of {look.rows:,} rows were tried", where="train")
