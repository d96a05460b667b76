"""What torchrun says of this process in its environment; readable without PyTorch."""

from __future__ import annotations

import os

from terakoya.errors import ConfigError
from terakoya.i18n import _


def launched_processes() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "MASTER_PORT" in os.environ else 1


def is_one_of_several() -> bool:
    """Whether torchrun started this process beside others."""
    return launched_processes() > 1


def rank() -> int:
    """The number of this process among them, from 0 on; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def refuse_several_processes(command: str) -> None:
    """Raises ConfigError under torchrun, where every process would do the same.

    command  that is made by one process
    """
    if is_one_of_several():
        raise ConfigError(
            _("`{command}` is done by one process, and this is one of several (WORLD_SIZE is set)", command=command),
            do=_("Start it without torchrun, which is for terakoya run and terakoya train."),
        )
