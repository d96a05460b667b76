"""One function per command, each the body of the command of the same name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya import registry
from terakoya.codec import Codec, TextCodec
from terakoya.codec.choose import choose_codec, refuse_other_codec
from terakoya.config import Config
from terakoya.config.schema import CODEC_NAMES, LOSS_NAMES
from terakoya.data.formats import TABLE_SUFFIXES
from terakoya.data.formats.many_files import is_pattern, place_of
from terakoya.errors import ConfigError, DataError, TerakoyaError
from terakoya.errors.files import parse_toml, read_text
from terakoya.i18n import _, language
from terakoya.pipeline.dataset import (
    audit_dataset,
    config_for_table,
    load_dataset,
    load_tokenizer,
    name_files,
    read_run_config,
)
from terakoya.pipeline.engine import engine_of
from terakoya.pipeline.run import RUNS, report
from terakoya.records import Finding
from terakoya.registry import Experiment
from terakoya.runs import read_json
from terakoya.runs.display import Displayed, Listing
from terakoya.runs.environment import package_version
from terakoya.runs.progress import Listener, SilentListener
from terakoya.runs.result import RunResult
from terakoya.scoring.baselines.standard import BASELINES
from terakoya.scoring.metrics import METRICS

if TYPE_CHECKING:
    from terakoya.evaluation.compare import Comparison
    from terakoya.evaluation.item_scores import PredictionColumns
    from terakoya.evaluation.ladder import Ladder
    from terakoya.evaluation.learning_curve import LearningCurve
    from terakoya.evaluation.wrong_rows import TrainedOn
    from terakoya.exporters.write import ExportResult
    from terakoya.generation.generate import GenerationResult
    from terakoya.pipeline.calibrate import Calibrated
    from terakoya.serving import Serving


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


@dataclass(frozen=True)
class DoctorReport(Displayed):
    """Findings of audit and preflight.

    findings  of both, or of audit and config alone where the base cannot be had
    tokens    a batch with the target tokens marked, "" unless requested
    complete  whether the model itself was examined
    """

    findings: tuple[Finding, ...]
    tokens: str = ""
    complete: bool = True

    def table_rows(self) -> list[dict[str, Any]]:
        """One dictionary for each finding."""
        return Listing(self.findings).table_rows()


def doctor(experiment: str | Config, *, overrides: Sequence[str] = (), show_tokens: bool = False) -> DoctorReport:
    """Audit and preflight, without training.

    experiment   what `run` takes
    overrides    KEY=VALUE settings
    show_tokens  True: also show a batch as tokens, those that the loss counts marked
    Where the Hub does not give the base, what data and config alone show is returned, and the absence as a note.
    """
    from terakoya.exporters.possible import export_findings
    from terakoya.generation.permission import teacher_findings
    from terakoya.models.pretrained.hub_download import UnavailableError
    from terakoya.saved_model import Skill
    from terakoya.training import preflight
    from terakoya.training.prepare import prepare_training

    found_experiment = registry.find_experiment(experiment, overrides)
    teachers = teacher_findings(found_experiment.config)
    try:
        dataset = load_dataset(found_experiment)
    except DataError as error:
        if not teachers:
            raise
        unread = Finding("rows", "stop", error.what, where=error.where, do=error.do)
        return DoctorReport((*teachers, unread), complete=False)
    maker = registry.find_model_maker(dataset.config.model.base, dataset.folder)
    audited = [*audit_dataset(dataset), *teachers]
    stopped = any(finding.level == "stop" for finding in audited)
    try:
        setup, model, max_tokens = prepare_training(dataset.task, dataset.split, dataset.config, maker)
    except UnavailableError as error:
        by_config = preflight.config_findings(dataset.task, dataset.split, dataset.config)
        return DoctorReport((*audited, *by_config, _absence(error)), complete=False)
    except DataError as error:
        if not stopped:
            raise
        unread = Finding("rows", "stop", error.what, where=error.where, do=error.do)
        return DoctorReport((*audited, unread), complete=False)
    exports = export_findings(Skill(model, setup.task, setup.config, max_tokens, RUNS))
    found = (*audited, *name_files(preflight.preflight(setup, model, RUNS), dataset), *exports)
    return DoctorReport(found, preflight.show_tokens(setup, model) if show_tokens else "")


def _absence(error: TerakoyaError) -> Finding:
    what = _("the model itself was not examined: {reason}", reason=error.what)
    return Finding("checkpoint", "note", what, where=error.where, do=error.do)


def evaluate(
    run: Path,
    *,
    data: Path | None = None,
    source: str = "",
    target: str = "",
    encoding: str = "",
    codec: str = "",
    task: str = "",
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
) -> RunResult:
    """Evaluate a trained model on another exam, or on its own again; kept in RUN/evaluations/EXAM/.

    run        a run folder, a model folder, or with `task` an external checkpoint
    data       a table with the exam's items, None for the run's own exam
    source     its source column ("" is "source")
    target     its target column ("" is "target")
    encoding   of the table; "" is detected
    codec      what its targets are; a model of another codec is refused. "" is the model's own
    task       an experiment whose exam the checkpoint `run` takes, untrained
    overrides  KEY=VALUE settings
    listener   receives progress events
    Raises ConfigError where no exam is known.
    """
    from terakoya.evaluation import evaluate

    receiver = listener or SilentListener()
    if task:
        given = {"source": source, "target": target, "encoding": encoding, "codec": codec}
        settings = [*overrides, *(f"task.{key}={value}" for key, value in given.items() if value)]
        dataset = load_dataset(registry.find_experiment(task, settings))
        maker = registry.find_model_maker(str(run))
        return evaluate.evaluate_external(run, dataset.task, dataset.split, dataset.config, maker, receiver)
    if data is not None:
        columns = evaluate.ExamColumns(source or "source", target or "target", encoding, codec)
        return evaluate.evaluate_skill(run, data, columns, tuple(overrides), receiver, engine_of(receiver))
    if not (run / "manifest.json").is_file():
        raise ConfigError(
            _("which exam?"),
            where=str(run),
            do=_(
                "Name a run, whose own exam is known; or a table with --data FILE, its columns with --source and "
                "--target."
            ),
        )
    config = read_run_config(run)
    dataset = load_dataset(Experiment(config.name, config, run, own=False))
    chosen = tuple(overrides)
    return evaluate.evaluate_own_exam(run, dataset.task, dataset.split, chosen, receiver, engine_of(receiver))


def predict(
    run: Path,
    texts: Sequence[str] = (),
    *,
    input: str = "",
    output: str = "",
    overrides: Sequence[str] = (),
    for_spreadsheet: bool = False,
) -> Iterator[dict[str, object]]:
    """Predictions of a trained model: one for each input, in order, whatever the input holds.

    run              a run folder or a model folder
    texts            sources
    input            a file with further sources, "-" for standard input
    output           a .jsonl or .csv file to write, "" for none
    overrides        KEY=VALUE settings of decoding; task.source, task.target, task.encoding and task.codec are those
                     of the input
    for_spreadsheet  True: mark a .csv as UTF-8 and leave no cell a formula
    Yields JSON-ready lines. Raises ConfigError where there is nothing to predict.
    """
    from terakoya.pipeline import predict as prediction

    return prediction.predict(
        run, texts, input=input, output=output, overrides=tuple(overrides), for_spreadsheet=for_spreadsheet
    )


def serve(
    runs: Sequence[Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_hosts: Sequence[str] = (),
    token_file: Path | None = None,
    waiting: int = 256,
    batch: int = 32,
    seconds: float = 30.0,
    overrides: Sequence[str] = (),
    mcp: str = "",
    background: bool = False,
    on_ready: Callable[[Serving], None],
) -> None:
    """Serve trained skills over HTTP, as OpenAI's clients call models, or as tools of the Model Context Protocol.

    runs         run folders or model folders, each under a name of its own
    host         name or address to listen on; any but loopback needs a token
    port         0 is any free one
    allow_hosts  further names of the server, as "name" or "name:port"
    token_file   a file with the token; None: the variable TERAKOYA_TOKEN, or a new one where one is needed
    waiting      texts that may wait
    batch        texts that are predicted together at most
    seconds      until a request is read, and until it is predicted
    overrides    KEY=VALUE settings of decoding, for all skills
    mcp          "": HTTP alone; "http": MCP under /mcp as well; "stdio": MCP over standard input and output alone
    background   return once the server listens, which goes on in a thread until its `end` is called
    on_ready     is called once the server listens
    Returns after SIGTERM or Ctrl-C, when what was begun is finished. Raises ConfigError without a skill, for an address
    that is not free, or where a package is missing.
    """
    from terakoya import serving

    address = serving.Address(host, port, tuple(allow_hosts), token_file)
    limits = serving.Limits(waiting=waiting, batch=batch, seconds=seconds)
    serve_until_ended = partial(serving.serve, runs, address, overrides=overrides, limits=limits, mcp=mcp)
    if background:
        on_ready(serving.serve_in_background(lambda ready: serve_until_ended(on_ready=ready)))
        return
    serving.refuse_running_loop()
    serve_until_ended(on_ready=on_ready)


def export(
    run: Path,
    targets: Sequence[str],
    *,
    output: Path | None = None,
    overwrite: bool = False,
    unproved: bool = False,
    quantisation: str = "",
    converter: Path | None = None,
    push: str = "",
    overrides: Sequence[str] = (),
    lang: str = "",
    listener: Listener | None = None,
) -> list[ExportResult]:
    """Write a trained skill for other runtimes, each artifact proved on the skill's exam in its own runtime.

    run           a run folder whose exam was opened
    targets       names of exports, each once or several with commas between them
    output        folder in which each target gets one of its own; None: `exports` in the run folder
    overwrite     replace a folder that no export wrote
    unproved      keep an artifact whose runtime is not installed
    quantisation  number format of the weights, in the words of the target
    converter     a converter of the user's own
    push          owner/name on the Hub
    overrides     KEY=VALUE settings of decoding
    lang          "en" or "ja", of the README
    listener      receives progress events
    Where the exports lie in the run folder, the run's record shows their proofs.
    """
    from terakoya.exporters.exporter import ExportOptions
    from terakoya.exporters.write import export_skill
    from terakoya.saved_model import read_skill

    said = listener or SilentListener()
    names = [name.strip() for text in targets for name in text.split(",") if name.strip()]
    skill = read_skill(run, tuple(overrides), scored=True)
    done = export_skill(
        skill,
        names,
        output=output,
        overwrite=overwrite,
        without_proof=unproved,
        options=ExportOptions(quantisation, converter, push),
        lang=lang or skill.config.lang,
        progress=said.note,
    )
    if output is None and (run / "manifest.json").is_file():
        report(run, lang=read_run_config(run).lang)  # the record shows the proofs
    return done


def compare(
    runs: Sequence[Path],
    *,
    subset: str = "",
    encoding: str = "",
    source: str = "",
    target: str = "",
    codec: str = "",
) -> tuple[Comparison, ...]:
    """Compare runs (or tables of others' predictions) on the same exam, item by item.

    runs      run folders and tables
    subset    of the exam, "" the main one
    encoding  of the tables; "" is detected
    source    their column of inputs ("" is "source")
    target    their column of targets ("" is "target")
    codec     what targets are, for tables without a run: text, number, quantity, labels; "" is text
    Raises IncompatibleError, which says what differs.
    """
    from terakoya.evaluation import compare as comparison
    from terakoya.evaluation.item_scores import PredictionColumns, read_item_scores

    columns = PredictionColumns(source or "source", target or "target", encoding)
    tables = [path for path in runs if not path.is_dir()]  # runs were scored when they ended: no codec is needed
    used: Codec = TextCodec()
    if tables:
        own = next((_codec_of(path) for path in runs if path.is_dir()), None)
        used = own or codec_for_tables(codec, tables, columns)
        refuse_other_codec(used, codec if own else "", "compare")

    def read(text: str) -> str | None:
        """Others write predictions as people do, or as our models do."""
        try:
            return used.canonical(text)
        except DataError:
            return used.read(text)

    scores = read_item_scores(runs, read=read, canonical=used.canonical, subset=subset, columns=columns)
    return comparison.compare(scores)


def curve(
    subject: str | Config, *, overrides: Sequence[str] = (), seeds: int = 1, listener: Listener | None = None
) -> LearningCurve:
    """What twice the training rows would bring, and how certain that is; the exam stays closed.

    subject    what `run` takes, or a finished run, whose record then shows the curve
    overrides  KEY=VALUE settings
    seeds      trainings of each size
    listener   receives progress events
    Raises ConfigError where there are too few rows, or rows that a rule draws.
    """
    from terakoya.pipeline import curve as curves

    return curves.curve(subject, overrides=overrides, seeds=seeds, listener=listener)


def calibrate(run: Path, *, listener: Listener | None = None) -> Calibrated:
    """Measure on dev what the probabilities of a trained model are worth, without training it again.

    run       the run folder; its model, exam and record then have calibrated probabilities
    listener  receives progress events
    Raises ConfigError without a trained model or dev split.
    """
    from terakoya.pipeline import calibrate as calibration

    return calibration.calibrate(run, listener)


def ladder(
    subject: str | Config,
    *,
    overrides: Sequence[str] = (),
    minutes: float = 30.0,
    sizes: Sequence[str] = ("tiny", "small", "base"),
    price_per_hour: float = 0.05,
    teacher: bool = False,
    run_dir: Path = RUNS,
    listener: Listener | None = None,
) -> Ladder:
    """Do you need a model? Baselines and models of every size on one exam, chosen on dev.

    subject         what `run` takes, or a finished run, whose record then shows the ladder
    overrides       KEY=VALUE settings
    minutes         budget of all trainings and predictions
    sizes           built-in models to train
    price_per_hour  of this machine, for the price of predictions
    teacher         True: the teacher of [teacher] takes dev and exam too, which is paid within its limits
    run_dir         where the ladder's folder is made ("runs")
    listener        receives progress events
    Raises ConfigError where there is no dev split or exam.
    """
    from terakoya.pipeline import ladder as ladders

    return ladders.ladder(
        subject,
        overrides=overrides,
        minutes=minutes,
        sizes=sizes,
        price_per_hour=price_per_hour,
        teacher=teacher,
        run_dir=run_dir,
        listener=listener,
    )


def paper(run: Path, *, tables: str = "", charts: Path | None = None, lang: str = "") -> list[Path]:
    """The tables and charts of a run for papers.

    run     the run folder
    tables  "csv" or "latex", written to RUN/tables; "" writes none
    charts  folder for SVG files; None writes none
    lang    language of headers and labels, "" for the locale's
    Returns the files written. Raises ConfigError for another form, and where the run has no score yet.
    """
    from terakoya.reporting import paper as papers
    from terakoya.reporting import read_record

    record, reader = read_record(run), language(lang)
    written = papers.write_tables(record, tables, run / "tables", reader) if tables else []
    return [*written, *(papers.write_charts(record, charts, reader) if charts else [])]


def codec_for_tables(kind: str, tables: Sequence[Path], columns: PredictionColumns) -> Codec:
    """The codec that tables without a run are compared under.

    kind     as --codec names it; "" is text
    tables   of predictions; all of their targets tell which labels there are
    columns  where targets stand
    """
    from terakoya.data.formats import read_table

    if not kind or kind == "text":
        return TextCodec()
    rows = (
        row.cells.get(columns.target, "")
        for path in tables
        for row in read_table(path.name, path.parent, encoding=columns.encoding, wanted=[columns.target])
    )
    return choose_codec(kind, list(rows) if kind == "labels" else ())


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
        own = parse_toml(read_text(path), str(path)) if path.suffix == ".toml" else {}
    except TerakoyaError:  # reported where the experiment is opened
        own = {}
    return str(overridden[-1] if overridden else own.get("lang", ""))


def list_() -> dict[str, list[tuple[str, str]]]:
    """What a command or a config can name: experiments and sweeps, each with one sentence; tasks, models, metrics,
    codecs, losses and baselines, each with the package that brings it.
    """
    package = f"terakoya {package_version()}"
    ours = {"metrics": METRICS, "codecs": CODEC_NAMES, "losses": LOSS_NAMES, "baselines": BASELINES}
    brought = {
        kind: [*((name, package) for name in ours.get(kind, ())), *rows]
        for kind, rows in registry.installed_parts().items()
    }
    return {
        "experiments": [(found.name, found.description) for found in registry.experiments()],
        "series": list(registry.series()),
        **brought,
    }


def new(
    name: str,
    *,
    data: Path | None = None,
    encoding: str = "",
    source: str = "",
    target: str = "",
    codec: str = "",
    good_enough: float = 0.0,
    lang: str = "",
) -> list[Path]:
    """A folder with a config that runs as it is: for a table of one's own, or for the small one that comes with it.

    name      the folder to make; its last part names the files in it
    data      a table to look at; None makes one to start from
    encoding  of that table; "" is detected
    source    its column of inputs; "" is looked for
    target    its column of targets; "" is looked for
    codec     what its targets are: text, number, quantity, labels; "" is looked for
    good_enough  mean score on the exam that is good enough (score.good_enough); 0: none is set
    lang      language of the config's comments; by default the locale's
    Returns the paths of the files, the config first. Raises ConfigError where the folder exists, DataError where the
    table cannot be read.
    """
    from terakoya.pipeline import scaffold

    if data is None:
        made = scaffold.write(Path(name), language(lang))
    else:
        given = {"encoding": encoding, "source": source, "target": target, "codec": codec}
        made = scaffold.write_for_table(Path(name), data, given, language(lang))
    if good_enough:
        scaffold.set_good_enough(made[0], good_enough)
    return made
