"""The story of a run, told in order; and one function for every other command.

Config → Task → examples → Split → (findings) → Model taught → Predictions → Scores → Run → report

Whatever the command line does, a notebook can do with the function of the same name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya import catalog, endings
from terakoya.catalog import Experiment
from terakoya.codec import Codec, TextCodec
from terakoya.config import read_config, write_config
from terakoya.endings import heed
from terakoya.errors import ConfigError, DataError
from terakoya.listener import Listener, Silent
from terakoya.planning import Plan, audited, config_for_table, planned, reader, remember, sizes
from terakoya.records import Finding
from terakoya.result import Result, read_result, unexamined
from terakoya.runs import Index, Run, git_commit, is_sealed, seal
from terakoya.skill import moved
from terakoya.tongue import both

if TYPE_CHECKING:
    from terakoya.compare import Comparison
    from terakoya.data.generate import Generated
    from terakoya.models.model import Model
    from terakoya.training.lesson import Lesson

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
    found = catalog.find_experiment(experiment, overrides)
    with _new(run_dir, found) as opened, endings.told(opened):
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
    plan = planned(experiment)
    remember(opened, plan)
    tell.note(sizes(plan.split))

    tell.stage("audit")
    heed(opened, audited(plan), tell, anyway)

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


def _prepared(plan: Plan, opened: Run) -> tuple[Lesson, Model, int]:
    """The model, made for this data; every `auto` resolved and the whole config written down."""
    from terakoya.training.lesson import prepared

    lesson, model, max_tokens = prepared(
        plan.task, plan.split, plan.config, catalog.find_model_maker(plan.config.model.base)
    )
    opened.write_text("config.toml", write_config(moved(lesson.config, plan.folder, opened.path)))
    opened.note(model=model.card, max_tokens=max_tokens, resolved=lesson.config.train.model_dump())
    return lesson, model, max_tokens


def _teach(opened: Run, lesson: Lesson, model: Model, max_tokens: int, anyway: bool, tell: Listener) -> None:
    from terakoya.skill import write_skill
    from terakoya.training import preflight, teach

    tell.stage("preflight")
    heed(opened, preflight.preflight(lesson, model, opened.path), tell, anyway)
    how = lesson.config.train
    tell.stage(
        "train",
        both(f"{how.steps} steps of {how.batch_size} rows", f"{how.steps}ステップ、一ステップ{how.batch_size}行"),
    )
    taught = teach.teach(lesson, model, opened, tell, max_tokens=max_tokens, anyway=anyway)
    opened.note(training=taught)
    model = teach.again(lesson, model, opened, tell)
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


def _examine(opened: Run, lesson: Lesson) -> None:
    """The model is opened again from its folder: what is scored is what was saved."""
    from terakoya.examination import examine, kept_in, write_exam
    from terakoya.skill import read_skill

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
        with endings.told(opened):
            config = read_config(path / "config.toml")
            return _story(opened, Experiment(config.name, config, path), how)


# ── the steps singly ────────────────────────────────────────────────────────────────────────────────


def audit(subject: str, *, overrides: Sequence[str] = ()) -> list[Finding]:
    """What is wrong with a table, or with the data of an experiment."""
    from terakoya.data import audit as room

    path = Path(subject)
    if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"):
        return room.audit_table(path, config_for_table(path, overrides))
    plan = planned(catalog.find_experiment(subject, overrides))
    return audited(plan, reader(plan))


def split(experiment: str, output: Path, *, overrides: Sequence[str] = ()) -> dict[str, str | int]:
    """Part the examples and write the three sides as JSON lines."""
    from terakoya.files.examples import write_examples

    plan = planned(catalog.find_experiment(experiment, overrides))
    for name in ("train", "dev", "exam"):
        write_examples(output / f"{name}.jsonl", getattr(plan.split, name))
    sizes: dict[str, str | int] = {name: len(getattr(plan.split, name)) for name in ("train", "dev", "exam")}
    return {**sizes, "exam fingerprint": plan.split.exam_fingerprint, "method": plan.split.method}


def generate(
    experiment: str,
    *,
    output: Path | None = None,
    overrides: Sequence[str] = (),
    estimate: bool = False,
    i_have_the_right: bool = False,
    listener: Listener | None = None,
) -> Generated:
    """Let a teacher make the table that an experiment names in task.data, or go on making it; nothing is paid twice.

    The generation folder (journal, index, what was rejected) lies beside the table and bears its name.
    """
    from terakoya.data import generate as room

    found = catalog.find_experiment(experiment, overrides)
    if output is None and not found.config.task.data:
        raise ConfigError(
            both("where to?", "書き出す先がない"),
            do=both(
                "Name the table with --output FILE, or in the config: [task] data = …",
                "表の名前を --output FILE で指定するか、設定に書くこと：[task] data = …",
            ),
        )
    table = output or found.folder / found.config.task.data
    return room.generate(
        found.config,
        table.with_suffix(".generation"),
        table,
        estimate=estimate,
        i_have_the_right=i_have_the_right,
        listener=listener,
        home=found.folder,
    )


@dataclass(frozen=True)
class Examination:
    """What the doctor found; `tokens` shows a batch with the learnt tokens marked, where that was asked for."""

    findings: tuple[Finding, ...]
    tokens: str = ""


def doctor(experiment: str, *, overrides: Sequence[str] = (), show_tokens: bool = False) -> Examination:
    """Audit and preflight, without training."""
    from terakoya.training import preflight
    from terakoya.training.lesson import prepared

    plan = planned(catalog.find_experiment(experiment, overrides))
    maker = catalog.find_model_maker(plan.config.model.base)
    lesson, model, _ = prepared(plan.task, plan.split, plan.config, maker)
    found = (*audited(plan), *preflight.preflight(lesson, model, RUNS))
    return Examination(found, preflight.shown_tokens(lesson, model) if show_tokens else "")


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


def evaluate(
    run: Path,
    *,
    data: Path | None = None,
    source: str = "source",
    target: str = "target",
    task: str = "",
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
) -> Result:
    """Set a taught model another exam, or without `data` its own again; kept in RUN/evaluations/EXAM/."""
    from terakoya import examination

    tell = listener or Silent()
    if task:
        plan = planned(catalog.find_experiment(task, overrides))
        maker = catalog.find_model_maker(str(run))
        return examination.evaluate_foreign(run, plan.task, plan.split, plan.config, maker, tell)
    if data is not None:
        return examination.evaluate_skill(run, data, (source, target), tuple(overrides), tell)
    if not (run / "manifest.json").is_file():
        raise ConfigError(
            both("which exam?", "どの試験か指定がない"),
            where=str(run),
            do=both(
                "Name a run, whose own exam is known; or a table with --data FILE, its columns with --source and "
                "--target.",
                "自分の試験を持つ実行を指定するか、--data FILE で表を、--source と --target でその列を指定すること。",
            ),
        )
    config = read_config(run / "config.toml")
    plan = planned(Experiment(config.name, config, run))
    return examination.evaluate_again(run, plan.task, plan.split, tuple(overrides), tell)


def predict(
    run: Path, texts: Sequence[str] = (), *, input: str = "", output: str = "", overrides: Sequence[str] = ()
) -> Iterator[dict[str, object]]:
    """Ask a taught model: one answer for each input, in order, whatever happens to it."""
    from terakoya import predicting

    return predicting.predict(run, texts, input=input, output=output, overrides=tuple(overrides))


def compare(runs: Sequence[Path], *, part: str = "") -> tuple[Comparison, ...]:
    """Runs (or tables of others) on the same exam, item by item; IncompatibleError says what differs."""
    from terakoya import compare as room
    from terakoya.outcomes import read_outcomes

    codec = next((_codec_of(path) for path in runs if path.is_dir()), TextCodec())

    def read(text: str) -> str | None:
        """Others write answers as people do, or as our models do."""
        try:
            return codec.canonical(text)
        except DataError:
            return codec.read(text)

    return room.compare(read_outcomes(runs, read=read, canonical=codec.canonical, part=part))


def _codec_of(run: Path) -> Codec:
    from terakoya.skill import read_task

    return read_task(run).codec


def report(
    run: Path | None = None, *, all_runs: bool = False, run_dir: Path = RUNS, lang: str = "", _run: Run | None = None
) -> list[Path]:
    """The record: report.md and report.html, made from the run's folder alone; with `all_runs`, a page of all."""
    from terakoya import recording

    if all_runs:
        return recording.write_index(run_dir, lang)
    if run is None:
        raise ConfigError(
            both("which run?", "どの実行か指定がない"),
            do=both(
                "terakoya report RUN, or terakoya report --all",
                "次のように指定すること：terakoya report RUN、または terakoya report --all",
            ),
        )
    return recording.write_record(run, lang, _run)


def spoken(subject: str, overrides: Sequence[str] = ()) -> str:
    """The language that an experiment's or a run's config asks for, read even where the rest of it is refused."""
    asked = [item.partition("=")[2] for item in overrides if item.startswith("lang=")]
    path = Path(subject) / "config.toml" if Path(subject).is_dir() else Path(subject)
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8-sig")) if path.suffix == ".toml" else {}
    except (OSError, ValueError, RecursionError):  # whoever asked for the experiment will hear of it
        own = {}
    return str(asked[-1] if asked else own.get("lang", ""))


def list_() -> dict[str, list[tuple[str, str]]]:
    """Tasks, experiments, series and models that can be named."""
    return {
        "experiments": [(found.name, found.says) for found in catalog.experiments()],
        "series": list(catalog.series()),
        "tasks": [(name, "") for name in catalog.names(catalog.TASKS)],
        "models": [(name, "") for name in catalog.names(catalog.MODELS)],
    }


def new(name: str) -> list[Path]:
    """A folder with a table and a config that run as they are."""
    from terakoya import starter

    return starter.write(Path(name))
