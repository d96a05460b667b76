"""Two skills trained once, and one server for all tests that do not change it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Running, command

from terakoya.pipeline import run as pipeline

FIXTURES = Path(__file__).parent.parent / "fixtures" / "runs" / "format-2-full"
SAID = {"笑った": "うれしい", "泣いた": "かなしい"}


@pytest.fixture(scope="session")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A skill with a set head, which knows its two labels."""
    folder = tmp_path_factory.mktemp("served")
    rows = [f"{who}が{what},{mood}" for who in ("妹", "猫", "弟", "祖母", "先生", "友") for what, mood in SAID.items()]
    (folder / "moods.csv").write_text("source,target\n" + "\n".join(rows) + "\n", encoding="utf-8")
    config = '[task]\ndata = "moods.csv"\ncodec = "labels"\n[model]\nbase = "tiny"\n[score]\nresamples = 100\n'
    (folder / "moods.toml").write_text(config, encoding="utf-8")
    return Path(pipeline.run(str(folder / "moods.toml"), run_dir=folder / "runs", anyway=True).folder)


@pytest.fixture(scope="session")
def numerals() -> Path:
    """A skill with a sequence head, hardly trained: 10 for everything, which the task's rule seldom confirms."""
    return FIXTURES / "text"


@pytest.fixture(scope="session")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A skill that was trained on conversations, for six steps."""
    folder = tmp_path_factory.mktemp("served")
    config = '[task]\nuse = "persona"\n[model]\nbase = "tiny"\n[train]\nsteps = 6\n'
    (folder / "chatting.toml").write_text(config, encoding="utf-8")
    return Path(pipeline.train(str(folder / "chatting.toml"), run_dir=folder / "runs", anyway=True).folder)


@pytest.fixture(scope="session")
def server(moods: Path, numerals: Path) -> Iterator[Running]:
    with command(str(moods), str(numerals), "--mcp-http") as running:
        yield running
