"""Out of memory: the error names a setting that fits, or the batch is computed in smaller parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.models import oom
from terakoya.records import Finding
from terakoya.training import malloc

Row = TypeVar("Row")


def release_memory() -> None:
    """Free what the failed attempt left behind; where memory is short none is kept for the next step."""
    oom.release_memory()
    malloc.release_freed_memory()


def split_rows(rows: Sequence[Row], parts: int) -> list[Sequence[Row]]:
    """Rows in parts of equal size, the last one perhaps smaller.

    rows   of a batch
    parts  how many; fewer where there are fewer rows
    """
    each = -(-len(rows) // parts)
    return [rows[start : start + each] for start in range(0, len(rows), each)] if rows else []


def largest_fitting_batch(rows: Sequence[Row], attempt: Callable[[Sequence[Row]], None]) -> int:
    """How many rows (half, a quarter …) fit into memory at once, found by trying; 0: not even one.

    rows     of a batch, the longest first
    attempt  does with rows what needs the memory
    """
    count = len(rows) // 2
    while count:
        try:
            attempt(rows[:count])
            return count
        except (RuntimeError, MemoryError) as error:
            if not oom.is_oom(error):
                raise
        release_memory()
        count //= 2
    return 0


def out_of_memory_error(step: int, rows: int, accumulate: int, fits: int) -> ConfigError:
    """The error that ends a training for want of memory, with the settings that fit.

    step        counted from 1
    rows        that did not fit at once
    accumulate  batches in a step, as configured
    fits        rows that do fit at once; 0: none
    """
    if fits:
        more = accumulate * -(-rows // fits)
        do = _(
            "{fits} rows at once fit: set train.batch_size = {fits} and train.accumulate = {more} (the "
            "same steps), or train.on_oom = 'halve'.",
            fits=fits,
            more=more,
        )
    else:
        do = _(
            "Not even one row fits: choose a smaller model, model.adaptation = 'lora', model.vocabulary = 'trimmed' or "
            "train.checkpointing = true, or leave out the longest rows."
        )
    return ConfigError(
        _("out of memory with {rows} rows at once", rows=rows),
        where=_("step {step}", step=step),
        do=do,
        saved=_SAVED,
    )


_SAVED = _("Nothing of this step was kept; the last checkpoint is sound.")


def smaller_parts_finding(step: int, parts: int, accumulate: int) -> Finding:
    """What is recorded when batches are computed in smaller parts from now on.

    step        at which memory ran out, counted from 1
    parts       of every batch
    accumulate  batches in a step, as configured
    """
    more = accumulate * parts
    return Finding(
        "out-of-memory",
        "warn",
        _(
            "out of memory at step {step}: from here on every batch is computed in {parts} parts. Rows, gradients and "
            "updates of a step stay the same; only dropout masks differ",
            step=step,
            parts=parts,
        ),
        do=_(
            "To spare the attempt: train.batch_size divided by {parts} and train.accumulate = {more}.",
            parts=parts,
            more=more,
        ),
        values={"step": float(step), "parts": float(parts)},
    )
