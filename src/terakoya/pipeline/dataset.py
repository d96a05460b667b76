"""The data of a run: the task with its examples split, findings of the audit, and what the manifest keeps of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya import registry
from terakoya.codec import Codec
from terakoya.codec.choose import choose_codec
from terakoya.codec.labels import emoji_label_names
from terakoya.config import Config, TaskConfig, make_config, read_config, with_overrides
from terakoya.config.used_plugins import require_plugins
from terakoya.data.formats.many_files import file_records, name_rows, place_of, table_files
from terakoya.data.split import split_examples
from terakoya.data.statistics import dataset_statistics
from terakoya.data.unused_settings import data_settings_findings
from terakoya.errors import DataError
from terakoya.errors.third_party import broken_contract
from terakoya.i18n import _, joined
from terakoya.records import AUGMENTED, MEMORISED, Finding, Split, set_fingerprint
from terakoya.registry import Experiment
from terakoya.runs import Run, safe_name
from terakoya.task import Task

if TYPE_CHECKING:
    from terakoya.data.audit import AuditTokenizer

_FILES_NAMED = 3  # in a finding; a task may gather its rows from many


@dataclass(frozen=True)
class Dataset:
    """An experiment with its examples split. The config's paths are relative to `folder`.

    findings    what was made of the examples before they came here: rows corrected, rows added by `task.augment`
    whole_exam  fingerprint of the exam before corrected rows left it; "" where none is corrected
    """

    config: Config
    folder: Path
    task: Task
    split: Split
    findings: tuple[Finding, ...] = ()
    whole_exam: str = ""


def load_dataset(experiment: Experiment) -> Dataset:
    """The task with its examples, split as the task itself or the config says, and augmented where it says so.

    experiment  its config and the folder that paths are relative to
    Raises ConfigError and DataError for what the user can mend.
    """
    task = registry.find_task(experiment.config, experiment.folder, own=experiment.own)
    split = task.split or split_examples(task.examples, experiment.config.split, memorised=task.memorised)
    findings: list[Finding] = []
    whole_exam = ""
    wanted = experiment.config.task
    if wanted.data and wanted.corrections:
        whole_exam = split.exam_fingerprint
        task, split, found = _corrected(task, split, wanted, experiment.folder)
        findings += [found] if found else []
    if wanted.augment:
        from terakoya.tasks.augmentation import augment

        split, made = augment(task, split, wanted.augment, experiment.config.seed, wanted.augment_method)
        findings.append(made)
    return Dataset(experiment.config, experiment.folder, task, split, tuple(findings), whole_exam)


def _corrected(task: Task, split: Split, wanted: TaskConfig, folder: Path) -> tuple[Task, Split, Finding | None]:
    """The task of a table with its corrected rows in train; a corrected target may bring a label of its own."""
    from terakoya.annotation.corrections import correct_split, corrections_finding, read_corrections

    corrections = read_corrections(folder / wanted.corrections)
    found = corrections_finding(split, corrections, wanted.corrections)
    now = correct_split(split, corrections)
    rows = (*now.train, *now.dev, *now.exam)
    targets = [row.target for row in rows]
    codec = choose_codec(wanted.codec, targets, notation=wanted.notation, separator=wanted.separator)
    return replace(task, examples=rows, split=now, codec=codec, label_names=emoji_label_names(codec)), now, found


def audit_dataset(dataset: Dataset, tokenizer: AuditTokenizer | None = None) -> list[Finding]:
    """Findings of the audit of data and split, of settings that decide nothing there, and of the task's own checks.

    dataset    to be audited
    tokenizer  of a pretrained base, for the checks of tokens; None leaves them out
    """
    from terakoya.data import audit

    own = [finding for check in dataset.task.checks for finding in _own_findings(check, dataset.split)]
    unused = data_settings_findings(
        dataset.config, dataset.task, registry.task_parameters(dataset.config, dataset.folder)
    )
    audited = audit.audit(dataset.task, _mark_memorised(dataset.task, dataset.split), tokenizer)
    return name_files([*unused, *dataset.findings, *audited, *own], dataset)


def name_files(findings: Iterable[Finding], dataset: Dataset) -> list[Finding]:
    """The same findings; those with row numbers say in which file these are.

    findings  of an audit or a preflight
    dataset   whose files are named: those of the config, else those that the task's own rows come from
    """
    wanted = dataset.config.task
    files = [file for file in (wanted.data, wanted.dev, wanted.exam) if file]
    if not files:
        split = dataset.split
        files = sorted({row.origin for row in (*split.train, *split.dev, *split.exam) if row.row and row.origin})
    else:
        parts = [file.name for table in files for file in table_files(table, dataset.folder)]
        if len(parts) > len(files):
            return name_rows(findings, parts)
    named = joined(", ", files) if len(files) <= _FILES_NAMED else ""
    return [replace(one, file=named) if one.rows and not one.file else one for one in findings]


def _own_findings(check: Callable[[Split], list[Finding]], split: Split) -> list[Finding]:
    found = check(split)
    if not isinstance(found, (list, tuple)) or not all(isinstance(one, Finding) for one in found):
        raise broken_contract(
            check, _("a task's check must return a list of Findings, and returned {given}", given=repr(found))
        )
    return list(found)


def _mark_memorised(task: Task, split: Split) -> Split:
    """The split with every exam item that is trained on purpose in its own subset: in train as well, it is no leak."""
    return replace(
        split, exam=tuple(replace(it, subset=MEMORISED) if task.is_memorised(it) else it for it in split.exam)
    )


def load_tokenizer(dataset: Dataset) -> AuditTokenizer | None:
    """The tokenizer of a pretrained base, None where the model has none.

    dataset  its config names the base; its targets are what new tokens are made for
    A run leaves this to its preflight, which has the whole model loaded.
    """
    maker = registry.find_reader(dataset.config.model.base, dataset.folder)
    if maker is None:
        return None
    codec = dataset.task.codec
    written = {_written(codec, example.target) for example in dataset.split.train} - {""}
    tokenizer: AuditTokenizer = maker(
        dataset.config.model, written, getattr(codec, "labels", ()), dataset.task.instruction
    )
    return tokenizer


def _written(codec: Codec, target: str) -> str:
    """The target as its codec writes it; "" where it cannot, which is the audit's own finding."""
    try:
        return codec.write(target)
    except DataError:
        return ""


