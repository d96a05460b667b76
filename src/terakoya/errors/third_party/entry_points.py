"""Tasks, models, metrics, codecs, losses and baselines of installed packages, by entry-point group and name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from terakoya.errors.third_party.faults import remember_module

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

TASKS, MODELS, METRICS = "terakoya.tasks", "terakoya.models", "terakoya.metrics"
CODECS, LOSSES, BASELINES = "terakoya.codecs", "terakoya.losses", "terakoya.baselines"
# Kind, as `terakoya list` names it → entry-point group.
GROUPS: Mapping[str, str] = {
    "tasks": TASKS,
    "models": MODELS,
    "metrics": METRICS,
    "codecs": CODECS,
    "losses": LOSSES,
    "baselines": BASELINES,
}
OURS = "terakoya"  # this package offers its tasks and models in the same way


@dataclass(frozen=True)
class Plugin:
    """One entry point of an installed package.

    group    entry-point group: "terakoya.metrics"
    name     by which a config names it
    package  name of the distribution that offers it
    version  of that distribution
    value    "module:attribute", or a module
    """

    group: str
    name: str
    package: str
    version: str
    value: str

    @property
    def requirement(self) -> str:
        """What pip installs: "terakoya-example==0.1.0"."""
        return f"{self.package}=={self.version}"

    def load(self) -> Any:
        """Import it. Whatever the package's own code raises passes through; its files are remembered as theirs."""
        from importlib.metadata import EntryPoint

        if self.package != OURS:
            remember_module(self.value.partition(":")[0], f"{self.package} {self.version}")
        return EntryPoint(self.name, self.value, self.group).load()


def installed(group: str, *, ours: bool = True) -> list[Plugin]:
    """Every entry point of a group, sorted by name and package.

    group  one of GROUPS
    ours   whether those of this package are included (default True)
    """
    from importlib.metadata import entry_points

    found = [_plugin(point, group) for point in entry_points(group=group)]
    return sorted((one for one in found if ours or one.package != OURS), key=lambda one: (one.name, one.package))


def installed_names(group: str) -> tuple[str, ...]:
    """Names that other packages offer in a `group`, sorted, each once."""
    return tuple(sorted({one.name for one in installed(group, ours=False)}))


def find_plugin(group: str, name: str) -> list[Plugin]:
    """The entry points of `group` called `name`: none, one, or several where packages disagree.

    An entry point of this package goes before those of others.
    """
    found = [one for one in installed(group) if one.name == name]
    return [one for one in found if one.package == OURS] or found


def _plugin(point: EntryPoint, group: str) -> Plugin:
    package, version = (point.dist.name, point.dist.version) if point.dist else ("?", "?")
    return Plugin(group, point.name, package, version, point.value)
