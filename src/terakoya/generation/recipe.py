"""A recipe: the steps from a sentence to an example, each with a prompt file and the checks of its response.

A recipe is a folder with `recipe.toml` and prompt files, identified by a fingerprint of all of them. Shipped ones are
in `recipes/`, named as in `teacher.recipe`.
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
from terakoya.errors.files import parse_toml, read_text
from terakoya.i18n import _
from terakoya.records import Turn, fingerprint

_KEYS = {"name", "says", "sources", "labels", "step", "habits", "counts", "vocabulary"}
_STEP_KEYS = {"name", "prompt", "checks", "fewest", "most", "longest", "rules"}
_PLACEHOLDER = re.compile(r"\{(text|banned|avoid|fewest|most|longest)\}")


@dataclass(frozen=True)
class RecipeStep:
    """One request and what its response must be.

    name     part of the request's key; unique in a recipe
    prompt   template with {text}, {banned}, {avoid}, {fewest}, {most}, {longest}
    checks   names of `filters.CHECKS`, in order; the last step of a recipe makes the target, the one before the source
    fewest   smallest number of labels
    most     largest number of labels
    longest  largest number of characters
    rules    for the teacher "rules": (pattern, replacement) pairs, applied from top to bottom
    """

    name: str
    prompt: str
    checks: tuple[str, ...]
    fewest: int = 1
    most: int = 5
    longest: int = 200
    rules: tuple[tuple[str, str], ...] = ()

    def turns(self, text: str, banned: tuple[str, ...], avoid: tuple[str, ...]) -> tuple[Turn, ...]:
        """The prompt with its placeholders substituted, as one user message.

        text    the sentence; it cannot close the prompt's own quotation tags
        banned  labels that must never be used
        avoid   labels that have reached their quota
        """
        values = {
            "text": text.replace("</文>", "＜/文＞").replace("<文>", "＜文＞"),
            "banned": _line("使ってはいけない絵文字: ", banned),
            "avoid": _line("もう十分に集まったので使わない絵文字: ", avoid),
            "fewest": str(self.fewest),
            "most": str(self.most),
            "longest": str(self.longest),
        }
        return (Turn("user", _PLACEHOLDER.sub(lambda match: values[match.group(1)], self.prompt).strip()),)


@dataclass(frozen=True)
class Recipe:
    """Steps in order, and settings of the offline lexicon teacher.

    name, steps, fingerprint  what identifies it
    description  one sentence for lists
    sources      the default of `teacher.sources`
    labels       "" (open) or "lexicon" (the emoji of the shipped lexicon)
    habits       label → probability of adding it whatever the text
    counts       weights of 1, 2, … labels in a response
    vocabulary   how many emoji the lexicon teacher knows, most frequently cued first; 0: all
    """

    name: str
    steps: tuple[RecipeStep, ...]
    fingerprint: str
    description: str = ""
    sources: str = "ours"
    labels: str = ""
    habits: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    counts: tuple[float, ...] = (0.12, 0.34, 0.34, 0.14, 0.06)
    vocabulary: int = 0


def find_recipe(name: str, folder: Path) -> Recipe:
    """The shipped recipe called `name`, or the one in `folder`/`name`. Raises ConfigError if there is none."""
    known = nearest(name, recipes())
    if not name:
        raise ConfigError(
            _("no recipe is named"),
            where="[teacher]",
            do=_('Write recipe = "…". {known}', known=known),
        )
    shipped = resources.files("terakoya") / "recipes" / name
    if name in recipes():
        return _read({file.name: file.read_text(encoding="utf-8") for file in shipped.iterdir()}, name)
    path = folder / name
    if not (path / "recipe.toml").is_file():
        raise ConfigError(
            _("there is no recipe '{name}'", name=name),
            where="[teacher]",
            do=_("{known} Or name a folder with recipe.toml.", known=known),
        )
    files = sorted(file for file in path.iterdir() if file.suffix in {".toml", ".txt", ".tsv"} and file.is_file())
    return _read({file.name: read_text(file) for file in files}, str(path))


def recipes() -> list[str]:
    """The names of the recipes that ship."""
    return sorted(item.name for item in (resources.files("terakoya") / "recipes").iterdir() if item.is_dir())


def _read(files: Mapping[str, str], where: str) -> Recipe:
    table = parse_toml(files["recipe.toml"], f"{where}/recipe.toml")
    _known(table, _KEYS, where)
    steps = table.get("step")
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        raise ConfigError(
            _("a recipe needs at least one [[step]]"),
            where=where,
            do=_("See the recipes that ship with the package."),
        )
    return Recipe(
        name=table.get("name", Path(where).name),
        steps=tuple(_step(step, files, where) for step in steps),
        fingerprint=fingerprint(*(part for name in sorted(files) for part in (name, files[name]))),
        description=table.get("says", ""),
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
            raise ConfigError(_("there is no file '{name}'", name=name), where=where, do=nearest(name, files))
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
                _("unknown key '{key}'", key=key),
                where=f"{where}/recipe.toml",
                do=nearest(key, keys),
            )


def _line(head: str, labels: tuple[str, ...]) -> str:
    return head + " ".join(labels) if labels else ""