def config_for_table(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The smallest config: one table.

    path       the table
    overrides  KEY=VALUE settings
    """
    name, _folder = place_of(path)
    stem = path.stem if name == path.name else safe_name(Path(name).stem)
    return with_overrides(make_config({"name": stem, "task": {"data": name}}), overrides)


def require_same_data(opened: Run, dataset: Dataset) -> str:
    """The fingerprint of the data.

    opened   the run folder
    dataset  its data
    Raises DataError where it is not what the run started with.
    """
    split = dataset.split
    data = set_fingerprint((*split.train, *split.dev, *split.exam))
    known = opened.manifest.get("data")
    if known and known["fingerprint"] != data:
        config = opened.path / "config.toml"
        raise DataError(
            _("the data is not what this run started with"),
            where=str(opened.path),
            do=_("Start a new run: terakoya run {config}", config=config),
        )
    return data


def record_dataset(opened: Run, dataset: Dataset) -> None:
    """Write fingerprint, sizes and statistics of the data into the manifest.

    opened   the run folder
    dataset  its data
    Raises DataError where a resumed run does not find the data that it started with.
    """
    split = dataset.split
    data = require_same_data(opened, dataset)
    counts = {name: len(getattr(split, name)) for name in ("train", "dev", "exam")}
    drawn = dataset.task.draw is not None
    made = sum(1 for row in split.train if row.tag(AUGMENTED))
    augmented = {"augmented": made} if made else {}
    whole = {"whole_exam": dataset.whole_exam} if dataset.whole_exam else {}
    wanted = dataset.config.task
    records = file_records((wanted.data, wanted.dev, wanted.exam), dataset.folder)
    files = {"files": records} if records else {}
    opened.update_manifest(
        data={"fingerprint": data, "drawn": drawn, "split": split.method, **counts, **augmented, **whole, **files}
    )
    opened.update_manifest(dataset=dataset_statistics(split, _labels_of(dataset.task), drawn=drawn))


def split_sizes(split: Split) -> str:
    """The sizes of train, dev and exam as a sentence.

    split  of a dataset
    """
    train, dev, exam, method = len(split.train), len(split.dev), len(split.exam), split.method
    return _(
        "{train:,} to train on, {dev:,} for dev, {exam:,} in the exam ({method})",
        train=train,
        dev=dev,
        exam=exam,
        method=method,
    )


def _labels_of(task: Task) -> Callable[[str], Sequence[str]] | None:
    """Target → labels, for tasks whose targets are sets."""
    if not task.codec.name.startswith("labels"):
        return None
    return lambda target: task.codec.canonical(target).split()


def read_run_config(path: Path) -> Config:
    """The config of a run, every `auto` resolved.

    path  the run folder
    Raises ConfigError, naming the package, where it uses what an installed package brought and none does here.
    """
    require_plugins(Run.open(path).manifest.get("plugins", ()), path)
    return read_config(path / "config.toml")
