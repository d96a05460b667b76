"""Commands on data: `terakoya audit`, `split` and `generate`, each the body of the command of the same name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya import registry
from terakoya.config import Config
from terakoya.data.formats import TABLE_SUFFIXES
from terakoya.data.formats.many_files import is_pattern, place_of
from terakoya.errors import ConfigError, TerakoyaError
from terakoya.i18n import _
from terakoya.pipeline.dataset import (
    audit_dataset,
    config_for_table,
    load_dataset,
    load_tokenizer,
    read_run_config,
)
from terakoya.records import Finding
from terakoya.registry import Experiment
from terakoya.runs import read_json
from terakoya.runs.display import Displayed
from terakoya.runs.progress import Listener, SilentListener

if TYPE_CHECKING:
    from terakoya.evaluation.wrong_rows import TrainedOn
    from terakoya.generation.generate import GenerationResult


def audit(
    subject: str | Config,
    *,
    overrides: Sequence[str] = (),
    with_run: Path | None = None,
    folds: int = 0,
    listener: Listener | None = None,
) -> list[Finding]:
    """Findings on a table, or on the data of an experiment.

    subject    a table, or what `run` takes as an experiment
    overrides  KEY=VALUE settings
    with_run   a run whose trained model predicts which rows look wrong; None: no model
    folds      judge each row by a model with the run's settings that was trained without it: so many trainings; 0: by
               the run's own model
    listener   informed before each training; None ignores it
    Raises ConfigError for folds without a run.
    """
    from terakoya.data import audit as data_audit

    path = Path("" if isinstance(subject, Config) else subject)
    if path.suffix.lower() in TABLE_SUFFIXES:
        config = config_for_table(path, overrides)
        name, folder = place_of(path)
        found = [
            replace(one, file=name) if one.rows and not (one.file or one.files) else one
            for one in data_audit.audit_table(path, config)
        ]
        experiment = Experiment(config.name, config, folder.resolve())
    else:
        experiment = registry.find_experiment(subject, overrides)
        dataset = load_dataset(experiment)
        found = audit_dataset(dataset, load_tokenizer(dataset))
    if with_run is None and not folds:
        return found
    if with_run is None:
        raise ConfigError(
            _("folds are trained with the settings of a run, and none is named"),
            where="--folds",
            do=_("Name one: --with RUN"),
        )
    from terakoya.evaluation.wrong_rows import Folds, wrong_rows

    said, trained_on = listener or SilentListener(), _trained_on(with_run)

    def on_fold(fold: int) -> None:
        left = (folds - fold) * trained_on.seconds
        about = _(", about {seconds:.0f} s are left", seconds=left) if left else ""
        said.note(
            _("fold {fold} of {folds}: training without its rows{about}", fold=fold + 1, folds=folds, about=about)
        )

    judged = Folds(folds, registry.find_model_maker, on_fold) if folds else None
    return [*wrong_rows(with_run, load_dataset(experiment).split, judged, trained_on), *found]


def _trained_on(run: Path) -> TrainedOn:
    """Rows and seconds of a run's training; none where it is a model folder alone, or its table has gone."""
    from terakoya.evaluation.wrong_rows import TrainedOn

    if not (run / "manifest.json").is_file():
        return TrainedOn(frozenset())
    training = read_json(run / "manifest.json").get("training") or {}
    config = read_run_config(run)
    try:
        rows = load_dataset(Experiment(config.name, config, run, own=False)).split.train
    except TerakoyaError:  # its own rows are unknown; the model can still predict
        rows = ()
    return TrainedOn(frozenset(row.fingerprint for row in rows), float(training.get("seconds", 0.0)))


@dataclass(frozen=True)
class SplitSummary(Displayed):
    """How many examples each split has; `exam_fingerprint` and `method` say which exam it is and how it was drawn."""

    train: int
    dev: int
    exam: int
    exam_fingerprint: str
    method: str


