"""Commands that measure: `terakoya evaluate`, `compare`, `curve`, `calibrate`, `ladder`, and the tables of `report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya import registry
from terakoya.codec import Codec, TextCodec
from terakoya.codec.choose import choose_codec, refuse_other_codec
from terakoya.config import Config
from terakoya.errors import ConfigError, DataError
from terakoya.i18n import _, language
from terakoya.pipeline.dataset import load_dataset, read_run_config
from terakoya.pipeline.engine import engine_of
from terakoya.pipeline.run import RUNS
from terakoya.registry import Experiment
from terakoya.runs.progress import Listener, SilentListener
from terakoya.runs.result import RunResult

if TYPE_CHECKING:
    from terakoya.evaluation.compare import Comparison
    from terakoya.evaluation.item_scores import PredictionColumns
    from terakoya.evaluation.ladder import Ladder
    from terakoya.evaluation.learning_curve import LearningCurve
    from terakoya.pipeline.calibrate import Calibrated


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
