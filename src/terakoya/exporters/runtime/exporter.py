"""Target "runtime": a folder that predicts where there are numpy and safetensors, without PyTorch and without Terakoya.

A folder, and no package of an index, because the modules that read a codec and the weights that were trained with it
belong together: another version of one beside the other is what a proof could not speak for.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from terakoya.codec.as_data import codec_values
from terakoya.config import DecodeConfig
from terakoya.decoding.confidence import Confidence, confidence_to_json
from terakoya.decoding.source_profile import SourceProfile
from terakoya.exporters.exporter import ExportedSkill, Exporter, ExportOptions
from terakoya.exporters.line_process import LineProcess
from terakoya.exporters.page.codec_data import codec_obstacle
from terakoya.exporters.page.description import builtin_obstacle
from terakoya.exporters.runtime.package import PACKAGE, write_package
from terakoya.runs import write_text
from terakoya.saved_model import Skill

_FILES = ("config.json", "vocabulary.json", "model.safetensors")
_NEEDED = ("numpy", "safetensors")
_PROJECT = """\
[project]
name = "terakoya-runtime"
version = "{version}"
description = "A trained skill, for numpy and safetensors alone"
requires-python = ">=3.11"
dependencies = ["numpy", "safetensors"]

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[tool.setuptools.packages.find]
include = ["terakoya_runtime*"]
"""


class RuntimeExporter(Exporter):
    """Writes skill and package, and opens them in a Python that finds numpy and safetensors alone."""

    name = "runtime"
    # Of the model's probability, a product over all tokens: 1.4e-5 was seen for ingredient lines. That the weights
    # are the same is found by comparing their bits.
    tolerance = 1e-4

    def obstacle(self, skill: Skill) -> str | None:
        """Why this `skill` cannot go there; None where it can."""
        return builtin_obstacle(skill) or codec_obstacle(
            skill.task.codec, constrained=skill.config.decode.constrained, head=skill.model.head
        )

    def write(self, skill: Skill, folder: Path, options: ExportOptions) -> Path:
        """Write the `skill` and the package beside it into a `folder`; no `options` concern it.

        Returns the artifact's folder.
        """
        artifact = folder / "terakoya-runtime"
        data = artifact / "skill"
        data.mkdir(parents=True)
        for name in _FILES:
            shutil.copyfile(skill.folder / name, data / name)
        digests = {name: hashlib.sha256((data / name).read_bytes()).hexdigest() for name in _FILES}
        write_text(
            data / "skill.json", json.dumps(_description(skill) | {"files": digests}, ensure_ascii=False, indent=1)
        )
        write_package(artifact)
        write_text(artifact / "pyproject.toml", _PROJECT.format(version="1"))
        return artifact

    def open(self, artifact: Path) -> ExportedSkill:
        """The `artifact` in a new Python process. Raises CorruptError where a file was changed."""
        return _Isolated(artifact)

    def same_weights(self, skill: Skill, artifact: Path) -> bool:
        """Whether the `artifact` has the weights of the `skill`, bit by bit."""
        copied, own = artifact / "skill" / _FILES[-1], skill.folder / _FILES[-1]
        return copied.read_bytes() == own.read_bytes()

    def usage(self, artifact: Path) -> list[str]:
        """Lines that call the `artifact`."""
        return [
            "import sys",
            f'sys.path.insert(0, "{artifact.as_posix()}")  # or: pip install ./{artifact.as_posix()}',
            f"from {PACKAGE} import load",
            f'skill = load("{artifact.as_posix()}/skill")',
            'skill.predict(["..."])[0]  # text, probability, raw, withheld',
        ]


def _description(skill: Skill) -> dict[str, Any]:
    decode, promise = skill.config.decode, skill.promise
    return {
        "decode": {name: getattr(decode, name) for name in DecodeConfig.model_fields},
        "max_tokens": skill.max_tokens,
        "codec": codec_values(skill.task.codec),
        "confidence": _confidence(skill.confidence) if skill.confidence else None,
        "promise": promise.threshold if promise else None,
    }


def _confidence(confidence: Confidence) -> dict[str, Any]:
    """The calibration alone, its n-grams sorted: in the order of counting they spell training sources."""
    counts = dict(sorted(confidence.profile.counts.items()))
    return confidence_to_json(replace(confidence, profile=SourceProfile(counts), scores=(), right=()))


class _Isolated(LineProcess):
    """The skill in a Python whose only packages are numpy and safetensors, as in a fresh environment."""

    def __init__(self, artifact: Path) -> None:
        self._packages = Path(tempfile.mkdtemp(prefix="terakoya-runtime-"))
        for name in _NEEDED:
            _link(name, self._packages)
        paths = os.pathsep.join([str(artifact.resolve()), str(self._packages)])
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        command = [sys.executable, "-S", "-s", "-m", PACKAGE, str(artifact / "skill"), "--lines"]
        try:
            super().__init__(command, artifact, "python", kept | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"})
        except BaseException:
            shutil.rmtree(self._packages, ignore_errors=True)
            raise

    def close(self) -> None:
        """End the process."""
        super().close()
        shutil.rmtree(self._packages, ignore_errors=True)


def _link(name: str, folder: Path) -> None:
    """Let a folder hold one installed package, with the libraries that lie beside it."""
    found = importlib.util.find_spec(name)
    assert found is not None and found.origin is not None
    package = Path(found.origin).parent
    for path in (package, package.parent / f"{name}.libs"):
        if path.is_dir():
            (folder / path.name).symlink_to(path, target_is_directory=True)
