"""An export stands in the record of its run, and `report` makes that record anew from the folder alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import terakoya as tk
from terakoya.errors import CorruptError


@pytest.fixture
def run(number_run: Path, tmp_path: Path) -> Path:
    """A copy whose record may change."""
    return Path(shutil.copytree(number_run, tmp_path / "run"))


def test_the_record_shows_every_proof(run: Path) -> None:
    """Target, runtime, outcome and counts, in report.md and report.html, in both languages; a refused one too."""
    assert "40 / 40" not in (run / "report.md").read_text(encoding="utf-8")
    (found,) = tk.export(run, "runtime")
    refused = json.loads((found.folder / "proof.json").read_text(encoding="utf-8"))
    assert refused["words"]["ja"] != refused["words"]["en"]
    (run / "exports" / "page.refused").mkdir()
    words = {"en": "REFUSED: <b>", "ja": "拒否: <b>"}
    refused |= {"target": "page", "state": "worse", "equal": 3, "words": words}
    (run / "exports" / "page.refused" / "proof.json").write_text(json.dumps(refused), encoding="utf-8")
    for lang, sentence in (("en", "REFUSED"), ("ja", "拒否")):
        tk.report(run, lang=lang)
        text = (run / "report.md").read_text(encoding="utf-8")
        html = (run / "report.html").read_text(encoding="utf-8")
        for one in (text, html):
            assert found.proof.runtime in one and "40 / 40" in one and "3 / 40" in one and sentence in one
        assert "<b>" not in html


def test_an_export_elsewhere_changes_no_record(run: Path, tmp_path: Path) -> None:
    """What lies outside the run folder may be moved or removed without it."""
    before = (run / "report.html").read_bytes()
    tk.export(run, "runtime", output=tmp_path / "elsewhere")
    assert (run / "report.html").read_bytes() == before


@pytest.mark.parametrize("content", ["[]", "{", '{"target": 3}'])
def test_a_damaged_proof_is_named(run: Path, content: str) -> None:
    """It says which file, and the advice is to remove or to make it again."""
    (run / "exports" / "page").mkdir(parents=True)
    (run / "exports" / "page" / "proof.json").write_text(content, encoding="utf-8")
    with pytest.raises(CorruptError, match=r"exports/page/proof\.json"):
        tk.report(run)
