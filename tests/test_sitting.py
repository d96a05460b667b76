"""An exam broken off goes on where it was: what was answered is not asked again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from terakoya.evaluation import resume
from terakoya.evaluation.resume import FILE, answered, clear
from terakoya.models.protocol import Query
from terakoya.pipeline import run as pipeline
from terakoya.records import Prediction
from terakoya.runs import Run

ASKS = [Query(f"問{number}") for number in range(10)]


class Answering:
    """Answers backwards, and falls over when it is asked for the part after `parts`."""

    def __init__(self, parts: int = 99) -> None:
        self.parts, self.asked = parts, list[list[str]]()

    def __call__(self, asks: Sequence[Query]) -> list[Prediction]:
        if len(self.asked) == self.parts:
            raise KeyboardInterrupt
        self.asked.append([ask.source for ask in asks])
        return [
            Prediction(ask.source, ask.source[::-1], None if ask.source == "問3" else "x", 0.1 + 0.2, (("☔", 1 / 3),))
            for ask in asks
        ]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "PART", 4)


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    """Hours of answers are not lost to a closed lid, and every batch holds the questions that it would have held."""
    whole = Answering()
    with Run.create(tmp_path, "whole") as run:
        wanted = answered(run, "k", ASKS, whole)
    assert [len(part) for part in whole.asked] == [4, 4, 2]
    with Run.create(tmp_path, "broken") as run:
        with pytest.raises(KeyboardInterrupt):
            answered(run, "k", ASKS, Answering(parts=2))
        rest = Answering()
        assert answered(run, "k", ASKS, rest) == wanted
        assert rest.asked == whole.asked[2:]
        nothing = Answering(parts=0)
        assert answered(run, "k", ASKS, nothing) == wanted, "all of it was answered, and asked again"
        clear(run)
        assert not run.has(FILE)


def test_half_a_part_is_asked_again(tmp_path: Path) -> None:
    """A kill between two lines must not shift the questions among the batches."""
    with Run.create(tmp_path, "k") as run:
        with pytest.raises(KeyboardInterrupt):
            answered(run, "k", ASKS, Answering(parts=2))
        lines = (run.path / FILE).read_text(encoding="utf-8").splitlines(keepends=True)
        run.discard(FILE)
        (run.path / FILE).write_text("".join(lines[:7]) + lines[7][:9], encoding="utf-8")
        rest = Answering()
        answered(run, "k", ASKS, rest)
        assert rest.asked[0] == ["問4", "問5", "問6", "問7"]


def test_answers_of_another_model_or_exam_are_not_taken(tmp_path: Path) -> None:
    """What they depend on is in the key: exam, weights, way of asking, versions."""
    with Run.create(tmp_path, "k") as run:
        answered(run, "one", ASKS, Answering())
        other = Answering()
        answered(run, "two", ASKS, other)
        assert sum(map(len, other.asked)) == len(ASKS)


def test_a_probability_that_is_not_finite_comes_back(tmp_path: Path) -> None:
    """It is kept by its name, as all figures are."""
    with Run.create(tmp_path, "k") as run:
        answered(run, "k", ASKS[:1], lambda asks: [Prediction(asks[0].source, "", None, math.inf)])
        assert answered(run, "k", ASKS[:1], Answering(parts=0))[0].probability == math.inf


def test_a_run_broken_off_in_its_exam_asks_only_for_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same scores as in one go, and nothing of the sitting left in the folder."""
    words = ("あか", "あお", "しろ", "くろ", "みどり", "きいろ")
    rows = [
        f"{a}{word}{b},{word[::-1]}\n" for word in words for a in ("", "この", "その", "あの") for b in ("", "だ", "よ")
    ]
    (tmp_path / "words.csv").write_text("source,target\n" + "".join(rows), encoding="utf-8")
    (tmp_path / "words.toml").write_text(
        '[task]\ndata = "words.csv"\n[split]\nexam = 0.3\n[model]\nbase = "tiny"\n[train]\nsteps = 20\nthreads = 1\n'
        "[score]\nresamples = 100\n",
        encoding="utf-8",
    )
    straight = pipeline.run(str(tmp_path / "words.toml"), run_dir=tmp_path / "a", anyway=True)
    real, asked = resume.answered, list[int]()

    def broken(
        run: Run, key: str, asks: Sequence[Query], answer: resume.Answering, *, where: str = ""
    ) -> list[Prediction]:
        def counted(part: Sequence[Query]) -> list[Prediction]:
            if len(asked) == 2:
                asked.append(0)
                raise KeyboardInterrupt
            asked.append(len(part))
            return answer(part)

        return real(run, key, asks, counted, where=where)

    monkeypatch.setattr("terakoya.evaluation.exam.answered", broken)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(str(tmp_path / "words.toml"), run_dir=tmp_path / "b", anyway=True)
    (run,) = (path.parent for path in (tmp_path / "b").glob("*/manifest.json"))
    done = pipeline.run(str(run), anyway=True)
    assert sum(asked) == Run.open(run).manifest["data"]["exam"]
    assert [(s.who, s.metric, s.value) for s in done.scores] == [(s.who, s.metric, s.value) for s in straight.scores]
    assert not (run / FILE).exists()
