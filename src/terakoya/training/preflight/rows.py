"""Rows that the model cannot take: too long, empty, or with characters that it cannot encode. All are named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from terakoya.errors import DataError
from terakoya.i18n import Message, _, joined
from terakoya.models.protocol import Pair
from terakoya.records import Finding
from terakoya.training.preflight.sample import RowSample

_SHOWN = 5  # rows in a message
_MAX_NAMED = 20  # rows in a finding
_MAX_DEV_SHARE = 0.02  # of dev without a prediction; beyond it dev metrics no longer mean what they seem to
_ROW = re.compile(r"row (\d+)$")


def row_findings(sample: RowSample) -> Iterator[Finding]:
    """Rows are never truncated silently, so a row that does not fit would end the training when it is used.

    sample  rows and the reasons why some are rejected
    """
    examined, rows = sample.examined, sample.rows
    if examined == 0:
        yield Finding(
            "rows",
            "stop",
            _("there is nothing to train on"),
            where="train",
            do=_("Look at the split."),
        )
    by_fault: dict[str, list[str]] = {}
    fault_do: dict[str, str] = {}
    for pair, error in sample.rejected:
        fault = re.sub(r"\d+|'[^']*'|\"[^\"]*\"", "…", error.what)
        by_fault.setdefault(fault, []).append(_row_text(pair, error))
        fault_do[fault] = error.do
    for fault, texts in by_fault.items():
        count, left = len(texts), len(texts) - _SHOWN
        shown = joined("; ", texts[:_SHOWN]) + (_("; and {left} more", left=left) if left > 0 else "")
        yield Finding(
            "rows",
            "stop",
            _("{count} of {examined} rows cannot be trained on: {shown}", count=count, examined=examined, shown=shown),
            where="train",
            do=fault_do[fault],
            rows=_row_numbers(texts),
            values={"rows": float(count), "share": count / examined},
        )
    if rows > examined:
        yield Finding(
            "rows",
            "note",
            _("the first {examined:,} of {rows:,} rows were tried", examined=examined, rows=rows),
            where="train",
        )
    yield from _dev_findings(sample)


def _dev_findings(sample: RowSample) -> Iterator[Finding]:
    """Dev rows that the model cannot be shown: they end no training, but cannot be predicted either."""
    if not sample.dev_rejected:
        return
    bad, rows = len(sample.dev_rejected), len(sample.setup.split.dev)
    texts = [_row_text(pair, error) for pair, error in sample.dev_rejected]
    named = joined("; ", texts[:_SHOWN])
    yield Finding(
        "dev-rows",
        "warn" if bad > _MAX_DEV_SHARE * rows else "note",
        _(
            "{bad} of {rows} dev rows cannot be predicted whatever is learnt: {named}. They count as wrong and have "
            "no loss",
            bad=bad,
            rows=rows,
            named=named,
        ),
        where="dev",
        do=_("More rows bring more characters; a larger model.max_source or model.max_target takes longer rows."),
        rows=_row_numbers(texts),
        values={"rows": float(bad), "share": bad / rows},
    )


def _row_numbers(texts: Sequence[str]) -> tuple[int, ...]:
    """The row numbers that the texts of rows begin with, as the audit names them."""
    return tuple(int(found[1]) for text in texts[:_MAX_NAMED] if (found := _ROW.search(text.partition(" (")[0])))


def _row_text(pair: Pair, error: DataError) -> Message:
    name, what = pair.key or pair.query.source[:40], error.what
    return _("{name} ({what})", name=name, what=what)
