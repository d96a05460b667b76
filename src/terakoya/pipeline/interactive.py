"""Single texts tried by hand: predictions of skills that stay open, the training rows nearest to a text, and what the
untrained base says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError, TerakoyaError
from terakoya.i18n import _
from terakoya.models.protocol import Query
from terakoya.pipeline.dataset import load_dataset, read_run_config
from terakoya.records import Prediction, Split, Turn
from terakoya.registry import Experiment
from terakoya.runs import read_json
from terakoya.saved_model import FILE, Skill, model_folder, read_skill
from terakoya.scoring.baselines.nearest_neighbour import NearestRow, k_nearest_rows

_OPEN = 3  # skills, and training tables, that are kept open
_NEAREST, _LABELS = 3, 5
_UNTRAINED = "untrained-base.json"  # which the exam leaves where the untrained base took it too


@dataclass(frozen=True)
class TriedText:
    """What a skill says to one text.

    prediction  of the skill
    calibrated  whether its probability was calibrated on dev
    labels      the most probable labels with their probabilities, of a label set
    nearest     training rows whose sources are most similar; () where the rows are not to be had
    fault       why there are no such rows; "" where there are, or where the task is no table
    """

    prediction: Prediction
    calibrated: bool = False
    labels: tuple[tuple[str, float], ...] = ()
    nearest: tuple[NearestRow, ...] = ()
    fault: str = ""


@dataclass(frozen=True)
class _Neighbours:
    search: Callable[[Sequence[str]], list[list[NearestRow]]] | None = field(default=None)
    fault: str = ""


def try_text(run: Path, text: str, before: Sequence[str] = ()) -> TriedText:
    """The prediction of a trained skill for one text.

    run     run folder or model folder
    text    the source
    before  the conversation before it: the user's messages and the skill's in turn, oldest first
    Raises ConfigError where the folder holds no skill, and what `read_skill` raises.
    """
    skill = _skill(run, _stamp(run))
    [prediction] = skill.predict([text], [_turns(before)])
    calibrated = prediction.uncalibrated is not None
    neighbours = _neighbours(run, _stamp(run)) if not skill.converses else _Neighbours()
    nearest = tuple(neighbours.search([text])[0]) if neighbours.search is not None and text else ()
    return TriedText(prediction, calibrated, prediction.labels[:_LABELS], nearest, neighbours.fault)


def converses(run: Path) -> bool:
    """Whether the skill of the folder `run` was trained on conversations."""
    return _skill(run, _stamp(run)).converses


def has_untrained_base(run: Path) -> bool:
    """Whether the untrained base took the exam of `run`, so that it can be tried as it did."""
    return "shots" in _choice(run)


def try_untrained(run: Path, text: str, before: Sequence[str] = ()) -> TriedText:
    """The prediction of the base that `run` was trained from, with the examples in its prompt that the exam chose.

    run     run folder
    text    the source
    before  the conversation before it: the user's messages and the skill's in turn, oldest first
    Raises ConfigError where the base took no exam.
    """
    if not has_untrained_base(run):
        raise ConfigError(
            _("the untrained base took no exam in this run"),
            where=str(run),
            do=_("A model that is made from nothing has none; else train with score.untrained_base = true."),
        )
    predict = _untrained(run, _stamp(run))
    return TriedText(predict([Query(text, _turns(before))])[0])


def _turns(before: Sequence[str]) -> tuple[Turn, ...]:
    return tuple(Turn("assistant" if index % 2 else "user", text) for index, text in enumerate(before))


def _stamp(run: Path) -> int:
    """Changes when the folder's model is written anew."""
    return (model_folder(run) / FILE).stat().st_mtime_ns


@lru_cache(maxsize=_OPEN)
def _skill(run: Path, _written: int) -> Skill:
    return read_skill(run, predict_only=True)


@lru_cache(maxsize=_OPEN)
def _neighbours(run: Path, _written: int) -> _Neighbours:
    """The search over the training rows of a table; a task in code is not run for it."""
    if not (run / "manifest.json").is_file() or not read_run_config(run).task.data:
        return _Neighbours()
    try:
        train = _split(run).train
    except TerakoyaError as error:
        return _Neighbours(fault=error.message)
    return _Neighbours(k_nearest_rows(train, _NEAREST)) if train else _Neighbours()


@lru_cache(maxsize=1)
def _untrained(run: Path, _written: int) -> Callable[[Sequence[Query]], list[Prediction]]:
    from terakoya.evaluation.few_shot import FewShotExaminee
    from terakoya.evaluation.untrained_base import open_untrained

    skill = read_skill(run)
    examinee = FewShotExaminee(open_untrained(skill), skill.task, skill.config, _split(run))
    choice = _choice(run)
    return lambda queries: examinee.predict(choice, queries)


def _split(run: Path) -> Split:
    config = read_run_config(run)
    return load_dataset(Experiment(config.name, config, run, own=False)).split


def _choice(run: Path) -> Mapping[str, Any]:
    path = run / _UNTRAINED
    return dict(read_json(path).get("choice") or {}) if path.is_file() else {}
