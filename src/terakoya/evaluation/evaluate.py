"""A trained skill answers an exam: another one, its own again, or a checkpoint made elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from terakoya.config import Config
from terakoya.data.table import read_examples
from terakoya.decoding import placed
from terakoya.decoding.predict import longest_answer, query_of
from terakoya.errors import DataError
from terakoya.evaluation.exam import ExamResult, Keep, Maker, examine, kept_in, write_exam
from terakoya.i18n import both, japanese, joined
from terakoya.models.protocol import Pair
from terakoya.progress import Listener
from terakoya.records import Example, Split, set_fingerprint
from terakoya.runs import Index, Run
from terakoya.runs.result import Result, read_result
from terakoya.saved_model import Skill, read_skill
from terakoya.task import Task


def evaluate_skill(
    path: Path, data: Path, columns: tuple[str, str], overrides: tuple[str, ...], listener: Listener
) -> Result:
    """A taught model sits another exam: the rows of a table. Kept in RUN/evaluations/, or beside the model."""
    skill = read_skill(path, overrides)
    wanted = skill.config.task.model_copy(
        update={"source": columns[0], "target": columns[1], "group": "", "split": "", "encoding": ""}
    )
    exam = read_examples(wanted, data.name, data.resolve().parent)
    legible(exam, skill.task)
    listener.stage("exam", both(f"{len(exam)} questions from {data.name}", f"{data.name} から{len(exam)}問"))

    def sit(keep: Keep | None) -> ExamResult:
        return examine(skill.model, skill.task, skill.config, exam, max_tokens=skill.max_tokens, keep=keep)

    return _set(path, exam, skill.task, skill.config, sit, skill)


def evaluate_again(path: Path, task: Task, split: Split, overrides: tuple[str, ...], listener: Listener) -> Result:
    """A taught model sits its own exam once more, answering as `overrides` say. The opening is counted."""
    skill = read_skill(path, overrides)
    listener.stage("exam", both(f"{len(split.exam)} questions, its own", f"自分の試験{len(split.exam)}問"))

    def sit(keep: Keep | None) -> ExamResult:
        sides = {"train": split.train, "dev": split.dev}
        return examine(skill.model, task, skill.config, split.exam, max_tokens=skill.max_tokens, keep=keep, **sides)

    return _set(path, split.exam, task, skill.config, sit, skill)


def evaluate_foreign(path: Path, task: Task, split: Split, config: Config, make: Maker, listener: Listener) -> Result:
    """A checkpoint made elsewhere sits the exam of a task of ours, as it is."""
    settings = config.model.model_copy(update={"base": str(path)})
    pairs = [Pair(query_of(example), task.codec.write(example.target)) for example in (*split.dev, *split.exam)]
    model = placed(make(settings, pairs, tuple(getattr(task.codec, "labels", ())), seed=config.seed), config.device)
    listener.stage("exam", both(f"{len(split.exam)} questions to {path}", f"{path} に{len(split.exam)}問"))
    most = config.decode.max_tokens or longest_answer(model, pairs)

    def sit(keep: Keep | None) -> ExamResult:
        return examine(model, task, config, split.exam, max_tokens=most, train=split.train, dev=split.dev)

    return _set(path, split.exam, task, config, sit)


def legible(exam: Sequence[Example], task: Task) -> None:
    """Every target of an exam must be one that can be answered; all that are not are told at once."""
    bad = []
    for example in exam:
        try:
            task.codec.canonical(example.target)
        except DataError as error:
            bad.append((example.row, error.what))
    if bad:
        shown = joined("; ", (both(f"line {row}: {what}", f"{row}行目：{japanese(what)}") for row, what in bad[:5]))
        raise DataError(
            both(f"{len(bad)} targets cannot be read ({shown})", f"正解{len(bad)}件を読めない（{japanese(shown)}）"),
            where=exam[0].origin,
            do=both("Mend or remove these rows.", "それらの行を直すか取り除くこと。"),
        )


def _set(
    path: Path,
    exam: Sequence[Example],
    task: Task,
    config: Config,
    sit: Callable[[Keep | None], ExamResult],
    skill: Skill | None = None,
) -> Result:
    """Let it sit the exam, and keep what came of it: in the run's folder, which is held the while; else nowhere."""
    name = set_fingerprint(exam)
    if not (path / "manifest.json").is_file():
        with tempfile.TemporaryDirectory() as folder:
            with Run.create(Path(folder), "evaluation") as run:
                write_exam(run, sit(None), task, config)
            return read_result(run.path)
    where = f"evaluations/{name}/"
    with Run.resume(path) as run:
        examined = sit(None if skill is None else kept_in(run, skill, exam, where=where))
        Index(path.resolve().parent).open_exam(name, run.name)
        write_exam(run, examined, task, config, where=where)
    return read_result(path / where)
