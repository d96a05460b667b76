"""Random configurations: the short form of `make fuzz-config`."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import FAMILIES, checkpoint

from benchmarks.faults.random_configs import try_run


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("checkpoints")
    return {"tiny": "tiny"} | {family: str(checkpoint(home / family, family)) for family in FAMILIES}


@pytest.mark.parametrize("first", [1000, 1004])
def test_no_combination_of_settings_crashes_a_run(first: int, bases: dict[str, str], tmp_path: Path) -> None:
    """Whatever is set together, a run finishes and reproduces its predictions, or is refused with a reason."""
    outcomes = [try_run(number, bases, tmp_path / str(number)) for number in range(first, first + 4)]
    assert not [outcome for outcome in outcomes if outcome["ended"] == "crashed"]
    assert any(outcome["ended"] == "finished" for outcome in outcomes)
