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
from terakoya.i18n import both, language
from terakoya.pipeline.dataset import audit_dataset, config_for_table, load_dataset, load_tokenizer
from terakoya.progress import Listener, SilentListener
from terakoya.records import Finding
from terakoya.registry import Experiment
from terakoya.runs.result import RunResult

if TYPE_CHECKING:
    from terakoya.evaluation.compare import Comparison
    from terakoya.generation.generate import GenerationResult
from terakoya.pipeline.run import RUNS


def audit(subject: str, *, overrides: Sequence[str] = ()) -> list[Finding]:
    """Findings on a table, or on the data of an experiment.

    subject    a table, or what `run` takes as an experiment
    overrides  KEY=VALUE settings
    """
    from terakoya.data import audit as data_audit

    path = Path(subject)
    if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"):
        return data_audit.audit_table(path, config_for_table(path, overrides))
    dataset = load_dataset(registry.find_experiment(subject, overrides))
    return audit_dataset(dataset, load_tokenizer(dataset))


def split(experiment: str, output: Path, *, overrides: Sequence[str] = ()) -> dict[str, str | int]:
    """Split the examples and write train.jsonl, dev.jsonl and exam.jsonl.

    experiment  what `run` takes
    output      the folder to write to
    overrides   KEY=VALUE settings
    Returns the sizes, the exam's fingerprint and the method of the split.
    """
    from terakoya.data.formats.examples import write_examples

    parts = load_dataset(registry.find_experiment(experiment, overrides)).split
    for name in ("train", "dev", "exam"):
        write_examples(output / f"{name}.jsonl", getattr(parts, name))
    sizes: dict[str, str | int] = {name: len(getattr(parts, name)) for name in ("train", "dev", "exam")}
    return {**sizes, "exam fingerprint": parts.exam_fingerprint, "method": parts.method}


def generate(
    experiment: str,
    *,
    output: Path | None = None,
    overrides: Sequence[str] = (),
    estimate: bool = False,
    i_have_the_right: bool = False,
    listener: Listener | None = None,
) -> GenerationResult:
    """Let a teacher make the table that an experiment names in task.data, or continue; nothing is paid twice.

    experiment        what `run` takes
    output            the table to write, None for task.data
    overrides         KEY=VALUE settings
    estimate          True: estimate the cost without a request
    i_have_the_right  True: confirms the right to send the source texts to a provider
    listener          receives progress events
    The generation folder (journal, index, rejected rows) lies beside the table and bears its name. Raises ConfigError
    where no table is named.
    """
    from terakoya.generation import generate as generation

    found = registry.find_experiment(experiment, overrides)
    if output is None and not found.config.task.data:
        raise ConfigError(
            both("no output table is named", "書き出す表の指定がない"),
            do=both(
                "Name the table with --output FILE, or in the config: [task] data = …",
                "表の名前を --output FILE で指定するか、設定に書くこと：[task] data = …",
            ),
        )
    table = output or found.folder / found.config.task.data
    return generation.generate(
        found.config,
        table.with_suffix(".generation"),
        table,
        estimate=estimate,
        i_have_the_right=i_have_the_right,
        listener=listener,
        home=found.folder,
    )


@dataclass(frozen=True)
class DoctorReport:
    """Findings of audit and preflight; `tokens` shows a batch with the target tokens marked, "" unless requested."""

    findings: tuple[Finding, ...]
    tokens: str = ""


def doctor(experiment: str, *, overrides: Sequence[str] = (), show_tokens: bool = False) -> DoctorReport:
    """Audit and preflight, without training.

    experiment   what `run` takes
    overrides    KEY=VALUE settings
    show_tokens  True: also show a batch as tokens, those that the loss counts marked
    """
    from terakoya.training import preflight
    from terakoya.training.prepare import prepare_training

    dataset = load_dataset(registry.find_experiment(experiment, overrides))
    maker = registry.find_model_maker(dataset.config.model.base)
    setup, model, _ = prepare_training(dataset.task, dataset.split, dataset.config, maker)
    found = (*audit_dataset(dataset), *preflight.preflight(setup, model, RUNS))
    return DoctorReport(found, preflight.show_tokens(setup, model) if show_tokens else "")


