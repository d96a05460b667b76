"""The predictions as a table for other programs: source, target, inference, match."""

from __future__ import annotations

import csv as tables
import io

from terakoya.reporting.breakdowns import is_right
from terakoya.reporting.escaping import spreadsheet_cell
from terakoya.reporting.record import RunRecord

COLUMNS = ("source", "target", "inference", "match")


def csv(record: RunRecord, for_spreadsheet: bool = False) -> str:
    """CSV text with one row for each item of the exam: source and prediction unchanged (raw where unreadable).

    record           the run
    for_spreadsheet  True: cells that a spreadsheet would take for a formula get an apostrophe in front
    """
    guard = spreadsheet_cell if for_spreadsheet else str
    out = io.StringIO(newline="")
    writer = tables.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for item in record.predictions:
        prediction = item.get("prediction")
        inference = item.get("raw", "") if prediction is None else prediction
        texts = (guard(str(text)) for text in (item.get("source", ""), item.get("target", ""), inference))
        writer.writerow([*texts, "true" if is_right(item) else "false"])
    return out.getvalue()
