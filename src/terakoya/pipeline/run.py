"""A run in order; and one function for every other command.

Config → Task → examples → Split → (findings) → Model trained → Predictions → Scores → Run → report

Whatever the command line does, a notebook can do with the function of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya import registry
from terakoya.config import Config, read_config, write_config
from terakoya.config.used_plugins import used_plugins
from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.pipeline.curve import train_own_curve
from terakoya.pipeline.dataset import (
    Dataset,
    audit_dataset,
    load_dataset,
    read_run_config,
    record_dataset,
    split_sizes,
)
from terakoya.pipeline.seeds import other_seeds, take_exam_with_seed
from terakoya.records import Example, Finding
from terakoya.registry import Experiment
from terakoya.runs import Index, Run, git_commit, is_sealed, lifecycle, seal
from terakoya.runs.lifecycle import enforce
from terakoya.runs.progress import Listener, SilentListener
from terakoya.runs.result import RunResult, read_result, read_unexamined
from terakoya.runs.seeds import SEEDS, seed_runs
from terakoya.saved_model import Skill, rebase_paths
from terakoya.training.parallel.launch import is_one_of_several, rank, refuse_several_processes

if TYPE_CHECKING:
    from terakoya.models.protocol import Model
    from terakoya.training.prepare import TrainingSetup

RUNS = Path("runs")
_STOP_REASONS = {
    "steps": _("the planned steps"),
    "solved": _("dev solved"),
    "minutes": _("the planned minutes"),
    "patience": _("no gain on dev"),
    "guard": _("a guard"),
}


# ── the run ─────────────────────────────────────────────────────────────────────────────────────────


def run(
    experiment: str | Config,
    *,
    overrides: Sequence[str] = (),
    run_dir: Path = RUNS,
    anyway: bool = False,
    exam: bool = True,
    curve: bool = True,
    listener: Listener | None = None,
) -> RunResult:
    """Load examples, audit, split, train, take the exam, write the report; a run folder is resumed.

    experiment  name of a shipped experiment, a TOML file, a `Config`, or a run folder to be resumed
    overrides   KEY=VALUE settings
    run_dir     where the run folder is made ("runs")
    anyway      True: go on in spite of findings of level stop
    exam        False: the run ends trained, its exam unopened (a sweep chooses on dev first), and can be resumed from
                there
    curve       False: it trains no learning curve by itself, whatever `score.curve_minutes` allows
    listener    receives progress events; None ignores them
    Under torchrun the first process makes the run and the others train it, and end with SystemExit(0).
    Raises a TerakoyaError for whatever the user can mend.
    """
    options = _RunOptions(anyway, exam, listener or SilentListener(), curve)
    if not is_one_of_several():
        return _run(experiment, overrides, run_dir, options)
    from terakoya.training.parallel import torchrun

    if rank():
        _train_along()
        raise SystemExit(0)
    with torchrun.main_process():
        return _run(experiment, overrides, run_dir, options)


def _run(experiment: str | Config, overrides: Sequence[str], run_dir: Path, options: _RunOptions) -> RunResult:
    if not isinstance(experiment, Config) and (Path(experiment) / "manifest.json").is_file():
        return _resume(Path(experiment), overrides, options)
    return _run_new(registry.find_experiment(experiment, overrides), run_dir, options)


def _train_along() -> None:
    from terakoya.training import trainer
    from terakoya.training.parallel import torchrun

    models: list[Model] = []

    def prepare(experiment: Experiment) -> TrainingSetup:
        setup, model, _max_tokens = _prepared(load_dataset(experiment))
        models[:] = [model]
        return setup

    torchrun.train_along(prepare, lambda setup: trainer.train_along(setup, models[0]))


def run_experiment(
    experiment: Experiment,
    *,
    run_dir: Path = RUNS,
    anyway: bool = False,
    listener: Listener | None = None,
    **facts: Any,
) -> RunResult:
    """A whole run of an experiment that was found already, such as another run's config with one setting changed.

    experiment  its config and the folder that paths are relative to
    run_dir     where the run folder is made ("runs")
    anyway      True: go on in spite of findings of level stop
    listener    receives progress events; None ignores them
    facts       further values of the manifest
    """
    refuse_several_processes("terakoya retrain")
    return _run_new(experiment, run_dir, _RunOptions(anyway, True, listener or SilentListener()), **facts)


def _run_new(found: Experiment, run_dir: Path, options: _RunOptions, **facts: Any) -> RunResult:
    with _new_run(run_dir, found, **facts) as opened, lifecycle.record_outcome(opened):
        return _run_stages(opened, found, options)


def _new_run(run_dir: Path, found: Experiment, **facts: Any) -> Run:
    def config(path: Path) -> str:
        return write_config(rebase_paths(found.config, found.folder, path))

    known: dict[str, Any] = {"seed": found.config.seed, "git": git_commit(found.folder)}
    return Run.create(run_dir, found.name, config=config, **known, **facts)


@dataclass(frozen=True)
class _RunOptions:
    anyway: bool
    exam: bool
    listener: Listener
    curve: bool = True


def _run_stages(opened: Run, experiment: Experiment, options: _RunOptions) -> RunResult:
    anyway, listener = options.anyway, options.listener
    listener.stage("examples", experiment.name)
    dataset = load_dataset(experiment)
    record_dataset(opened, dataset)
    listener.note(split_sizes(dataset.split))

    listener.stage("audit")
    enforce(opened, audit_dataset(dataset), listener, anyway)

    setup, model, max_tokens = _prepare(dataset, opened)
    name, weights, family = model.info.name, model.info.weights, model.info.family
    listener.stage(
        "model",
        _("{name}, {weights:,} weights, {family}", name=name, weights=weights, family=family),
    )
    if not is_sealed(opened.path / "model"):
        if is_one_of_several():
            from terakoya.training.parallel import torchrun

            resolved = replace(experiment, config=setup.config, folder=dataset.folder.resolve())
            torchrun.announce(setup, resolved)
        _train(opened, setup, model, max_tokens, anyway, listener)
    _train_other_seeds(opened, experiment, options)

    if not options.exam:
        opened.finish("stopped", reason=_("trained; the exam was not opened"))
        return read_unexamined(opened.path)
    if options.curve:
        train_own_curve(opened, replace(dataset, config=setup.config), listener)
    items = len(dataset.split.exam)
    listener.stage("exam", _("{items} items", items=items))
    _take_exam(opened, setup, listener)

    listener.stage("record")
    opened.finish("done")  # before the report, which says how the run ended
    report(opened.path, lang=setup.config.lang, _run=opened)
    return read_result(opened.path)


def _prepare(dataset: Dataset, opened: Run) -> tuple[TrainingSetup, Model, int]:
    """The model, made for this data; every `auto` resolved and the whole config written down."""
    setup, model, max_tokens = _prepared(dataset)
    opened.write_text("config.toml", write_config(rebase_paths(setup.config, dataset.folder, opened.path)))
    opened.update_manifest(model=model.info, max_tokens=max_tokens, resolved=setup.config.train.model_dump())
    if used := used_plugins(setup.config):
        opened.update_manifest(plugins=used)
    return setup, model, max_tokens


def _prepared(dataset: Dataset) -> tuple[TrainingSetup, Model, int]:
    from terakoya.training.prepare import prepare_training

    maker = registry.find_model_maker(dataset.config.model.base, dataset.folder)
    return prepare_training(dataset.task, dataset.split, dataset.config, maker)


def _train(opened: Run, setup: TrainingSetup, model: Model, max_tokens: int, anyway: bool, listener: Listener) -> None:
    from terakoya.exporters.possible import export_findings
    from terakoya.saved_model import write_skill
    from terakoya.training import preflight, trainer

    listener.stage("preflight")
    exports = export_findings(Skill(model, setup.task, setup.config, max_tokens, opened.path))
    enforce(opened, [*preflight.preflight(setup, model, opened.path), *exports], listener, anyway)
    steps, rows = setup.config.train.steps, setup.config.train.batch_size
    listener.stage("train", _("{steps} steps of {rows} rows", steps=steps, rows=rows))
    result = trainer.train(setup, model, opened, listener, max_tokens=max_tokens, anyway=anyway)
    opened.update_manifest(training=result)
    confidence = trainer.measure(setup, model, opened, listener, max_tokens=max_tokens)  # while dev is held out
    model = trainer.maybe_refit(setup, model, opened, listener)
    if setup.config.model.base_scores:
        opened.update_manifest(model=model.info)  # the weight of the base was fitted after the manifest was written
    taken, seconds, best, reason = result.steps, result.seconds, result.best_step, _STOP_REASONS[result.stopped]
    listener.note(
        _(
            "{taken} steps in {seconds:.0f} s, ended by {reason}; best at {best}",
            taken=taken,
            seconds=seconds,
            reason=reason,
            best=best,
        )
    )
    folder = opened.path / "model"
    # The run's own config: its paths are relative to the run, those of the setup to wherever the experiment lies.
    config = rebase_paths(read_config(opened.path / "config.toml"), opened.path, folder)
    write_skill(folder, model, setup.task, config, max_tokens, confidence)
    seal(folder)


def _train_other_seeds(opened: Run, experiment: Experiment, options: _RunOptions) -> None:
    """The same recipe with each further seed of `train.seeds`, in runs of their own whose exam stays closed."""
    unexamined = replace(options, exam=False)
    for seed, config in other_seeds(experiment.config):
        options.listener.stage("seed", str(seed))
        parent = opened.path / SEEDS / str(seed)
        started = sorted(manifest.parent for manifest in parent.glob("*/manifest.json"))
        if started:
            _resume(started[-1], (), unexamined)
            continue
        found = replace(experiment, config=config)
        with _new_run(parent, found) as one, lifecycle.record_outcome(one):
            _run_stages(one, found, unexamined)


def chosen_engine(
    skill: Skill, dev: Callable[[], Sequence[Example]], listener: Listener
) -> tuple[Skill | None, Finding | None]:
    """What predicts for a skill under `decode.engine`.

    skill     opened with its settings
    dev       returns the dev items, on which another engine has to predict equally
    listener  informed while it is compared
    Returns None for the skill itself, and a finding where another engine predicts or was wanted. Raises ConfigError
    where the engine cannot do what the skill does.
    """
    if skill.config.decode.engine == "own":
        return None, None
    from terakoya.exporters.ct2.as_engine import predict_with_ct2

    return predict_with_ct2(skill, skill.folder.parent, dev, listener.note)


def _take_exam(opened: Run, setup: TrainingSetup, listener: Listener) -> None:
    """The model is loaded again from its folder: what is scored is what was saved."""
    from terakoya.annotation.exam import carry_judgements
    from terakoya.evaluation.exam import examine, resumable_predictor, settings_fingerprint, write_exam
    from terakoya.evaluation.untrained_base import predict_untrained_base
    from terakoya.saved_model import read_skill

    # A run that was killed here is resumed with the same weights and nothing chosen since: it is the same opening.
    index, exam, settings = Index(opened.path.parent), setup.split.exam_fingerprint, settings_fingerprint(setup.config)
    count = index.open_exam(exam, opened.name, once=True, settings=settings)
    # An exam that some corrected rows have left is no new one: its openings before they left count on.
    whole = str((opened.manifest.get("data") or {}).get("whole_exam") or exam)
    if whole != exam:
        count = max(count, index.open_exam(whole, opened.name, once=True, settings=settings))
    opened.update_manifest(exam=exam, openings=count)
    others = [take_exam_with_seed(path, setup) for path in seed_runs(opened.path)]
    skill = read_skill(opened.path, task=setup.task)
    split = setup.split
    predictor, finding = chosen_engine(skill, lambda: split.dev, listener)
    if finding is not None:
        enforce(opened, [finding], listener, anyway=True)
    result = examine(
        skill.model,
        setup.task,
        setup.config,
        split.exam,
        max_tokens=skill.max_tokens,
        train=split.train,
        dev=split.dev,
        resumable=resumable_predictor(opened, skill, split.exam),
        predictor=predictor,
        confidence=skill.confidence,
        other_seeds=others,
        openings=max(index.settings_tried(exam), index.settings_tried(whole)),
        untrained=lambda: predict_untrained_base(opened, skill, split),
    )
    write_exam(opened, result, setup.task, setup.config)
    carry_judgements(opened.path)


def _resume(path: Path, overrides: Sequence[str], options: _RunOptions) -> RunResult:
    """An interrupted run, to the same bits; a finished one is shown again.

    The language is that of messages and no setting of the run: it may differ from what the run started with.
    """
    if any(not setting.replace(" ", "").startswith("lang=") for setting in overrides):
        config = path / "config.toml"
        raise ConfigError(
            _("a run is resumed with the settings that it started with"),
            where=str(path),
            do=_("Leave --set out, or start a new run: terakoya run {config} --set …", config=config),
        )
    finished = Run.open(path)
    if finished.state == "done":
        if finished.lacks_seal():  # killed before its results were sealed
            with Run.resume(path) as opened:
                opened.seal_results()
        done = read_result(path)
        if not done.report:  # killed while the report was written
            report(path, lang=read_config(path / "config.toml").lang)
        return done if done.report else read_result(path)
    with Run.resume(path) as opened:
        opened.mark_resumed()
        with lifecycle.record_outcome(opened):
            config_values = read_run_config(path)
            return _run_stages(opened, Experiment(config_values.name, config_values, path, own=False), options)


# ── single stages ───────────────────────────────────────────────────────────────────────────────────


def train(
    experiment: str | Config,
    *,
    overrides: Sequence[str] = (),
    run_dir: Path = RUNS,
    anyway: bool = False,
    listener: Listener | None = None,
) -> RunResult:
    """A run as far as a trained model: the exam stays closed, and `run` resumes the folder to open it.

    experiment  name of a shipped experiment, a TOML file, a `Config`, or a run folder to be resumed
    overrides   KEY=VALUE settings
    run_dir     where the run folder is made ("runs")
    anyway      True: go on in spite of findings of level stop
    listener    receives progress events; None ignores them
    """
    return run(experiment, overrides=overrides, run_dir=run_dir, anyway=anyway, exam=False, listener=listener)


def report(
    run: Path | None = None, *, all_runs: bool = False, run_dir: Path = RUNS, lang: str = "", _run: Run | None = None
) -> list[Path]:
    """Write report.md and report.html, from the run's folder alone.

    run       the run folder
    all_runs  True: an index page of all runs in `run_dir` instead
    run_dir   where they lie ("runs")
    lang      "en" or "ja", "" for the locale's
    Returns the files written. Raises ConfigError where neither is named.
    """
    from terakoya.reporting import write

    if all_runs:
        return write.write_index(run_dir, lang)
    if run is None:
        raise ConfigError(
            _("which run?"),
            do=_("terakoya report RUN, or terakoya report --all"),
        )
    return write.write_record(run, lang, _run)
