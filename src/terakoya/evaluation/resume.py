"""Exam predictions are made in chunks, each kept as soon as it is made: an interrupted evaluation goes on there.

Chunks are cut by the exam's order and not by what is left, so every batch holds the same queries however often the
evaluation was interrupted, and the predictions are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from terakoya.errors import CorruptError
from terakoya.i18n import _
from terakoya.models.protocol import Query
from terakoya.records import Prediction
from terakoya.runs import Run

PredictFunction = Callable[[Sequence[Query]], list[Prediction]]

CHUNK = 1024  # queries
FILE = "sitting.jsonl"  # older runs have it under this name too


def predict_resumable(
    run: Run,
    key: str,
    queries: Sequence[Query],
    predict: PredictFunction,
    *,
    where: str = "",
    file: str = FILE,
    chunk: int = 0,
) -> list[Prediction]:
    """One prediction for each query, in order; those that an interrupted evaluation made are read back.

    run      holds the partial file until `discard_partial`
    key      identifies all that predictions depend on: those kept under another key are dropped
    queries  of the whole exam
    predict  predicts one chunk of queries
    where    folder inside the run, "" the run itself
    file     name of the file
    chunk    queries that are predicted together; 0 is CHUNK
    """
    name, size = f"{where}{file}", chunk or CHUNK
    header, *kept = run.read_lines(name) or [{}]
    complete = len(kept) if len(kept) == len(queries) else len(kept) // size * size
    predictions = (
        [_prediction(line, query, run, name) for line, query in zip(kept[:complete], queries, strict=False)]
        if header == {"key": key}
        else []
    )
    run.rewrite(name, ({"key": key}, *predictions))
    for start in range(len(predictions), len(queries), size):
        for prediction in predict(queries[start : start + size]):
            run.append(name, prediction)
            predictions.append(prediction)
    return predictions


def discard_partial(run: Run, *, where: str = "") -> None:
    """Remove the partial file once the predictions are written to predictions.jsonl.

    run    that holds it
    where  folder inside the run
    """
    run.remove(f"{where}{FILE}")


def _prediction(line: Mapping[str, Any], query: Query, run: Run, name: str) -> Prediction:
    try:
        probability = line["probability"]
        return Prediction(
            query.source,
            line["raw"],
            line["text"],
            None if probability is None else float(probability),  # one that is not finite is kept by its name
            tuple((label, float(p)) for label, p in line["labels"]),
            line["withheld"],
            line["unknown"],
            line.get("verified"),
            line.get("uncalibrated"),
            bool(line.get("novel", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        fault = repr(error)
        raise CorruptError(
            _("a line of the interrupted evaluation is no prediction ({fault})", fault=fault),
            where=str(run.path / name),
            do=_("Delete this file, and run the same command again: the evaluation starts anew."),
        ) from error
