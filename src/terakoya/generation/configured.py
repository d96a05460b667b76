"""The teachers that a config names: [teacher] itself, or those of `teacher.pool`, each with all of its settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from terakoya.config import Config, TeacherConfig
from terakoya.generation.teacher.protocol import NANO
from terakoya.generation.teacher.spending import SpendingCap

_MOST_PLANNED = 200_000  # sentences planned at once, whatever the batches and shares
_OWN = ("budget", "requests")  # limits of one teacher are not those of the whole


@dataclass(frozen=True, slots=True)
class ConfiguredTeacher:
    """One teacher of a config.

    name     in `teacher.pool`; "" for [teacher] itself
    weight   of its share of the rows
    config   all of its settings
    written  keys that its own table sets
    """

    name: str
    weight: float
    config: TeacherConfig
    written: frozenset[str] = frozenset()

    @property
    def section(self) -> str:
        """Where its settings stand, as an error names the place."""
        return f"[teacher.pool.{self.name}]" if self.name else "[teacher]"

    @property
    def prefix(self) -> str:
        """What stands before its keys, as in --set."""
        return f"teacher.pool.{self.name}" if self.name else "teacher"

    @property
    def cap(self) -> SpendingCap:
        """What may be spent on it, beside the cap of the whole."""
        return spending_cap(self.config)


def configured_teachers(teacher: TeacherConfig) -> tuple[ConfiguredTeacher, ...]:
    """The teachers of a config, in the order in which they are written.

    teacher  section [teacher]
    """
    if not teacher.pool:
        return (ConfiguredTeacher("", 1.0, teacher),)
    shared: dict[str, Any] = {"pool": {}, "fallback": False}
    found = []
    for name, one in teacher.pool.items():
        written = {key: getattr(one, key) for key in one.model_fields_set if key != "weight"}
        own = {key: getattr(one, key) for key in _OWN}
        config = teacher.model_copy(update=shared | own | written)
        found.append(ConfiguredTeacher(name, one.weight, config, frozenset(written)))
    return tuple(found)


def shares(teacher: TeacherConfig) -> Mapping[str, float]:
    """Name of each teacher → its share of the rows, in [0, 1]; of weights that are all 0, all shares are 0.

    teacher  section [teacher]
    """
    found = configured_teachers(teacher)
    whole = sum(one.weight for one in found)
    return {one.name: one.weight / whole if whole else 0.0 for one in found}


def exam_configs(config: Config) -> list[tuple[str, Config]]:
    """(name, config with this teacher alone) for each teacher: whoever has no budget of its own gets its share of that
    of the whole.

    config  the whole config
    """
    whole, share, found = config.teacher, shares(config.teacher), []
    for one in configured_teachers(whole):
        teacher = one.config
        if one.name and not teacher.budget and not teacher.requests:
            part = {"budget": whole.budget * share[one.name], "requests": int(whole.requests * share[one.name])}
            teacher = teacher.model_copy(update=part)
        found.append((one.name, config.model_copy(update={"teacher": teacher})))
    return found


def planned_ahead(teacher: TeacherConfig) -> int:
    """Sentences that are planned at once so that the batches of every teacher can be full; 0 where none sends batches.

    teacher  section [teacher]
    """
    share = shares(teacher)
    found = [(one.config.batch, share[one.name]) for one in configured_teachers(teacher) if share[one.name]]
    return max((min(math.ceil(batch / part), _MOST_PLANNED) for batch, part in found), default=0)


def spending_cap(teacher: TeacherConfig) -> SpendingCap:
    """The cap that `budget` and `requests` in `teacher` set."""
    return SpendingCap(round(teacher.budget * NANO) if teacher.budget else None, teacher.requests)
