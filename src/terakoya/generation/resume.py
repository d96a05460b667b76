"""Identity of a generation: what determines requests and rows must not change between start and resume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from terakoya.config import Config, TeacherConfig
from terakoya.errors import IncompatibleError
from terakoya.generation.configured import configured_teachers, planned_ahead
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
# Those of them that say who a teacher is, of each of several.
TEACHER_KEYS = ("kind", "base_url", "model", "max_tokens", "temperature", "extra")


def identity(config: Config, recipe: str, corpus: str, shard: str = "") -> dict[str, Any]:
    """The values that identify a generation; with a quota or density the number of samples is one of them.

    config  the whole config; `teacher` and `seed` are used
    recipe  fingerprint of the recipe
    corpus  fingerprint of the source sentences
    shard   which part of a generation it is, as in "2/8"; "" for the whole
    """
    teacher = config.teacher.model_dump(mode="json")
    values: dict[str, Any] = {name: teacher[name] for name in IDENTITY_KEYS}
    if config.teacher.pool:
        values = {name: value for name, value in values.items() if name not in TEACHER_KEYS}
        values["pool"] = {
            one.name: _teacher_values(one.config.model_dump(mode="json")) for one in configured_teachers(config.teacher)
        }
    if config.teacher.quota or config.teacher.density:
        values["samples"] = config.teacher.samples
        if batch := planned_ahead(config.teacher):
            values["batch"] = batch  # as many sentences are planned at once, before counts are known
    part = {"shard": shard} if shard else {}
    return {**values, **part, "seed": config.seed, "recipe_content": recipe, "corpus_content": corpus}


def require_same_identity(folder: Path, now: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Write the identity into a new folder, or refuse a folder of another generation, naming what changed.

    A folder in which no response was received yet takes the new identity: the settings were wrong, and are corrected.
    Teachers may be added to those that a generation began with.

    folder  the generation folder
    now     the identity (see `identity`)
    facts   further values recorded when the folder is made
    Returns the name of the teacher in `teacher.pool` with which the ledger began, before it named any; "" where it
    named every one. Raises IncompatibleError.
    """
    path = folder / FILE
    if not path.exists():
        write_json(path, {"format": 1, "identity": now, **facts})
        return ""
    changes = changed_keys(folder, now)
    if not changes:
        return _first_teacher(path, now)
    if not has_content(folder):
        write_json(path, {"format": 1, "identity": now, **facts})
        return ""
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
    several = "pool" in before or "pool" in now
    names = sorted((set(before) | set(now)) - ({"pool", *TEACHER_KEYS} if several else set()))
    changed = [(name, before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)]
    changed += _pool_changes(before, now) if several else ()
    return ", ".join(f"{name} ({_short(old)} → {_short(new)})" for name, old, new in changed)


def _pool_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Teachers that are no longer there or no longer the same; that others have been added is no change."""
    new = now.get("pool") or {"": _teacher_values(now)}
    for name, values in (before.get("pool") or {"": _teacher_values(before)}).items():
        if not name and "" not in new:
            if _same_teacher(values, new) is None:
                yield "teacher", values["model"] or values["kind"], _("none of {names}", names=", ".join(new))
        elif name not in new:
            yield f"teacher.pool.{name}", values["model"] or values["kind"], _("missing; weight = 0 keeps it")
        else:
            for key in TEACHER_KEYS:
                if values[key] != new[name][key]:
                    yield f"teacher.pool.{name}.{key}", values[key], new[name][key]


def _same_teacher(values: Mapping[str, Any], pool: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Name of the teacher in `pool` that a generation with one teacher, of these `values`, has had."""
    return next((name for name, one in pool.items() if dict(one) == dict(values)), None)


def _first_teacher(path: Path, now: Mapping[str, Any]) -> str:
    """The name of the first teacher, remembered where several have taken the place of one."""
    stored = read_json(path)
    before, first = _defaults() | stored["identity"], str(stored.get("first_teacher", ""))
    if "pool" not in now or stored["identity"].get("pool") == now["pool"]:
        return first
    if "pool" not in before:
        first = _same_teacher(_teacher_values(before), now["pool"]) or ""
    write_json(path, {**stored, "identity": dict(now), "first_teacher": first})
    return first


def _teacher_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in TEACHER_KEYS}


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
