"""What a comparison is made of: the scores of single items, from a run folder or from somebody else's table."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from terakoya.data.formats import columns, read_rows
from terakoya.errors import ConfigError, CorruptError, DataError, IncompatibleError, LockedError
from terakoya.i18n import both, japanese
from terakoya.records import Example, Signature, fingerprint, set_fingerprint
from terakoya.runs import Run
from terakoya.scoring.metrics import METRICS, Metric, exact

Reader = Callable[[str], str | None]
Canonical = Callable[[str], str]

IMPORTED = "imported"  # the decoding of results that others made: not known, so not held against them


@dataclass(frozen=True, slots=True)
class Item:
    """One exam item answered: its score under the metric, and the fingerprint by which it is paired."""

    source: str
    target: str
    value: float
    fingerprint: str
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """All items of an exam answered by one trained model, or by others.

    recipe  what the runs of one recipe share, whatever their seed; runs that agree in it are one side of a comparison
    """

    name: str
    signature: Signature
    items: tuple[Item, ...]
    seed: int | None = None
    recipe: str = ""

    @property
    def mean(self) -> float:
        return sum(item.value for item in self.items) / len(self.items)

    def keyed(self) -> Mapping[tuple[str, int], float]:
        """Scores by item; an item that stands in the exam twice is told apart by a count."""
        seen: Counter[str] = Counter()
        scores = {}
        for item in self.items:
            scores[item.fingerprint, seen[item.fingerprint]] = item.value
            seen[item.fingerprint] += 1
        return scores


def read_outcomes(
    paths: Sequence[Path], *, read: Reader | None = None, canonical: Canonical = str, part: str = ""
) -> tuple[Outcome, ...]:
    """Run folders and tables (.csv .tsv .jsonl), in the order given; tables are judged as the first run was.

    `read` and `canonical` are the codec's, for tables: how an inference is understood and targets are compared.
    """
    runs = {path: read_run(path, part) for path in paths if not _is_table(path)}
    like = next(iter(runs.values()), None)
    outcomes = list[Outcome]()
    for path in paths:
        outcome = runs.get(path) or read_inferences(path, like=like, read=read, canonical=canonical)
        like = like or outcome
        outcomes.append(outcome)
    return tuple(outcomes)


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv", ".jsonl") and not path.is_dir()


# ── run folders ─────────────────────────────────────────────────────────────────────────────────────────


def read_run(path: Path, part: str = "") -> Outcome:
    """The answers of a finished run on its exam, with the scores that its own metric gave them.

    Raises LockedError while the run is still being written, ConfigError where there is no run or no answer yet,
    CorruptError where answers and scores do not belong together.
    """
    run = Run.open(path)
    if run.is_being_written():
        raise LockedError(
            both("this run is still being written", "この実行はまだ書き込み中である"),
            where=str(path),
            do=both("Compare it when it is done.", "終わってから比較すること。"),
        )
    lines = [line for line in run.read_lines("predictions.jsonl") if line.get("part", "") == part]
    if not lines or not run.has("scores.json"):
        where = f"part '{part}' of {path}" if part else str(path)
        raise ConfigError(
            both(
                f"this run has no scored answers (it is {run.state})",
                f"この実行には採点済みの回答がない（状態は {run.state}）",
            ),
            where=where,
            do=both(f"Go on with: terakoya run {path}", f"続けるには：terakoya run {path}"),
        )
    items = tuple(_item(line, f"{path / 'predictions.jsonl'}, answer {i}") for i, line in enumerate(lines, 1))
    signature = _signature(run.read_json("scores.json"), items, part, path / "scores.json")
    config = _config(run)
    seed = config.pop("seed", None)
    recipe = fingerprint(json.dumps(config, sort_keys=True, default=str)) if config else ""
    return Outcome(run.name, signature, items, seed if isinstance(seed, int) else None, recipe)


def _item(line: Mapping[str, Any], where: str) -> Item:
    try:
        source, target, value = str(line["source"]), str(line["target"]), float(line["verdict"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(
            both(f"this is no scored answer ({error!r})", f"採点済みの回答になっていない（{error!r}）"), where=where
        ) from error
    accepted = tuple(str(other) for other in line.get("accepted") or ())
    return Item(source, target, value, str(line.get("fingerprint") or Example(source, target).fingerprint), accepted)


def _signature(scores: Any, items: Sequence[Item], part: str, where: Path) -> Signature:
    """The signature of the model's score that these items add up to."""
    mean = sum(item.value for item in items) / len(items)
    try:
        for score in scores["scores"]:
            fits = score["n"] == len(items) and abs(score["value"] - mean) < 1e-6
            if score["who"] == "model" and score.get("part", "") == part and fits:
                return Signature(**score["signature"])
    except (KeyError, TypeError) as error:
        raise CorruptError(
            both(f"these are no scores ({error!r})", f"スコアになっていない（{error!r}）"), where=str(where)
        ) from error
    raise CorruptError(
        both(
            f"no score of the model belongs to its {len(items)} answers (mean {mean:.4f})",
            f"モデルのどのスコアも、その{len(items)}件の回答（平均 {mean:.4f}）と合わない",
        ),
        where=str(where),
        do=both("Score the run again with `terakoya evaluate`.", "`terakoya evaluate` で採点し直すこと。"),
    )


