"""Values in, page out: a run or a series as Markdown, as one self-contained HTML page, as a table."""

from terakoya.data.statistics import dataset_statistics
from terakoya.report.csv_export import csv
from terakoya.report.markdown import markdown
from terakoya.report.page import html
from terakoya.report.record import Compared, Record, SeriesRecord, read_record
from terakoya.report.sweep import index_page, series_markdown, series_page
from terakoya.report.translations import language

__all__ = [
    "Compared",
    "Record",
    "SeriesRecord",
    "csv",
    "dataset_statistics",
    "html",
    "index_page",
    "language",
    "markdown",
    "read_record",
    "series_markdown",
    "series_page",
]
