"""Sources in, predictions out: one line for each, in order, whatever the source holds."""

from __future__ import annotations

import codecs
import itertools
import json
import queue
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from terakoya.codec.choose import refuse_other_codec
from terakoya.data.formats import TABLE_SUFFIXES, read_lines, read_rows, write_rows
from terakoya.errors import ConfigError, DataError
from terakoya.i18n import _
from terakoya.records import Prediction
from terakoya.runs import write_text
from terakoya.saved_model import Skill, model_folder, read_skill
from terakoya.scoring.score_predictions import canonical_targets

CHUNK = 1024  # sources predicted together


@dataclass(frozen=True, slots=True)
class PredictInput:
    """A source, and the target where the input holds one."""

    source: str
    target: str | None = None


def predict(
    path: Path,
    texts: Sequence[str],
    *,
    input: str,
    output: str,
    overrides: tuple[str, ...],
    for_spreadsheet: bool = False,
) -> Iterator[dict[str, Any]]:
    """JSON-ready predictions, in input order.

    path             a run folder or a model folder
    texts            sources
    input            a file with further sources (a table with a column source, else one a line), "-" for standard
                     input, "" for none
    output           a .jsonl or .csv file, written completely or not at all; "" for none
    overrides        KEY=VALUE settings of decoding; those of the columns and the encoding (task.source, task.target,
                     task.encoding) are the input's
    for_spreadsheet  True: a .csv that spreadsheets open as UTF-8 and without running formulas
    Yields one line for each source. Raises ConfigError without input or for another kind of output, DataError for a
    table without the column.
    """
    if not texts and not input:
        raise ConfigError(
            _("there is no input"),
            do=_("terakoya predict RUN 'text', or --input FILE, or --input - for a pipe."),
        )
    if output and Path(output).suffix.lower() not in (".csv", ".jsonl"):
        raise ConfigError(
            _("'{output}' ends in neither .csv nor .jsonl", output=output),
            where="--output",
            do=_("Name it FILE.jsonl."),
        )
    if for_spreadsheet and Path(output).suffix.lower() != ".csv":
        raise ConfigError(
            _("only a .csv is for spreadsheets"), where="--for-spreadsheet", do=_("Say --output FILE.csv.")
        )
    model_folder(path)  # before anything is read: a pipe may wait for long
    given, settings = _input_settings(overrides)
    inputs = itertools.chain((PredictInput(text) for text in texts), _read(input, given))
    first = next(inputs, None)
    if first is None:
        return
    skill = _with_engine(read_skill(path, settings, predict_only=True))
    refuse_other_codec(skill.task.codec, given.get("codec", ""), "predict")
    lines = _predict_chunks(skill, itertools.chain([first], inputs), as_they_come=input == "-")
    if not output:
        yield from lines
        return
    kept = list(lines)
    _write(Path(output), kept, for_spreadsheet)
    yield from kept


def _with_engine(skill: Skill) -> Skill:
    if skill.config.decode.engine == "own":
        return skill
    from terakoya.pipeline.engine import with_engine  # reads data and runs, which a cold prediction does not wait for

    return with_engine(skill)


def predict_lines(skill: Skill, inputs: Sequence[PredictInput]) -> list[dict[str, Any]]:
    """One JSON-ready line for each input; what cannot be predicted (empty, too long for the model) gets null.

    skill   the trained model
    inputs  sources, with targets where they are known
    """
    predictions = skill.predict([one.source for one in inputs])
    return [_line(one, prediction, skill) for one, prediction in zip(inputs, predictions, strict=True)]


def _predict_chunks(skill: Skill, inputs: Iterator[PredictInput], as_they_come: bool) -> Iterator[dict[str, Any]]:
    chunks = available(inputs) if as_they_come else iter(lambda: list(itertools.islice(inputs, CHUNK)), [])
    for chunk in chunks:
        yield from predict_lines(skill, chunk)


def available(inputs: Iterator[PredictInput]) -> Iterator[list[PredictInput]]:
    """What can be read without waiting, in chunks: one line where a person types, many where a file is piped.

    inputs  read ahead in a thread, at most one chunk
    Whatever reading raises is raised here, after all that was read before it.
    """
    ahead: queue.Queue[PredictInput | BaseException | None] = queue.Queue(CHUNK)

    def read() -> None:
        try:
            for one in inputs:
                ahead.put(one)
            ahead.put(None)
        except BaseException as error:
            ahead.put(error)

    threading.Thread(target=read, daemon=True).start()
    ended: BaseException | None = None
    more = True
    while more:
        chunk: list[PredictInput] = []
        while more and len(chunk) < CHUNK and (not chunk or not ahead.empty()):
            one = ahead.get()
            if isinstance(one, PredictInput):
                chunk.append(one)
            else:
                more, ended = False, one
        if chunk:
            yield chunk
    if ended is not None:
        raise ended


