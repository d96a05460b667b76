"""`terakoya curve`: what more rows would bring, measured with parts of the rows; kept with a run and in its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya import registry
from terakoya.config import Config
from terakoya.i18n import _
from terakoya.pipeline.dataset import Dataset, load_dataset
from terakoya.registry import Experiment
from terakoya.runs import Run
from terakoya.runs.progress import Listener, SilentListener
from terakoya.runs.validation import FINDING

if TYPE_CHECKING:
    from terakoya.evaluation.learning_curve import LearningCurve

CURVE_FILE = "curve.json"  # in the run folder


def subject_dataset(subject: str | Config, overrides: Sequence[str] = ()) -> tuple[Dataset, Path | None]:
    """The data of an experiment, or of a run with the settings that it used.

    subject    what `run` takes: an experiment, or a run folder
    overrides  KEY=VALUE settings
    Returns the data, and the run folder where it is one.
    """
    from terakoya.config import with_overrides
    from terakoya.pipeline.dataset import read_run_config

    if not isinstance(subject, Config) and (Path(subject) / "manifest.json").is_file():
        path = Path(subject)
        config = with_overrides(read_run_config(path), overrides)
        return load_dataset(Experiment(config.name, config, path, own=False)), path
    return load_dataset(registry.find_experiment(subject, overrides)), None


def curve(
    subject: str | Config, *, overrides: Sequence[str] = (), seeds: int = 1, listener: Listener | None = None
) -> LearningCurve:
    """A learning curve on dev: a quarter, a half and all of the training rows. The exam stays closed.

    subject    an experiment, or a run folder: then it is kept in RUN/curve.json, and the record is written again
    overrides  KEY=VALUE settings
    seeds      trainings of each size
    listener   informed before each training; None ignores it
    Raises ConfigError where there are too few rows, or rows that a rule draws.
    """
    from terakoya.evaluation.learning_curve import learning_curve

    receiver = listener or SilentListener()
    dataset, run = subject_dataset(subject, overrides)
    if run is not None:
        with Run.resume(run) as opened:
            found = train_curve(opened, dataset, receiver, seeds=seeds)
            write_record_again(opened)
            return found
    maker = registry.find_model_maker(dataset.config.model.base, dataset.folder)
    receiver.stage("curve", _("{count} trainings", count=3 * seeds))
    return learning_curve(
        dataset.task, dataset.split, dataset.config, maker, seeds=seeds, on_training=_reported(receiver)
    )


def train_curve(run: Run, dataset: Dataset, listener: Listener, *, seeds: int = 1) -> LearningCurve:
    """The curve of a run, kept in its folder; what an interrupted one trained already is not trained again.

    run       open for writing
    dataset   of the run, with the settings of its training
    listener  informed before each training
    seeds     trainings of each size
    """
    from terakoya.evaluation.curve_messages import curve_values
    from terakoya.evaluation.curve_parts import PARTS_FILE
    from terakoya.evaluation.learning_curve import learning_curve

    maker = registry.find_model_maker(dataset.config.model.base, dataset.folder)
    listener.stage("curve", _("{count} trainings", count=3 * seeds))
    found = learning_curve(
        dataset.task, dataset.split, dataset.config, maker, seeds=seeds, on_training=_reported(listener), run=run
    )
    run.write_json(CURVE_FILE, curve_values(found))
    run.remove(PARTS_FILE)
    return found


def train_own_curve(run: Run, dataset: Dataset, listener: Listener) -> None:
    """The curve that a run trains by itself: where it found a gap between train and dev, and the curve costs little.

    run       open for writing, trained
    dataset   of the run, with the settings of its training
    listener  informed of it
    """
    from terakoya.evaluation.curve_parts import PARTS_FILE
    from terakoya.evaluation.learning_curve import PARTS
    from terakoya.training.train_dev_gap import CHECK

    if run.has(CURVE_FILE):
        run.remove(PARTS_FILE)  # killed between the two
        return
    minutes = len(PARTS) * float((run.manifest.get("training") or {}).get("seconds") or 0) / 60
    has_gap = any(line["check"] == CHECK for line in run.read_lines("findings.jsonl", FINDING))
    if has_gap and minutes <= dataset.config.score.curve_minutes:
        train_curve(run, dataset, listener)


def _reported(listener: Listener) -> Callable[[int, int], None]:
    def on_training(rows: int, seed: int) -> None:
        listener.note(_("training with {rows} rows, seed {seed}", rows=rows, seed=seed))

    return on_training


def keep_in_run(run: Path, name: str, values: object) -> None:
    """Write a file into a finished run and its record again, which shows it.

    run     the run folder
    name    of the JSON file
    values  its content
    """
    with Run.resume(run) as opened:
        opened.write_json(name, values)
        write_record_again(opened)


def write_record_again(run: Run) -> None:
    """The record of a run whose exam was taken, with what was measured since.

    run  open for writing
    """
    from terakoya.config import read_config
    from terakoya.reporting import write

    if run.has("scores.json"):
        write.write_record(run.path, read_config(run.path / "config.toml").lang, run)
