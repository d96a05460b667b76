"""Target "page": one HTML file, offline, with nothing but the skill in it; proved in Node, or in a browser.

The content policy forbids every request and every script but the one whose hash it names; that script holds the hash of
description and weights, and refuses to predict with others.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from terakoya.exporters.exporter import ExportedSkill, Exporter, ExportOptions
from terakoya.exporters.facts import examples_of, facts_of
from terakoya.exporters.page.description import describe_skill, page_obstacle, source_file
from terakoya.exporters.page.node import open_page
from terakoya.exporters.page.packing import pack, unpack
from terakoya.i18n import _, in_every_language
from terakoya.runs import write_text
from terakoya.saved_model import Skill

FILE = "index.html"
_SCRIPTS = ("codecs.js", "inflate.js", "engine.js", "page.js")
_WORDS = {
    "predict": _("Predict"),
    "share": _("probability"),
    "probability": _("The probability lies below the chosen threshold."),
    "promise": _("The prediction is not among those that were promised."),
    "examples": _("Examples:"),
    "abstained": _("I do not know"),
    "unreadable": _("The output is no prediction that could be read."),
    "characters": _("The text holds characters that the model does not know."),
    "rejected": _("The model rejects the text as ill-formed."),
    "novelty": _("The text is unlike those of the training."),
    "damaged": _("This page is damaged: its data are not those that it was written with. Export the skill again."),
    "offline": _("This page works without a network and sends nothing anywhere."),
}


class PageExporter(Exporter):
    """Writes the page and opens it in Node, or in a browser."""

    name = "page"
    # Of the model's probability, a product over all tokens: 1.4e-5 was seen for ingredient lines. That the weights
    # are the same is found by comparing their bits.
    tolerance = 1e-4

    def obstacle(self, skill: Skill) -> str | None:
        """Why this `skill` cannot become a page; None where it can."""
        return page_obstacle(skill)

    def write(self, skill: Skill, folder: Path, options: ExportOptions) -> Path:
        """Write the page into a `folder`; no `options` concern it. Returns the HTML file, of the `skill` alone."""
        description, weights = describe_skill(skill)
        blocks = {
            "skill": _json_text(description),
            "weights": pack(weights),
            "words": _json_text(_words()),
            "about": _json_text(_about(skill)),
        }
        digest = hashlib.sha256((blocks["skill"] + blocks["weights"]).encode()).hexdigest()
        script = f'const DIGEST = "{digest}";\n' + "".join(
            source_file(name).replace('"use strict";\n', "") for name in _SCRIPTS
        )
        style = source_file("page.css")
        policy = {"script_hash": _policy_hash(script), "style_hash": _policy_hash(style)}
        name = _escaped(skill.task.name)
        page = _render(
            source_file("template.html"), {**blocks, **policy, "name": name, "script": script, "style": style}
        )
        write_text(folder / FILE, page)
        return folder / FILE

    def open(self, artifact: Path) -> ExportedSkill:
        """`artifact` in Node or in a browser. Raises NoRuntimeError without both, CorruptError for a changed page."""
        return open_page(artifact)

    def same_weights(self, skill: Skill, artifact: Path) -> bool:
        """Whether the `artifact` has every weight of the `skill`, bit by bit."""
        return _same_weights(artifact.read_text(encoding="utf-8"), skill.folder)


def _same_weights(page: str, folder: Path) -> bool:
    from safetensors.numpy import load_file

    block = unpack(_block(page, '<script type="text/plain" id="weights">'))
    listed = json.loads(_block(page, '<script type="application/json" id="skill">'))["tensors"]
    weights = load_file(folder / "model.safetensors")
    return {one["name"] for one in listed} == weights.keys() and all(
        block[one["at"] : one["at"] + weights[one["name"]].nbytes] == weights[one["name"]].astype("<f4").tobytes()
        for one in listed
    )


def _block(page: str, opening: str) -> str:
    return page.partition(opening)[2].partition("</script>")[0]


def _render(template: str, values: dict[str, str]) -> str:
    """The template with its `{{marks}}` replaced, each once: what is put in is not looked at again."""
    pieces = template.split("{{")
    found = [pieces[0]]
    for piece in pieces[1:]:
        mark, _close, rest = piece.partition("}}")
        found += [values[mark], rest]
    return "".join(found)


def _policy_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _json_text(value: Any) -> str:
    """JSON that can stand inside a script element: no `<` ends it early."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _words() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {"en": {}, "ja": {}}
    for name, message in _WORDS.items():
        for lang, text in in_every_language(message).items():
            found[lang][name] = text
    return found


def _about(skill: Skill) -> dict[str, Any]:
    return {"name": skill.task.name, "examples": examples_of(skill), "facts": facts_of(skill)}
