"""The scores of single items, which comparisons are made of: from a run folder, or from somebody else's predictions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from terakoya.data.formats import read_rows, require_columns
from terakoya.errors import ConfigError, CorruptError, DataError, IncompatibleError, LockedError
from terakoya.i18n import both, japanese, joined
from terakoya.records import Example, Score, Signature, fingerprint, set_fingerprint, subset_named, subset_of
from terakoya.report.record import read_config_values, read_scores
from terakoya.runs import Run
from terakoya.scoring.metrics import METRICS, Metric, exact

ReadTarget = Callable[[str], str | None]
Canonical = Callable[[str], str]

IMPORTED = "imported"  # the decoding of predictions that others made: unknown, so no ground for refusal


@dataclass(frozen=True, slots=True)
class ItemScore:
    """One exam item under the deciding metric, with the fingerprint by which it is paired."""

    source: str
    target: str
    value: float
    fingerprint: str
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemScores:
    """All item scores of one trained model, or of one imported table.

    name       of the run or file
    signature  how the scores were made
    items      one for each item of the exam
    seed       the run was trained with, None where unknown
    recipe     fingerprint of all settings but the seed; runs that agree in it are one arm of a comparison
    """

    name: str
    signature: Signature
    items: tuple[ItemScore, ...]
    seed: int | None = None
    recipe: str = ""

    @property
    def mean(self) -> float:
        """The mean score."""
        return sum(item.value for item in self.items) / len(self.items)

    def keyed(self) -> Mapping[tuple[str, int], float]:
        """Scores by (fingerprint, count); the count tells apart an item that stands in the exam twice."""
        seen: Counter[str] = Counter()
        scores = {}
        for item in self.items:
            scores[item.fingerprint, seen[item.fingerprint]] = item.value
            seen[item.fingerprint] += 1
        return scores


def read_item_scores(
    paths: Sequence[Path], *, read: ReadTarget | None = None, canonical: Canonical = str, subset: str = ""
) -> tuple[ItemScores, ...]:
    """Item scores of run folders and tables, in the order given; tables are scored as the first run was.

    paths      run folders, and tables (.csv .tsv .jsonl) of others' predictions
    read       for tables: text → prediction (the codec's `read`), None takes it as it is
    canonical  for tables: the form in which targets are compared
    subset     of the exam, "" the main one
    """
    runs = {path: read_run_scores(path, subset) for path in paths if not _is_table(path)}
    reference = next(iter(runs.values()), None)
    found = list[ItemScores]()
    for path in paths:
        scores = runs.get(path) or read_prediction_table(path, like=reference, read=read, canonical=canonical)
        reference = reference or scores
        found.append(scores)
    return tuple(found)


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv", ".jsonl") and not path.is_dir()


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
            both("this run is still being written", "この実行はまだ書き込み中である"),
            where=str(path),
            do=both("Compare it when it is done.", "終わってから比較すること。"),
        )
    subset = subset_named(subset)
    lines = [line for line in run.read_lines("predictions.jsonl") if subset_of(line) == subset]
    if not lines or not run.has("scores.json"):
        state = run.state
        raise ConfigError(
            both(
                f"this run has no scored predictions (it is {state})",
                f"この実行には採点済みの予測がない（状態は {state}）",
            ),
            where=f"subset '{subset}' of {path}" if subset else str(path),
            do=both(f"Continue with: terakoya run {path}", f"続けるには：terakoya run {path}"),
        )
    items = tuple(_item(line, f"{path / 'predictions.jsonl'}, line {i}") for i, line in enumerate(lines, 1))
    signature = _signature(read_scores(run), items, subset, path / "scores.json")
    config = read_config_values(run)
    seed = config.pop("seed", None)
    recipe = fingerprint(json.dumps(config, sort_keys=True, default=str)) if config else ""
    return ItemScores(run.name, signature, items, seed if isinstance(seed, int) else None, recipe)


def _item(line: Mapping[str, Any], where: str) -> ItemScore:
    try:
        source, target, value = str(line["source"]), str(line["target"]), float(line["verdict"])
    except (KeyError, TypeError, ValueError) as error:
        fault = repr(error)
        raise CorruptError(
            both(f"this is no scored prediction ({fault})", f"採点済みの予測になっていない（{fault}）"), where=where
        ) from error
    accepted = tuple(str(other) for other in line.get("accepted") or ())
    return ItemScore(
        source, target, value, str(line.get("fingerprint") or Example(source, target).fingerprint), accepted
    )


def _signature(scores: Sequence[Score], items: Sequence[ItemScore], subset: str, where: Path) -> Signature:
    """The signature of the model's score that is the mean of these items."""
    count, mean = len(items), sum(item.value for item in items) / len(items)
    for score in scores:
        fits = score.n == count and abs(score.value - mean) < 1e-6
        if score.who == "model" and score.subset == subset and fits:
            return score.signature
    raise CorruptError(
        both(
            f"no score of the model belongs to its {count} predictions (mean {mean:.4f})",
            f"モデルのどのスコアも、その{count}件の予測（平均 {mean:.4f}）と合わない",
        ),
        where=str(where),
        do=both("Score the run again with `terakoya evaluate`.", "`terakoya evaluate` で採点し直すこと。"),
    )


# ── predictions of others ───────────────────────────────────────────────────────────────────────────────


def read_prediction_table(
    path: Path,
    *,
    like: ItemScores | None = None,
    metric: Metric | None = None,
    read: ReadTarget | None = None,
    canonical: Canonical = str,
) -> ItemScores:
    """Item scores of others' predictions: a table with the columns source, target and inference, scored here.

    path       the table
    like       scores of the same exam: the rows must be its items, and its metric is used; None: the rows are the exam
    metric     used instead of that of `like`; exact by default
    read       text → prediction (the codec's `read`), None takes it as it is; an empty cell is no prediction
    canonical  the form in which targets are compared; raises DataError for what is no target

    Raises DataError, naming rows, where the rows are not the exam's items.
    """
    rows = list(require_columns(read_rows(path), ("source", "target", "inference"), str(path)))
    wanted = [
        (row.cells["source"], _target(row.cells["target"], canonical, f"{path}, line {row.line}")) for row in rows
    ]
    used = metric or (_metric_of(like.signature) if like else exact)
    if like is None:
        examples = [Example(source, target) for source, target in wanted]
        items = [ItemScore(e.source, e.target, 0.0, e.fingerprint) for e in examples]
        signature = Signature(set_fingerprint(examples), used.signature, IMPORTED)
    else:
        items = _matched(wanted, [row.line for row in rows], like, canonical, path)
        signature = replace(like.signature, decoding=IMPORTED, metric=used.signature)
    predictions = [_prediction(row.cells["inference"], read) for row in rows]
    scored = tuple(
        replace(item, value=used.score(prediction, tuple(canonical(t) for t in (item.target, *item.accepted))))
        for item, prediction in zip(items, predictions, strict=True)
    )
    return ItemScores(path.name, signature, scored)


def _target(target: str, canonical: Canonical, where: str) -> str:
    try:
        return canonical(target)
    except DataError as error:
        raise DataError(error.what, where=where, do=error.do) from error


def _prediction(text: str, read: ReadTarget | None) -> str | None:
    return (read(text) if read else text) if text.strip() else None


def _metric_of(signature: Signature) -> Metric:
    """The metric that made a score, in the same version."""
    for metric in METRICS.values():
        if metric.signature == signature.metric:
            return metric
    used = signature.metric
    raise IncompatibleError(
        both(
            f"the run was scored by '{used}', which cannot score a table from here",
            f"実行は '{used}' で採点されたが、その指標で表を採点することはここからはできない",
        ),
        do=both(
            "Pass the metric (from Python), or score the run again with this version.",
            "指標を（Python から）渡すか、この版で実行を採点し直すこと。",
        ),
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
        faults.append(
            both(f"{count} rows are no items of it: lines {listed}", f"{count}行が試験の問題ではない：行 {listed}")
        )
    if missing:
        count, listed = len(missing), _listed(missing)
        faults.append(both(f"{count} of its items are missing: {listed}", f"{count}問が足りない：{listed}"))
    found = joined("; ", faults)
    return DataError(
        both(
            f"these are not the items of {exam}'s exam ({found})",
            f"{exam} の試験の問題と一致しない（{japanese(found)}）",
        ),
        where=str(path),
        do=both(
            "Bring one row for every item of the exam, with the same source and target.",
            "試験のどの問題にも、入力と正解が同じ行を一つずつ用意すること。",
        ),
    )


def _listed(things: Sequence[object], most: int = 10) -> str:
    shown = ", ".join(str(thing)[:40] for thing in things[:most])
    return f"{shown}, …" if len(things) > most else shown
