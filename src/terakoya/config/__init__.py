"""The one description of a run, and the only home of defaults.

A user's TOML holds what differs; the run folder keeps the whole. An unknown key stops everything and
names its nearest neighbour.

sections (what can be set) ← faults (what is wrong, in words) ← reading; sections ← writing
"""

from terakoya.config.reading import make_config, parse_config, read_config, with_overrides
from terakoya.config.schema import (
    Config,
    DecodeConfig,
    ModelConfig,
    ScoreConfig,
    Section,
    SplitConfig,
    TaskConfig,
    TeacherConfig,
    TrainConfig,
    known_keys,
)
from terakoya.config.validation_messages import wanted
from terakoya.config.writing import write_config

__all__ = [
    "Config", "DecodeConfig", "ModelConfig", "ScoreConfig", "Section", "SplitConfig", "TaskConfig", "TeacherConfig",
    "TrainConfig", "known_keys", "make_config", "parse_config", "read_config", "wanted", "with_overrides",
    "write_config",
]  # fmt: skip
