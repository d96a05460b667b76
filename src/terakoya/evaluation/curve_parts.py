"""The trainings of a learning curve: each is kept in the run folder once it has ended, so that a curve can go on.

An interrupted curve trains what is missing; what it says is the same as without the interruption.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from terakoya.config import Config
from terakoya.errors import CorruptError
from terakoya.i18n import _
from terakoya.records import Split, fingerprint
from terakoya.runs import Run

PARTS_FILE = "curve-parts.jsonl"  # in the run folder, until the curve is whole


@dataclass(frozen=True, slots=True)
class SuspectRow:
    """A training row that looks wrong, what the model says instead, and its row in the table (0: none)."""

    source: str
    target: str
    instead: str
    row: int


@dataclass(frozen=True, slots=True)
class TrainedRow:
    """A row that was trained on: its target in canonical form, its score, and the prediction for it."""

    source: str
    target: str
    prediction: str
    row: int
    score: float


@dataclass(frozen=True, slots=True)
class TrainedPart:
    """One training of a learning curve.

    rows      that were trained on
    steps     optimizer steps
    scores    of the dev items, in order
    trained   some of the rows
    suspects  rows it was not trained on that look wrong to it
    seconds   that it took
    """

    rows: int
    steps: int
    scores: tuple[float, ...]
    trained: tuple[TrainedRow, ...]
    suspects: tuple[SuspectRow, ...]
    seconds: float


class KeptParts:
    """The parts of one curve that have been trained already.

    run  whose folder holds them; None keeps none
    key  identifies all that they depend on: parts under another key are dropped
    """

    def __init__(self, run: Run | None, key: str) -> None:
        self.run = run
        self._found: dict[tuple[float, int], TrainedPart] = {}
        if run is None:
            return
        header, *lines = run.read_lines(PARTS_FILE) or [{}]
        if header == {"key": key}:
            self._found = dict(_part(line, run) for line in lines)
        else:
            run.rewrite(PARTS_FILE, [{"key": key}])

    def get(self, share: float, seed: int) -> TrainedPart | None:
        """The part that was trained with this share of the rows and this seed; None where it was not.

        share  of the training rows
        seed   of the training
        """
        return self._found.get((share, seed))

    def add(self, share: float, seed: int, part: TrainedPart) -> None:
        """Keep a part.

        share  of the training rows
        seed   of the training
        part   as it was trained
        """
        self._found[share, seed] = part
        if self.run is not None:
            self.run.append(PARTS_FILE, {"share": share, "seed": seed, **asdict(part)}, durable=True)


def key_of(config: Config, split: Split, shares: tuple[float, ...]) -> str:
    """Identifies what the parts of a curve depend on: settings, training rows, dev rows, and how they are cut.

    config  of the training
    split   of the curve
    shares  of the training rows
    """
    rows = [[row.fingerprint for row in part] for part in (split.train, split.dev)]
    values = config.model_dump(mode="json", exclude={"lang", "score", "device"})
    # Paths are relative to the experiment in a new run, and to the run folder where it is resumed.
    values["task"] |= {key: Path(values["task"][key]).name for key in ("data", "dev", "exam", "corrections", "use")}
    values["model"]["base"] = Path(values["model"]["base"]).name
    return fingerprint(json.dumps([values, rows, shares], sort_keys=True, default=str))


def _part(line: Mapping[str, Any], run: Run) -> tuple[tuple[float, int], TrainedPart]:
    try:
        part = TrainedPart(
            int(line["rows"]),
            int(line["steps"]),
            tuple(float(score) for score in line["scores"]),
            tuple(TrainedRow(**row) for row in line["trained"]),
            tuple(SuspectRow(**row) for row in line["suspects"]),
            float(line["seconds"]),
        )
        return (float(line["share"]), int(line["seed"])), part
    except (KeyError, TypeError, ValueError) as error:
        fault = repr(error)
        raise CorruptError(
            _("a line of the interrupted learning curve is no training ({fault})", fault=fault),
            where=str(run.path / PARTS_FILE),
            do=_("Delete this file, and run the same command again: the curve starts anew."),
        ) from error
