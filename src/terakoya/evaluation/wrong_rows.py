"""Rows that look wrong to a trained model: confident learning with its own probabilities (Northcutt et al., 2021).

A row is suspected where the model is as sure of another target as it is, on average, of targets that it shares with
the data. It overlooks errors that it was trained on; of rows that it never saw it is a fair judge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from terakoya.decoding.predict import predict_queries, query_of
from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.records import Example, Finding, Prediction, Split
from terakoya.saved_model import Skill, read_skill

MOST_ROWS = 20_000  # that are predicted; train first
NAMED = 20  # rows a finding names
LEAST_AGREEMENT = 0.5  # of the rows; a model that agrees with fewer has no say
LEAST_CONFIDENCE = 0.6  # of a sequence model: below this no other target is believed


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row, what the model says instead, and by how much more it believes that."""

    example: Example
    instead: str
    margin: float


def wrong_rows(path: Path, split: Split) -> list[Finding]:
    """Findings on rows that the model of a run believes to be wrong; [] where there is none.

    path   the run folder, or a model folder
    split  the rows, of all splits
    Raises ConfigError where there is no trained model, DataError where its targets are of another kind.
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
    predictions = predict_queries(
        skill.model,
        [query_of(row) for row, _form in known],
        skill.task,
        skill.config.decode.model_copy(update={"abstain_below": 0.0, "verify": False}),
        max_tokens=skill.max_tokens,
        seed=skill.config.seed,
    )
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
    return [_finding(suspects, len(known), name)] if suspects else []


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


def _finding(suspects: Sequence[Suspect], rows: int, name: str) -> Finding:
    first, count, share = suspects[0], len(suspects), len(suspects) / rows
    source, target, instead = repr(first.example.source[:40]), repr(first.example.target[:40]), repr(first.instead[:40])
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
        do=_(
            "Look at these rows, the first one first; correct or drop those that are wrong. A model overlooks errors "
            "that it was trained on: one trained on other rows (split.folds = 5) sees more."
        ),
        rows=tuple(suspect.example.row for suspect in suspects if suspect.example.row)[:NAMED],
        values={"rows": float(count), "share": share},
    )
