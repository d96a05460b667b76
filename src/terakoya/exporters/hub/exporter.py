"""Target "hub": a folder for the Hugging Face Hub: safetensors, tokenizer, README, record.

A pretrained skill opens from it with plain from_pretrained; `HubExporter().open(folder)` opens every skill whole, with
codec and grammar.
"""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya import __version__, registry
from terakoya.exporters.exporter import Exporter, ExportOptions
from terakoya.exporters.facts import facts_of
from terakoya.exporters.hub.metadata import hub_metadata, with_metadata
from terakoya.exporters.hub.upload import upload
from terakoya.exporters.skill_files import (
    OpenedSkill,
    base_scores_obstacle,
    read_skill_files,
    verify_artifact,
    write_skill_files,
)
from terakoya.i18n import _
from terakoya.models.builtin.sizes import SIZES
from terakoya.runs import write_json
from terakoya.saved_model import Skill

if TYPE_CHECKING:
    from terakoya.exporters.proof import Proof

_BUILTIN_FILES = ("model.safetensors", "config.json", "vocabulary.json")
_README = "README.md"


class HubExporter(Exporter):
    """Writes a folder ready for the Hub, and uploads it where that is wished."""

    name = "hub"
    takes = ("push",)
    tolerance = 1e-5

    def obstacle(self, skill: Skill) -> str | None:
        """Why this `skill` cannot be uploaded; None where it can."""
        if obstacle := base_scores_obstacle(skill):
            return obstacle
        if skill.config.model.base in SIZES or hasattr(skill.model, "metadata"):
            return None
        return _("the model of an installed plug-in has no files that the Hub knows")

    def write(self, skill: Skill, folder: Path, options: ExportOptions) -> Path:
        """Write weights, tokenizer and record.

        skill    the trained skill
        folder   which becomes the artifact
        options  of the export; `push` is heeded once the folder is proved
        Returns the folder.
        """
        if skill.config.model.base in SIZES:
            for name in _BUILTIN_FILES:
                shutil.copyfile(skill.folder / name, folder / name)
        else:
            from terakoya.models.pretrained.prompt_files import save_for_everyone

            save_for_everyone(skill.model, folder)
        write_json(folder / "record.json", facts_of(skill))
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        write_skill_files(skill, folder, files)
        return folder

    def open(self, artifact: Path) -> OpenedSkill:
        """The skill of an `artifact`. Raises CorruptError where a file has changed since it was written."""
        verify_artifact(artifact)
        about = json.loads((artifact / "config.json").read_text(encoding="utf-8"))
        if about.get("kind") == "terakoya":
            loader, runtime = registry.find_model_loader(about["name"] if about["name"] in SIZES else "small"), ""
        else:
            loader = registry.find_model_loader("pretrained")
            runtime = f" (transformers {version('transformers')})"
        model: Any = loader(artifact)
        return OpenedSkill(read_skill_files(artifact, model), f"terakoya {__version__}{runtime}")

    def usage(self, artifact: Path) -> tuple[str, ...]:
        """The lines of the README that call an `artifact`."""
        return (
            "from pathlib import Path",
            "from terakoya.exporters.hub.exporter import HubExporter",
            f'skill = HubExporter().open(Path("{artifact.as_posix()}"))',
            'print(skill.predict(["…"])[0].text)',
        )

    def finish(self, skill: Skill, folder: Path, proof: Proof) -> None:
        """Give the README the metadata that the Hub reads.

        skill   the original
        folder  of the export, with its README
        proof   what the exam showed
        """
        text = (folder / _README).read_text(encoding="utf-8")
        (folder / _README).write_text(with_metadata(text, hub_metadata(skill, proof)), encoding="utf-8")

    def publish(self, folder: Path, options: ExportOptions) -> None:
        """Upload a proved `folder` where `options` name a place on the Hub."""
        if options.push:
            upload(folder, options.push)
