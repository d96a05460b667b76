"""A trained skill takes an exam: another one, its own again, or an external checkpoint takes one of ours."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from terakoya.codec.choose import refuse_other_codec
from terakoya.config import Config
from terakoya.data.table import read_examples
from terakoya.decoding import move_to_device
from terakoya.decoding.predict import generation_limit, query_of
from terakoya.errors import DataError
from terakoya.evaluation.exam import (
    ExamResult,
    ModelFactory,
    ResumablePredict,
    examine,
    resumable_predictor,
    settings_fingerprint,
    write_exam,
)
from terakoya.evaluation.untrained_base import UntrainedResult, predict_untrained_base
from terakoya.i18n import _, joined
from terakoya.models.protocol import Pair
from terakoya.records import Example, Finding, Split, set_fingerprint
from terakoya.runs import Index, Run
from terakoya.runs.progress import Listener
from terakoya.runs.result import RunResult, read_result
from terakoya.saved_model import Skill, read_skill
from terakoya.task import Task


@dataclass(frozen=True, slots=True)
class ExamColumns:
    """Where the items of another exam stand: its columns, its encoding ("" is detected), and the codec of its targets.

    source, target  names of the columns
    encoding        of the file
    codec           that the user expects; "" is the model's own
    """

    source: str = "source"
    target: str = "target"
    encoding: str = ""
    codec: str = ""


TakeExam = Callable[[ResumablePredict | None, Run | None], ExamResult]
# What predicts for a skill, None for the skill itself; and a finding where another engine predicts or was wanted.
ChooseEngine = Callable[[Skill], tuple[Skill | None, Finding | None]]


def own_engine(skill: Skill) -> tuple[None, None]:
    """The `skill` itself predicts."""
    return None, None


def evaluate_skill(
    path: Path,
    data: Path,
    columns: ExamColumns,
    overrides: tuple[str, ...],
    listener: Listener,
    engine: ChooseEngine = own_engine,
) -> RunResult:
    """A trained skill takes another exam, kept in RUN/evaluations/EXAM/.

    path       a run folder or a model folder
    data       a table with the exam's items
    columns    where its items stand
    overrides  KEY=VALUE settings of decoding
    listener   receives progress events
    engine     returns what predicts for the skill
    Raises DataError, naming rows, where a target is no legal target.
    """
    skill = read_skill(path, overrides, scored=True)
    refuse_other_codec(skill.task.codec, columns.codec, "evaluate")
    wanted = skill.config.task.model_copy(
        update={"source": columns.source, "target": columns.target, "group": "", "split": ""}
        | {"encoding": columns.encoding}
    )
    exam = read_examples(wanted, data.name, data.resolve().parent)
    check_targets_readable(exam, skill.task)
    items, table = len(exam), data.name
    listener.stage("exam", _("{items} items from {table}", items=items, table=table))
    predictor, _finding = engine(skill)

    def take(resumable: ResumablePredict | None, _: Run | None) -> ExamResult:
        return examine(
            skill.model,
            skill.task,
            skill.config,
            exam,
            max_tokens=skill.max_tokens,
            resumable=resumable,
            predictor=predictor,
            confidence=skill.confidence,
        )

    return _take_and_write(path, exam, skill.task, skill.config, take, skill)


def evaluate_own_exam(
    path: Path,
    task: Task,
    split: Split,
    overrides: tuple[str, ...],
    listener: Listener,
    engine: ChooseEngine = own_engine,
) -> RunResult:
    """A trained skill takes its own exam once more, with other decoding settings. The opening is counted.

    path       the run folder
    task       the run's task
    split      its examples; those of train and dev are for the baselines
    overrides  KEY=VALUE settings of decoding
    listener   receives progress events
    engine     returns what predicts for the skill
    """
    skill = read_skill(path, overrides, task=task)
    predictor, _finding = engine(skill)
    items = len(split.exam)
    listener.stage("exam", _("{items} items of its own exam", items=items))

    index = Index(path.resolve().parent)
    tried = index.settings_tried(split.exam_fingerprint, settings_fingerprint(skill.config))

    def untrained(run: Run) -> UntrainedResult | None:
        return predict_untrained_base(run, skill, split, where=_folder_of(split.exam))

    def take(resumable: ResumablePredict | None, run: Run | None) -> ExamResult:
        return examine(
            skill.model,
            task,
            skill.config,
            split.exam,
            max_tokens=skill.max_tokens,
            resumable=resumable,
            predictor=predictor,
            train=split.train,
            dev=split.dev,
            untrained=None if run is None else partial(untrained, run),
            confidence=skill.confidence,
            openings=tried,
        )

    return _take_and_write(path, split.exam, task, skill.config, take, skill)


def evaluate_external(
    path: Path, task: Task, split: Split, config: Config, make: ModelFactory, listener: Listener
) -> RunResult:
    """An external checkpoint takes the exam of a task of ours, untrained.

    path      the checkpoint's folder
    task      whose exam it is
    split     its examples
    config    of the experiment; `model.base` becomes `path`
    make      opens the checkpoint as a model
    listener  receives progress events
    """
    settings = config.model.model_copy(update={"base": str(path)})
    pairs = [Pair(query_of(example), task.codec.write(example.target)) for example in (*split.dev, *split.exam)]
    model = move_to_device(
        make(settings, pairs, tuple(getattr(task.codec, "labels", ())), seed=config.seed), config.device
    )
    items = len(split.exam)
    listener.stage("exam", _("{items} items for {path}", items=items, path=path))
    max_tokens = config.decode.max_tokens or generation_limit(model, pairs)

    def take(_: ResumablePredict | None, __: Run | None) -> ExamResult:
        return examine(model, task, config, split.exam, max_tokens=max_tokens, train=split.train, dev=split.dev)

    return _take_and_write(path, split.exam, task, config, take)


def check_targets_readable(exam: Sequence[Example], task: Task) -> None:
    """Refuse an exam with targets that no prediction could match; all of them are named at once.

    exam  its items
    task  its codec reads the targets
    Raises DataError.
    """
    bad = []
    for example in exam:
        try:
            task.codec.canonical(example.target)
        except DataError as error:
            bad.append((example.row, error.what))
    if bad:
        count = len(bad)
        shown = joined("; ", (_("line {row}: {what}", row=row, what=what) for row, what in bad[:5]))
        raise DataError(
            _("{count} targets cannot be read ({shown})", count=count, shown=shown),
            where=exam[0].origin,
            do=_("Correct or remove these rows."),
        )


def _folder_of(exam: Sequence[Example]) -> str:
    """Where a run keeps what an exam came to, but for the exam that it took itself."""
    return f"evaluations/{set_fingerprint(exam)}/"


def _take_and_write(
    path: Path, exam: Sequence[Example], task: Task, config: Config, take: TakeExam, skill: Skill | None = None
) -> RunResult:
    """Take the exam and write the result: into the run's folder, locked meanwhile; without a run nowhere."""
    name = set_fingerprint(exam)
    if not (path / "manifest.json").is_file():
        with tempfile.TemporaryDirectory() as folder:
            with Run.create(Path(folder), "evaluation") as run:
                write_exam(run, take(None, None), task, config)
            return read_result(run.path)
    where = _folder_of(exam)
    with Run.resume(path) as run:
        result = take(None if skill is None else resumable_predictor(run, skill, exam, where=where), run)
        Index(path.resolve().parent).open_exam(name, run.name, settings=settings_fingerprint(config))
        write_exam(run, result, task, config, where=where)
    return read_result(path / where)
