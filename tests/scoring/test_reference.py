"""docs/metrics.md lists every metric, codec and baseline with what it may be compared with, and is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from terakoya.scoring.baselines.standard import BASELINES
from terakoya.scoring.metrics import METRICS
from terakoya.scoring.reference import reference_entries, reference_page

DOCS = Path(__file__).parents[2] / "docs"


def test_every_metric_and_baseline_is_described() -> None:
    """An entry without a description or without what it may be compared with says nothing."""
    entries = reference_entries()
    names = {(entry.kind, entry.name) for entry in entries}
    assert {("metric", name) for name in METRICS} | {("baseline", name) for name in BASELINES} <= names
    assert all(entry.summary and entry.comparable for entry in entries)


@pytest.mark.parametrize(("lang", "name"), [("en", "metrics.md"), ("ja", "metrics.ja.md")])
def test_the_page_is_current(lang: str, name: str) -> None:
    """A page that was made last month describes the metrics of last month."""
    assert (DOCS / name).read_text(encoding="utf-8") == reference_page(lang), "run: python docs/make.py"
