"""Trackers receive what the run folder holds, where they are configured; the run folder stays the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from terakoya.config import Config, TrainConfig
from terakoya.errors import ConfigError
from terakoya.records import Step
from terakoya.training import trackers
from terakoya.training.trackers import Trackers, flatten

STEPS = [Step(number, 2.0 / number, 2.0 / number, 1e-3, 0.5, 10 * number, 0.1) for number in (1, 2, 3)]


def _config(*kinds: str) -> Config:
    return Config(train=TrainConfig(trackers=kinds), device="cpu")  # type: ignore[arg-type]


def test_nothing_is_tracked_by_default(tmp_path: Path) -> None:
    """No traffic that nobody configured."""
    with Trackers(Config(), "run", tmp_path) as opened:
        opened.step(STEPS[0])
        assert opened.open == []
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_reads_back_every_step(tmp_path: Path) -> None:
    """As in the numerals log: the curves are there, to the last digit that it keeps."""
    with Trackers(_config("tensorboard"), "run", tmp_path) as opened:
        for step in [*STEPS[:2], Step(3, 0.7, 0.7, 1e-3, 0.5, 30, 0.3, {"exact": 0.25})]:
            opened.step(step)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = {path.parent for path in tmp_path.rglob("events.out.*") if path.parent.name == "tensorboard"}
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [(event.step, round(event.value, 4)) for event in events.Scalars("train/loss")] == [
        (1, 2.0),
        (2, 1.0),
        (3, 0.7),
    ]
    assert [event.value for event in events.Scalars("dev/exact")] == [0.25]


def test_a_tracker_that_cannot_be_opened_is_reported_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not hours later."""

    def unreachable(kind: str, name: str, folder: Path) -> object:
        raise OSError("its server is unreachable")

    monkeypatch.setattr(trackers, "_create_tracker", unreachable)
    with pytest.raises(ConfigError, match=r"'mlflow' cannot be opened .*its server is unreachable"):
        Trackers(_config("mlflow"), "run", tmp_path).__enter__()


def test_the_config_goes_along_as_numbers_and_text() -> None:
    values = flatten(_config("tensorboard"))
    assert values["train.batch_size"] == "auto" and values["decode.beams"] == 4 and values["seed"] == 0
    assert all(isinstance(value, (str, int, float, bool)) for value in values.values())
