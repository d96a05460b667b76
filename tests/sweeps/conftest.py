"""A sweep of seconds, and one Ray cluster for the whole session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from clusters import RayCluster

from terakoya.sweeps.run import sweep

TABLE = "source,target\n" + "".join(
    f"{opening}{word}{ending},{word[::-1]}\n"
    for word in ("あか", "あお", "しろ", "くろ", "みどり", "きいろ")
    for opening in ("", "この", "その", "あの")
    for ending in ("", "だ", "です", "かな", "よ")
)
CONFIG = (
    '[task]\ndata = "words.csv"\n[model]\nbase = "tiny"\n[train]\nsteps = {steps}\nthreads = 1\nevaluate_every = 4\n'
    "[score]\nresamples = 100\n"
)
GRID = 'open = "all"\n[grid]\n"model.width" = [16, 24]\n'


def write_sweep(place: Path, text: str = GRID, *, steps: int = 8) -> Path:
    place.mkdir(exist_ok=True)
    (place / "words.csv").write_text(TABLE, encoding="utf-8")
    (place / "words.toml").write_text(CONFIG.format(steps=steps), encoding="utf-8")
    (place / "s.toml").write_text('name = "widths"\nexperiment = "words.toml"\n' + text, encoding="utf-8")
    return place / "s.toml"


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
    from test_sweep_engines import figures

    path = write_sweep(tmp_path_factory.mktemp("one"))
    sweep(path, run_dir=path.parent / "runs")
    return figures(path)
