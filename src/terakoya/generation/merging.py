"""The shards of a generation made one data set, in the order of the source sentences, as one process plans them.

Nothing is merged before every shard is complete and belongs to the same config, recipe and sources. What only shows
when the parts meet, a text that two of them made or a label above its quota, is left out, counted, and reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from terakoya.codec.text import normalise_source
from terakoya.config import Config, TeacherConfig
from terakoya.data.formats import read_rows
from terakoya.errors import CorruptError, DataError, IncompatibleError
from terakoya.generation.balance import LabelCounter
from terakoya.generation.by_teacher import tallies_of, teacher_summaries, write_summaries
from terakoya.generation.filters import parse_labels
from terakoya.generation.output import DATA, TEACHER, GeneratedRow, GenerationResult
from terakoya.generation.prepare import rules_of
from terakoya.generation.recipe import Recipe, find_recipe
from terakoya.generation.replacing import remember_own_output, require_output, write_output
from terakoya.generation.resume import FILE, changed_keys, identity
from terakoya.generation.shards import Shard, shard_config, shard_folders
from terakoya.generation.sources import source_fingerprint, source_sentences
from terakoya.generation.teacher.ledger import JOURNAL
from terakoya.generation.teacher.ledger_journal import read_journal
from terakoya.generation.teacher.protocol import NANO
from terakoya.generation.teacher.spending import TeacherAccount
from terakoya.i18n import _, joined
from terakoya.runs import Lock, read_json, write_json

PROGRESS = "shard.json"
_PLANNED_BEYOND = 10_000  # sentences that a shard plans, or rejects, before its first row
_AGAIN = _("Run this shard again: its rows are written anew from its ledger, and nothing is paid twice.")


@dataclass
class _Merged:
    """The rows of all shards, and what was left out of them."""

    rows: list[GeneratedRow] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)


def record_shard(folder: Path, samples: int, *, complete: bool) -> None:
    """Say in the shard's folder how far it is: `merge` believes nothing else.

    folder    of the shard
    samples   rows that it was to make
    complete  whether it has made enough
    """
    write_json(folder / PROGRESS, {"format": 1, "samples": samples, "complete": complete})


def merge(
    config: Config, folder: Path, output: Path, *, overwrite: bool = False, home: Path = Path()
) -> GenerationResult:
    """Write the data set of a generation whose shards are complete; nothing is sent, and no ledger is changed.

    config     the whole config, as every shard was given it
    folder     the generation folder, which holds the shards
    output     where the data set is written (.jsonl or .csv)
    overwrite  replace a file at `output` that this generation did not write
    home       the folder that paths of the config are relative to
    Returns a summary; it is complete where as many rows are left as were wanted. Raises DataError that names the
    shards which are missing or incomplete, and IncompatibleError for shards of another config.
    """
    require_output(output, folder, overwrite=overwrite)
    parts = shard_folders(folder)
    _require_all(parts, folder)
    recipe = find_recipe(config.teacher.recipe, home)
    lock = Lock(folder / ".lock")
    lock.acquire()
    try:
        _require_same(config, recipe, parts, home)
        _require_complete(config, parts)
        remember_own_output(output, folder)
        read = {shard: _rows(shard, path, recipe) for shard, path in parts.items()}
        positions = _positions(config, recipe, read, home)
        rows = sorted(
            (row for found in read.values() for row in found), key=lambda row: _position(row, positions, folder)
        )
        merged = _checked(rows, config, recipe)
        write_output(output, merged.rows, folder, overwrite=overwrite)
        return _summary(config, parts, folder, output, merged)
    finally:
        lock.release()


def _require_all(parts: Mapping[Shard, Path], folder: Path) -> None:
    counts = {shard.count for shard in parts}
    if len(counts) > 1:
        raise IncompatibleError(
            _("shards of several divisions lie here: {counts}", counts=", ".join(f"i/{one}" for one in sorted(counts))),
            where=str(folder),
            do=_("Keep the folders of one division, and move the others away."),
        )
    if not counts:
        raise DataError(
            _("there are no shards to merge"), where=str(folder), do=_("Generate them first, with --shard i/n.")
        )
    missing = [one for at in range(1, counts.copy().pop() + 1) if (one := Shard(at, max(counts))) not in parts]
    if missing:
        raise _not_ready(_("{count} shards were not begun", count=len(missing)), missing, folder)


def _not_ready(what: str, shards: Sequence[Shard], where: Path) -> DataError:
    return DataError(
        joined("", (what, ": ", ", ".join(map(str, shards[:20])), " …" if len(shards) > 20 else "")),
        where=str(where),
        do=_("Run `terakoya generate` with --shard {shard} and so on, then --merge again.", shard=shards[0]),
    )


def _require_same(config: Config, recipe: Recipe, parts: Mapping[Shard, Path], home: Path) -> None:
    corpus = source_fingerprint(config.teacher.sources or recipe.sources, home)
    for shard, path in parts.items():
        if not (path / FILE).is_file():
            raise _not_ready(_("{count} shards were not begun", count=1), [shard], path)
        now = identity(shard_config(config, shard), recipe.fingerprint, corpus, str(shard))
        if changes := changed_keys(path, now):
            raise IncompatibleError(
                _("this shard belongs to another generation; changed: {changes}", changes=changes),
                where=str(path),
                do=_("Merge with the config that the shards were made with."),
            )


def _require_complete(config: Config, parts: Mapping[Shard, Path]) -> None:
    incomplete = []
    for shard, path in parts.items():
        progress: Mapping[str, Any] = read_json(path / PROGRESS) if (path / PROGRESS).is_file() else {}
        enough = progress.get("samples", 0) >= shard_config(config, shard).teacher.samples
        if not (progress.get("complete") and enough):
            incomplete.append(shard)
    if incomplete:
        raise _not_ready(
            _("{count} shards are not complete", count=len(incomplete)), incomplete, parts[incomplete[0]].parent
        )


def _positions(
    config: Config, recipe: Recipe, rows: Mapping[Shard, Sequence[GeneratedRow]], home: Path
) -> dict[str, int]:
    """Normal form of each source sentence of `rows` → its place in the order in which one process plans them.

    The corpus has no end. Sentences are read until every row has its place, and none that a shard can have planned is
    left: only a row that was changed has no place then.
    """
    wanted = {normalise_source(row.original) for found in rows.values() for row in found}
    found: dict[str, int] = {}
    sentences = source_sentences(config, config.teacher.sources or recipe.sources, home)
    for position, sentence in enumerate(sentences):
        form = normalise_source(sentence.text)
        if form in wanted:
            found[form] = position
        if len(found) == len(wanted) or position > len(rows) * (_PLANNED_BEYOND + 100 * len(wanted)):
            break
    return found


def _position(row: GeneratedRow, positions: Mapping[str, int], folder: Path) -> int:
    position = positions.get(normalise_source(row.original))
    if position is None:
        raise CorruptError(
            _("the sentence {sentence!r} is none of the sources", sentence=row.original[:40]),
            where=str(folder),
            do=_AGAIN,
        )
    return position


def _rows(shard: Shard, folder: Path, recipe: Recipe) -> list[GeneratedRow]:
    """The accepted rows of one shard. Raises CorruptError for a row that is not of this shard or was changed."""
    found, path = [], folder / DATA
    labels = "labels" in recipe.steps[-1].checks
    for line in read_rows(path):
        cells = line.cells
        row = GeneratedRow(
            cells["source"], cells["target"], cells["origin"], cells["group"], cells["original"],
            tuple(parse_labels(cells["target"]) or ()) if labels else (), cells.get(TEACHER, ""),
        )  # fmt: skip
        if not shard.holds(row.original) or row.cells()[-1] != cells.get("fingerprint"):
            raise CorruptError(
                _("line {number} is no row of shard {shard}, or was changed", number=line.line, shard=shard),
                where=f"{path}:{line.line}",
                do=_AGAIN,
            )
        found.append(row)
    return found


def _checked(rows: Sequence[GeneratedRow], config: Config, recipe: Recipe) -> _Merged:
    """Rows in order, without texts that an earlier row has and without labels above the quota of the whole."""
    counter, seen, merged = LabelCounter(rules_of(config, recipe)), set[str](), _Merged()
    for row in rows:
        form = normalise_source(row.source)
        if form in seen:
            merged.rejected["duplicate"] += 1
        elif counter.over_quota(row.labels):
            merged.rejected["quota"] += 1
        elif counter.done:
            merged.rejected["surplus"] += 1
        else:
            seen.add(form)
            counter.add(row.labels)
            merged.rows.append(row)
    return merged


def _summary(
    config: Config, parts: Mapping[Shard, Path], folder: Path, output: Path, merged: _Merged
) -> GenerationResult:
    teacher, counter = config.teacher, Counter(label for row in merged.rows for label in row.labels)
    states = [read_journal(path / JOURNAL) for path in parts.values()]
    short = teacher.samples - len(merged.rows) if not teacher.density else 0
    notes: tuple[str, ...] = ()
    if lost := merged.rejected["duplicate"] + merged.rejected["quota"]:
        notes = (
            _(
                "{lost} rows were left out: {doubles} repeat a row of another shard, {over} exceed the quota of the "
                "whole",
                lost=lost,
                doubles=merged.rejected["duplicate"],
                over=merged.rejected["quota"],
            ),
        )
    if short > 0:
        notes = (*notes, _shortage(teacher, short))
    accounts: dict[str, TeacherAccount] = {}
    for path, state in zip(parts.values(), states, strict=True):
        state.adopt(str(read_json(path / FILE).get("first_teacher", "")))
        for name, account in state.accounts.items():
            accounts.setdefault(name, TeacherAccount()).add(account)
    teachers = teacher_summaries(teacher, accounts, tallies_of(merged.rows), {})
    write_summaries(folder, teachers, teacher.currency)
    total = sum(state.spending.total for state in states)
    if teacher.budget and total > round(teacher.budget * NANO):
        notes = (*notes, _("the shards have spent more than teacher.budget, which was higher when they ran"))
    return GenerationResult(
        rows=len(merged.rows),
        wanted=teacher.samples,
        complete=short <= 0,
        output=output,
        ledger=folder,
        rejected=dict(merged.rejected),
        cost=total / NANO,
        reported=sum(state.spending.reported for state in states) / NANO,
        estimated=sum(state.spending.estimated for state in states) / NANO,
        unknown=sum(state.spending.at_risk for state in states) / NANO,
        currency=teacher.currency,
        requests=sum(state.requests for state in states),
        reused=sum(len(state.responses) for state in states),
        labels=tuple(counter.most_common(20)),
        uses=counter.total(),
        kinds=len(counter),
        notes=notes,
        teachers=teachers,
    )


def _shortage(teacher: TeacherConfig, short: int) -> str:
    what = _("{short} rows are missing", short=short)
    if teacher.quota or teacher.density:  # the number of rows is part of what such a generation is
        return what
    advice = _(
        "Run every shard again with --set teacher.samples={wanted} (what is paid stays paid), then --merge as now",
        wanted=teacher.samples + 2 * short,
    )
    return joined(_(". "), (what, advice))
