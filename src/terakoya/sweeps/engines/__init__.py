"""Engines that run the trials of a sweep: this process, several of this machine, Ray, Slurm."""

from __future__ import annotations

import re

from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.sweeps.engines.local import InProcess, Processes
from terakoya.sweeps.engines.on_ray import OnRay
from terakoya.sweeps.engines.on_slurm import OnSlurm
from terakoya.sweeps.engines.protocol import Ended, Engine
from terakoya.sweeps.trial import TrialRunner

_NAMES = re.compile(r"(?P<name>local|ray|slurm)(?P<count>:[1-9]\d*)?(?P<address>://\S+)?")


def parse_engine(text: str) -> tuple[str, str]:
    """The engine that the command line names, and the rest of it: a number of processes, or an address.

    text  "local", "local:4", "ray", "ray://HOST:PORT" or "slurm"
    Raises ConfigError for anything else.
    """
    found = _NAMES.fullmatch(text)
    name, count, address = (found["name"], found["count"], found["address"]) if found else ("", None, None)
    if not name or (count and name != "local") or (address and name != "ray"):
        raise ConfigError(
            _("'{text}' is no engine for trials", text=text),
            where="--on",
            do=_("local, local:4 (four processes), ray, ray://HOST:PORT or slurm."),
        )
    return name, text if address else (count or "")[1:]


def make_engine(on: str, runner: TrialRunner) -> Engine:
    """The engine that the command line names.

    on      as `parse_engine` takes it
    runner  of the sweep
    Raises ConfigError where it cannot be reached.
    """
    name, rest = parse_engine(on)
    needs = runner.config.needs
    if name == "ray":
        return OnRay(rest, needs, runner, runner.listener)
    if name == "slurm":
        return OnSlurm(runner.config.name, needs, runner.folder)
    return Processes(int(rest), needs.retries, runner.listener) if int(rest or 1) > 1 else InProcess(runner)


__all__ = ["Ended", "Engine", "InProcess", "make_engine", "parse_engine"]
