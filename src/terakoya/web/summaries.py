"""Runs as a list shows them: read from small files of the run folder, and again only where these have changed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from terakoya.errors import TerakoyaError
from terakoya.i18n import _
from terakoya.reporting.run_sections import flat
from terakoya.runs import Lock, Run, read_json

_FILES = ("manifest.json", "config.toml", "scores.json")
# Of one setting each in every run: the name, and what is a path or follows from the table.
_SAME = ("name", "seed", "lang", "task.data")


@dataclass(frozen=True)
class RunSummary:
    """One run in a line.

    id         opaque, for addresses
    folder     of the run
    name       of the experiment
    state      "running", "interrupted", "done", "failed", "refused", "stopped", or "damaged"
    started    when, as text
    seconds    that the training took; None while it is going on
    reason     why it failed, or why its files cannot be read
    score      the deciding score as scores.json has it: metric, value, low, high, n; {}: no exam yet
    verdict    its state; "" without one
    words      the verdict as a sentence, by language
    settings   config values by key
    different  settings that the runs of this name do not share: key → value
    """

    id: str
    folder: Path
    name: str
    state: str
    started: str = ""
    seconds: float | None = None
    reason: str = ""
    score: Mapping[str, Any] = field(default_factory=dict)
    verdict: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    different: Mapping[str, Any] = field(default_factory=dict)


def summarize_runs(runs: Mapping[str, Path]) -> list[RunSummary]:
    """A summary of each run, with what was set differently among those of one name.

    runs  folders by id
    """
    return mark_different(summarize_run(name, folder) for name, folder in runs.items())


def summarize_run(name: str, folder: Path) -> RunSummary:
    """One run in a line; a damaged one says so.

    name    id of the run
    folder  of the run
    """
    try:
        stamps = tuple(_stamp(folder / file) for file in _FILES)
        summary = _read(name, folder, stamps)
        return replace(summary, state=_state(folder, summary.state))
    except (TerakoyaError, ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        reason = error.message if isinstance(error, TerakoyaError) else _("its files cannot be read")
        return RunSummary(name, folder, folder.name, "damaged", reason=reason)


def _state(folder: Path, recorded: str) -> str:
    """As recorded; "running" for as long as a process writes the run, its report included."""
    lock = Lock(folder / ".lock")
    # Trying the lock itself could get in the way of whoever takes it: only where somebody seems to hold it.
    if lock.is_claimed() and lock.is_taken():
        return "running"
    return "interrupted" if recorded == "running" else recorded


def mark_different(summaries: Iterable[RunSummary]) -> list[RunSummary]:
    """The same summaries, each with the settings that not all runs of its name share.

    summaries  of the runs that are listed together
    """
    listed = list(summaries)
    marked = []
    for one in listed:
        others = [other.settings for other in listed if other.name == one.name and other.settings]
        keys = [key for key in one.settings if key not in _SAME and len({str(had.get(key)) for had in others}) > 1]
        marked.append(replace(one, different={key: one.settings[key] for key in keys}))
    return marked


def _stamp(path: Path) -> tuple[int, int]:
    if not path.is_file():
        return (0, 0)
    status = path.stat()
    return (status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4096)
def _read(name: str, folder: Path, _stamps: tuple[tuple[int, int], ...]) -> RunSummary:
    manifest = Run.open(folder).manifest
    times = manifest.get("times") or {}
    config = folder / "config.toml"
    settings = dict(flat(tomllib.loads(config.read_text(encoding="utf-8")))) if config.is_file() else {}
    training = manifest.get("training") or {}
    seconds = training.get("seconds")
    summary = RunSummary(
        id=name,
        folder=folder,
        name=str(manifest.get("name", "")),
        state=str(manifest["state"]),
        started=str(times.get("started") or "")[:16].replace("T", " "),
        seconds=float(seconds) if seconds is not None else None,
        reason=manifest.get("reason") or "",
        settings=settings,
    )
    if not (folder / "scores.json").is_file():
        return summary
    document = read_json(folder / "scores.json")
    return replace(
        summary,
        score=next((one for one in document["scores"] if one["who"] == "model" and not one.get("subset")), {}),
        verdict=str(document["verdict"]["state"]),
        words=dict(document["verdict"]["words"]),
    )
