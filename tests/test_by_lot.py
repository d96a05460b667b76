"""Settings drawn by lot: the short form of `make torture-settings`."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import FAMILIES, checkpoint

from by_lot import attempt


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("checkpoints")
    return {"tiny": "tiny"} | {family: str(checkpoint(home / family, family)) for family in FAMILIES}


@pytest.mark.parametrize("first", [1000, 1004])
def test_no_settings_make_a_run_fall_over(first: int, bases: dict[str, str], tmp_path: Path) -> None:
    """Whatever is set together, a run comes to its end and answers the same again, or says why not."""
    found = [attempt(number, bases, tmp_path / str(number)) for number in range(first, first + 4)]
    assert not [one for one in found if one["ended"] == "fell"]
    assert any(one["ended"] == "ran" for one in found)
