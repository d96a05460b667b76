"""Correct targets of a run's table, and judge whether the targets of its exam are right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from terakoya.annotation import exam
from terakoya.annotation.corrections import Action, Corrections, correct_row, corrections_path, resolve, row_of
from terakoya.annotation.exam_rows import find_row, read_exam_rows
from terakoya.annotation.log import AnnotationLog, Entry, Row
from terakoya.errors import ConfigError, DataError
from terakoya.i18n import _, in_language
from terakoya.pipeline.dataset import load_dataset, read_run_config
from terakoya.pipeline.run import report
from terakoya.registry import Experiment
from terakoya.runs.annotations import ANNOTATIONS, Annotations, confirmation_message
from terakoya.runs.display import Displayed

_COLUMNS = ("fingerprint", "source", "target", "judgement", "right_target")


def correction_log(run: Path) -> AnnotationLog:
    """The corrections of the table that a run was trained on, logged beside that table.

    run  the run folder
    Raises ConfigError where its examples are not those of a table on this machine.
    """
    data = read_run_config(run).task.data
    table = (run / data.split("|")[0]).resolve() if data and not data.startswith("hub:") else None
    if table is None or not table.is_file():
        raise ConfigError(
            _("only rows of a table can be corrected, and this run has none here"),
            where=str(run),
            do=_("Correct the rows where they come from, or write a table with `terakoya split` and train on it."),
        )
    return AnnotationLog(corrections_path(table))


def read_run_corrections(run: Path) -> Corrections:
    """What was decided about the rows of a run's table so far, the disagreements included.

    run  the run folder
    """
    return resolve(correction_log(run).entries())


def correct(run: Path, row: str, action: Action, text: str = "", *, who: str = "") -> Entry:
    """Correct the target of an item of a run's exam; logged, and taken back with `correction_log(run).undo()`.

    run     the run folder
    row     fingerprint of the item
    action  "edit" (another target), "accept" (a further right target) or "reject" (the given target is right)
    text    the target; for "accept" "" is the model's prediction
    who     the name of the person; "" is none
    Raises DataError for a target that the run's codec cannot read.
    """
    found = find_row(read_exam_rows(run), row)
    prediction = found.prediction or "" if action == "accept" else ""
    return correct_any(run, found.row, action, text or prediction, who=who)


def correct_any(run: Path, row: Row, action: Action, text: str = "", *, who: str = "") -> Entry:
    """Correct the target of any row of a run's table.

    run     the run folder
    row     of train, dev or exam
    action  "edit", "accept" or "reject"
    text    the target
    who     the name of the person; "" is none
    Raises DataError for a target that the run's codec cannot read.
    """
    from terakoya.saved_model import read_task

    log = correction_log(run)
    if action != "reject" and text.strip():
        read_task(run).codec.canonical(text)
    return correct_row(log, row, action, text, who=who)


def rows_with_source(run: Path, source: str) -> tuple[Row, ...]:
    """The rows of a run's data that have this source, those of train, dev and exam.

    run     the run folder
    source  the whole input text
    Raises DataError where there is none.
    """
    config = read_run_config(run)
    split = load_dataset(Experiment(config.name, config, run, own=False)).split
    found = {
        example.fingerprint: row_of(example)
        for example in (*split.exam, *split.dev, *split.train)
        if example.source == source
    }
    if not found:
        raise DataError(
            _("no row of this run's data has the source '{source}'", source=source[:80]),
            where=str(run),
            do=_("Give the source as the table has it, whole."),
        )
    return tuple(found.values())


@dataclass(frozen=True)
class Confirmed(Displayed):
    """What people said about the targets of a run's exam so far.

    run          the run folder
    annotations  counts and interval
    file         the sample that was written for them to judge; None where none was
    """

    run: Path
    annotations: Annotations
    file: Path | None = None

    def words(self, lang: str = "en") -> str:
        """What may be said about the exam, as a sentence.

        lang  "en" (default) or "ja"
        """
        return in_language(confirmation_message(self.annotations.confirmation), lang)

    def to_dict(self) -> dict[str, Any]:
        """All values as a dict, for --json."""
        return {**super().to_dict(), "words": {lang: self.words(lang) for lang in ("en", "ja")}}


def confirm(run: Path, *, write: Path | None = None, read: Path | None = None, who: str = "") -> Confirmed:
    """Let a person judge a sample of an exam in a spreadsheet: written as a table, read back when it was completed.

    run    the run folder
    write  a .csv to write the sample to: source and given target, without the model's predictions
    read   such a table with the column judgement completed: right, wrong (with the right target beside it) or unclear;
           rows without a judgement stay open
    who    the name of the person; "" is none
    Returns what people said so far. Raises DataError, naming the line, for what is no judgement.
    """
    if not (run / "manifest.json").is_file():
        raise ConfigError(_("there is no such run"), where=str(run), do=_("Name the folder of a run."))
    found = exam.carry_judgements(run)
    if write is not None:
        _write_sample(run, write)
    if read is not None:
        found = _read_judged(run, read, who)
        report(run, lang=read_run_config(run).lang)
    return Confirmed(run, found, write)


def refresh_record(run: Path) -> None:
    """Write a run's record again where people said something about its exam since it was written.

    run  the run folder
    """
    said, record = run / ANNOTATIONS, run / "report.html"
    if said.is_file() and record.is_file() and said.stat().st_mtime_ns > record.stat().st_mtime_ns:
        report(run, lang=read_run_config(run).lang)


def _write_sample(run: Path, file: Path) -> None:
    from terakoya.data.formats.csv_tsv import write_rows

    said = exam.judgements(run)
    rows = []
    for one in exam.sample_of(run):
        entry = said.get(one.row.fingerprint)
        source = "\n".join([*(f"{role}: {text}" for role, text in one.turns), one.row.source])
        rows.append((one.row.fingerprint, source, one.row.target, entry.action if entry else "", ""))
    write_rows(file, _COLUMNS, rows, for_spreadsheet=True)


def _read_judged(run: Path, file: Path, who: str) -> Annotations:
    from terakoya.data.formats import read_rows, require_columns

    before, known = exam.judgements(run), read_exam_rows(run)
    judged = []
    for row in require_columns(read_rows(file, wanted=_COLUMNS), _COLUMNS, str(file)):
        said = row.cells["judgement"].strip().lower()
        where = _("{file}, line {line}", file=file, line=row.line)
        if said and said not in get_args(exam.Judgement):
            raise DataError(
                _("'{said}' is no judgement", said=said[:40]),
                where=where,
                do=_("Write right, wrong or unclear, or leave the cell empty."),
            )
        target = row.cells["right_target"]
        if said == "wrong" and not target.strip():
            raise DataError(
                _("a target that is wrong needs the right one beside it"),
                where=where,
                do=_("Write it into the column right_target; if you do not know it, write unclear."),
            )
        old = before.get(row.cells["fingerprint"])
        if said and (old is None or (old.action, old.text) != (said, target if said == "wrong" else "")):
            judged.append((find_row(known, row.cells["fingerprint"]).row.fingerprint, said, target))
    for fingerprint, said, target in judged:  # only when the whole table was found to be right
        exam.log_judgement(run, fingerprint, said, target, who=who)
    return exam.update_annotations(run)
