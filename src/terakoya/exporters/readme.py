"""The README of an export: what the record says of the skill, what the proof showed, and how it is called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from terakoya.exporters.exporter import Exporter
from terakoya.exporters.facts import skill_facts
from terakoya.exporters.proof import Proof
from terakoya.i18n import _, in_language, language
from terakoya.reporting.escaping import markdown_text
from terakoya.saved_model import Skill

_CALL, _SIZE = _("How to call it"), _("Size and speed")


def readme(skill: Skill, exporter: Exporter, artifact: Path, proof: Proof, lang: str = "") -> str:
    """The text of README.md.

    skill     the original
    exporter  of the target; its method `usage(artifact)`, where it has one, returns the lines that call the artifact
    artifact  relative to the export's folder
    proof     what the exam showed
    lang      "en" or "ja"; "" is the user's
    """
    return "\n".join(_lines(skill, exporter, artifact, proof, language(lang))) + "\n"


def _lines(skill: Skill, exporter: Exporter, artifact: Path, proof: Proof, lang: str) -> Iterator[str]:
    def say(message: str) -> str:
        return markdown_text(in_language(message, lang))

    yield f"# {markdown_text(skill.task.name)} ({exporter.name})"
    yield from ("", say(proof.sentence()))
    for fact in skill_facts(skill):
        heading, lines = fact.in_language(lang)
        yield from ("", f"## {markdown_text(heading)}", "", *(f"- {markdown_text(line)}" for line in lines))
    if usage := exporter.usage(artifact):
        yield from ("", f"## {say(_CALL)}", "", "```", *usage, "```")
    yield from ("", f"## {say(_SIZE)}", "")
    yield "- " + say(
        _(
            "{artifact}: {size:,} bytes, sha256 {digest}",
            artifact=artifact.as_posix(),
            size=proof.bytes,
            digest=proof.sha256,
        )
    )
    if proof.after_ms is not None and proof.before_ms is not None:
        yield "- " + say(
            _(
                "{after:.1f} ms a prediction in {runtime}; the original in batches: {before:.1f} ms",
                after=proof.after_ms,
                before=proof.before_ms,
                runtime=proof.runtime,
            )
        )
    if proof.largest_difference is not None:
        yield "- " + say(_("largest difference of a probability: {largest:.2g}", largest=proof.largest_difference))
