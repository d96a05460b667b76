"""A sweep of seconds, and one Ray cluster for the whole session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from clusters import RayCluster
from sweep_records import GRID, figures, write_sweep

from terakoya.sweeps.run import sweep


@pytest.fixture
def sweep_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a table, an experiment and a sweep into a folder; returns the sweep's path."""

    def write(text: str = GRID, *, steps: int = 8, folder: str = "there") -> Path:
        return write_sweep(tmp_path / folder, text, steps=steps)

    return write


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    cluster = RayCluster()
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The figures of the same sweep in one process."""
    path = write_sweep(tmp_path_factory.mktemp("one"))
    sweep(path, run_dir=path.parent / "runs")
    return figures(path)