def split(
    experiment: str | Config, output: Path, *, overrides: Sequence[str] = (), for_spreadsheet: bool = False
) -> SplitSummary:
    """Split the examples and write train.jsonl, dev.jsonl and exam.jsonl.

    experiment       what `run` takes
    output           the folder to write to
    overrides        KEY=VALUE settings
    for_spreadsheet  True: also train.csv, dev.csv and exam.csv, for reading in a spreadsheet
    Returns the sizes, the exam's fingerprint and the method of the split.
    """
    from terakoya.data.formats.examples import write_examples, write_spreadsheet

    parts = load_dataset(registry.find_experiment(experiment, overrides)).split
    for name in ("train", "dev", "exam"):
        write_examples(output / f"{name}.jsonl", getattr(parts, name))
        if for_spreadsheet:
            write_spreadsheet(output / f"{name}.csv", getattr(parts, name))
    sizes = {name: len(getattr(parts, name)) for name in ("train", "dev", "exam")}
    return SplitSummary(**sizes, exam_fingerprint=parts.exam_fingerprint, method=parts.method)


def generate(
    experiment: str | Config,
    *,
    output: Path | None = None,
    overrides: Sequence[str] = (),
    estimate: bool = False,
    i_have_the_right: bool = False,
    overwrite: bool = False,
    for_spreadsheet: bool = False,
    shard: str = "",
    merge: bool = False,
    listener: Listener | None = None,
) -> GenerationResult:
    """Let a teacher make the table that an experiment names in task.data, or continue; nothing is paid twice.

    experiment        what `run` takes
    output            the table to write, None for task.data
    overrides         KEY=VALUE settings
    estimate          True: estimate the cost without a request
    i_have_the_right  True: confirms the right to send the source texts to a provider
    overwrite         True: replace a file at the table's place that this generation did not write
    for_spreadsheet   True: also write TABLE.spreadsheet.csv, for reading in a spreadsheet
    shard             the part that this process makes, as in "2/8", with its part of rows, budget and sources; "": all
    merge             True: make the table of the shards, which must be complete
    listener          receives progress events
    The generation folder (journal, index, rejected rows) lies beside the table and bears its name. Raises ConfigError
    where no table is named.
    """
    from terakoya.generation import generate as generation
    from terakoya.generation import merging, shards

    if shard:
        _require_alone("--shard", {"--for-spreadsheet": for_spreadsheet, "--overwrite": overwrite})
    found = registry.find_experiment(experiment, overrides)
    if output is None and not found.config.task.data:
        raise ConfigError(
            _("no output table is named"),
            do=_("Name the table with --output FILE, or in the config: [task] data = …"),
        )
    if output is None and is_pattern(found.config.task.data):
        raise ConfigError(
            _("a pattern or an address is no table that could be written"),
            where=f"task.data = {found.config.task.data!r}",
            do=_("Name the table with --output FILE"),
        )
    table = output or found.folder / found.config.task.data
    folder = table.parent / f"{table.stem}.generation"
    if merge:
        _require_alone("--merge", {"--shard": shard, "--estimate": estimate})
        made = merging.merge(found.config, folder, table, overwrite=overwrite, home=found.folder)
    else:
        made = generation.generate(
            found.config,
            folder,
            table,
            estimate=estimate,
            i_have_the_right=i_have_the_right,
            overwrite=overwrite,
            listener=listener,
            home=found.folder,
            shard=shards.parse_shard(shard) if shard else None,
        )
    if for_spreadsheet and not estimate:
        from terakoya.data.formats.examples import write_spreadsheet
        from terakoya.data.table import read_examples

        columns = found.config.task.model_copy(
            update={"source": "source", "target": "target", "split": "", "group": ""}
        )
        write_spreadsheet(table.with_suffix(".spreadsheet.csv"), read_examples(columns, table.name, table.parent))
    return made


def _require_alone(option: str, others: Mapping[str, object]) -> None:
    """Refuse options that mean nothing beside `option`."""
    for other in (name for name, given in others.items() if given):
        raise ConfigError(
            _("{other} has no effect together with {option}", other=other, option=option),
            where=option,
            do=_("Leave {other} out.", other=other),
        )