def evaluate(
    run: Path,
    *,
    data: Path | None = None,
    source: str = "source",
    target: str = "target",
    task: str = "",
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
) -> RunResult:
    """Evaluate a trained model on another exam, or on its own again; kept in RUN/evaluations/EXAM/.

    run        a run folder, a model folder, or with `task` an external checkpoint
    data       a table with the exam's items, None for the run's own exam
    source     its source column ("source")
    target     its target column ("target")
    task       an experiment whose exam the checkpoint `run` takes, untrained
    overrides  KEY=VALUE settings
    listener   receives progress events
    Raises ConfigError where no exam is known.
    """
    from terakoya.evaluation import evaluate

    receiver = listener or SilentListener()
    if task:
        dataset = load_dataset(registry.find_experiment(task, overrides))
        maker = registry.find_model_maker(str(run))
        return evaluate.evaluate_external(run, dataset.task, dataset.split, dataset.config, maker, receiver)
    if data is not None:
        return evaluate.evaluate_skill(run, data, (source, target), tuple(overrides), receiver)
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
    dataset = load_dataset(Experiment(config.name, config, run))
    return evaluate.evaluate_own_exam(run, dataset.task, dataset.split, tuple(overrides), receiver)


def predict(
    run: Path, texts: Sequence[str] = (), *, input: str = "", output: str = "", overrides: Sequence[str] = ()
) -> Iterator[dict[str, object]]:
    """Predictions of a trained model: one for each input, in order, whatever the input holds.

    run        a run folder or a model folder
    texts      sources
    input      a file with further sources, "-" for standard input
    output     a .jsonl or .csv file to write, "" for none
    overrides  KEY=VALUE settings of decoding
    Yields JSON-ready lines. Raises ConfigError where there is nothing to predict.
    """
    from terakoya.pipeline import predict as prediction

    return prediction.predict(run, texts, input=input, output=output, overrides=tuple(overrides))


def compare(runs: Sequence[Path], *, subset: str = "") -> tuple[Comparison, ...]:
    """Compare runs (or tables of others' predictions) on the same exam, item by item.

    runs    run folders and tables
    subset  of the exam, "" the main one
    Raises IncompatibleError, which says what differs.
    """
    from terakoya.evaluation import compare as comparison
    from terakoya.evaluation.item_scores import read_item_scores

    codec = next((_codec_of(path) for path in runs if path.is_dir()), TextCodec())

    def read(text: str) -> str | None:
        """Others write predictions as people do, or as our models do."""
        try:
            return codec.canonical(text)
        except DataError:
            return codec.read(text)

    return comparison.compare(read_item_scores(runs, read=read, canonical=codec.canonical, subset=subset))


def _codec_of(run: Path) -> Codec:
    from terakoya.saved_model import read_task

    return read_task(run).codec


def configured_language(subject: str, overrides: Sequence[str] = ()) -> str:
    """The language that an experiment's or a run's config sets, read even where the rest of it is refused.

    subject    a run folder or an experiment
    overrides  KEY=VALUE settings, of which lang counts
    Returns "en", "ja", or "" where none is set.
    """
    overridden = [item.partition("=")[2] for item in overrides if item.startswith("lang=")]
    path = Path(subject) / "config.toml" if Path(subject).is_dir() else Path(subject)
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8-sig")) if path.suffix == ".toml" else {}
    except (OSError, ValueError, RecursionError):  # reported where the experiment is opened
        own = {}
    return str(overridden[-1] if overridden else own.get("lang", ""))


def list_() -> dict[str, list[tuple[str, str]]]:
    """Experiments, sweeps, tasks and models that a command can name, each with one sentence."""
    return {
        "experiments": [(found.name, found.description) for found in registry.experiments()],
        "series": list(registry.series()),
        "tasks": [(name, "") for name in registry.names(registry.TASKS)],
        "models": [(name, "") for name in registry.names(registry.MODELS)],
    }


def new(name: str, *, lang: str = "") -> list[Path]:
    """A folder with a table and a config that run as they are.

    name  the folder to make; its last part names the files in it
    lang  language of the config's comments; by default the locale's
    Returns the paths of the files. Raises ConfigError where the folder exists.
    """
    from terakoya import scaffold

    return scaffold.write(Path(name), language(lang))
