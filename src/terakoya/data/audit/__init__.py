"""What is wrong with data, found before anything is trained on it.

`audit` looks at a task and its split, `audit_table` at a file of any size. Both return findings and change nothing;
the lines that they draw stand in thresholds.py, with their reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from terakoya.config import Config
from terakoya.data.audit.answers import Answers, Sentences
from terakoya.data.audit.characters import Characters
from terakoya.data.audit.duplicates import Repeats
from terakoya.data.audit.label_balance import Balance, Lengths
from terakoya.data.audit.near_duplicates import Near
from terakoya.data.audit.row_order import Order
from terakoya.data.audit.single_pass import Check, Seen, Subject, canonical_of, form_of, number_of
from terakoya.data.audit.split_leakage import Sides
from terakoya.data.audit.spreadsheet_damage import Damage
from terakoya.data.audit.tokens import Tokenizer, Tokens
from terakoya.data.split import Side
from terakoya.records import Example, Finding, Split
from terakoya.task import Task

__all__ = ["Tokenizer", "audit", "audit_table"]

_LEVELS = ("stop", "warn", "note")


def audit(task: Task, split: Split, tokenizer: Tokenizer | None = None) -> list[Finding]:
    """Everything that is wrong or worth knowing, the gravest first. The task's own checks are the caller's to run."""
    subject = Subject(task.codec, task.metrics[task.metric], split.method, drawn=task.draw is not None)
    found = _looked(subject, _in_order(split), tokenizer)
    return sorted(found, key=lambda finding: _LEVELS.index(finding.level))


def audit_table(path: Path, config: Config) -> list[Finding]:
    """The same for a file: by the config's columns, codec and split. A file too large to be held is streamed."""
    from terakoya.data.audit.tables import held, streamed

    task_or_stream = held(path, config)
    if task_or_stream is not None:
        task, split = task_or_stream
        return audit(task, split)
    subject, rows = streamed(path, config)
    return sorted(_looked(subject, rows, None), key=lambda finding: _LEVELS.index(finding.level))


def _looked(subject: Subject, rows: Iterable[tuple[Example, Side]], tokenizer: Tokenizer | None) -> Iterator[Finding]:
    checks: Sequence[Check] = _checks(subject, tokenizer)
    canonical = canonical_of(subject.codec)
    sees = [check.see for check in checks]
    for place, (example, side) in enumerate(rows):
        form = form_of(example)
        seen = Seen(example, side, place, form, number_of(form), canonical(example.target))
        for see in sees:
            see(seen)
    for check in checks:
        yield from check.findings()


def _checks(subject: Subject, tokenizer: Tokenizer | None) -> list[Check]:
    checks: list[Check] = [
        Sides(subject),
        Balance(subject),
        Answers(subject),
        Damage(subject),
        Repeats(subject),
        Near(),
        Order(subject),
        Characters(subject),
        Sentences(),
        Lengths(subject),
    ]
    return [*checks, Tokens(subject, tokenizer)] if tokenizer is not None else checks


def _in_order(split: Split) -> list[tuple[Example, Side]]:
    """All rows as they stood in their files; those without a row number last."""
    rows: list[tuple[Example, Side]] = [
        *((example, "train") for example in split.train),
        *((example, "dev") for example in split.dev),
        *((example, "exam") for example in split.exam),
    ]
    return sorted(rows, key=lambda row: (row[0].row == 0, row[0].row))
