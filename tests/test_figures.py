"""Every figure of README and CHANGELOG was measured: it stands in benchmarks/results, docs/results.md or the log."""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_NUMBER = re.compile(r"(?<![\w./-])(\d[\d,]*\.\d+|\.\d+|\d[\d,]{3,})(?![\w.]*\w)")
# Figures that say what something is, not how it did.
_STATED = re.compile(r"Python 3\.\d+(?: ?(?:to|〜) ?3\.\d+)?|三万八千 → [\d,]+")


@cache
def measured() -> tuple[frozenset[str], tuple[float, ...]]:
    """Every number in the results and the log: as it is written, and in order."""
    pages = [*(ROOT / "benchmarks" / "results").iterdir(), ROOT / "docs" / "log.md", ROOT / "docs" / "results.md"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages if page.is_file())
    written = {found.replace(",", "") for found in re.findall(r"(?<![\w.])(?:\d[\d,]*(?:\.\d+)?|\.\d+)", text)}
    return frozenset(written), tuple(sorted(map(float, written)))


def is_measured(figure: str) -> bool:
    """Whether a figure stands somewhere, as it is or with more digits."""
    written, values = measured()
    plain = figure.replace(",", "")
    if plain in written:
        return True
    digits = len(plain.partition(".")[2])
    half = 0.5 * 10**-digits
    at = bisect_left(values, float(plain) - half)
    return digits > 0 and at < len(values) and values[at] <= float(plain) + half


@pytest.mark.parametrize("name", ["README.md", "README.ja.md", "CHANGELOG.md"])
def test_every_figure_has_its_file(name: str) -> None:
    """Figures outlive their measurement: what no file holds any more cannot be checked by anybody."""
    text = (ROOT / name).read_text(encoding="utf-8")
    prose = _STATED.sub("", re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.S)))
    missing = [
        f"line of {found[1]!r}: {line.strip()[:90]}"
        for line in prose.splitlines()
        for found in _NUMBER.finditer(line)
        if not is_measured(found[1].rstrip(","))
    ]
    assert not missing


def test_a_figure_that_nobody_measured_is_found() -> None:
    assert not is_measured("0.731649")
    assert not is_measured("918,273,645")
