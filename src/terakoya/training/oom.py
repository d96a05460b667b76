"""Out of memory: recognised whoever says it, answered with the setting that fits or with smaller parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from terakoya.errors import ConfigError
from terakoya.i18n import both
from terakoya.models import oom
from terakoya.records import Finding
from terakoya.training import malloc

Row = TypeVar("Row")


def released() -> None:
    """Give back what the failed attempt left behind; where memory is short none is held for the next step."""
    oom.released()
    malloc.give_back()


def parted(rows: Sequence[Row], parts: int) -> list[Sequence[Row]]:
    """Rows in `parts` parts of equal size, the last one perhaps smaller; fewer parts where there are fewer rows."""
    each = -(-len(rows) // parts)
    return [rows[place : place + each] for place in range(0, len(rows), each)] if rows else []


def largest_that_fits(rows: Sequence[Row], attempt: Callable[[Sequence[Row]], None]) -> int:
    """How many of these rows (half, a quarter …) can be worked on at once, found by trying; 0: not even one."""
    count = len(rows) // 2
    while count:
        try:
            attempt(rows[:count])
            return count
        except (RuntimeError, MemoryError) as error:
            if not oom.is_oom(error):
                raise
        released()
        count //= 2
    return 0


def refusal(step: int, rows: int, accumulate: int, fits: int) -> ConfigError:
    """`rows` at once were too many, `fits` are not."""
    if fits:
        more = -(-rows // fits)
        do = both(
            f"{fits} rows at once fit: set train.batch_size = {fits} and train.accumulate = {accumulate * more} (the "
            "same steps), or train.on_oom = 'halve'.",
            f"一度に{fits}行なら入る：train.batch_size = {fits} と"
            f" train.accumulate = {accumulate * more}（同じステップになる）にするか、"
            "train.on_oom = 'halve' とすること。",
        )
    else:
        do = both(
            "Not even one row fits: take a smaller model, model.adaptation = 'lora', model.vocabulary = 'trimmed' or "
            "train.checkpointing = true, or leave out the longest rows.",
            "一行も入らない：小さなモデル、model.adaptation = 'lora'、"
            "model.vocabulary = 'trimmed'、train.checkpointing = true のいずれかにするか、"
            "最も長い行を外すこと。",
        )
    return ConfigError(
        both(f"out of memory with {rows} rows at once", f"一度に{rows}行でメモリが足りない"),
        where=both(f"step {step}", f"ステップ{step}"),
        do=do,
        saved=KEPT,
    )


KEPT = both(
    "Nothing of this step was kept; the last checkpoint is sound.",
    "このステップのものは何も残していない。最後のチェックポイントは無事である。",
)


def halved(step: int, parts: int, accumulate: int) -> Finding:
    """What is recorded when the batch was parted."""
    return Finding(
        "out-of-memory",
        "warn",
        both(
            f"out of memory at step {step}: from here on every batch is worked on in {parts} parts. Rows, "
            "gradients and "
            "updates of a step stay the same; dropout is drawn otherwise",
            f"ステップ{step}でメモリが足りなくなった：これ以後、"
            f"どのバッチも{parts}個に分けて計算する。ステップの行・勾配・更新は同じで、"
            "ドロップアウトの引き方だけが変わる",
        ),
        do=both(
            f"To spare the attempt: train.batch_size divided by {parts} and train.accumulate = {accumulate * parts}.",
            f"この試みを省くには：train.batch_size を{parts}で割り、"
            f"train.accumulate = {accumulate * parts} とすること。",
        ),
        values={"step": float(step), "parts": float(parts)},
    )
