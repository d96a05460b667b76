"""The hand-written lists in cases/: a kind after `##`, then `source => target` lines; `-` where a rule must abstain."""

from __future__ import annotations

from pathlib import Path

Case = tuple[str, str, str | None]


def read_cases(name: str) -> list[Case]:
    """(kind, source, target) of every line of the list `name`; the target is None where the rule must abstain."""
    cases: list[Case] = []
    kind = ""
    for line in (Path(__file__).parent / "cases" / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = line[3:]
        elif line and not line.startswith("#"):
            source, arrow, target = line.partition(" => ")
            assert arrow, line
            cases.append((kind, source, None if target == "-" else target))
    return cases


def kinds(name: str) -> dict[str, list[Case]]:
    """The cases of a list by kind."""
    found: dict[str, list[Case]] = {}
    for case in read_cases(name):
        found.setdefault(case[0], []).append(case)
    return found
