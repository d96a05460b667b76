"""Rows that the model does not take: too long, empty, or written in characters that it cannot carry. All are named."""

from __future__ import annotations

import re
from collections.abc import Iterator

from terakoya.errors import DataError
from terakoya.i18n import both, japanese, joined
from terakoya.models.protocol import Pair
from terakoya.records import Finding
from terakoya.training.preflight.sample import Look

_NAMED = 20
_FEW_OF_DEV = (
    0.02  # rows of dev without an answer, beyond which the figures on dev say something else than they seem to
)
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
        by_fault.setdefault(fault, []).append(_named(pair, error))
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
            values={"rows": float(len(told)), "share": len(told) / look.looked},
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
    yield from _dev_findings(look)


def _dev_findings(look: Look) -> Iterator[Finding]:
    """Dev rows that the model cannot be shown: no training ends on them, but none of them can be answered either."""
    if not look.dev_bad:
        return
    bad, rows = len(look.dev_bad), len(look.lesson.split.dev)
    named = joined("; ", [_named(pair, error) for pair, error in look.dev_bad[:5]])
    yield Finding(
        "dev-rows",
        "warn" if bad > _FEW_OF_DEV * rows else "note",
        both(
            f"{bad} of {rows} dev rows can be answered by no training: {named}. They are asked and have no loss",
            f"検証{rows}行のうち{bad}行は、どう学習しても答えられない：{japanese(named)}。問われるが、損失には数えない",
        ),
        where="dev",
        do=both(
            "More rows bring more characters; a larger model.max_source or model.max_target takes longer rows.",
            "行を増やせば文字も増える。長い行には model.max_source か model.max_target を上げること。",
        ),
        values={"rows": float(bad), "share": bad / rows},
    )


def _named(pair: Pair, error: DataError) -> str:
    name = pair.key or pair.ask.source[:40]
    return both(f"{name} ({error.what})", f"{name}（{japanese(error.what)}）")
