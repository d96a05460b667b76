"""Checkpoints made once for the whole session; importing transformers alone takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoints import checkpoint


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny random checkpoint of a family, as downloaded from a model hub; made once."""
    home = tmp_path_factory.mktemp("checkpoints")

    def checkpoint_folder(family: str) -> Path:
        folder = home / family
        return folder if folder.is_dir() else checkpoint(folder, family)

    return checkpoint_folder


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
