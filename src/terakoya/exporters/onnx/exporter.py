"""Target "onnx": built-in models for onnxruntime, in any language that has it.

skill = OnnxExporter().open(Path("exports/onnx/…"))      # neither PyTorch nor the training's data
skill.predict(["三万八千"])[0].text
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from terakoya import registry
from terakoya.decoding.without_torch import can_decode
from terakoya.exporters.exporter import Exporter, ExportOptions
from terakoya.exporters.onnx.model import load_onnx
from terakoya.exporters.skill_files import (
    FOLDER,
    OpenedSkill,
    base_scores_obstacle,
    need_runtime,
    read_skill_files,
    verify_artifact,
    write_skill_files,
)
from terakoya.i18n import _
from terakoya.models.builtin.sizes import SIZES
from terakoya.saved_model import Skill


class OnnxExporter(Exporter):
    """Writes the network of a built-in model as ONNX graphs and predicts with them in onnxruntime."""

    name = "onnx"
    tolerance = 1e-5  # of probabilities: the same weights in other kernels

    def obstacle(self, skill: Skill) -> str | None:
        """Why this `skill` cannot become ONNX graphs; None where it can."""
        if skill.config.model.base not in SIZES:
            return _("only built-in models become ONNX graphs; a pretrained one goes to gguf or ct2")
        if obstacle := base_scores_obstacle(skill):
            return obstacle
        if not can_decode(skill.config.decode, skill.model.head):
            return _("outside PyTorch sequences are decoded greedily, and this skill decodes by '{method}'",
                     method=skill.config.decode.method)  # fmt: skip
        return None

    def write(self, skill: Skill, folder: Path, options: ExportOptions) -> Path:
        """Write graphs and description.

        skill    the trained skill
        folder   in which the artifact is made
        options  of the export; none concerns this target
        Returns the artifact's folder. Raises ConfigError where the packages of the extra `onnx` are missing.
        """
        from terakoya.exporters.onnx.graphs import export_sequence, export_set

        artifact = folder / "model"
        artifact.mkdir(parents=True)
        model: Any = registry.find_model_loader(skill.config.model.base)(skill.folder)
        model.module.eval()
        files = (export_set if model.head == "set" else export_sequence)(model.module, artifact)
        write_skill_files(skill, artifact, files, copied=("config.json", "vocabulary.json"))
        return artifact

    def open(self, artifact: Path) -> OpenedSkill:
        """The skill of an `artifact`. Raises CorruptError where a file has changed since it was written."""
        onnxruntime = need_runtime("onnxruntime", extra="onnx")
        verify_artifact(artifact)
        model = load_onnx(artifact, artifact / FOLDER)
        return OpenedSkill(read_skill_files(artifact, model), f"onnxruntime {onnxruntime.__version__}")

    def usage(self, artifact: Path) -> tuple[str, ...]:
        """The lines of the README that call an `artifact`."""
        return (
            "from pathlib import Path",
            "from terakoya.exporters.onnx.exporter import OnnxExporter",
            f'skill = OnnxExporter().open(Path("{artifact.as_posix()}"))',
            'print(skill.predict(["…"])[0].text)',
        )
