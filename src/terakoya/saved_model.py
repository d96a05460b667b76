"""A taught skill: a model folder with what is needed to ask it. It loads by itself, without the data."""

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
from terakoya.data.table import metrics_for
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
    """A model that can be asked, the task that reads its answers, and the config that it was taught by."""

    model: Model
    task: Task
    config: Config
    max_tokens: int
    folder: Path


def write_skill(folder: Path, model: Model, task: Task, config: Config, max_tokens: int) -> None:
    """The model, and beside it what its answers mean."""
    model.save(folder)
    labels = list(getattr(task.codec, "labels", ()))
    about = {"format": FORMAT, "config": write_config(config), "labels": labels, "max_tokens": max_tokens}
    about["most"] = int(getattr(task.codec, "most", 0))
    write_text(folder / FILE, json.dumps(about, ensure_ascii=False, indent=1))


def model_folder(path: Path) -> Path:
    """The model of a run, or the folder itself where it is one."""
    if (path / "manifest.json").is_file():
        if not (path / "model" / FILE).is_file():
            raise ConfigError(
                both("this run has no taught model yet", "この実行に学習済みのモデルはまだない"),
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
    """Open a run's model (or a model folder that `export` made) for asking."""
    folder = model_folder(path)
    if not (folder / FILE).is_file():
        raise ConfigError(
            both(
                f"this folder holds no skill that Terakoya taught (there is no {FILE})",
                f"Terakoya が学習させたものがこのフォルダにない（{FILE} がない）",
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
    return Skill(_load(config, folder), skill_task(config, about, folder), config, int(about["max_tokens"]), folder)


def read_task(path: Path) -> Task:
    """The task of a run's model alone; no model is opened, and torch is not needed."""
    folder = model_folder(path)
    about = _about(folder / FILE)
    return skill_task(parse_config(about["config"], where=str(folder / FILE)), about, folder)


def skill_task(config: Config, about: Mapping[str, Any], folder: Path) -> Task:
    """The task without its data: how answers are read, judged and withheld."""
    if config.task.use:
        return registry.find_task(config, folder)
    wanted = config.task
    most = int(about.get("most", 0))
    # The labels stand there in canonical form, one by one, so no separator is needed to read them.
    codec = choose_codec(wanted.codec, about["labels"], notation=wanted.notation, most=most)
    return Task(name=config.name, codec=codec, metrics=metrics_for(wanted, codec))


def moved(config: Config, here: Path, there: Path) -> Config:
    """The same config for another folder: its paths, relative to `here`, made relative to `there`."""

    def path(text: str) -> str:
        if not text or text.startswith("hub:"):
            return text
        return "|".join(Path(os.path.relpath(here / part, there)).as_posix() for part in text.split("|"))

    task = config.task
    use = path(task.use) if task.use.endswith(".py") else task.use
    paths = {"data": path(task.data), "dev": path(task.dev), "exam": path(task.exam), "use": use}
    return config.model_copy(update={"task": task.model_copy(update=paths)})


def _load(config: Config, folder: Path) -> Model:
    from terakoya.decoding import placed

    return placed(registry.find_model_loader(config.model.base)(folder), config.device)


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        made_by = int(about["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(
            both("this file is torn or changed", "このファイルは壊れているか、変えられている"), where=str(path)
        ) from error
    if made_by > FORMAT:
        raise IncompatibleError(
            both(
                f"made by a newer Terakoya (format {made_by}; this one reads {FORMAT})",
                f"新しい Terakoya で作られている（形式 {made_by}、この版が読めるのは {FORMAT} まで）",
            ),
            where=str(path),
            do=both("Upgrade Terakoya.", "Terakoya を更新すること。"),
        )
    return dict(about)
