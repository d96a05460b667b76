"""Target "ct2": pretrained skills for CTranslate2, which needs a tenth of the CPU time of transformers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from terakoya.errors import need
from terakoya.exporters.ct2.conversion import convert
from terakoya.exporters.engine_skill import EngineSkill, sequence_obstacle
from terakoya.exporters.exporter import Exporter, ExportOptions
from terakoya.exporters.skill_files import (
    FOLDER,
    OpenedSkill,
    need_runtime,
    read_skill_files,
    verify_artifact,
    write_skill_files,
)
from terakoya.i18n import _
from terakoya.models.pretrained.loading import capture_warnings
from terakoya.models.pretrained.prompt_files import read_prompts, save_merged, write_prompt_files
from terakoya.saved_model import Skill

# What a user writes → CTranslate2's name.
QUANTISATIONS = {"float32": None, "int8": "int8", "int8_float32": "int8_float32", "float16": "float16"}
DEFAULT = "int8"
_MODEL = "ctranslate2"


class Ct2Exporter(Exporter):
    """Converts a pretrained skill for CTranslate2 and predicts with it there."""

    name = "ct2"
    takes = ("quantisation",)

    def obstacle(self, skill: Skill) -> str | None:
        """Why this `skill` cannot run in CTranslate2; None where it can."""
        found = sequence_obstacle(skill)
        if found is not None:
            return found
        model: Any = skill.model
        transformers = need("ctranslate2.converters.transformers", extra="ct2")
        architecture = type(model.core.config).__name__
        if architecture in transformers._MODEL_LOADERS:
            return None
        return _("CTranslate2 does not know the architecture '{architecture}'", architecture=architecture)

    def write(self, skill: Skill, folder: Path, options: ExportOptions) -> Path:
        """Convert the weights.

        skill    the trained skill
        folder   in which the artifact is made
        options  quantisation: float32, int8 (the default), int8_float32 or float16
        Returns the artifact's folder. Raises ConfigError for another quantisation or without CTranslate2,
        IncompatibleError where its converter refuses the checkpoint.
        """
        kind = options.number_format(QUANTISATIONS, DEFAULT)
        artifact, model = folder / "model", skill.model
        (artifact / FOLDER).mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=folder) as place, capture_warnings():
            save_merged(model, Path(place) / _MODEL)
            convert(Path(place) / _MODEL, artifact / _MODEL, QUANTISATIONS[kind], _kept_ids(model))
        write_prompt_files(model, artifact / FOLDER)
        files = sorted(f"{_MODEL}/{file.name}" for file in (artifact / _MODEL).iterdir())
        write_skill_files(skill, artifact, files)
        return artifact

    def open(self, artifact: Path) -> OpenedSkill:
        """The skill of an `artifact`. Raises CorruptError where a file has changed since it was written."""
        from terakoya.exporters.ct2.engine import Ct2Engine

        ctranslate2 = need_runtime("ctranslate2", extra="ct2")
        verify_artifact(artifact)
        engine = Ct2Engine(artifact / _MODEL, read_prompts(artifact / FOLDER))
        return OpenedSkill(
            read_skill_files(artifact, engine, EngineSkill), f"ctranslate2 {ctranslate2.__version__}"
        )  # fmt: skip

    def usage(self, artifact: Path) -> tuple[str, ...]:
        """The lines of the README that call an `artifact`."""
        return (
            "from pathlib import Path",
            "from terakoya.exporters.ct2.exporter import Ct2Exporter",
            f'skill = Ct2Exporter().open(Path("{artifact.as_posix()}"))',
            'print(skill.predict(["…"])[0].text)',
        )


def _kept_ids(model: Any) -> tuple[int, ...] | None:
    """Ids that a causal `model` may generate; None where it may generate all."""
    kept: tuple[int, ...] | None = model.metadata.kept_ids if model.family == "decoder" else None
    return kept
