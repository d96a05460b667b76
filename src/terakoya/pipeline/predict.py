"""Questions in, answers out: one line for each, in order, whatever happens to it."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from terakoya.data.formats import read_rows, write_rows
from terakoya.decoding.predict import predictions
from terakoya.errors import ConfigError, DataError
from terakoya.file_errors import explained
from terakoya.i18n import both
from terakoya.models.protocol import Query
from terakoya.records import Prediction
from terakoya.runs import write_text
from terakoya.saved_model import Skill, read_skill
from terakoya.scoring.judging import canonical_targets

AT_ONCE = 1024  # questions answered together
LIMIT = 10_000  # characters of one question; longer ones are not answered


@dataclass(frozen=True, slots=True)
class Question:
    """A source, and the target where the input holds one."""

    source: str
    target: str | None = None


def predict(
    path: Path, texts: Sequence[str], *, input: str, output: str, overrides: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """JSON-ready answers, in input order. With `output` (.jsonl or .csv) they are written there, all or none."""
    if not texts and not input:
        raise ConfigError(
            both("nothing was asked", "質問が与えられていない"),
            do=both(
                "terakoya predict RUN 'text', or --input FILE, or --input - for a pipe.",
                "次のいずれかで問うこと：terakoya predict RUN '文'、--input FILE、パイプなら --input -",
            ),
        )
    if output and Path(output).suffix.lower() not in (".csv", ".jsonl"):
        raise ConfigError(
            both(f"'{output}' ends in neither .csv nor .jsonl", f"'{output}' の末尾が .csv でも .jsonl でもない"),
            where="--output",
            do=both("Name it FILE.jsonl.", "FILE.jsonl のように名付けること。"),
        )
    questions = itertools.chain((Question(text) for text in texts), _read(input))
    first = next(questions, None)
    if first is None:
        return
    skill = read_skill(path, overrides)
    answers = _answered(skill, itertools.chain([first], questions))
    if not output:
        yield from answers
        return
    kept = list(answers)
    _write(Path(output), kept)
    yield from kept


def answer(skill: Skill, questions: Sequence[Question]) -> list[dict[str, Any]]:
    """One answer for each question. What cannot be asked (empty, too long for the model) is answered with null."""
    places = [place for place, question in enumerate(questions) if 0 < len(question.source) <= LIMIT]
    found = predictions(
        skill.model,
        [Query(questions[place].source) for place in places],
        skill.task,
        skill.config.decode,
        max_tokens=skill.max_tokens,
        seed=skill.config.seed,
    )
    by_place = dict(zip(places, found, strict=True))
    return [
        _line(question, by_place.get(place, Prediction(question.source, "", None)), skill)
        for place, question in enumerate(questions)
    ]


def _answered(skill: Skill, questions: Iterator[Question]) -> Iterator[dict[str, Any]]:
    while batch := list(itertools.islice(questions, AT_ONCE)):
        yield from answer(skill, batch)


def _line(question: Question, prediction: Prediction, skill: Skill) -> dict[str, Any]:
    line: dict[str, Any] = {
        "source": question.source,
        "prediction": prediction.text,
        "raw": prediction.raw,
        "probability": None if prediction.probability is None else round(prediction.probability, 6),
    }
    if prediction.withheld:
        line["withheld"] = prediction.withheld
    if prediction.labels:
        line["labels"] = [(label, round(share, 6)) for label, share in prediction.labels]
    if question.target is not None:
        line["target"] = question.target
        line["match"] = prediction.text in canonical_targets(skill.task.codec, [question.target])
    return line


def _read(name: str) -> Iterator[Question]:
    if not name:
        return
    if name == "-":
        yield from _read_lines(sys.stdin)
        return
    path = Path(name)
    if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson"):
        for row in read_rows(path):
            if "source" not in row.cells:
                raise DataError(
                    both(
                        f"there is no column 'source' (found: {', '.join(row.cells)})",
                        f"列 'source' がない（あるのは {', '.join(row.cells)}）",
                    ),
                    where=both(f"{path}, line {row.line}", f"{path}、{row.line}行目"),
                    do=both("Rename the column that holds the questions.", "問いの列の名前を変えること。"),
                )
            yield Question(row.cells["source"], row.cells.get("target"))
        return
    with explained(path), path.open(encoding="utf-8-sig", newline="") as file:
        yield from _read_lines(file)


def _read_lines(file: IO[str]) -> Iterator[Question]:
    for line in file:
        yield Question(line.rstrip("\r\n"))


def _write(path: Path, answers: Sequence[Mapping[str, Any]]) -> None:
    if path.suffix.lower() == ".csv":
        header = ("source", "target", "inference", "match")
        cells = [
            (
                str(line["source"]),
                str(line.get("target") or ""),
                str(line["prediction"] or ""),
                str(line.get("match", "")),
            )
            for line in answers
        ]
        write_rows(path, header, cells)
    else:
        write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in answers))
