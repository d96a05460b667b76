"""The proof of an export: original and artifact predict the same exam, each in its own runtime, compared item by item.

    proof = prove(skill, exporter, artifact, items)
    proof.state     # "same", "within noise", "worse"

*same*: every prediction is equal. *within noise*: some differ, and the exact paired test (McNemar, or permutations)
finds no loss in the exam's deciding metric (one-sided, 5%). *worse*: it finds one, or a weight is not the one that was
trained, or probabilities differ by more than the arithmetic of the runtime explains; such an artifact is refused.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError
from terakoya.exporters.exporter import ExportedSkill, Exporter
from terakoya.exporters.proof import Proof, State
from terakoya.i18n import _
from terakoya.models.builtin.saving import source_text
from terakoya.models.builtin.sizes import SIZES
from terakoya.models.protocol import Query
from terakoya.records import Example, Prediction, Turn
from terakoya.saved_model import Skill
from terakoya.scoring.score_predictions import MAIN, ScoredPredictions, score_predictions
from terakoya.scoring.statistics.paired import paired

_LEVEL = 0.05  # of the one-sided test


def exam_items(lines: Sequence[Mapping[str, Any]]) -> list[Example]:
    """The items of an exam, from the lines of its predictions.jsonl.

    lines  as the record keeps them
    """
    return [
        Example(
            line["source"],
            line["target"],
            group=line.get("group") or "",
            accepted=tuple(line.get("accepted") or ()),
            subset=line.get("subset") or "",
            turns=tuple(Turn(role, content) for role, content in line.get("turns") or ()),
        )
        for line in lines
    ]


def prove(
    skill: Skill,
    exporter: Exporter,
    artifact: Path,
    items: Sequence[Example],
    *,
    quantisation: str = "",
    progress: Callable[[str], None] = lambda text: None,
) -> Proof:
    """Let original and artifact predict the exam, and compare.

    skill         the original
    exporter      opens the artifact
    artifact      that it wrote
    items         of the exam; those with a conversation are left out where a runtime cannot be given one
    quantisation  number format that was chosen
    progress      is called with what is being done
    Raises NoRuntimeError where the artifact's runtime is not there, ConfigError where no item can be compared.
    """
    kept = _comparable(skill, items)
    exported = exporter.open(artifact)
    try:
        texts = [example.source for example in kept]
        progress(_("predicting {n} exam items in {runtime}", n=len(texts), runtime=exported.runtime))
        after, after_ms = _timed(exported.predict, texts, exported)
        before, before_ms = _timed(skill.predict, texts)
        runtime = exported.runtime
    finally:
        exported.close()
    size, digest = measure(artifact)
    found = compare_predictions(skill, kept, before, after, tolerance=exporter.tolerance)
    same_weights = exporter.same_weights(skill, artifact)
    return replace(
        found,
        state="worse" if same_weights is False else found.state,
        same_weights=same_weights,
        target=exporter.name,
        runtime=runtime,
        bytes=size,
        sha256=digest,
        before_ms=before_ms,
        after_ms=after_ms,
        quantisation=quantisation,
    )


def unproved(exporter: Exporter, artifact: Path, *, quantisation: str = "") -> Proof:
    """What is known of an artifact that could not be opened here.

    exporter      that wrote it
    artifact      file or folder
    quantisation  number format that was chosen
    """
    size, digest = measure(artifact)
    return replace(_EMPTY, target=exporter.name, bytes=size, sha256=digest, quantisation=quantisation)


_EMPTY = Proof("", "", "unproved", 0, 0, None, "", None, None, None, None, None, 0, None, None, "")


def compare_predictions(
    skill: Skill,
    items: Sequence[Example],
    before: Sequence[Prediction],
    after: Sequence[Prediction],
    *,
    tolerance: float | None = None,
) -> Proof:
    """The comparison alone, without what is known of the artifact.

    skill      its task scores the predictions
    items      of the exam
    before     predictions of the original
    after      predictions of the artifact, in the same order
    tolerance  largest difference of the model's probability that the runtime's arithmetic explains; None: weights were
               changed on purpose
    """
    equal = sum(one.text == other.text for one, other in zip(before, after, strict=True))
    pairs = [(_probability(one), _probability(other)) for one, other in zip(before, after, strict=True)]
    differences = [abs(one - other) for one, other in pairs if one is not None and other is not None]
    largest = max(differences, default=None)
    first, second = (_main_scores(skill, items, predictions) for predictions in (before, after))
    metric = skill.task.metric
    values, groups = second.item_scores(metric), second.groups
    effect = paired(values, first.item_scores(metric), groups=groups if any(groups) else None)
    changed = tolerance is not None and largest is not None and largest > tolerance
    worse = changed or (effect.value < 0 and effect.p / 2 < _LEVEL)
    state: State = "worse" if worse else "same" if equal == len(items) else "within noise"
    n = len(values)
    return replace(
        _EMPTY,
        state=state,
        n=len(items),
        equal=equal,
        largest_difference=largest,
        metric=metric,
        before=sum(first.item_scores(metric)) / n,
        after=sum(values) / n,
        low=effect.low,
        high=effect.high,
        p=effect.p,
    )


def measure(artifact: Path) -> tuple[int, str]:
    """Bytes and sha256 of an `artifact`, file or folder."""
    if artifact.is_file():
        content = artifact.read_bytes()
        return len(content), hashlib.sha256(content).hexdigest()
    digest, size = hashlib.sha256(), 0
    for path in sorted(one for one in artifact.rglob("*") if one.is_file()):
        content = path.read_bytes()
        size += len(content)
        digest.update(f"{path.relative_to(artifact).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return size, digest.hexdigest()


def _comparable(skill: Skill, items: Sequence[Example]) -> list[Example]:
    """Items as single texts: a built-in model reads the messages of a conversation as lines of one text."""
    if skill.config.model.base in SIZES:
        return [replace(one, source=source_text(Query(one.source, one.turns)), turns=()) for one in items]
    found = [one for one in items if not one.turns]
    if not found:
        raise ConfigError(
            _("every exam item of this skill is a conversation, and exports predict for single texts"),
            do=_("Train it on single texts to export it."),
        )
    return found


def _timed(
    predict: Callable[[Sequence[str]], Sequence[Prediction]], texts: Sequence[str], runtime: ExportedSkill | None = None
) -> tuple[Sequence[Prediction], float]:
    """Predictions, and the milliseconds that one took; a runtime that counts its own leaves out our messages to it."""
    started = time.perf_counter()
    found = predict(texts)
    wall = 1000 * (time.perf_counter() - started)
    own = getattr(runtime, "milliseconds", 0.0)
    return found, (own or wall) / max(1, len(texts))


def _probability(prediction: Prediction) -> float | None:
    """The model's own: a calibrated one magnifies the last digit near 0 and 1."""
    return prediction.probability if prediction.uncalibrated is None else prediction.uncalibrated


def _main_scores(skill: Skill, items: Sequence[Example], predictions: Sequence[Prediction]) -> ScoredPredictions:
    scored = score_predictions("model", items, predictions, skill.task.codec, skill.task.metrics)
    main = scored.subset(MAIN)
    return main if main.items else scored