def _config(run: Run) -> dict[str, Any]:
    if not run.has("config.toml"):
        return {}
    try:
        return tomllib.loads(run.read_text("config.toml"))
    except tomllib.TOMLDecodeError as error:
        raise CorruptError(
            both(f"not readable TOML: {error}", f"TOML として読めない：{error}"), where=str(run.path / "config.toml")
        ) from error


# ── results of others ───────────────────────────────────────────────────────────────────────────────────


def read_inferences(
    path: Path,
    *,
    like: Outcome | None = None,
    metric: Metric | None = None,
    read: Reader | None = None,
    canonical: Canonical = str,
) -> Outcome:
    """Results of others: a table with the columns source, target and inference, judged here.

    like       an outcome on the same exam: the rows must be its items, and its metric judges; otherwise `metric`
               does (exact by default) and the rows are the exam
    read       how an inference is understood (the codec's `read`); an empty inference is no answer
    canonical  the form in which targets are compared; raises DataError for what is no target

    Raises DataError, naming rows, where the rows are not the exam's items.
    """
    rows = list(columns(read_rows(path), ("source", "target", "inference"), str(path)))
    wanted = [
        (row.cells["source"], _target(row.cells["target"], canonical, f"{path}, line {row.line}")) for row in rows
    ]
    judge = metric or (_metric_of(like.signature) if like else exact)
    if like is None:
        examples = [Example(source, target) for source, target in wanted]
        items = [Item(e.source, e.target, 0.0, e.fingerprint) for e in examples]
        signature = Signature(set_fingerprint(examples), judge.signature, IMPORTED)
    else:
        items = _matched(wanted, [row.line for row in rows], like, canonical, path)
        signature = replace(like.signature, decoding=IMPORTED, metric=judge.signature)
    answers = [_read(row.cells["inference"], read) for row in rows]
    scored = tuple(
        replace(item, value=judge.judge(answer, tuple(canonical(t) for t in (item.target, *item.accepted))))
        for item, answer in zip(items, answers, strict=True)
    )
    return Outcome(path.name, signature, scored)


def _target(target: str, canonical: Canonical, where: str) -> str:
    try:
        return canonical(target)
    except DataError as error:
        raise DataError(error.what, where=where, do=error.do) from error


def _read(inference: str, read: Reader | None) -> str | None:
    return (read(inference) if read else inference) if inference.strip() else None


def _metric_of(signature: Signature) -> Metric:
    """The metric that made a score, in the same version."""
    for metric in METRICS.values():
        if metric.signature == signature.metric:
            return metric
    raise IncompatibleError(
        both(
            f"the run was judged by '{signature.metric}', which is not at hand to judge the table",
            f"実行は '{signature.metric}' で採点されたが、表を採点するその指標が手元にない",
        ),
        do=both(
            "Hand the metric in (from Python), or score the run again with this version.",
            "指標を（Python から）渡すか、この版で実行を採点し直すこと。",
        ),
    )


def _matched(
    wanted: Sequence[tuple[str, str]], lines: Sequence[int], like: Outcome, canonical: Canonical, path: Path
) -> list[Item]:
    """The exam item that each row is; refuses when rows and items are not the same, each as often."""
    left: dict[tuple[str, str], list[Item]] = {}
    for item in like.items:
        left.setdefault((item.source, canonical(item.target)), []).append(item)
    found = [left[key].pop(0) if left.get(key) else None for key in wanted]
    strange = [line for line, item in zip(lines, found, strict=True) if item is None]
    missing = [item.source for items in left.values() for item in items]
    if strange or missing:
        faults = (
            [
                both(
                    f"{len(strange)} rows are no items of it: lines {_listed(strange)}",
                    f"{len(strange)}行が試験の問題ではない：行 {_listed(strange)}",
                )
            ]
            if strange
            else []
        )
        faults += (
            [
                both(
                    f"{len(missing)} of its items are missing: {_listed(missing)}",
                    f"{len(missing)}問が足りない：{_listed(missing)}",
                )
            ]
            if missing
            else []
        )
        raise DataError(
            both(
                f"these are not the items of {like.name}'s exam ({'; '.join(faults)})",
                f"{like.name} の試験の問題と一致しない（{'、'.join(map(japanese, faults))}）",
            ),
            where=str(path),
            do=both(
                "Bring one row for every item of the exam, with the same source and target.",
                "試験のどの問題にも、入力と正解が同じ行を一つずつ用意すること。",
            ),
        )
    return [item for item in found if item is not None]


def _listed(things: Sequence[object], most: int = 10) -> str:
    shown = ", ".join(str(thing)[:40] for thing in things[:most])
    return f"{shown}, …" if len(things) > most else shown
