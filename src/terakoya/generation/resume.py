"""Identity of a generation: what determines requests and rows must not change between start and resume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from terakoya.config import Config
from terakoya.errors import IncompatibleError
from terakoya.i18n import both
from terakoya.runs import read_json, write_json

FILE = "generation.json"
# Keys of [teacher] that determine requests or rows. A test lists the others, so that a new key is assigned to one side.
IDENTITY_KEYS = (
    "kind", "base_url", "model", "recipe", "sources", "exclude", "max_tokens", "temperature", "banned", "labels",
    "quota", "density",
)  # fmt: skip


def identity(config: Config, recipe: str, corpus: str) -> dict[str, Any]:
    """The values that identify a generation; with a quota or density the number of samples is one of them.

    config  the whole config; `teacher` and `seed` are used
    recipe  fingerprint of the recipe
    corpus  fingerprint of the source sentences
    """
    teacher = config.teacher.model_dump(mode="json")
    values: dict[str, Any] = {name: teacher[name] for name in IDENTITY_KEYS}
    if config.teacher.quota or config.teacher.density:
        values["samples"] = config.teacher.samples
    return {**values, "seed": config.seed, "recipe_content": recipe, "corpus_content": corpus}


def require_same_identity(folder: Path, now: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write the identity into a new folder, or refuse a folder of another generation, naming what changed.

    folder  the generation folder
    now     the identity (see `identity`)
    facts   further values recorded when the folder is made
    Raises IncompatibleError.
    """
    path = folder / FILE
    if not path.exists():
        write_json(path, {"format": 1, "identity": now, **facts})
        return
    before = read_json(path)["identity"]
    names = sorted(set(before) | set(now))
    changed = [name for name in names if before.get(name) != now.get(name)]
    if changed:
        changes = ", ".join(f"{name} ({_short(before.get(name))} → {_short(now.get(name))})" for name in changed)
        raise IncompatibleError(
            both(
                f"this folder belongs to another generation; changed: {changes}",
                f"このフォルダは別の生成のものである。変更点：{changes}",
            ),
            where=str(folder),
            do=both(
                "Undo the change, or name another folder. Responses already paid for stay here.",
                "変更を元に戻すか、別のフォルダを指定すること。支払い済みの応答はここに残る。",
            ),
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
