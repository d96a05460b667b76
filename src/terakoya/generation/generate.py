"""Generating a data set with a teacher.

Read `generate` first: spending that is not permitted is refused before anything is sent, then the generation runs (or
resumes) in its own folder, and the finished data set is written atomically.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from terakoya.config import Config, TeacherConfig
from terakoya.errors import TerakoyaError
from terakoya.generation.by_teacher import (
    TeacherSummary,
    notes_on_teachers,
    require_none_left_open,
    teacher_summaries,
    write_summaries,
)
from terakoya.generation.configured import planned_ahead
from terakoya.generation.cost_estimate import estimate_cost
from terakoya.generation.merging import record_shard
from terakoya.generation.output import (
    DATA,
    REJECTED,
    GeneratedRow,
    GenerationResult,
    read_generated,
    write_rejected,
    write_rows,
)
from terakoya.generation.permission import require_permission_to_spend
from terakoya.generation.prepare import make_pool, rules_of
from terakoya.generation.recipe import Recipe, find_recipe
from terakoya.generation.replacing import remember_own_output, require_output, write_output
from terakoya.generation.resume import identity, require_same_identity
from terakoya.generation.run import WINDOW, Generation
from terakoya.generation.shards import Shard, require_one_kind, shard_config, shard_sources
from terakoya.generation.sources import source_fingerprint, source_sentences
from terakoya.generation.teacher.ledger import JOURNAL, Ledger
from terakoya.generation.teacher.ledger_index import INDEX, update_index
from terakoya.generation.teacher.protocol import NANO
from terakoya.generation.teacher.rate_limits import RETRY_POLICY, RetryPolicy
from terakoya.generation.teacher.spending import flag_note
from terakoya.i18n import _, joined
from terakoya.runs import Lock, disk_faults
from terakoya.runs.progress import Listener, SilentListener

if TYPE_CHECKING:
    from terakoya.generation.teacher.batches import BatchPolicy

__all__ = ["DATA", "REJECTED", "GenerationResult", "generate", "read_generated"]
T = TypeVar("T")


def generate(
    config: Config,
    folder: Path,
    output: Path,
    *,
    estimate: bool = False,
    i_have_the_right: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
    home: Path = Path(),
    retry_policy: RetryPolicy = RETRY_POLICY,
    shard: Shard | None = None,
    batch_policy: BatchPolicy | None = None,
) -> GenerationResult:
    """Generate a data set, or resume its generation; no response is ever paid for twice.

    config            the whole config; section [teacher] decides
    folder            the generation folder: ledger, partial rows, rejected rows
    output            where the finished data set is written (.jsonl or .csv)
    estimate          send nothing, and return the estimated cost
    i_have_the_right  the user vouches for training on this teacher's output
    overwrite         replace a file at `output` that this generation did not write
    listener          receives progress; default: none
    home              the folder that paths of the config are relative to
    retry_policy      waits and limits of failing requests
    shard             the part that this process generates, with a ledger of its own; None: the whole. A shard writes
                      no data set: `merging.merge` does
    batch_policy      waits of batches; None: those of everyday use
    Returns a summary. Raises TerakoyaError that says what was kept and spent; the same call resumes from there.
    """
    recipe = find_recipe(config.teacher.recipe, home)
    require_permission_to_spend(config, i_have_the_right)
    require_one_kind(folder, shard)
    if shard is not None:
        config, folder = shard_config(config, shard), folder / shard.folder
    teacher = config.teacher
    if estimate:
        expected = estimate_cost(config, recipe, folder, home)
        return GenerationResult(
            0, teacher.samples, False, None, folder / JOURNAL, currency=teacher.currency, estimate=expected
        )
    if shard is None:
        require_output(output, folder, overwrite=overwrite)
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = Lock(folder / ".lock")
    lock.acquire()
    try:
        corpus = source_fingerprint(teacher.sources or recipe.sources, home)
        now = identity(config, recipe.fingerprint, corpus, str(shard or ""))
        facts = {"licence": teacher.licence, "i_have_the_right": i_have_the_right}
        first_teacher = require_same_identity(folder, now, facts)
        if shard is None:
            remember_own_output(output, folder)
        generated, rows = _run_in_own_loop(
            _generate(
                config,
                recipe,
                folder,
                home,
                listener or SilentListener(),
                retry_policy,
                shard,
                batch_policy,
                first_teacher,
            )
        )
        if shard is not None:
            record_shard(folder, teacher.samples, complete=generated.complete)
            return replace(generated, output=folder / DATA)
        if not generated.complete:
            return generated
        write_output(output, rows, folder, overwrite=overwrite)
        return replace(generated, output=output)
    finally:
        lock.release()


async def _generate(
    config: Config,
    recipe: Recipe,
    folder: Path,
    home: Path,
    listener: Listener,
    retry_policy: RetryPolicy,
    shard: Shard | None,
    batch_policy: BatchPolicy | None,
    first_teacher: str,
) -> tuple[GenerationResult, Sequence[GeneratedRow]]:
    """The summary, `complete` where enough rows were accepted, and these rows."""
    start = time.monotonic()
    rules = rules_of(config, recipe)
    pool, ledger = make_pool(config, recipe, rules, folder, retry_policy, batch_policy, first_teacher)
    samples, models = config.teacher.samples, ", ".join(one.settings.model for one in pool.members.values())
    listener.stage(
        "generate",
        _("{samples:,} rows by {name}, teacher {model}", samples=samples, name=recipe.name, model=models),
    )
    run = Generation(
        recipe,
        next(iter(pool.members.values())).settings,
        rules,
        shard_sources(source_sentences(config, config.teacher.sources or recipe.sources, home), shard),
        pool,
        listener=listener,
        retry_policy=retry_policy,
        window=planned_ahead(config.teacher) or WINDOW,
    )
    try:
        await run.run()
        require_none_left_open(run)
    except TerakoyaError as error:
        error.saved = joined(" ", (error.saved or _saved(run, ledger, folder, config.teacher.currency), *_blame(run)))
        lines = (one.words(config.teacher.currency) for one in _teachers(run, ledger, config.teacher))
        error.saved = joined("\n", (error.saved, *lines))
        raise
    finally:
        await pool.close()
        notes = await _write_partial(run, ledger, folder)
        write_summaries(folder, _teachers(run, ledger, config.teacher), config.teacher.currency)
    generated = _summary(run, ledger, config.teacher, folder, time.monotonic() - start, notes)
    return replace(generated, complete=run.counter.done), run.rows


async def _write_partial(run: Generation, ledger: Ledger | None, folder: Path) -> tuple[str, ...]:
    """Write rows so far, rejected rows and the index; on a full disk all can be rebuilt from the journal."""
    notes: list[str] = []
    if ledger is not None:
        try:
            await ledger.close()
            update_index(ledger.path, folder / INDEX)
            (folder / INDEX).chmod(0o600)
        except (sqlite3.Error, TerakoyaError) as error:
            notes.append(_("the index could not be updated ({error}); the journal is intact", error=error))
    try:
        write_rows(folder / DATA, run.rows)
        write_rejected(folder / REJECTED, run.rejections.rows)
        for path in (folder / DATA, folder / REJECTED):  # both quote the raw traffic
            path.chmod(0o600)
    except TerakoyaError as error:
        if run.client.fatal is None:
            raise
        notes.append(error.message)
    return tuple(notes)


def _saved(run: Generation, ledger: Ledger | None, folder: Path, currency: str) -> str:
    rows, data = len(run.rows), folder / DATA
    if ledger is None:
        return _("{rows:,} rows so far are in {data}.", rows=rows, data=data)
    return joined(
        " ",
        (
            _(
                "{response_count:,} responses are kept in {path}, {rows:,} rows so far in {data}.",
                response_count=ledger.response_count,
                path=ledger.path,
                rows=rows,
                data=data,
            ),
            ledger.summary(currency),
        ),
    )


def _blame(run: Generation) -> tuple[str, ...]:
    """Where most rows were rejected, by what, and an example; () where they were not, or the error says it already."""
    rejections, rows = run.rejections, len(run.rows)
    if rejections.by_teacher <= rows or rejections.reported:
        return ()
    return (
        _(
            "{bad} of {checked} rows were rejected ({reasons}); {commonest}.",
            bad=rejections.by_teacher,
            checked=rows + len(rejections.rows),
            reasons=rejections.top(),
            commonest=rejections.commonest(),
        ),
    )


def _summary(
    run: Generation, ledger: Ledger | None, teacher: TeacherConfig, folder: Path, seconds: float, notes: tuple[str, ...]
) -> GenerationResult:
    teachers = _teachers(run, ledger, teacher)
    notes = (*notes, *notes_on_teachers(teachers))
    if run.client.models:
        models = ", ".join(sorted(run.client.models))
        notes = (
            *notes,
            _("the provider used several models: {models}", models=models),
        )
    for flag, count in sorted(ledger.flags.items()) if ledger else ():
        notes = (*notes, flag_note(flag, count, teacher.currency))
    if not run.counter.done:
        notes = (
            *notes,
            _("the source sentences ran out before enough rows were accepted"),
        )
        notes = (*notes, *_blame(run))
    return GenerationResult(
        rows=len(run.rows),
        wanted=teacher.samples,
        complete=False,
        output=None,
        ledger=folder / JOURNAL,
        rejected=dict(run.rejections.counts),
        cost=ledger.committed / NANO if ledger else 0.0,
        reported=ledger.reported / NANO if ledger else 0.0,
        estimated=(ledger.spent - ledger.reported) / NANO if ledger else 0.0,
        unknown=ledger.at_risk / NANO if ledger else 0.0,
        currency=teacher.currency,
        requests=ledger.requests if ledger else 0,
        reused=run.client.reused,
        seconds=seconds,
        labels=run.counter.top(20),
        uses=run.counter.label_uses,
        kinds=len(run.counter.counts),
        notes=notes,
        teachers=teachers,
    )


def _teachers(run: Generation, ledger: Ledger | None, teacher: TeacherConfig) -> tuple[TeacherSummary, ...]:
    return teacher_summaries(teacher, ledger.accounts if ledger else {}, run.tallies, run.client.out)


def _run_in_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine to its end; inside a notebook, which has a running event loop, in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    done: list[T | BaseException] = []

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
