"""Identity of a generation: what determines requests and rows must not change between start and resume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from terakoya.config import Config, TeacherConfig
from terakoya.errors import IncompatibleError
from terakoya.generation.teacher.ledger import JOURNAL
from terakoya.generation.teacher.ledger_journal import read_journal
from terakoya.generation.teacher.responses import TeacherResponse, parse_response
from terakoya.i18n import _
from terakoya.runs import read_json, write_json

FILE = "generation.json"
# Keys of [teacher] that determine requests or rows. A test lists the others, so that a new key is assigned to one side.
IDENTITY_KEYS = (
    "kind", "base_url", "model", "recipe", "sources", "exclude", "max_tokens", "temperature", "banned", "labels",
    "quota", "density", "extra",
)  # fmt: skip


def identity(config: Config, recipe: str, corpus: str, shard: str = "") -> dict[str, Any]:
    """The values that identify a generation; with a quota or density the number of samples is one of them.

    config  the whole config; `teacher` and `seed` are used
    recipe  fingerprint of the recipe
    corpus  fingerprint of the source sentences
    shard   which part of a generation it is, as in "2/8"; "" for the whole
    """
    teacher = config.teacher.model_dump(mode="json")
    values: dict[str, Any] = {name: teacher[name] for name in IDENTITY_KEYS}
    if config.teacher.quota or config.teacher.density:
        values["samples"] = config.teacher.samples
        if config.teacher.batch:
            values["batch"] = config.teacher.batch  # as many sentences are planned at once, before counts are known
    part = {"shard": shard} if shard else {}
    return {**values, **part, "seed": config.seed, "recipe_content": recipe, "corpus_content": corpus}


def require_same_identity(folder: Path, now: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write the identity into a new folder, or refuse a folder of another generation, naming what changed.

    A folder in which no response was received yet takes the new identity: the settings were wrong, and are corrected.

    folder  the generation folder
    now     the identity (see `identity`)
    facts   further values recorded when the folder is made
    Raises IncompatibleError.
    """
    path = folder / FILE
    if not path.exists():
        write_json(path, {"format": 1, "identity": now, **facts})
        return
    changes = changed_keys(folder, now)
    if changes and not has_content(folder):
        write_json(path, {"format": 1, "identity": now, **facts})
    elif changes:
        raise IncompatibleError(
            _("this folder belongs to another generation; changed: {changes}", changes=changes),
            where=str(folder),
            do=_("Undo the change, or name another folder. Responses already paid for stay here."),
        )


def changed_keys(folder: Path, now: Mapping[str, Any]) -> str:
    """What differs from the identity kept in `folder`, as text for a message; "" where nothing does.

    folder  the generation folder
    now     the identity (see `identity`)
    """
    # A key that the folder's version did not have yet had its default.
    before = _defaults() | read_json(folder / FILE)["identity"]
    names = sorted(set(before) | set(now))
    changed = [name for name in names if before.get(name) != now.get(name)]
    return ", ".join(f"{name} ({_short(before.get(name))} → {_short(now.get(name))})" for name in changed)


def _defaults() -> dict[str, Any]:
    values = TeacherConfig().model_dump(mode="json")
    return {name: values[name] for name in IDENTITY_KEYS}


def has_content(folder: Path) -> bool:
    """Whether a response was received or a row made in `folder`: only then does the identity bind."""
    rows = folder / "data.jsonl"
    if rows.is_file() and rows.stat().st_size:
        return True
    journal = folder / JOURNAL
    if not journal.is_file():
        return False
    state = read_journal(journal)
    return bool(state.abandoned) or any(
        isinstance(parse_response(reply), TeacherResponse) for reply in state.responses.values()
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
