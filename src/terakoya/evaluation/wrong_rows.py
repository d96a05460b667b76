"""Rows that look wrong to a trained model: confident learning with its own probabilities (Northcutt et al., 2021).

A row is suspected where the model is as sure of another target as it is, on average, of targets that it shares with
the data. It overlooks errors that it was trained on; of rows that it never saw it is a fair judge. So with folds every
row is judged by a model that was trained without it (`out_of_fold`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from terakoya.decoding.predict import predict_queries, query_of
from terakoya.errors import DataError
from terakoya.evaluation.out_of_fold import Make, predict_out_of_fold
from terakoya.i18n import _
from terakoya.records import Example, Finding, Prediction, Split
from terakoya.saved_model import Skill, read_skill

MOST_ROWS = 20_000  # that are predicted; train first
ADVISED_FOLDS = 4
NAMED = 20  # rows a finding names
LEAST_AGREEMENT = 0.5  # of the rows; a model that agrees with fewer has no say
LEAST_CONFIDENCE = 0.6  # of a sequence model: below this no other target is believed


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row, what the model says instead, and by how much more it believes that."""

    example: Example
    instead: str
    margin: float


@dataclass(frozen=True)
class Folds:
    """How rows are judged by models that were not trained on them.

    count    number of folds, each of which costs one training
    make     returns the function that creates a model for `model.base` of a config, and its folder
    on_fold  called with the number of a fold, from 0, before its training begins
    """

    count: int
    make: Callable[[str, Path], Make]
    on_fold: Callable[[int], None]


@dataclass(frozen=True)
class TrainedOn:
    """What a run was trained on.

    rows     fingerprints of its training rows
    seconds  that its training took; 0: not known
    """

    rows: frozenset[str]
    seconds: float = 0.0


def wrong_rows(
    path: Path, split: Split, folds: Folds | None = None, trained_on: TrainedOn | None = None
) -> list[Finding]:
    """Findings on rows that the model of a run believes to be wrong; [] where there is none.

    path        the run folder, or a model folder
    split       the rows, of all splits
    folds       judge every row by a model with the run's settings, trained without it; None: by the run's own model
    trained_on  the rows that the run's own model cannot judge; None: not known
    Raises ConfigError where there is no trained model or rows do not suffice for the folds, DataError where its targets
    are of another kind.
    """
    skill = read_skill(path)
    rows = [*split.train, *split.dev, *split.exam][:MOST_ROWS]
    known = [(row, form) for row in rows if (form := _canonical(skill, row)) is not None]
    if len(known) < len(rows) / 2:
        count, total = len(rows) - len(known), len(rows)
        raise DataError(
            _("{count} of {total} targets are no targets of this model", count=count, total=total),
            where=str(path),
            do=_("Name a run that was trained on this kind of table."),
        )
    memorised = _memorised([row for row, _form in known], path, trained_on) if folds is None and trained_on else []
    predictions = _predictions(skill, [row for row, _form in known], folds)
    equal = sum(prediction.text == form for (_row, form), prediction in zip(known, predictions, strict=True))
    name, share = path.name, equal / max(1, len(known))
    if share < LEAST_AGREEMENT:
        return [
            Finding(
                "wrong-rows",
                "note",
                _(
                    "the model of {name} agrees with {share:.0%} of the rows: its confidence says nothing",
                    name=name,
                    share=share,
                ),
                do=_("Name a run that learned its task."),
                values={"agreement": share},
            )
        ]
    pairs = [(row, form, prediction) for (row, form), prediction in zip(known, predictions, strict=True)]
    suspects = suspected_labels(pairs) if skill.model.head == "set" else suspected_targets(pairs)
    return [*([_finding(suspects, len(known), name, folds)] if suspects else []), *memorised]


def _memorised(rows: Sequence[Example], path: Path, trained_on: TrainedOn) -> list[Finding]:
    """A finding where the model was trained on the very rows: that it suspects none of them says nothing."""
    count, seconds = sum(row.fingerprint in trained_on.rows for row in rows), trained_on.seconds
    if not count:
        return []
    advice = _("Let models judge that were trained without the row: add --folds {folds}", folds=ADVISED_FOLDS)
    if seconds:
        advice = _(
            "Let models judge that were trained without the row: add --folds {folds} ({folds} trainings, about "
            "{seconds:.0f} s in all)",
            folds=ADVISED_FOLDS,
            seconds=ADVISED_FOLDS * seconds,
        )
    return [
        Finding(
            "memorised-rows",
            "warn",
            _(
                "{count} of {rows} rows are rows that {name} was trained on: its model has memorised their errors, and "
                "overlooks most of them",
                count=count,
                rows=len(rows),
                name=path.name,
            ),
            do=advice,
            values={"rows": float(count), "share": count / len(rows), "seconds": ADVISED_FOLDS * seconds},
        )
    ]


