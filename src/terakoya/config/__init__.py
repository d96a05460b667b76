"""The description of a run, and the only place of defaults.

A user's TOML holds what differs from them; the run folder keeps all values. An unknown key is refused with the most
similar known one.

sections (what can be set) ← schema (all of it) ← validation_messages ← reading; schema ← writing ← explain
"""

from terakoya.config.reading import make_config, parse_config, read_config, with_overrides
from terakoya.config.schema import (
    Config,
    DecodeConfig,
    ModelConfig,
    PooledTeacher,
    ScoreConfig,
    Section,
    SplitConfig,
    TaskConfig,
    TeacherConfig,
    TeacherSettings,
    TrainConfig,
    known_keys,
)
from terakoya.config.validation_messages import requirement
from terakoya.config.writing import write_config

__all__ = [
    "Config", "DecodeConfig", "ModelConfig", "PooledTeacher", "ScoreConfig", "Section", "SplitConfig", "TaskConfig",
    "TeacherConfig", "TeacherSettings", "TrainConfig", "known_keys", "make_config", "parse_config", "read_config",
    "requirement", "with_overrides", "write_config",
]  # fmt: skip
