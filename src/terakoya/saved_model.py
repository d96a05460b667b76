"""A trained skill: a model folder with all that is needed to predict. It loads by itself, without the data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya import registry
from terakoya.codec.choose import choose_codec
from terakoya.config import Config, parse_config, with_overrides, write_config
from terakoya.data.table import default_metrics
from terakoya.errors import ConfigError, CorruptError, IncompatibleError
from terakoya.i18n import both
from terakoya.runs import verify, write_text
from terakoya.task import Task

if TYPE_CHECKING:
    from terakoya.models.protocol import Model

FORMAT = 1
FILE = "terakoya.json"


@dataclass(frozen=True)
class Skill:
    """A trained model ready to predict.

    model       on the device of its config
    task        its codec reads what the model generates, its metrics score predictions
    config      that the model was trained with, overrides applied
    max_tokens  largest number of tokens of a generated sequence, the end token not counted
    folder      from which it was read
    """

    model: Model
    task: Task
    config: Config
    max_tokens: int
    folder: Path


def write_skill(folder: Path, model: Model, task: Task, config: Config, max_tokens: int) -> None:
    """Write a model with what `read_skill` needs beside it.

    folder      of the model, made if missing
    model       the trained model
    task        whose codec gives the labels
    config      of the training; its paths are relative to `folder`
    max_tokens  largest number of tokens of a generated sequence
    """
    model.save(folder)
    labels = list(getattr(task.codec, "labels", ()))
    about = {"format": FORMAT, "config": write_config(config), "labels": labels, "max_tokens": max_tokens}
    about["most"] = int(getattr(task.codec, "most", 0))
    write_text(folder / FILE, json.dumps(about, ensure_ascii=False, indent=1))


def model_folder(path: Path) -> Path:
    """The model folder of the run `path`, or `path` itself where it is no run. Raises ConfigError without one."""
    if (path / "manifest.json").is_file():
        if not (path / "model" / FILE).is_file():
            raise ConfigError(
                both("this run has no trained model yet", "この実行に学習済みのモデルはまだない"),
                where=str(path),
                do=both(f"Go on with it: terakoya run {path}", f"続けるには：terakoya run {path}"),
            )
        return path / "model"
    if not path.is_dir():
        raise ConfigError(
            both("there is no such run or model folder", "その実行もモデルのフォルダもない"),
            where=str(path),
            do=both("`ls runs` shows what there is.", "`ls runs` で確かめられる。"),
        )
    return path


def read_skill(path: Path, overrides: tuple[str, ...] = ()) -> Skill:
    """Open a saved skill for prediction.

    path       a run folder or a model folder
    overrides  settings of the config that differ from the saved ones, as "decode.beams=2"
    Raises ConfigError without a skill, CorruptError for a damaged file, IncompatibleError for a newer format.
    """
    folder = model_folder(path)
    if not (folder / FILE).is_file():
        raise ConfigError(
            both(
                f"this folder holds no skill that Terakoya trained (there is no {FILE})",
                f"Terakoya で学習したモデルがこのフォルダにない（{FILE} がない）",
            ),
            where=str(folder),
            do=both(
                "Score a model made elsewhere with: terakoya evaluate FOLDER --task EXPERIMENT",
                "別の所で作られたモデルの採点は：terakoya evaluate FOLDER --task EXPERIMENT",
            ),
        )
    verify(folder)
    about = _about(folder / FILE)
    config = with_overrides(parse_config(about["config"], where=f"{folder / FILE}"), overrides)
    return Skill(_load(config, folder), restore_task(config, about, folder), config, int(about["max_tokens"]), folder)


def read_task(path: Path) -> Task:
    """The task of the run or model folder `path`; the model is not loaded, and torch is not needed."""
    folder = model_folder(path)
    about = _about(folder / FILE)
    return restore_task(parse_config(about["config"], where=str(folder / FILE)), about, folder)


def restore_task(config: Config, about: Mapping[str, Any], folder: Path) -> Task:
    """The task of a saved skill, without its data: how predictions are read, scored and withheld.

    config  of the training
    about   content of the skill's description: its labels and the size of the largest set
    folder  of the model, from which a task file is looked for
    """
    if config.task.use:
        return registry.find_task(config, folder)
    settings = config.task
    most = int(about.get("most", 0))
    # The labels stand there in canonical form, one by one, so no separator is needed to read them.
    codec = choose_codec(settings.codec, about["labels"], notation=settings.notation, most=most)
    return Task(name=config.name, codec=codec, metrics=default_metrics(settings, codec))


def rebase_paths(config: Config, here: Path, there: Path) -> Config:
    """The same config for another folder.

    config  with paths relative to `here`
    here    the folder of the config
    there   the folder to which the paths of the result are relative
    """

    def rebase(text: str) -> str:
        if not text or text.startswith("hub:"):
            return text
        return "|".join(Path(os.path.relpath(here / part, there)).as_posix() for part in text.split("|"))

    task = config.task
    use = rebase(task.use) if task.use.endswith(".py") else task.use
    paths = {"data": rebase(task.data), "dev": rebase(task.dev), "exam": rebase(task.exam), "use": use}
    return config.model_copy(update={"task": task.model_copy(update=paths)})


def _load(config: Config, folder: Path) -> Model:
    from terakoya.decoding import move_to_device

    return move_to_device(registry.find_model_loader(config.model.base)(folder), config.device)


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        saved_format = int(about["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(
            both("this file is truncated or changed", "このファイルは途中で切れているか、変更されている"),
            where=str(path),
        ) from error
    if saved_format > FORMAT:
        raise IncompatibleError(
            both(
                f"made by a newer Terakoya (format {saved_format}; this one reads {FORMAT})",
                f"新しい Terakoya で作られている（形式 {saved_format}、この版が読めるのは {FORMAT} まで）",
            ),
            where=str(path),
            do=both("Upgrade Terakoya.", "Terakoya を更新すること。"),
        )
    return dict(about)
