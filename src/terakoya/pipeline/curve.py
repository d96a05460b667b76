"""`terakoya curve`: what more rows would bring, measured with parts of the rows; kept with a run and in its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya import registry
from terakoya.config import Config
from terakoya.i18n import _, in_every_language
from terakoya.pipeline.dataset import Dataset, load_dataset
from terakoya.pipeline.run import read_run_config
from terakoya.registry import Experiment
from terakoya.runs import Run
from terakoya.runs.progress import Listener, SilentListener

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
    from terakoya.evaluation.learning_curve import curve_messages, learning_curve

    receiver = listener or SilentListener()
    dataset, run = subject_dataset(subject, overrides)
    maker = registry.find_model_maker(dataset.config.model.base, dataset.folder)
    receiver.stage("curve", _("{count} trainings", count=3 * seeds))

    def on_training(rows: int, seed: int) -> None:
        receiver.note(_("training with {rows} rows, seed {seed}", rows=rows, seed=seed))

    found = learning_curve(dataset.task, dataset.split, dataset.config, maker, seeds=seeds, on_training=on_training)
    if run is not None:
        values = {**found.to_dict(), "gap": found.gap}
        keep_in_run(run, CURVE_FILE, {**values, "words": [in_every_language(one) for one in curve_messages(found)]})
    return found


def keep_in_run(run: Path, name: str, values: object) -> None:
    """Write a file into a finished run and its record again, which shows it.

    run     the run folder
    name    of the JSON file
    values  its content
    """
    from terakoya.config import read_config
    from terakoya.reporting import write

    with Run.resume(run) as opened:
        opened.write_json(name, values)
        if opened.has("scores.json"):
            write.write_record(run, read_config(run / "config.toml").lang, opened)
