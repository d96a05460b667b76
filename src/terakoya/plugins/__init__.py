"""What third parties bring: `entry_points` finds it by name, `faults` finds the line of theirs that failed.

Nothing of it is imported before it is used by name, and a file is remembered as theirs before it runs.
"""

from terakoya.plugins.entry_points import (
    BASELINES,
    CODECS,
    GROUPS,
    LOSSES,
    METRICS,
    MODELS,
    OURS,
    TASKS,
    Plugin,
    find_plugin,
    installed,
    installed_names,
)
from terakoya.plugins.faults import Fault, Location, find_fault, is_ours, location_of, remember

__all__ = [
    "BASELINES",
    "CODECS",
    "GROUPS",
    "LOSSES",
    "METRICS",
    "MODELS",
    "OURS",
    "TASKS",
    "Fault",
    "Location",
    "Plugin",
    "find_fault",
    "find_plugin",
    "installed",
    "installed_names",
    "is_ours",
    "location_of",
    "remember",
]
