"""An exam is answered in parts, each kept as soon as it is answered: a sitting that was broken off goes on there.

The parts are cut by the exam's order and not by what is left, so every batch holds the same questions however often the
sitting was broken off, and the answers are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from terakoya.models.protocol import Query
from terakoya.records import Prediction
from terakoya.runs import Run

Answering = Callable[[Sequence[Query]], list[Prediction]]

PART = 1024  # questions
FILE = "sitting.jsonl"


def answered(run: Run, key: str, asks: Sequence[Query], answer: Answering, *, where: str = "") -> list[Prediction]:
    """One prediction for each ask, in order. `key` tells what they depend on: answers kept under another are dropped.

    The file is for `clear` to remove, when the answers are written where they belong.
    """
    name = f"{where}{FILE}"
    begun, *kept = run.read_lines(name) or [{}]
    whole = len(kept) if len(kept) == len(asks) else len(kept) // PART * PART
    given = (
        [_prediction(line, ask) for line, ask in zip(kept[:whole], asks, strict=False)] if begun == {"key": key} else []
    )
    run.restart(name, ({"key": key}, *given))
    for start in range(len(given), len(asks), PART):
        for prediction in answer(asks[start : start + PART]):
            run.append(name, prediction)
            given.append(prediction)
    return given


def clear(run: Run, *, where: str = "") -> None:
    """The answers are kept elsewhere now."""
    run.discard(f"{where}{FILE}")


def _prediction(line: Mapping[str, Any], ask: Query) -> Prediction:
    sure = line["probability"]
    return Prediction(
        ask.source,
        line["raw"],
        line["text"],
        None if sure is None else float(sure),  # one that is not finite is kept by its name
        tuple((label, float(p)) for label, p in line["labels"]),
        line["withheld"],
    )
