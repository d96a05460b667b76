"""The scores of single items, which comparisons are made of: from a run folder, or from somebody else's predictions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from terakoya.codec.text import nfkc
from terakoya.data.formats import TABLE_SUFFIXES, TableRow, read_rows, require_columns
from terakoya.data.split import group_of
from terakoya.errors import ConfigError, CorruptError, DataError, IncompatibleError, LockedError
from terakoya.i18n import _, joined
from terakoya.records import Example, Score, Signature, fingerprint, set_fingerprint, subset_named, subset_of
from terakoya.reporting.record import read_config_values, read_scores
from terakoya.runs import Run
from terakoya.runs.annotations import Confirmation, read_annotations
from terakoya.scoring.metrics import Metric, exact, metric_with_signature

ReadTarget = Callable[[str], str | None]
Canonical = Callable[[str], str]

IMPORTED = "imported"  # the decoding of predictions that others made: unknown, so no ground for refusal


@dataclass(frozen=True, slots=True)
class ItemScore:
    """One exam item under the deciding metric, with the fingerprint by which it is paired.

    group  of items that it belongs to; "" where it is independent of all others
    """

    source: str
    target: str
    value: float
    fingerprint: str
    accepted: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True, slots=True)
class ItemScores:
    """All item scores of one trained model, or of one imported table.

    name       of the run or file
    signature  how the scores were made
    items      one for each item of the exam
    seed       the run was trained with, None where unknown
    recipe     fingerprint of all settings but the seed; runs that agree in it are one arm of a comparison
    spelling   of an imported table: predictions that miss their target by spaces or width only
    grouped    whether the groups of the items are known: run folders of older versions do not have them
    confirmed  what people said about the targets of a run's exam; None for a table
    """

    name: str
    signature: Signature
    items: tuple[ItemScore, ...]
    seed: int | None = None
    recipe: str = ""
    spelling: int = 0
    grouped: bool = True
    confirmed: Confirmation | None = None

    @property
    def mean(self) -> float:
        """The mean score."""
        return sum(item.value for item in self.items) / len(self.items)

    def keyed(self) -> Mapping[tuple[str, int], float]:
        """Scores by (fingerprint, count); the count tells apart an item that stands in the exam twice."""
        return {key: item.value for key, item in self._by_key().items()}

    def groups(self) -> Mapping[tuple[str, int], str]:
        """The group of each item, by the same key."""
        return {key: item.group for key, item in self._by_key().items()}

    def only(self, keys: Collection[tuple[str, int]]) -> tuple[ItemScore, ...]:
        """The items with these keys, in their order.

        keys  as `keyed` has them
        """
        return tuple(item for key, item in self._by_key().items() if key in keys)

    def _by_key(self) -> Mapping[tuple[str, int], ItemScore]:
        seen: Counter[str] = Counter()
        items = {}
        for item in self.items:
            items[item.fingerprint, seen[item.fingerprint]] = item
            seen[item.fingerprint] += 1
        return items


@dataclass(frozen=True, slots=True)
class PredictionColumns:
    """Where predictions of others stand in their tables.

    source, target  names of the columns
    encoding        of the files; "" is detected
    predictions     names under which the predictions may stand; what `terakoya predict` writes is among them
    """

    source: str = "source"
    target: str = "target"
    encoding: str = ""
    predictions: tuple[str, ...] = ("inference", "prediction")


def read_item_scores(
    paths: Sequence[Path],
    *,
    read: ReadTarget | None = None,
    canonical: Canonical = str,
    subset: str = "",
    columns: PredictionColumns | None = None,
) -> tuple[ItemScores, ...]:
    """Item scores of run folders and tables, in the order given; tables are scored as the first run was.

    paths      run folders, each with all its seeds, and tables (.csv .tsv .jsonl) of others' predictions
    read       for tables: text → prediction (the codec's `read`), None takes it as it is
    canonical  for tables: the form in which targets are compared
    subset     of the exam, "" the main one
    columns    where the tables' cells stand; None: source, target, inference
    """
    runs = {path: _read_seeds(path, subset) for path in paths if not _is_table(path)}
    reference = next((scores[0] for scores in runs.values()), None)
    found = list[ItemScores]()
    for path in paths:
        scores = runs.get(path) or (
            read_prediction_table(path, like=reference, read=read, canonical=canonical, columns=columns),
        )
        reference = reference or scores[0]
        found += scores
    return tuple(found)


def _read_seeds(path: Path, subset: str) -> tuple[ItemScores, ...]:
    """The item scores of a run, and of the runs with further seeds inside its folder, which are of the same recipe."""
    first = read_run_scores(path, subset)
    further = sorted(path.glob("seeds/*/*/scores.json"), key=lambda file: int(file.parts[-3]))
    return (first, *(replace(read_run_scores(file.parent, subset), recipe=first.recipe) for file in further))


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in TABLE_SUFFIXES and not path.is_dir()


# ── run folders ─────────────────────────────────────────────────────────────────────────────────────────


def read_run_scores(path: Path, subset: str = "") -> ItemScores:
    """Item scores of a finished run on its exam, as its own metric gave them.

    path    the run folder
    subset  of the exam, "" the main one
    Raises LockedError while the run is being written, ConfigError where there is no run or no prediction yet,
    CorruptError where predictions and scores do not belong together.
    """
    run = Run.open(path)
    if run.is_being_written():
        raise LockedError(
            _("this run is still being written"),
            where=str(path),
            do=_("Compare it when it is done."),
        )
    subset = subset_named(subset)
    lines = [line for line in run.read_lines("predictions.jsonl") if subset_of(line) == subset]
    if not lines or not run.has("scores.json"):
        state = run.state
        raise ConfigError(
            _("this run has no scored predictions (it is {state})", state=state),
            where=f"subset '{subset}' of {path}" if subset else str(path),
            do=_("Continue with: terakoya run {path}", path=path),
        )
    items = tuple(_item(line, f"{path / 'predictions.jsonl'}, line {i}") for i, line in enumerate(lines, 1))
    signature = _signature(read_scores(run), items, subset, path / "scores.json")
    config = read_config_values(run)
    seed = config.pop("seed", None)
    recipe = fingerprint(json.dumps(config, sort_keys=True, default=str)) if config else ""
    grouped = all("group" in line for line in lines)
    known_seed = seed if isinstance(seed, int) else None
    confirmed = read_annotations(path).confirmation
    return ItemScores(run.name, signature, items, known_seed, recipe, grouped=grouped, confirmed=confirmed)


def _item(line: Mapping[str, Any], where: str) -> ItemScore:
    try:
        source, target, value = str(line["source"]), str(line["target"]), float(line["verdict"])
    except (KeyError, TypeError, ValueError) as error:
        fault = repr(error)
        raise CorruptError(_("this is no scored prediction ({fault})", fault=fault), where=where) from error
    accepted = tuple(str(other) for other in line.get("accepted") or ())
    key = str(line.get("fingerprint") or Example(source, target).fingerprint)
    return ItemScore(source, target, value, key, accepted, str(line.get("group") or ""))


def _signature(scores: Sequence[Score], items: Sequence[ItemScore], subset: str, where: Path) -> Signature:
    """The signature of the model's score that is the mean of these items."""
    count, mean = len(items), sum(item.value for item in items) / len(items)
    for score in scores:
        fits = score.n == count and abs(score.value - mean) < 1e-6
        if score.who == "model" and score.subset == subset and fits:
            return score.signature
    raise CorruptError(
        _("no score of the model belongs to its {count} predictions (mean {mean:.4f})", count=count, mean=mean),
        where=str(where),
        do=_("Score the run again with `terakoya evaluate`."),
    )


# ── predictions of others ───────────────────────────────────────────────────────────────────────────────


def read_prediction_table(
    path: Path,
    *,
    like: ItemScores | None = None,
    metric: Metric | None = None,
    read: ReadTarget | None = None,
    canonical: Canonical = str,
    columns: PredictionColumns | None = None,
) -> ItemScores:
    """Item scores of others' predictions: a table with the columns source, target and inference, scored here.

    What `terakoya predict` wrote is such a table too, as .csv and as .jsonl, where its input had targets.

    path       the table
    like       scores of the same exam: the rows must be its items, and its metric is used; None: the rows are the exam
    metric     used instead of that of `like`; exact by default
    read       text → prediction (the codec's `read`), None takes it as it is; an empty cell is no prediction
    canonical  the form in which targets are compared; raises DataError for what is no target
    columns    where its cells stand; None: source, target, inference

    Raises DataError, naming rows, where the rows are not the exam's items.
    """
    stand = columns or PredictionColumns()
    needed = (stand.source, stand.target)
    read_as = read_rows(path, encoding=stand.encoding, wanted=needed, skip_blank=True)
    rows = list(_with_predictions(require_columns(read_as, needed, str(path)), stand, path))
    wanted = [
        (row.cells[stand.source], _target(row.cells[stand.target], canonical, f"{path}, line {row.line}"))
        for row, _text in rows
    ]
    used = metric or (_metric_of(like.signature) if like else exact)
    if like is None:
        examples = [Example(source, target) for source, target in wanted]
        items = [ItemScore(e.source, e.target, 0.0, e.fingerprint, group=group_of(e)) for e in examples]
        signature = Signature(set_fingerprint(examples), used.signature, IMPORTED)
    else:
        items = _matched(wanted, [row.line for row, _text in rows], like, canonical, path)
        signature = replace(like.signature, decoding=IMPORTED, metric=used.signature)
    predictions = [_prediction(text, read) for _row, text in rows]
    scored = tuple(
        replace(item, value=used.score(prediction, tuple(canonical(t) for t in (item.target, *item.accepted))))
        for item, prediction in zip(items, predictions, strict=True)
    )
    missed = [
        item.value < 1 and _same_but_spelling(text, item.target)
        for item, (_row, text) in zip(scored, rows, strict=True)
    ]
    grouped = like.grouped if like else True
    return ItemScores(path.name, signature, scored, spelling=sum(missed), grouped=grouped)


def _with_predictions(
    rows: Iterable[TableRow], columns: PredictionColumns, path: Path
) -> Iterator[tuple[TableRow, str]]:
    """Each row with its prediction: a text, "" where there is none."""
    for row in rows:
        name = next((name for name in columns.predictions if name in row.cells), "")
        if not name and "raw" not in row.cells:  # `predict` writes null for what it withholds, and the raw text beside
            found = ", ".join(map(repr, row.cells))
            raise DataError(
                _("there is no column 'inference' (found: {found})", found=found),
                where=_("{path}, line {number}", path=path, number=row.line),
                do=_("It holds the predictions; the column prediction that `terakoya predict` writes is read too."),
            )
        yield row, row.cells.get(name, "")


def _same_but_spelling(prediction: str, target: str) -> bool:
    """Whether a prediction is its target, written with other spaces or in another width."""
    one, other = ("".join(nfkc(text).split()) for text in (prediction, target))
    return prediction != target and one == other


def _target(target: str, canonical: Canonical, where: str) -> str:
    try:
        return canonical(target)
    except DataError as error:
        raise DataError(error.what, where=where, do=error.do) from error


def _prediction(text: str, read: ReadTarget | None) -> str | None:
    return (read(text) if read else text) if text.strip() else None


def _metric_of(signature: Signature) -> Metric:
    """The metric that made a score, in the same version."""
    found = metric_with_signature(signature.metric)
    if found is not None:
        return found
    used = signature.metric
    raise IncompatibleError(
        _("the run was scored by '{used}', which cannot score a table from here", used=used),
        do=_("Pass the metric (from Python), or score the run again with this version."),
    )


def _matched(
    wanted: Sequence[tuple[str, str]], lines: Sequence[int], like: ItemScores, canonical: Canonical, path: Path
) -> list[ItemScore]:
    """The exam item that each row is; refuses when rows and items are not the same, each as often."""
    left: dict[tuple[str, str], list[ItemScore]] = {}
    for item in like.items:
        left.setdefault((item.source, canonical(item.target)), []).append(item)
    found = [left[key].pop(0) if left.get(key) else None for key in wanted]
    extra = [line for line, item in zip(lines, found, strict=True) if item is None]
    missing = [item.source for items in left.values() for item in items]
    if extra or missing:
        raise _not_the_items(like.name, extra, missing, path)
    return [item for item in found if item is not None]


def _not_the_items(exam: str, extra: Sequence[int], missing: Sequence[str], path: Path) -> DataError:
    faults = []
    if extra:
        count, listed = len(extra), _listed(extra)
        faults.append(_("{count} rows are no items of it: lines {listed}", count=count, listed=listed))
    if missing:
        count, listed = len(missing), _listed(missing)
        faults.append(_("{count} of its items are missing: {listed}", count=count, listed=listed))
    found = joined("; ", faults)
    return DataError(
        _("these are not the items of {exam}'s exam ({found})", exam=exam, found=found),
        where=str(path),
        do=_("Bring one row for every item of the exam, with the same source and target."),
    )


def _listed(things: Sequence[object], most: int = 10) -> str:
    shown = ", ".join(str(thing)[:40] for thing in things[:most])
    return f"{shown}, …" if len(things) > most else shown
