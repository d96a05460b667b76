"""Generating a data set with a teacher.

Read `generate` first: spending that is not permitted is refused before anything is sent, then the generation runs (or
resumes) in its own folder, and the finished data set is written atomically.
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
from terakoya.generation.cost_estimate import estimate_cost
from terakoya.generation.output import GenerationResult, read_generated, write_rejected, write_rows
from terakoya.generation.prepare import make_client, make_teacher, open_ledger, require_permission_to_spend, rules_of
from terakoya.generation.recipe import Recipe, find_recipe
from terakoya.generation.resume import identity, require_same_identity
from terakoya.generation.run import Generation, RequestSettings
from terakoya.generation.sources import source_fingerprint, source_sentences
from terakoya.generation.teacher.ledger import JOURNAL, Ledger
from terakoya.generation.teacher.ledger_index import INDEX, update_index
from terakoya.generation.teacher.protocol import NANO
from terakoya.generation.teacher.rate_limits import RETRY_POLICY, RetryPolicy
from terakoya.i18n import both, japanese
from terakoya.progress import Listener, SilentListener
from terakoya.runs import Lock, disk_faults

__all__ = ["DATA", "REJECTED", "GenerationResult", "generate", "read_generated"]
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
    retry_policy: RetryPolicy = RETRY_POLICY,
) -> GenerationResult:
    """Generate a data set, or resume its generation; no response is ever paid for twice.

    config            the whole config; section [teacher] decides
    folder            the generation folder: ledger, partial rows, rejected rows
    output            where the finished data set is written (.jsonl or .csv)
    estimate          send nothing, and return the estimated cost
    i_have_the_right  the user vouches for training on this teacher's output
    listener          receives progress; default: none
    home              the folder that paths of the config are relative to
    retry_policy      waits and limits of failing requests
    Returns a summary. Raises TerakoyaError that says what was kept and spent; the same call resumes from there.
    """
    teacher, recipe = config.teacher, find_recipe(config.teacher.recipe, home)
    require_permission_to_spend(config, i_have_the_right)
    if estimate:
        expected = estimate_cost(config, recipe, folder, home)
        return GenerationResult(
            0, teacher.samples, False, None, folder / JOURNAL, currency=teacher.currency, estimate=expected
        )
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = Lock(folder / ".lock")
    lock.acquire()
    try:
        now = identity(config, recipe.fingerprint, source_fingerprint(teacher.sources or recipe.sources, home))
        require_same_identity(folder, now, {"licence": teacher.licence, "i_have_the_right": i_have_the_right})
        return _run_in_own_loop(
            _generate(config, recipe, folder, output, home, listener or SilentListener(), retry_policy)
        )
    finally:
        lock.release()


async def _generate(
    config: Config,
    recipe: Recipe,
    folder: Path,
    output: Path,
    home: Path,
    listener: Listener,
    retry_policy: RetryPolicy,
) -> GenerationResult:
    start = time.monotonic()
    rules = rules_of(config, recipe)
    teacher = make_teacher(config.teacher, recipe, rules)
    ledger = open_ledger(config.teacher, folder) if teacher.paid else None
    client = make_client(config.teacher, teacher, ledger, retry_policy)
    settings = RequestSettings(
        config.teacher.model or teacher.name,
        config.teacher.max_tokens,
        config.teacher.temperature,
        config.seed,
        config.teacher.max_rejected,
    )
    samples = config.teacher.samples
    listener.stage(
        "generate",
        both(
            f"{samples:,} rows by {recipe.name}, teacher {settings.model}",
            f"{recipe.name} で{samples:,}行、教師モデルは {settings.model}",
        ),
    )
    run = Generation(
        recipe,
        settings,
        rules,
        source_sentences(config, config.teacher.sources or recipe.sources, home),
        client,
        listener=listener,
        retry_policy=retry_policy,
    )
    try:
        await run.run()
    except TerakoyaError as error:
        error.saved = error.saved or _saved(run, ledger, folder, config.teacher.currency)
        raise
    finally:
        await teacher.close()
        notes = await _write_partial(run, ledger, folder)
    generated = _summary(run, ledger, config.teacher, folder, time.monotonic() - start, notes)
    if not run.counter.done:
        return generated
    write_rows(output, run.rows)
    return replace(generated, complete=True, output=output)


async def _write_partial(run: Generation, ledger: Ledger | None, folder: Path) -> tuple[str, ...]:
    """Write rows so far, rejected rows and the index; on a full disk all can be rebuilt from the journal."""
    notes: list[str] = []
    if ledger is not None:
        try:
            await ledger.close()
            update_index(ledger.path, folder / INDEX)
            (folder / INDEX).chmod(0o600)
        except (sqlite3.Error, TerakoyaError) as error:
            notes.append(
                both(
                    f"the index could not be updated ({error}); the journal is intact",
                    f"索引を更新できなかった（{error}）。記録（journal）は無事である",
                )
            )
    try:
        write_rows(folder / DATA, run.rows)
        write_rejected(folder / REJECTED, run.rejected)
    except TerakoyaError as error:
        if run.client.fatal is None:
            raise
        notes.append(error.message)
    return tuple(notes)


def _saved(run: Generation, ledger: Ledger | None, folder: Path, currency: str) -> str:
    rows, data = len(run.rows), folder / DATA
    if ledger is None:
        return both(f"{rows:,} rows so far are in {data}.", f"これまでの{rows:,}行は {data} にある。")
    lost, spent = ledger.lost / NANO, ledger.committed / NANO
    unknown = (
        both(
            f", of which {lost:.6f} has no recorded outcome and counts as spent",
            f"、うち {lost:.6f} は結果が不明で、支出として数える",
        )
        if ledger.lost
        else ""
    )
    return both(
        f"{ledger.response_count:,} responses are kept in {ledger.path}, {rows:,} rows so far in {data}; "
        f"spent {spent:.6f} {currency}{unknown}.",
        f"応答{ledger.response_count:,}件は {ledger.path} に、これまでの{rows:,}行は {data} にある。"
        f"支出は {spent:.6f} {currency}{japanese(unknown)}。",
    )


def _summary(
    run: Generation, ledger: Ledger | None, teacher: TeacherConfig, folder: Path, seconds: float, notes: tuple[str, ...]
) -> GenerationResult:
    if len(run.client.models) > 1:
        models = ", ".join(sorted(run.client.models))
        notes = (
            *notes,
            both(f"the provider used several models: {models}", f"提供元が複数のモデルを使った：{models}"),
        )
    if not run.counter.done:
        notes = (
            *notes,
            both("the source sentences ran out before enough rows were accepted", "必要な行数に届く前に文が尽きた"),
        )
    return GenerationResult(
        rows=len(run.rows),
        wanted=teacher.samples,
        complete=False,
        output=None,
        ledger=folder / JOURNAL,
        rejected=dict(run.rejection_counts),
        cost=ledger.committed / NANO if ledger else 0.0,
        unknown=ledger.lost / NANO if ledger else 0.0,
        currency=teacher.currency,
        requests=ledger.requests if ledger else 0,
        reused=run.client.reused,
        seconds=seconds,
        labels=run.counter.top(20),
        uses=run.counter.label_uses,
        kinds=len(run.counter.counts),
        notes=notes,
    )


def _run_in_own_loop(work: Coroutine[Any, Any, GenerationResult]) -> GenerationResult:
    """Run the coroutine to its end; inside a notebook, which has a running event loop, in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    done: list[GenerationResult | BaseException] = []

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
