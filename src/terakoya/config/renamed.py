"""Values that have another name today: the old one keeps working and names the new one once per process."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from terakoya.i18n import _

# (section, key) → {old value: today's value}
RENAMED_VALUES: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("model", "forward"): {"quick": "fused"},
    ("train", "loss_on"): {"answer": "target"},
    ("decode", "method"): {"best-expected": "expected-metric"},
}
_announced: set[tuple[str, str, str]] = set()


class RenamedSettingWarning(FutureWarning):
    """A config uses an old name; `args[0]` is the message."""


def with_current_names(values: Mapping[str, Any], *, announce: bool = False) -> dict[str, Any]:
    """The same values under today's names.

    values    plain values of a config, by section
    announce  warn about each old name, once per process (a person wrote them; the file of an old run is history)
    """
    current = dict(values)
    for (section, key), names in RENAMED_VALUES.items():
        keys = current.get(section)
        old = keys.get(key) if isinstance(keys, dict) else None
        if isinstance(keys, dict) and isinstance(old, str) and old in names:
            current[section] = {**keys, key: names[old]}
            if announce:
                _announce(section, key, old, names[old])
    return current


def _announce(section: str, key: str, old: str, new: str) -> None:
    if (section, key, old) not in _announced:
        _announced.add((section, key, old))
        message = _(
            "{section}.{key} = '{old}' is called '{new}' now; the old name still works",
            section=section,
            key=key,
            old=old,
            new=new,
        )
        warnings.warn(RenamedSettingWarning(message), stacklevel=3)