def _line(one: PredictInput, prediction: Prediction, skill: Skill) -> dict[str, Any]:
    line: dict[str, Any] = {
        "source": one.source,
        "prediction": prediction.text,
        "raw": prediction.raw,
        "probability": None if prediction.probability is None else round(prediction.probability, 6),
    }
    if prediction.uncalibrated is not None:
        line["uncalibrated"] = round(prediction.uncalibrated, 6)
    if prediction.withheld:
        line["withheld"] = prediction.withheld
    if prediction.unknown:
        line["unknown"] = prediction.unknown
    if prediction.verified is not None:
        line["verified"] = prediction.verified
    if prediction.labels:
        line["labels"] = [(label, round(share, 6)) for label, share in prediction.labels]
    if one.target is not None:
        line["target"] = one.target
        line["match"] = prediction.text in canonical_targets(skill.task.codec, [one.target])
    return line


def _input_settings(overrides: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """(settings of the input's table, the other settings): the first are no settings of the skill."""
    given: dict[str, str] = {}
    others = []
    for item in overrides:
        section, _dot, rest = item.partition(".")
        key, equals, value = rest.partition("=")
        if section == "task" and equals and key.strip() in ("source", "target", "encoding", "codec"):
            given[key.strip()] = value
        else:
            others.append(item)
    return given, tuple(others)


def _read(name: str, given: Mapping[str, str] = MappingProxyType({})) -> Iterator[PredictInput]:
    if not name:
        return
    if name == "-":
        yield from (PredictInput(line) for line in _standard_input(given.get("encoding", "")))
        return
    path = Path(name)
    encoding, column = given.get("encoding", ""), given.get("source", "") or "source"
    if path.suffix.lower() in TABLE_SUFFIXES:
        for row in read_rows(path, encoding=encoding, wanted=(column,)):
            if column not in row.cells:
                columns, line = ", ".join(row.cells), row.line
                raise DataError(
                    _("there is no column '{column}' (found: {columns})", column=column, columns=columns),
                    where=_("{path}, line {line}", path=path, line=line),
                    do=_("Name the column that holds the sources: --source COLUMN."),
                )
            yield PredictInput(row.cells[column], row.cells.get(given.get("target", "") or "target"))
        return
    for text in read_lines(path, encoding=encoding):
        yield PredictInput(text)


def _standard_input(encoding: str) -> Iterator[str]:
    """Lines of standard input without their ends; "" as encoding is UTF-8, with or without a mark."""
    raw = getattr(sys.stdin, "buffer", None)
    if raw is None:  # a stream of text, as a notebook has
        yield from (line.rstrip("\r\n") for line in sys.stdin)
        return
    try:
        name = codecs.lookup(encoding or "utf-8-sig").name
    except (LookupError, ValueError) as error:
        raise ConfigError(
            _("there is no encoding '{encoding}'", encoding=encoding),
            where="--encoding",
            do=_("Name one that Python knows, such as utf-8 or cp932."),
        ) from error
    # Bytes end lines in every encoding but these, whose characters have several.
    stream = codecs.getreader(name)(raw) if name.startswith(("utf-16", "utf-32")) else raw
    for number in itertools.count(1):
        try:
            line = stream.readline()
            text = line if isinstance(line, str) else line.decode(name if number == 1 else name.removesuffix("-sig"))
        except UnicodeError as error:
            raise DataError(
                _("this is no {name}: {error}", name=name.removesuffix("-sig"), error=error),
                where=_("standard input, line {number}", number=number),
                do=_("Name its encoding with --encoding, as in: --encoding cp932"),
            ) from error
        if not line:
            return
        yield text.rstrip("\r\n")


def _write(path: Path, lines: Sequence[Mapping[str, Any]], for_spreadsheet: bool) -> None:
    if path.suffix.lower() == ".csv":
        more = [key for key in ("withheld", "unknown", "verified") if any(key in line for line in lines)]
        header = ("source", "target", "inference", "match", *more)
        cells = [
            [
                str(line["source"]),
                str(line.get("target") or ""),
                str(line["prediction"] or ""),
                str(line.get("match", "")),
                *(str(line.get(key, "")) for key in more),
            ]
            for line in lines
        ]
        write_rows(path, header, cells, for_spreadsheet=for_spreadsheet)
    else:
        write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
