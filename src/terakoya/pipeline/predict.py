"""Sources in, predictions out: one line for each, in order, whatever the source holds."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from terakoya.data.formats import read_rows, write_rows
from terakoya.decoding.predict import predict_queries
from terakoya.errors import ConfigError, DataError
from terakoya.file_errors import file_read_errors
from terakoya.i18n import both
from terakoya.models.protocol import Query
from terakoya.records import Prediction
from terakoya.runs import write_text
from terakoya.saved_model import Skill, read_skill
from terakoya.scoring.score_predictions import canonical_targets

CHUNK = 1024  # sources predicted together
MAX_CHARACTERS = 10_000  # of one source; longer ones get no prediction


@dataclass(frozen=True, slots=True)
class PredictInput:
    """A source, and the target where the input holds one."""

    source: str
    target: str | None = None


def predict(
    path: Path, texts: Sequence[str], *, input: str, output: str, overrides: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """JSON-ready predictions, in input order.

    path       a run folder or a model folder
    texts      sources
    input      a file with further sources (.csv .tsv .jsonl with a column source, else one a line), "-" for standard
               input, "" for none
    output     a .jsonl or .csv file, written completely or not at all; "" for none
    overrides  KEY=VALUE settings of decoding
    Yields one line for each source. Raises ConfigError without input or for another kind of output, DataError for a
    table without the column.
    """
    if not texts and not input:
        raise ConfigError(
            both("there is no input", "入力が与えられていない"),
            do=both(
                "terakoya predict RUN 'text', or --input FILE, or --input - for a pipe.",
                "次のいずれかで入力を与えること：terakoya predict RUN '文'、--input FILE、パイプなら --input -",
            ),
        )
    if output and Path(output).suffix.lower() not in (".csv", ".jsonl"):
        raise ConfigError(
            both(f"'{output}' ends in neither .csv nor .jsonl", f"'{output}' の末尾が .csv でも .jsonl でもない"),
            where="--output",
            do=both("Name it FILE.jsonl.", "FILE.jsonl のように名付けること。"),
        )
    inputs = itertools.chain((PredictInput(text) for text in texts), _read(input))
    first = next(inputs, None)
    if first is None:
        return
    skill = read_skill(path, overrides)
    lines = _predict_chunks(skill, itertools.chain([first], inputs))
    if not output:
        yield from lines
        return
    kept = list(lines)
    _write(Path(output), kept)
    yield from kept


def predict_lines(skill: Skill, inputs: Sequence[PredictInput]) -> list[dict[str, Any]]:
    """One JSON-ready line for each input; what cannot be predicted (empty, too long for the model) gets null.

    skill   the trained model
    inputs  sources, with targets where they are known
    """
    indices = [i for i, one in enumerate(inputs) if 0 < len(one.source) <= MAX_CHARACTERS]
    found = predict_queries(
        skill.model,
        [Query(inputs[i].source) for i in indices],
        skill.task,
        skill.config.decode,
        max_tokens=skill.max_tokens,
        seed=skill.config.seed,
    )
    by_index = dict(zip(indices, found, strict=True))
    return [_line(one, by_index.get(i, Prediction(one.source, "", None)), skill) for i, one in enumerate(inputs)]


def _predict_chunks(skill: Skill, inputs: Iterator[PredictInput]) -> Iterator[dict[str, Any]]:
    while chunk := list(itertools.islice(inputs, CHUNK)):
        yield from predict_lines(skill, chunk)


def _line(one: PredictInput, prediction: Prediction, skill: Skill) -> dict[str, Any]:
    line: dict[str, Any] = {
        "source": one.source,
        "prediction": prediction.text,
        "raw": prediction.raw,
        "probability": None if prediction.probability is None else round(prediction.probability, 6),
    }
    if prediction.withheld:
        line["withheld"] = prediction.withheld
    if prediction.labels:
        line["labels"] = [(label, round(share, 6)) for label, share in prediction.labels]
    if one.target is not None:
        line["target"] = one.target
        line["match"] = prediction.text in canonical_targets(skill.task.codec, [one.target])
    return line


def _read(name: str) -> Iterator[PredictInput]:
    if not name:
        return
    if name == "-":
        yield from _read_lines(sys.stdin)
        return
    path = Path(name)
    if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson"):
        for row in read_rows(path):
            if "source" not in row.cells:
                columns, line = ", ".join(row.cells), row.line
                raise DataError(
                    both(
                        f"there is no column 'source' (found: {columns})", f"列 'source' がない（あるのは {columns}）"
                    ),
                    where=both(f"{path}, line {line}", f"{path}、{line}行目"),
                    do=both("Rename the column that holds the sources.", "入力の列の名前を source に変えること。"),
                )
            yield PredictInput(row.cells["source"], row.cells.get("target"))
        return
    with file_read_errors(path), path.open(encoding="utf-8-sig", newline="") as file:
        yield from _read_lines(file)


def _read_lines(file: IO[str]) -> Iterator[PredictInput]:
    for line in file:
        yield PredictInput(line.rstrip("\r\n"))


def _write(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    if path.suffix.lower() == ".csv":
        header = ("source", "target", "inference", "match")
        cells = [
            (
                str(line["source"]),
                str(line.get("target") or ""),
                str(line["prediction"] or ""),
                str(line.get("match", "")),
            )
            for line in lines
        ]
        write_rows(path, header, cells)
    else:
        write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
