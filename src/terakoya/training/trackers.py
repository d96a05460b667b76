"""Pass-through to TensorBoard, MLflow, W&B and trackio; off by default, and the run folder stays the record.

Through accelerate's trackers. What keeps one of them from working (it is not installed, its server is unreachable) is
reported before the first step, not hours later.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from accelerate.state import PartialState

from terakoya.config import Config
from terakoya.errors import ConfigError, TerakoyaError, need
from terakoya.i18n import _
from terakoya.records import Step

PROJECT = "terakoya"


class Trackers:
    """The trackers that `train.trackers` names, open while a training runs.

    config  logged with the run
    name    of the run
    folder  of the run, for trackers that write files
    Entering raises ConfigError where a tracker cannot be opened.
    """

    def __init__(self, config: Config, name: str, folder: Path) -> None:
        self.config, self.name, self.folder = config, name, folder
        self.open: list[Any] = []

    def __enter__(self) -> Trackers:
        for kind in self.config.train.trackers:
            PartialState(cpu=self.config.device == "cpu")  # tells accelerate's trackers which process may write
            try:
                tracker = _create_tracker(kind, self.name, self.folder)
                tracker.store_init_configuration(flatten(self.config))
            except TerakoyaError:
                raise
            except Exception as error:  # third-party code: whatever it raises, the message is for the user
                fault, text = type(error).__name__, str(error)[:200]
                raise ConfigError(
                    _("the tracker '{kind}' cannot be opened ({fault}: {text})", kind=kind, fault=fault, text=text),
                    where="train.trackers",
                    do=_("Correct its own settings, or leave it out: the run folder holds everything."),
                ) from error
            self.open.append(tracker)
        return self

    def step(self, step: Step) -> None:
        """Log the losses, and the dev metrics where there are some, of this `step`."""
        values = {
            "train/loss": step.loss,
            "train/plain": step.plain,
            "train/learning_rate": step.learning_rate,
            "train/gradient_norm": step.gradient_norm,
            "train/tokens": step.tokens,
            **{f"dev/{name}": value for name, value in (step.dev or {}).items()},
        }
        for tracker in self.open:
            tracker.log(values, step=step.step)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self.open:
            tracker.finish()
        self.open = []


def _create_tracker(kind: str, name: str, folder: Path) -> Any:
    from accelerate import tracking

    if kind == "tensorboard":
        need("tensorboard", extra="tensorboard")
        return _start(tracking.TensorBoardTracker(run_name="tensorboard", logging_dir=folder))
    if kind == "mlflow":
        need("mlflow", extra="mlflow")
        return _start(tracking.MLflowTracker(experiment_name=PROJECT, run_name=name))
    if kind == "wandb":
        need("wandb", extra="wandb")
        return _start(tracking.WandBTracker(PROJECT, name=name, dir=str(folder)))
    need("trackio", extra="trackio")
    return _start(tracking.TrackioTracker(PROJECT, name=name))


def _start(tracker: Any) -> Any:
    """Newer versions of accelerate open a tracker in a step of its own."""
    if hasattr(tracker, "start"):
        tracker.start()
    return tracker


def flatten(config: Config) -> dict[str, str | float | int | bool]:
    """All settings by dotted key ("train.steps": 100); what is no number is text.

    config  with sections
    """
    found: dict[str, str | float | int | bool] = {}
    for key, value in config.model_dump().items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        for name, item in inner:
            path = f"{key}.{name}" if name else key
            found[path] = item if isinstance(item, (int, float, bool)) else str(item)
    return found
