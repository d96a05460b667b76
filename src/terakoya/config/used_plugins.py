"""What a config uses of installed packages: recorded with whatever is made, and required where that is opened."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from terakoya.config.schema import Config
from terakoya.errors import ConfigError, CorruptError
from terakoya.errors.third_party.entry_points import (
    BASELINES,
    CODECS,
    GROUPS,
    LOSSES,
    METRICS,
    MODELS,
    OURS,
    TASKS,
    find_plugin,
)
from terakoya.i18n import _


def used_plugins(config: Config) -> list[dict[str, str]]:
    """What a config uses of installed packages, for a file: group, name, package and version of each.

    config  any
    """
    used = [
        (TASKS, config.task.use),
        (MODELS, config.model.base),
        (METRICS, config.task.metric),
        (CODECS, config.task.codec),
        (LOSSES, config.train.loss),
        *((BASELINES, name) for name in config.score.baselines),
    ]
    return [
        {"group": one.group, "name": one.name, "package": one.package, "version": one.version}
        for group, name in used
        if name
        for one in find_plugin(group, name)
        if one.package != OURS
    ]


def missing_plugins(used: Any, kinds: Iterable[str], where: Path) -> list[dict[str, str]]:
    """Those of `used_plugins` that are not installed here.

    used   as read from a file
    kinds  keys of plugins.GROUPS that matter
    where  the folder of the file
    Raises CorruptError where `used` is nothing that `used_plugins` wrote.
    """
    keys = ("group", "name", "package", "version")
    if not isinstance(used, (list, tuple)) or not all(
        isinstance(one, dict) and all(isinstance(one.get(key), str) for key in keys) for one in used
    ):
        raise CorruptError(_("this file is truncated or changed"), where=str(where))
    groups = [GROUPS[kind] for kind in kinds]
    return [one for one in used if one["group"] in groups and not find_plugin(one["group"], one["name"])]


def require_plugins(used: Any, where: Path, kinds: Iterable[str] = tuple(GROUPS)) -> None:
    """That what a saved skill or a run uses of installed packages is installed here too.

    used   as read from a file
    where  the folder of the file
    kinds  keys of plugins.GROUPS that matter, by default all
    Raises ConfigError, naming the packages, where some are missing; CorruptError as `missing_plugins`.
    """
    missing = missing_plugins(used, kinds, where)
    if missing:
        listed = ", ".join(f"{one['group']} '{one['name']}' ({one['package']} {one['version']})" for one in missing)
        wanted = " ".join(dict.fromkeys(f"{one['package']}=={one['version']}" for one in missing))
        raise ConfigError(
            _("it was made with packages that are not installed here: {listed}", listed=listed),
            where=str(where),
            do=_("Install them with: pip install {wanted}", wanted=wanted),
        )
