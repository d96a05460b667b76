"""An interrupted exam continues where it was: what was predicted is not predicted again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from terakoya.evaluation import resume
from terakoya.evaluation.resume import FILE, discard_partial, predict_resumable
from terakoya.models.protocol import Query
from terakoya.pipeline import run as pipeline
from terakoya.records import Prediction
from terakoya.runs import Run

QUERIES = [Query(f"問{number}") for number in range(10)]


class BackwardsModel:
    """Predicts sources backwards, and is interrupted at the chunk after `chunks`."""

    def __init__(self, chunks: int = 99) -> None:
        self.chunks, self.queries = chunks, list[list[str]]()

    def __call__(self, queries: Sequence[Query]) -> list[Prediction]:
        if len(self.queries) == self.chunks:
            raise KeyboardInterrupt
        self.queries.append([query.source for query in queries])
        return [
            Prediction(
                query.source, query.source[::-1], None if query.source == "問3" else "x", 0.1 + 0.2, (("☔", 1 / 3),)
            )
            for query in queries
        ]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "CHUNK", 4)


def test_what_was_predicted_is_not_predicted_again(tmp_path: Path) -> None:
    """Hours of predictions are not lost to a closed lid, and every batch holds the queries that it would have held."""
    whole = BackwardsModel()
    with Run.create(tmp_path, "whole") as run:
        wanted = predict_resumable(run, "k", QUERIES, whole)
    assert [len(chunk) for chunk in whole.queries] == [4, 4, 2]
    with Run.create(tmp_path, "broken") as run:
        with pytest.raises(KeyboardInterrupt):
            predict_resumable(run, "k", QUERIES, BackwardsModel(chunks=2))
        rest = BackwardsModel()
        assert predict_resumable(run, "k", QUERIES, rest) == wanted
        assert rest.queries == whole.queries[2:]
        nothing = BackwardsModel(chunks=0)
        assert predict_resumable(run, "k", QUERIES, nothing) == wanted, "all of it was predicted, and predicted again"
        discard_partial(run)
        assert not run.has(FILE)


def test_half_a_chunk_is_predicted_again(tmp_path: Path) -> None:
    """A kill between two lines must not shift the queries among the batches."""
    with Run.create(tmp_path, "k") as run:
        with pytest.raises(KeyboardInterrupt):
            predict_resumable(run, "k", QUERIES, BackwardsModel(chunks=2))
        lines = (run.path / FILE).read_text(encoding="utf-8").splitlines(keepends=True)
        run.remove(FILE)
        (run.path / FILE).write_text("".join(lines[:7]) + lines[7][:9], encoding="utf-8")
        rest = BackwardsModel()
        predict_resumable(run, "k", QUERIES, rest)
        assert rest.queries[0] == ["問4", "問5", "問6", "問7"]


def test_predictions_of_another_model_or_exam_are_not_taken(tmp_path: Path) -> None:
    """What they depend on is in the key: exam, weights, decoding, versions."""
    with Run.create(tmp_path, "k") as run:
        predict_resumable(run, "one", QUERIES, BackwardsModel())
        other = BackwardsModel()
        predict_resumable(run, "two", QUERIES, other)
        assert sum(map(len, other.queries)) == len(QUERIES)


def test_a_probability_that_is_not_finite_comes_back(tmp_path: Path) -> None:
    """It is kept by its name, as all values are."""
    with Run.create(tmp_path, "k") as run:
        predict_resumable(run, "k", QUERIES[:1], lambda queries: [Prediction(queries[0].source, "", None, math.inf)])
        assert predict_resumable(run, "k", QUERIES[:1], BackwardsModel(chunks=0))[0].probability == math.inf


def test_a_run_interrupted_in_its_exam_predicts_only_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same scores as in one go, and no partial file left in the folder."""
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
    real, sizes = resume.predict_resumable, list[int]()

    def interrupted(
        run: Run, key: str, queries: Sequence[Query], predict: resume.PredictFunction, *, where: str = ""
    ) -> list[Prediction]:
        def counted(chunk: Sequence[Query]) -> list[Prediction]:
            if len(sizes) == 2:
                sizes.append(0)
                raise KeyboardInterrupt
            sizes.append(len(chunk))
            return predict(chunk)

        return real(run, key, queries, counted, where=where)

    monkeypatch.setattr("terakoya.evaluation.exam.predict_resumable", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(str(tmp_path / "words.toml"), run_dir=tmp_path / "b", anyway=True)
    (run,) = (path.parent for path in (tmp_path / "b").glob("*/manifest.json"))
    done = pipeline.run(str(run), anyway=True)
    assert sum(sizes) == Run.open(run).manifest["data"]["exam"]
    assert [(s.who, s.metric, s.value) for s in done.scores] == [(s.who, s.metric, s.value) for s in straight.scores]
    assert not (run / FILE).exists()
