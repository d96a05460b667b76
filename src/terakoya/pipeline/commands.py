"""One function per command, each the body of the command of the same name."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya import registry
from terakoya.codec import Codec, TextCodec
from terakoya.config import read_config
from terakoya.errors import ConfigError, DataError
from terakoya.i18n import both
from terakoya.pipeline.dataset import audited, config_for_table, load_dataset, reader
from terakoya.progress import Listener, Silent
from terakoya.records import Finding
from terakoya.registry import Experiment
from terakoya.runs.result import Result

if TYPE_CHECKING:
    from terakoya.evaluation.compare import Comparison
    from terakoya.generation.generate import Generated
from terakoya.pipeline.run import RUNS


def audit(subject: str, *, overrides: Sequence[str] = ()) -> list[Finding]:
    """What is wrong with a table, or with the data of an experiment."""
    from terakoya.data import audit as room

    path = Path(subject)
    if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"):
        return room.audit_table(path, config_for_table(path, overrides))
    plan = load_dataset(registry.find_experiment(subject, overrides))
    return audited(plan, reader(plan))


def split(experiment: str, output: Path, *, overrides: Sequence[str] = ()) -> dict[str, str | int]:
    """Part the examples and write the three sides as JSON lines."""
    from terakoya.data.formats.examples import write_examples

    plan = load_dataset(registry.find_experiment(experiment, overrides))
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
    from terakoya.generation import generate as room

    found = registry.find_experiment(experiment, overrides)
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
    from terakoya.training.prepare import prepared

    plan = load_dataset(registry.find_experiment(experiment, overrides))
    maker = registry.find_model_maker(plan.config.model.base)
    lesson, model, _ = prepared(plan.task, plan.split, plan.config, maker)
    found = (*audited(plan), *preflight.preflight(lesson, model, RUNS))
    return Examination(found, preflight.shown_tokens(lesson, model) if show_tokens else "")


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
    from terakoya.evaluation import evaluate

    tell = listener or Silent()
    if task:
        plan = load_dataset(registry.find_experiment(task, overrides))
        maker = registry.find_model_maker(str(run))
        return evaluate.evaluate_foreign(run, plan.task, plan.split, plan.config, maker, tell)
    if data is not None:
        return evaluate.evaluate_skill(run, data, (source, target), tuple(overrides), tell)
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
    plan = load_dataset(Experiment(config.name, config, run))
    return evaluate.evaluate_again(run, plan.task, plan.split, tuple(overrides), tell)


def predict(
    run: Path, texts: Sequence[str] = (), *, input: str = "", output: str = "", overrides: Sequence[str] = ()
) -> Iterator[dict[str, object]]:
    """Ask a taught model: one answer for each input, in order, whatever happens to it."""
    from terakoya.pipeline import predict as room

    return room.predict(run, texts, input=input, output=output, overrides=tuple(overrides))


def compare(runs: Sequence[Path], *, part: str = "") -> tuple[Comparison, ...]:
    """Runs (or tables of others) on the same exam, item by item; IncompatibleError says what differs."""
    from terakoya.evaluation import compare as room
    from terakoya.evaluation.item_scores import read_outcomes

    codec = next((_codec_of(path) for path in runs if path.is_dir()), TextCodec())

    def read(text: str) -> str | None:
        """Others write answers as people do, or as our models do."""
        try:
            return codec.canonical(text)
        except DataError:
            return codec.read(text)

    return room.compare(read_outcomes(runs, read=read, canonical=codec.canonical, part=part))


def _codec_of(run: Path) -> Codec:
    from terakoya.saved_model import read_task

    return read_task(run).codec


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
        "experiments": [(found.name, found.says) for found in registry.experiments()],
        "series": list(registry.series()),
        "tasks": [(name, "") for name in registry.names(registry.TASKS)],
        "models": [(name, "") for name in registry.names(registry.MODELS)],
    }


def new(name: str) -> list[Path]:
    """A folder with a table and a config that run as they are."""
    from terakoya import scaffold

    return scaffold.write(Path(name))
