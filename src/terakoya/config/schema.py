"""The whole config: its sections and the settings above them.

The sections (sections/) and the settings here are the only place of defaults and descriptions: `terakoya explain`,
docs/settings.md and the JSON schema for editors are made from them (explain.py). `auto` is resolved when a run starts
(training/defaults.py) and recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from terakoya.config.sections.decode import DecodeConfig
from terakoya.config.sections.model import ModelConfig
from terakoya.config.sections.score import ScoreConfig
from terakoya.config.sections.section import Section
from terakoya.config.sections.split import SplitConfig
from terakoya.config.sections.task import CODEC_NAMES, TaskConfig
from terakoya.config.sections.teacher import PooledTeacher, TeacherConfig, TeacherSettings
from terakoya.config.sections.train import LOSS_NAMES, TrainConfig
from terakoya.i18n import _, languages

__all__ = [
    "CODEC_NAMES", "LOSS_NAMES", "Config", "DecodeConfig", "ModelConfig", "PooledTeacher", "ScoreConfig", "Section",
    "SplitConfig", "TaskConfig", "TeacherConfig", "TeacherSettings", "TrainConfig", "known_keys",
]  # fmt: skip

if TYPE_CHECKING:
    Language = str
else:
    Language = Literal[("", *languages())]  # every catalogue that is installed


class Config(Section):
    """Everything that determines a run."""

    name: str = Field(default="run", description=_("Name of the run and of its folder."))
    seed: int = Field(
        default=0,
        ge=0,
        description=_("Seed of all random generators: the same seed gives the same bits on the same machine."),
    )
    lang: Language = Field(
        default="",
        description=_('Language of findings, errors and reports. "": by the locale.'),
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto",
        description=_("Device that computes. auto: the first of cuda, mps and cpu that exists."),
    )
    task: TaskConfig = Field(
        default=TaskConfig(),
        description=_("What is to be learned: either a task (`use`) or a table (`data`)."),
    )
    split: SplitConfig = Field(
        default=SplitConfig(),
        description=_("How examples are split into train, dev and exam."),
    )
    model: ModelConfig = Field(
        default=ModelConfig(),
        description=_("The model, and how a pretrained one is adapted."),
    )
    train: TrainConfig = Field(
        default=TrainConfig(),
        description=_("Optimisation, checkpoints and guards."),
    )
    decode: DecodeConfig = Field(default=DecodeConfig(), description=_("How predictions are decoded."))
    score: ScoreConfig = Field(default=ScoreConfig(), description=_("How the exam is scored."))
    teacher: TeacherConfig = Field(
        default=TeacherConfig(),
        description=_("The teacher that generates data, its limits and its prices."),
    )


def known_keys() -> Iterator[tuple[str, str, Any]]:
    """Every (section, key, default); the section "" holds the top level."""
    for name, field in Config.model_fields.items():
        default = field.default
        if isinstance(default, Section):
            for key in type(default).model_fields:
                yield name, key, getattr(default, key)
        else:
            yield "", name, default
