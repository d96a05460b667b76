"""Reports of a run or a sweep: as Markdown, as one self-contained HTML page, as a table."""

from terakoya.reporting.csv_export import csv
from terakoya.reporting.markdown import markdown
from terakoya.reporting.page import html
from terakoya.reporting.record import ComparedSettings, RunRecord, SweepRecord, read_record
from terakoya.reporting.sweep import index_page, sweep_html, sweep_markdown
from terakoya.reporting.translations import language

__all__ = [
    "ComparedSettings",
    "RunRecord",
    "SweepRecord",
    "csv",
    "html",
    "index_page",
    "language",
    "markdown",
    "read_record",
    "sweep_html",
    "sweep_markdown",
]
