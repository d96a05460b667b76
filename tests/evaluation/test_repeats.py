"""P19: an evaluation repeats exactly, its report to the byte, and what was sampled with the seed that is stored."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import terakoya
from terakoya.cli.main import main


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run that ended."""
    home = tmp_path_factory.mktemp("repeats")
    rows = [
        f"{one}{two}{three},{three}{two}{one}" for one in "あいうえ" for two in "かきくけ" for three in "さしすせそ"
    ]
    (home / "words.csv").write_text("\n".join(["source,target", *rows]))
    (home / "words.toml").write_text(
        'name = "words"\n[task]\ndata = "words.csv"\n[model]\nbase = "tiny"\n[train]\nsteps = 30\nthreads = 1\n'
    )
    words = ["run", str(home / "words.toml"), "--run-dir", str(home / "runs"), "--anyway", "--json"]
    assert main(words) in (0, 1)
    return next((home / "runs").glob("words-*"))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_ten_evaluations_and_reports_are_the_same_to_the_byte(finished: Path) -> None:
    """Each evaluation changes one thing, the number of openings of the exam, and that is counted on purpose."""
    first = terakoya.evaluate(finished)
    assert first.scores
    for _ in range(9):
        again = terakoya.evaluate(finished)
        assert (again.scores, again.state, again.right, again.wrong) == (
            first.scores,
            first.state,
            first.right,
            first.wrong,
        )
    pages = set()
    for _ in range(10):
        terakoya.report(finished, lang="en")
        pages.add((_digest(finished / "report.md"), _digest(finished / "report.html")))
    assert len(pages) == 1


def test_sampling_repeats_with_the_stored_seed(finished: Path) -> None:
    """The seed is that of the run, unless another one is named; then the samples are others."""
    sources = ["あかさ", "いきし", "うくす", "えけせ", "あきす", "いくせ"]
    settings = ["decode.method=sample", "decode.temperature=3"]

    def sample(*more: str) -> list[str | None]:
        return [one.text for one in terakoya.predict(finished, sources, overrides=[*settings, *more])]

    assert sample() == sample()
    assert "seed = " in (finished / "config.toml").read_text()
