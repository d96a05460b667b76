"""A recipe: steps from a sentence to an example, each with a prompt file and the checks its answer must pass.

A recipe is a folder with `recipe.toml` and prompt files. It is known by a fingerprint of all of them: another prompt,
another recipe. Shipped ones lie in `recipes/`, named as in `teacher.recipe`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from terakoya.errors import ConfigError, nearest
from terakoya.file_errors import parse_toml, read_text
from terakoya.i18n import both, japanese
from terakoya.records import Turn, fingerprint

_KEYS = {"name", "says", "sources", "labels", "step", "habits", "counts", "vocabulary"}
_STEP_KEYS = {"name", "prompt", "checks", "fewest", "most", "longest", "rules"}
_PLACE = re.compile(r"\{(text|banned|avoid|fewest|most|longest)\}")


@dataclass(frozen=True)
class RecipeStep:
    """One request and what its answer must be.

    checks  names of validators, in order; the last step of a recipe makes the target, the one before it the source
    rules   for the teacher "rules": (pattern, answer) pairs, tried from top to bottom
    """

    name: str
    prompt: str
    checks: tuple[str, ...]
    fewest: int = 1
    most: int = 5
    longest: int = 200
    rules: tuple[tuple[str, str], ...] = ()

    def turns(self, text: str, banned: tuple[str, ...], avoid: tuple[str, ...]) -> tuple[Turn, ...]:
        """The prompt with its places filled. The text cannot end its own quotation marks."""
        values = {
            "text": text.replace("</文>", "＜/文＞").replace("<文>", "＜文＞"),
            "banned": _line("使ってはいけない絵文字: ", banned),
            "avoid": _line("もう十分に集まったので使わない絵文字: ", avoid),
            "fewest": str(self.fewest),
            "most": str(self.most),
            "longest": str(self.longest),
        }
        return (Turn("user", _PLACE.sub(lambda match: values[match.group(1)], self.prompt).strip()),)


@dataclass(frozen=True)
class Recipe:
    """Steps in order. `habits` and `counts` are those of the offline lexicon teacher; `labels` a fixed label set."""

    name: str
    steps: tuple[RecipeStep, ...]
    fingerprint: str
    says: str = ""
    sources: str = "ours"
    labels: str = ""  # "" is open, "lexicon" the emoji of our lexicon
    habits: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    counts: tuple[float, ...] = (0.12, 0.34, 0.34, 0.14, 0.06)
    vocabulary: int = 0  # how many emoji the lexicon teacher knows, those called for most (0: all)


def find_recipe(name: str, folder: Path) -> Recipe:
    """A shipped recipe by its name, or a folder with recipe.toml (relative to the config)."""
    if not name:
        raise ConfigError(
            both("no recipe is named", "レシピの指定がない"),
            where="[teacher]",
            do=both(
                f'Write recipe = "…". {nearest("", recipes())}',
                f'recipe = "…" と書くこと。{japanese(nearest("", recipes()))}',
            ),
        )
    shipped = resources.files("terakoya") / "recipes" / name
    if name in recipes():
        return _read({file.name: file.read_text(encoding="utf-8") for file in shipped.iterdir()}, name)
    place = folder / name
    if not (place / "recipe.toml").is_file():
        raise ConfigError(
            both(f"there is no recipe '{name}'", f"「{name}」というレシピはない"),
            where="[teacher]",
            do=both(
                f"{nearest(name, recipes())} Or name a folder with recipe.toml.",
                f"{japanese(nearest(name, recipes()))}recipe.toml のあるフォルダを指定してもよい。",
            ),
        )
    files = sorted(path for path in place.iterdir() if path.suffix in {".toml", ".txt", ".tsv"} and path.is_file())
    return _read({path.name: read_text(path) for path in files}, str(place))


def recipes() -> list[str]:
    """The names of the recipes that ship."""
    return sorted(item.name for item in (resources.files("terakoya") / "recipes").iterdir() if item.is_dir())


def _read(files: Mapping[str, str], where: str) -> Recipe:
    table = parse_toml(files["recipe.toml"], f"{where}/recipe.toml")
    _known(table, _KEYS, where)
    steps = table.get("step")
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        raise ConfigError(
            both("a recipe needs at least one [[step]]", "レシピには [[step]] が一つ以上必要である"),
            where=where,
            do=both("See the shipped recipes.", "同梱のレシピを見ること。"),
        )
    return Recipe(
        name=table.get("name", Path(where).name),
        steps=tuple(_step(step, files, where) for step in steps),
        fingerprint=fingerprint(*(part for name in sorted(files) for part in (name, files[name]))),
        says=table.get("says", ""),
        sources=table.get("sources", "ours"),
        labels=table.get("labels", ""),
        habits=MappingProxyType(dict(table.get("habits", {}))),
        counts=tuple(table.get("counts", Recipe.counts)),
        vocabulary=table.get("vocabulary", 0),
    )


def _step(step: Mapping[str, Any], files: Mapping[str, str], where: str) -> RecipeStep:
    _known(step, _STEP_KEYS, where)
    values = dict(step)
    for key in ("prompt", "rules"):
        name = values.get(key, "")
        if name and name not in files:
            raise ConfigError(
                both(f"there is no file '{name}'", f"ファイル '{name}' がない"), where=where, do=nearest(name, files)
            )
    values["prompt"] = files[step["prompt"]] if step.get("prompt") else "{text}"
    values["rules"] = _rules(files[step["rules"]]) if step.get("rules") else ()
    values["checks"] = tuple(step.get("checks", ()))
    return RecipeStep(**{"name": "answer", **values})


def _rules(text: str) -> tuple[tuple[str, str], ...]:
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return tuple((row[0], row[1]) for row in rows if len(row) == 2)


def _known(table: Mapping[str, Any], keys: set[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise ConfigError(
                both(f"unknown key '{key}'", f"知らないキー '{key}'"),
                where=f"{where}/recipe.toml",
                do=nearest(key, keys),
            )


def _line(head: str, labels: tuple[str, ...]) -> str:
    return head + " ".join(labels) if labels else ""
