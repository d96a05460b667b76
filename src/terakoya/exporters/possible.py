"""Which exports a skill will have, known before it is trained: a base that cannot go where it is needed costs hours."""

from __future__ import annotations

from collections.abc import Iterator

from terakoya.errors import ConfigError
from terakoya.exporters.exporter import find_exporter
from terakoya.i18n import Message, _, joined
from terakoya.models.builtin.sizes import SIZES
from terakoya.records import Finding
from terakoya.saved_model import Skill

BUILT_IN, PRETRAINED = ("page", "runtime", "onnx", "hub"), ("gguf", "ct2", "hub")


def export_findings(skill: Skill) -> Iterator[Finding]:
    """A note that names the targets of an export, and why the others of its kind are none.

    skill  around a model that may not be trained yet
    """
    possible: list[str] = []
    obstacles: list[Message] = []
    for target in BUILT_IN if skill.config.model.base in SIZES else PRETRAINED:
        try:
            obstacle = find_exporter(target).obstacle(skill)
        except ConfigError as error:  # a package is missing, without which nobody knows
            obstacle = joined(" ", (error.what, error.do))
        if obstacle is None:
            possible.append(target)
        else:
            obstacles.append(_("not to {target} ({obstacle})", target=target, obstacle=obstacle))
    first = (
        _("once trained, this skill can be exported to {targets}", targets=" · ".join(possible))
        if possible
        else _("once trained, this skill can be exported nowhere")
    )
    yield Finding(
        "exports",
        "note",
        joined("; ", [first, *obstacles]),
        where="model.base",
        do=_("Where you need another target, change the base or the setting now.") if obstacles else "",
    )