def _predictions(skill: Skill, rows: Sequence[Example], folds: Folds | None) -> list[Prediction]:
    if folds is not None:
        make = folds.make(skill.config.model.base, skill.folder)
        return predict_out_of_fold(skill, rows, folds.count, make, on_fold=folds.on_fold)
    return predict_queries(
        skill.model,
        [query_of(row) for row in rows],
        skill.task,
        skill.config.decode.model_copy(update={"abstain_below": 0.0, "verify": False}),
        max_tokens=skill.max_tokens,
        seed=skill.config.seed,
    )


def suspected_targets(rows: Sequence[tuple[Example, str, Prediction]]) -> list[Suspect]:
    """Rows where the model is at least as sure of another target as it is on average where it agrees.

    rows  (example, canonical target, prediction)
    Returns them, the surest first.
    """
    sure = [prediction.probability or 0.0 for _row, form, prediction in rows if prediction.text == form]
    threshold = max(LEAST_CONFIDENCE, sum(sure) / len(sure)) if sure else 1.0
    found = [
        Suspect(row, prediction.text, prediction.probability or 0.0)
        for row, form, prediction in rows
        if prediction.text is not None and prediction.text not in (form, *row.accepted)
        if (prediction.probability or 0.0) >= threshold and not prediction.unknown
    ]
    return sorted(found, key=lambda suspect: -suspect.margin)


def suspected_labels(rows: Sequence[tuple[Example, str, Prediction]]) -> list[Suspect]:
    """Rows that lack a label the model is sure of and hold one that it does not believe.

    Every label is a class of its own, present or absent, with the thresholds of confident learning: the mean
    probability over the rows that hold it, and over those that do not. Both must speak against a row.

    rows  (example, canonical target, prediction with the probability of every label)
    Returns them, the surest first.
    """
    present: defaultdict[str, list[float]] = defaultdict(list)
    absent: defaultdict[str, list[float]] = defaultdict(list)
    for _row, form, prediction in rows:
        held = set(form.split())
        for label, probability in prediction.labels:
            (present if label in held else absent)[label].append(probability)
    upper = {label: sum(values) / len(values) for label, values in present.items()}
    lower = {label: sum(values) / len(values) for label, values in absent.items()}
    found = []
    for row, form, prediction in rows:
        held, probabilities = set(form.split()), dict(prediction.labels)
        missing = [
            (probability, label)
            for label, probability in prediction.labels
            if label not in held
            and label in upper
            and upper[label] > lower.get(label, 0)
            and probability >= upper[label]
        ]
        unlikely = [
            (probabilities[label], label)
            for label in held
            if label in probabilities and probabilities[label] <= lower.get(label, 0)
        ]
        if missing and unlikely:
            (sure, instead), (unsure, _label) = max(missing), min(unlikely)
            found.append(Suspect(row, instead, sure - unsure))
    return sorted(found, key=lambda suspect: -suspect.margin)


def _canonical(skill: Skill, row: Example) -> str | None:
    try:
        return skill.task.codec.canonical(row.target)
    except DataError:  # the audit's own finding
        return None


def _finding(suspects: Sequence[Suspect], rows: int, name: str, folds: Folds | None) -> Finding:
    first, count, share = suspects[0], len(suspects), len(suspects) / rows
    source, target, instead = repr(first.example.source[:40]), repr(first.example.target[:40]), repr(first.instead[:40])
    advice = _("Look at these rows, the first one first; correct or drop those that are wrong.")
    if folds is None:
        advice = _(
            "Look at these rows, the first one first; correct or drop those that are wrong. A model overlooks errors "
            "that it was trained on: with --folds 4 every row is judged by a model that never saw it."
        )
    return Finding(
        "wrong-rows",
        "warn",
        _(
            "{count} of {rows} rows ({share:.1%}) look wrong to the model of {name}: {source} has {target}, and the "
            "model is sure of {instead}",
            count=count,
            rows=rows,
            share=share,
            name=name,
            source=source,
            target=target,
            instead=instead,
        ),
        do=advice,
        rows=tuple(suspect.example.row for suspect in suspects if suspect.example.row)[:NAMED],
        values={"rows": float(count), "share": share},
    )
