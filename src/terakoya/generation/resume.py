"""When is it the same generation? What decides the requests and the rows must not change between start and resume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from terakoya.config import Config
from terakoya.errors import IncompatibleError
from terakoya.i18n import both
from terakoya.runs import read_json, write_json

FILE = "generation.json"
# Every key of [teacher] stands in one of the two (a test holds it so).
DECIDES = (
    "kind", "base_url", "model", "recipe", "sources", "exclude", "max_tokens", "temperature", "banned", "labels",
    "quota", "density",
)  # fmt: skip
MAY_CHANGE = (
    "samples", "licence", "key_variable", "budget", "currency", "requests", "price_in", "price_out", "max_concurrent",
    "requests_per_minute", "tokens_per_minute", "deadline", "attempts", "hedge", "max_rejected",
)  # fmt: skip


def identity(config: Config, recipe: str, corpus: str) -> dict[str, Any]:
    """What this generation is. Where balance decides which source comes next, the number of samples belongs to it."""
    teacher = config.teacher.model_dump(mode="json")
    told: dict[str, Any] = {name: teacher[name] for name in DECIDES}
    if config.teacher.quota or config.teacher.density:
        told["samples"] = config.teacher.samples
    return {**told, "seed": config.seed, "recipe_content": recipe, "corpus_content": corpus}


def hold_to(folder: Path, now: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write the identity down, or refuse when the folder belongs to another generation, naming what changed."""
    path = folder / FILE
    if not path.exists():
        write_json(path, {"format": 1, "identity": now, **facts})
        return
    before = read_json(path)["identity"]
    names = sorted(set(before) | set(now))
    changed = [name for name in names if before.get(name) != now.get(name)]
    if changed:
        told = ", ".join(f"{name} ({_short(before.get(name))} → {_short(now.get(name))})" for name in changed)
        raise IncompatibleError(
            both(
                f"this folder holds another generation; what changed: {told}",
                f"このフォルダには別の生成がある。変わったもの：{told}",
            ),
            where=str(folder),
            do=both(
                "Take the change back, or name another folder. What is paid for stays here.",
                "変更を元に戻すか、別のフォルダを指定すること。支払い済みのものはここに残る。",
            ),
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
