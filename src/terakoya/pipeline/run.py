"""The story of a run, told in order; and one function for every other command.

Config → Task → examples → Split → (findings) → Model taught → Predictions → Scores → Run → report

Whatever the command line does, a notebook can do with the function of the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya import registry
from terakoya.config import read_config, write_config
from terakoya.errors import ConfigError
from terakoya.i18n import both
from terakoya.pipeline.dataset import Dataset, audited, load_dataset, remember, sizes
from terakoya.progress import Listener, Silent
from terakoya.registry import Experiment
from terakoya.runs import Index, Run, git_commit, is_sealed, lifecycle, seal
from terakoya.runs.lifecycle import enforce
from terakoya.runs.result import Result, read_result, unexamined
from terakoya.saved_model import moved

if TYPE_CHECKING:
    from terakoya.models.protocol import Model
    from terakoya.training.prepare import TrainingSetup

RUNS = Path("runs")
_WHY_JA = {
    "steps": "予定のステップ数",
    "solved": "検証で解けた",
    "minutes": "予定の時間",
    "patience": "検証で伸びない",
    "guard": "監視",
}


# ── the story ───────────────────────────────────────────────────────────────────────────────────────


def run(
    experiment: str,
    *,
    overrides: Sequence[str] = (),
    run_dir: Path = RUNS,
    anyway: bool = False,
    exam: bool = True,
    listener: Listener | None = None,
) -> Result:
    """Examples, audit, split, preflight, train, exam, record. A run folder goes on where it stopped.

    `anyway` goes on in spite of findings of level stop; without `exam` the run ends taught, its exam unopened
    (a series chooses on dev first), and goes on from there when it is asked to.
    """
    tell = listener or Silent()
    how = _How(anyway, exam, tell)
    if (Path(experiment) / "manifest.json").is_file():
        return _gone_on(Path(experiment), overrides, how)
    found = registry.find_experiment(experiment, overrides)
    with _new(run_dir, found) as opened, lifecycle.record_outcome(opened):
        return _story(opened, found, how)


def _new(run_dir: Path, found: Experiment) -> Run:
    def config(path: Path) -> str:
        return write_config(moved(found.config, found.folder, path))

    return Run.create(run_dir, found.name, config=config, seed=found.config.seed, git=git_commit(found.folder))


@dataclass(frozen=True)
class _How:
    anyway: bool
    exam: bool
    tell: Listener


def _story(opened: Run, experiment: Experiment, how: _How) -> Result:
    anyway, tell = how.anyway, how.tell
    tell.stage("examples", experiment.name)
    plan = load_dataset(experiment)
    remember(opened, plan)
    tell.note(sizes(plan.split))

    tell.stage("audit")
    enforce(opened, audited(plan), tell, anyway)

    lesson, model, max_tokens = _prepared(plan, opened)
    card = model.card
    tell.stage(
        "model",
        both(
            f"{card.name}, {card.weights:,} weights, {card.family}",
            f"{card.name}、パラメータ数 {card.weights:,}、{card.family}",
        ),
    )
    if not is_sealed(opened.path / "model"):
        _teach(opened, lesson, model, max_tokens, anyway, tell)

    if not how.exam:
        opened.finish("stopped", reason=both("taught; the exam was not opened", "学習済み。試験は開いていない"))
        return unexamined(opened.path)
    questions = len(plan.split.exam)
    tell.stage("exam", both(f"{questions} questions", f"{questions}問"))
    _examine(opened, lesson)

    tell.stage("record")
    opened.finish("done")  # before the record, which tells how the run ended
    report(opened.path, lang=lesson.config.lang, _run=opened)
    return read_result(opened.path)


def _prepared(plan: Dataset, opened: Run) -> tuple[TrainingSetup, Model, int]:
    """The model, made for this data; every `auto` resolved and the whole config written down."""
    from terakoya.training.prepare import prepared

    lesson, model, max_tokens = prepared(
        plan.task, plan.split, plan.config, registry.find_model_maker(plan.config.model.base)
    )
    opened.write_text("config.toml", write_config(moved(lesson.config, plan.folder, opened.path)))
    opened.note(model=model.card, max_tokens=max_tokens, resolved=lesson.config.train.model_dump())
    return lesson, model, max_tokens


def _teach(opened: Run, lesson: TrainingSetup, model: Model, max_tokens: int, anyway: bool, tell: Listener) -> None:
    from terakoya.saved_model import write_skill
    from terakoya.training import preflight, trainer

    tell.stage("preflight")
    enforce(opened, preflight.preflight(lesson, model, opened.path), tell, anyway)
    how = lesson.config.train
    tell.stage(
        "train",
        both(f"{how.steps} steps of {how.batch_size} rows", f"{how.steps}ステップ、一ステップ{how.batch_size}行"),
    )
    taught = trainer.train(lesson, model, opened, tell, max_tokens=max_tokens, anyway=anyway)
    opened.note(training=taught)
    model = trainer.again(lesson, model, opened, tell)
    tell.note(
        both(
            f"{taught.steps} steps in {taught.seconds:.0f} s, ended by {taught.stopped}; best at {taught.best_step}",
            f"{taught.steps}ステップ、{taught.seconds:.0f}秒、終了の理由：{_WHY_JA[taught.stopped]}、"
            f"最良はステップ{taught.best_step}",
        )
    )
    here = opened.path / "model"
    write_skill(here, model, lesson.task, moved(lesson.config, opened.path, here), max_tokens)
    seal(here)


def _examine(opened: Run, lesson: TrainingSetup) -> None:
    """The model is opened again from its folder: what is scored is what was saved."""
    from terakoya.evaluation.exam import examine, kept_in, write_exam
    from terakoya.saved_model import read_skill

    # A run that was killed here comes back with the same weights and nothing chosen since: it is the same sitting.
    count = Index(opened.path.parent).open_exam(lesson.split.exam_fingerprint, opened.name, once=True)
    opened.note(exam=lesson.split.exam_fingerprint, openings=count)
    skill = read_skill(opened.path)
    split = lesson.split
    examined = examine(
        skill.model,
        lesson.task,
        lesson.config,
        split.exam,
        max_tokens=skill.max_tokens,
        train=split.train,
        dev=split.dev,
        keep=kept_in(opened, skill, split.exam),
    )
    write_exam(opened, examined, lesson.task, lesson.config)


def _gone_on(path: Path, overrides: Sequence[str], how: _How) -> Result:
    """An interrupted run, to the same bits; a finished one is shown again."""
    if overrides:
        raise ConfigError(
            both("a run goes on as it began", "実行は始めたときのまま続く"),
            where=str(path),
            do=both(
                f"Leave --set out, or begin anew: terakoya run {path / 'config.toml'} --set …",
                f"--set を外すか、新しく始めること：terakoya run {path / 'config.toml'} --set …",
            ),
        )
    if Run.open(path).state == "done":
        done = read_result(path)
        if not done.report:  # killed while the record was written
            report(path, lang=read_config(path / "config.toml").lang)
        return done if done.report else read_result(path)
    with Run.resume(path) as opened:
        opened.go_on()
        with lifecycle.record_outcome(opened):
            config = read_config(path / "config.toml")
            return _story(opened, Experiment(config.name, config, path), how)


# ── the steps singly ────────────────────────────────────────────────────────────────────────────────


def train(
    experiment: str,
    *,
    overrides: Sequence[str] = (),
    run_dir: Path = RUNS,
    anyway: bool = False,
    listener: Listener | None = None,
) -> Result:
    """The story as far as a taught model: the exam stays closed, and `run` goes on from the folder to open it."""
    return run(experiment, overrides=overrides, run_dir=run_dir, anyway=anyway, exam=False, listener=listener)


def report(
    run: Path | None = None, *, all_runs: bool = False, run_dir: Path = RUNS, lang: str = "", _run: Run | None = None
) -> list[Path]:
    """The record: report.md and report.html, made from the run's folder alone; with `all_runs`, a page of all."""
    from terakoya.report import write

    if all_runs:
        return write.write_index(run_dir, lang)
    if run is None:
        raise ConfigError(
            both("which run?", "どの実行か指定がない"),
            do=both(
                "terakoya report RUN, or terakoya report --all",
                "次のように指定すること：terakoya report RUN、または terakoya report --all",
            ),
        )
    return write.write_record(run, lang, _run)
