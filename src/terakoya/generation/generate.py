"""Examples made by a teacher: paid once, kept whatever happens, balanced while they are made.

Read `generate` first: what may not be spent is refused before anything is sent, then the generation runs (or goes on)
in its own folder, and the finished data set is written at once and whole.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from terakoya.config import Config, TeacherConfig
from terakoya.errors import TerakoyaError
from terakoya.generation.cost_estimate import estimated
from terakoya.generation.output import Generated, read_generated, write_made, write_rejected
from terakoya.generation.prepare import make_teacher, open_asking, open_ledger, refuse, rules_of
from terakoya.generation.recipe import Recipe, find_recipe
from terakoya.generation.resume import hold_to, identity
from terakoya.generation.run import Generation, Manner
from terakoya.generation.sources import content_of, sources
from terakoya.generation.teacher.ledger import JOURNAL, Ledger
from terakoya.generation.teacher.ledger_index import INDEX, update_index
from terakoya.generation.teacher.protocol import NANO
from terakoya.generation.teacher.rate_limits import PATIENCE, Patience
from terakoya.i18n import both, japanese
from terakoya.progress import Listener, Silent
from terakoya.runs import Lock, disk_faults

__all__ = ["DATA", "REJECTED", "Generated", "generate", "read_generated"]
DATA, REJECTED = "data.jsonl", "rejected.jsonl"


def generate(
    config: Config,
    folder: Path,
    output: Path,
    *,
    estimate: bool = False,
    i_have_the_right: bool = False,
    listener: Listener | None = None,
    home: Path = Path(),
    patience: Patience = PATIENCE,
) -> Generated:
    """Make the data set `output` (.jsonl or .csv) in the generation folder `folder`, or go on with it.

    `estimate` sends nothing and says what it would cost. `home` is what paths of the config are relative to. Raises
    TerakoyaError with what is kept and what it cost; the same command goes on from there and buys nothing twice.
    """
    teacher, recipe = config.teacher, find_recipe(config.teacher.recipe, home)
    refuse(config, i_have_the_right)
    if estimate:
        told = estimated(config, recipe, folder, home)
        return Generated(0, teacher.samples, False, None, folder / JOURNAL, currency=teacher.currency, estimate=told)
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = Lock(folder / ".lock")
    lock.acquire()
    try:
        now = identity(config, recipe.fingerprint, content_of(teacher.sources or recipe.sources, home))
        hold_to(folder, now, {"licence": teacher.licence, "i_have_the_right": i_have_the_right})
        return _in_own_loop(_generate(config, recipe, folder, output, home, listener or Silent(), patience))
    finally:
        lock.release()


async def _generate(
    config: Config, recipe: Recipe, folder: Path, output: Path, home: Path, listener: Listener, patience: Patience
) -> Generated:
    start = time.monotonic()
    rules = rules_of(config, recipe)
    teacher = make_teacher(config.teacher, recipe, rules)
    ledger = open_ledger(config.teacher, folder) if teacher.paid else None
    asking = open_asking(config.teacher, teacher, ledger, patience)
    manner = Manner(
        config.teacher.model or teacher.name,
        config.teacher.max_tokens,
        config.teacher.temperature,
        config.seed,
        config.teacher.max_rejected,
    )
    listener.stage(
        "generate",
        both(
            f"{config.teacher.samples:,} rows by {recipe.name}, teacher {manner.model}",
            f"{recipe.name} で{config.teacher.samples:,}行、教師モデルは {manner.model}",
        ),
    )
    run = Generation(
        recipe,
        manner,
        rules,
        sources(config, config.teacher.sources or recipe.sources, home),
        asking,
        listener=listener,
        patience=patience,
    )
    try:
        await run.run()
    except TerakoyaError as error:
        error.saved = error.saved or _saved(run, ledger, folder, config.teacher.currency)
        raise
    finally:
        await teacher.close()
        notes = await _put_away(run, ledger, folder)
    generated = _told(run, ledger, config.teacher, folder, time.monotonic() - start, notes)
    if not run.meter.done:
        return generated
    write_made(output, run.rows)
    return replace(generated, complete=True, output=output)


async def _put_away(run: Generation, ledger: Ledger | None, folder: Path) -> tuple[str, ...]:
    """Rows so far, rejected rows and the index; on a full disk they can be made again from the journal."""
    notes: list[str] = []
    if ledger is not None:
        try:
            await ledger.close()
            update_index(ledger.path, folder / INDEX)
            (folder / INDEX).chmod(0o600)
        except (sqlite3.Error, TerakoyaError) as error:
            notes.append(
                both(
                    f"the index could not be brought up to date ({error}); the journal is whole",
                    f"索引を更新できなかった（{error}）。記録そのものは無事である",
                )
            )
    try:
        write_made(folder / DATA, run.rows)
        write_rejected(folder / REJECTED, run.rejected)
    except TerakoyaError as error:
        if run.asking.fatal is None:
            raise
        notes.append(both(str(error), error.words("ja")))
    return tuple(notes)


def _saved(run: Generation, ledger: Ledger | None, folder: Path, currency: str) -> str:
    if ledger is None:
        return both(
            f"{len(run.rows):,} rows so far lie in {folder / DATA}.",
            f"これまでの{len(run.rows):,}行は {folder / DATA} にある。",
        )
    unknown = (
        both(
            f", of it {ledger.lost / NANO:.6f} unknown and counted as spent",
            f"、うち {ledger.lost / NANO:.6f} は不明で、使ったものとして数える",
        )
        if ledger.lost
        else ""
    )
    return both(
        f"{ledger.answers:,} answers are kept in {ledger.path}, {len(run.rows):,} rows so far in {folder / DATA}; "
        f"spent {ledger.committed / NANO:.6f} {currency}{unknown}.",
        f"回答{ledger.answers:,}件は {ledger.path} に、"
        f"これまでの{len(run.rows):,}行は {folder / DATA} にある。"
        f"支出は {ledger.committed / NANO:.6f} {currency}{japanese(unknown)}。",
    )


def _told(
    run: Generation, ledger: Ledger | None, teacher: TeacherConfig, folder: Path, seconds: float, notes: tuple[str, ...]
) -> Generated:
    if len(run.asking.models) > 1:
        notes = (
            *notes,
            both(
                f"the provider answered with several models: {', '.join(sorted(run.asking.models))}",
                f"提供元が複数のモデルで答えた：{', '.join(sorted(run.asking.models))}",
            ),
        )
    if not run.meter.done:
        notes = (*notes, both("the sentences ran out before enough rows were made", "必要な行数に届く前に文が尽きた"))
    return Generated(
        rows=len(run.rows),
        wanted=teacher.samples,
        complete=False,
        output=None,
        ledger=folder / JOURNAL,
        rejected=dict(run.reasons),
        cost=ledger.committed / NANO if ledger else 0.0,
        unknown=ledger.lost / NANO if ledger else 0.0,
        currency=teacher.currency,
        requests=ledger.requests if ledger else 0,
        reused=run.asking.reused,
        seconds=seconds,
        labels=run.meter.top(20),
        uses=run.meter.uses,
        kinds=len(run.meter.counts),
        notes=notes,
    )


def _in_own_loop(work: Coroutine[Any, Any, Generated]) -> Generated:
    """A notebook has a loop of its own already; there the work gets a thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    done: list[Generated | BaseException] = []

    def go() -> None:
        try:
            done.append(asyncio.run(work))
        except BaseException as error:
            done.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    if isinstance(done[0], BaseException):
        raise done[0]
    return done[0]
