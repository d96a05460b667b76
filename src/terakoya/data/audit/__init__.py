"""What is wrong with data, found before anything is trained on it.

`audit` checks a task and its split, `audit_table` a file of any size. Both return findings and change nothing; their
thresholds are in thresholds.py, with their reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya.config import Config, TaskConfig
from terakoya.data.audit.characters import UnwantedCharacters
from terakoya.data.audit.duplicates import Duplicates
from terakoya.data.audit.label_balance import LabelBalance
from terakoya.data.audit.label_forms import LabelForms
from terakoya.data.audit.near_duplicates import NearDuplicates
from terakoya.data.audit.row_order import RowOrder
from terakoya.data.audit.single_pass import (
    AuditContext,
    AuditRow,
    Check,
    make_canonical,
    source_form,
    source_key,
)
from terakoya.data.audit.split_sizes import SplitSizes
from terakoya.data.audit.spreadsheet_damage import SpreadsheetDamage
from terakoya.data.audit.target_forms import TargetForms
from terakoya.data.audit.targets import SourceDefects, TargetDefects
from terakoya.data.audit.text_lengths import TextLengths
from terakoya.data.audit.tokens import AuditTokenizer, TokenizerRoundTrip
from terakoya.data.audit.written_lists import WrittenLists
from terakoya.data.formats import table_notes
from terakoya.data.formats.many_files import is_pattern, name_rows, place_of, table_files
from terakoya.data.split import SplitName
from terakoya.records import Example, Finding, Split
from terakoya.task import Task

if TYPE_CHECKING:
    from terakoya.data.audit.row_blocks import BlockCheck

__all__ = ["AuditTokenizer", "audit", "audit_table", "layout_findings"]

_SOURCE_PATTERNS = (
    SourceDefects.PATTERN,
    SpreadsheetDamage.PATTERN,
    UnwantedCharacters.PATTERN,
    UnwantedCharacters.EMOJI,
    WrittenLists.PATTERN,
)
_LEVELS = ("stop", "warn", "note")


def audit(task: Task, split: Split, tokenizer: AuditTokenizer | None = None) -> list[Finding]:
    """Checks a task's data: everything that is wrong or worth knowing.

    task       its codec and first metric say how targets are written and scored; its own checks are the caller's to run
    split      train, dev and exam
    tokenizer  of the model; None leaves out what depends on one
    Returns findings, the gravest first.
    """
    subject = AuditContext(task.codec, task.metrics[task.metric], split.method, drawn=task.draw is not None)
    found = _run_checks(subject, _in_order(split), tokenizer)
    return sorted(found, key=lambda finding: _LEVELS.index(finding.level))


def audit_table(path: Path, config: Config) -> list[Finding]:
    """Checks a table, by the config's columns, codec and split; one that is too large for memory is streamed.

    path    the table; a pattern or an address stands for all of its files
    config  with the sections task and split
    Returns findings, the gravest first.
    """
    from terakoya.data.audit.tables import load_small_table

    name, folder = place_of(path)
    notes = list(layout_findings(config.task.model_copy(update={"data": name}), folder))
    names = [file.name for file in table_files(name, folder)]
    task_or_stream = load_small_table(path, config)
    if task_or_stream is not None:
        task, split = task_or_stream
        return [*name_rows(audit(task, split), names), *notes]
    found = sorted(_stream_findings(path, config), key=lambda finding: _LEVELS.index(finding.level))
    return [*name_rows(found, names), *notes]


def _stream_findings(path: Path, config: Config) -> Iterator[Finding]:
    """Findings on a table of any size: block by block, or, where only that is certain to be right, row by row."""
    from terakoya.data.audit.row_blocks import read_row_blocks
    from terakoya.data.audit.tables import stream_table
    from terakoya.data.formats.blocks import NotPlain

    subject, rows = stream_table(path, config)
    checks = _checks(subject)
    try:
        for block in read_row_blocks(path, config.task, config.split, subject, _SOURCE_PATTERNS):
            for check in checks:
                check.add_block(block)
    except NotPlain:
        yield from _run_checks(subject, rows, None)
        return
    for check in checks:
        yield from check.findings()


def layout_findings(wanted: TaskConfig, folder: Path) -> Iterator[Finding]:
    """What was left out around the cells of a config's tables: a title above the header, columns without a name.

    wanted  the config's section `[task]`
    folder  paths are relative to it
    """
    for table in filter(None, (wanted.data, wanted.dev, wanted.exam)):
        columns = [wanted.source, wanted.target]
        for file in table_files(table, folder):
            place = (file.path.name, file.path.parent) if is_pattern(table) else (table, folder)
            for note in table_notes(*place, encoding=wanted.encoding, wanted=columns):
                yield Finding("file-layout", "note", note, where=file.name)


def _run_checks(
    subject: AuditContext, rows: Iterable[tuple[Example, SplitName]], tokenizer: AuditTokenizer | None
) -> Iterator[Finding]:
    checks: list[Check] = [*_checks(subject)]
    if tokenizer is not None:
        checks.append(TokenizerRoundTrip(subject, tokenizer))
    canonical = make_canonical(subject.codec)
    adds = [check.add for check in checks]
    for place, (example, split) in enumerate(rows):
        form = source_form(example)
        row = AuditRow(example, split, place, form, source_key(form), canonical(example.target))
        for add in adds:
            add(row)
    for check in checks:
        yield from check.findings()


def _checks(subject: AuditContext) -> list[BlockCheck]:
    return [
        SplitSizes(subject),
        LabelBalance(subject),
        TargetDefects(subject),
        SpreadsheetDamage(subject),
        Duplicates(subject),
        NearDuplicates(),
        RowOrder(subject),
        UnwantedCharacters(subject),
        SourceDefects(),
        TextLengths(subject),
        TargetForms(subject),
        LabelForms(subject),
        WrittenLists(subject),
    ]


def _in_order(split: Split) -> list[tuple[Example, SplitName]]:
    """All rows in the order of their files; those without a row number last."""
    rows: list[tuple[Example, SplitName]] = [
        *((example, "train") for example in split.train),
        *((example, "dev") for example in split.dev),
        *((example, "exam") for example in split.exam),
    ]
    return sorted(rows, key=lambda row: (row[0].row == 0, row[0].row))
