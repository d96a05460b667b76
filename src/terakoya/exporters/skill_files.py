"""What an artifact carries of a skill beside its weights: codec, limits and settings as data, sealed.

    ARTIFACT/skill/          terakoya.json, the files of the model that hold no weights, weights.json, and the seal
    ARTIFACT/…               the weights in the form of their runtime; weights.json has their sha256

A weight that changes after the conversion is found when the artifact is opened, whatever it does to the predictions.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from terakoya import errors, registry
from terakoya.config import Config, parse_config, write_config
from terakoya.config.reading import is_path
from terakoya.errors import ConfigError, CorruptError
from terakoya.exporters.exporter import NoRuntimeError
from terakoya.i18n import _
from terakoya.records import Prediction
from terakoya.runs import seal, verify, write_text
from terakoya.saved_model import FILE, Skill, read_confidence, restore_task

FOLDER, WEIGHTS = "skill", "weights.json"


def write_skill_files(skill: Skill, artifact: Path, files: Sequence[str], *, copied: Iterable[str] = ()) -> None:
    """Write the folder `skill` of an artifact, without paths of this machine, and seal it with what lies there already.

    skill     the trained skill
    artifact  folder in which the weights lie already
    files     names of the files with weights, relative to the artifact
    copied    names of files of the skill's own folder that the artifact needs; those that do not exist are left out
    """
    folder = artifact / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in copied:
        if (skill.folder / name).is_file():
            shutil.copyfile(skill.folder / name, folder / name)
    about = json.loads((skill.folder / FILE).read_text(encoding="utf-8"))
    about |= {"config": write_config(without_paths(skill.config)), "max_tokens": skill.max_tokens}
    write_text(folder / FILE, json.dumps(about, ensure_ascii=False, indent=1))
    digests = {name: file_sha256(artifact / name) for name in files}
    write_text(folder / WEIGHTS, json.dumps(digests, indent=1))
    seal(folder)


def read_skill_files(artifact: Path, model: Any, kind: type[Skill] = Skill) -> Skill:
    """The skill of an artifact around a `model` that its runtime computes.

    artifact  that `write_skill_files` completed
    model     what predicts in place of the trained weights
    kind      of skill
    Raises CorruptError where a file has changed since.
    """
    folder = artifact / FOLDER
    about = json.loads((folder / FILE).read_text(encoding="utf-8"))
    config = parse_config(about["config"], where=str(folder / FILE))
    task = restore_task(config, about, folder)
    converses = bool(about.get("task", {}).get("converses", False))
    confidence = read_confidence(about, folder / FILE)
    return kind(model, task, config, about["max_tokens"], folder, registry.find_rule(config), converses, confidence)


def verify_artifact(artifact: Path) -> None:
    """Raise CorruptError, naming the file, where one of an artifact has changed since the conversion.

    artifact  a folder that `write_skill_files` completed
    """
    verify(artifact / FOLDER)
    for name, digest in json.loads((artifact / FOLDER / WEIGHTS).read_text(encoding="utf-8")).items():
        if not (artifact / name).is_file() or file_sha256(artifact / name) != digest:
            raise CorruptError(
                _("these weights are not those that were converted"),
                where=str(artifact / name),
                do=_("Export the skill again: terakoya export RUN --to TARGET"),
            )


def without_paths(config: Config) -> Config:
    """The config without what names folders, accounts or services of its author: tables and bases by name alone.

    config  of the training
    """
    task = config.task
    bare = {key: _name(getattr(task, key)) for key in ("data", "dev", "exam", "corrections")}
    bare["use"] = _name(task.use) if task.use.endswith(".py") else task.use
    named = {key: getattr(config.model, key) for key in ("base", "base_scores")}
    bases = {key: Path(base).name if is_path(base) else base for key, base in named.items() if base}
    return config.model_copy(
        update={
            "task": task.model_copy(update=bare),
            "model": config.model.model_copy(update=bases),
            "teacher": Config().teacher,
        }
    )


def base_scores_obstacle(skill: Skill) -> str | None:
    """Why a `skill` that needs the scores of a pretrained base cannot be exported; None where it needs none."""
    if not skill.config.model.base_scores:
        return None
    return _("it needs the scores of its pretrained base (model.base_scores), which an export does not hold")


def file_sha256(file: Path) -> str:
    """The sha256 of a `file`, in hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _name(text: str) -> str:
    return text if text.startswith("hub:") else "|".join(Path(part).name for part in text.split("|"))


def need_runtime(module: str, *, extra: str) -> ModuleType:
    """Import the runtime `module`; raises NoRuntimeError naming the `extra` that installs it."""
    try:
        return errors.need(module, extra=extra)
    except ConfigError as error:
        raise NoRuntimeError(error.what, do=error.do) from error


class OpenedSkill:
    """A skill whose predictions a `runtime` makes: an exporter.ExportedSkill.

    skill    the codec, the settings and the model of the runtime
    runtime  its name and version
    """

    def __init__(self, skill: Skill, runtime: str) -> None:
        self.skill, self.runtime = skill, runtime

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction for each of `texts`, as the trained skill makes them."""
        return list(self.skill.predict(texts))

    def close(self) -> None:
        """Release what the runtime holds."""
        close = getattr(self.skill.model, "close", None)
        if close is not None:
            close()
        self.skill = replace(self.skill, model=cast("Any", None))
