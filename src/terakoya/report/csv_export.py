"""The answers as a table for other programs: source, target, inference, match."""

from __future__ import annotations

import csv as tables
import io

from terakoya.report.escaping import spreadsheet_cell
from terakoya.report.figures import is_right
from terakoya.report.record import Record

COLUMNS = ("source", "target", "inference", "match")


def csv(record: Record, for_spreadsheet: bool = False) -> str:
    """One row for each item of the exam, byte for byte what was asked and answered (raw where it was unreadable).

    `for_spreadsheet`: cells that a spreadsheet would take for a formula get an apostrophe in front.
    """
    guard = spreadsheet_cell if for_spreadsheet else str
    out = io.StringIO(newline="")
    writer = tables.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for item in record.predictions:
        answer = item.get("prediction")
        given = item.get("raw", "") if answer is None else answer
        texts = (guard(str(text)) for text in (item.get("source", ""), item.get("target", ""), given))
        writer.writerow([*texts, "true" if is_right(item) else "false"])
    return out.getvalue()
