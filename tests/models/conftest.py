"""Checkpoints made once for the whole session; importing transformers alone takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoints import checkpoint


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny random checkpoint of that family, as the hub would give it."""
    home = tmp_path_factory.mktemp("checkpoints")

    def made(family: str) -> Path:
        folder = home / family
        return folder if folder.is_dir() else checkpoint(folder, family)

    return made


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
