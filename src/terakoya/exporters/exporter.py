"""What every target of an export can do: write an artifact, and open it in its own runtime.

exporter = EXPORTERS["page"]()
artifact = exporter.write(skill, folder, ExportOptions())
exported = exporter.open(artifact)             # in the runtime that its users will have
exported.predict(["三万八千"])                   # compared with the skill's own predictions (proof.py)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

from terakoya.errors import ConfigError, nearest
from terakoya.i18n import _
from terakoya.records import Prediction
from terakoya.saved_model import Skill


class NoRuntimeError(ConfigError):
    """The runtime of an artifact is not installed here: it can be written, and not proved."""


@dataclass(frozen=True)
class ExportOptions:
    """What a user may choose of an export.

    quantisation  number format of the weights, in the words of the target ("f16", "q8_0", "int8"); "" is its default
    converter     a converter of the user's own, for targets that need one
    push          owner/name on the Hub that the artifact is uploaded to; "" for none
    """

    quantisation: str = ""
    converter: Path | None = None
    push: str = ""


class ExportedSkill(Protocol):
    """An artifact, opened in its own runtime."""

    @property
    def runtime(self) -> str:
        """Name and version: "node 20.1", "onnxruntime 1.32.0"."""
        ...

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction for each of `texts`, in their order, as the runtime's users would get it.

        texts  the sources
        """
        ...

    def close(self) -> None:
        """Release what the runtime holds."""
        ...


class Exporter(Protocol):
    """One way out: writes an artifact and opens it in its own runtime."""

    @property
    def name(self) -> str:
        """The target, as --to names it."""
        ...

    def obstacle(self, skill: Skill) -> str | None:
        """Why this skill cannot go this way; None where it can.

        skill  the trained skill
        """
        ...

    def write(self, skill: Skill, folder: Path, options: ExportOptions) -> Path:
        """Write the artifact.

        skill    the trained skill
        folder   an empty temporary one, which gets its name once the artifact is proved
        options  what the user chose
        Returns the artifact, a file or folder inside `folder`.
        """
        ...

    def open(self, artifact: Path) -> ExportedSkill:
        """The artifact, in its own runtime.

        artifact  that `write` returned, wherever it lies now
        Raises NoRuntimeError where the runtime is not installed, CorruptError for a damaged artifact.
        """
        ...


# Target → module and class; imported when it is used.
_EXPORTERS = {
    "onnx": "terakoya.exporters.onnx.exporter:OnnxExporter",
    "gguf": "terakoya.exporters.gguf.exporter:GgufExporter",
    "ct2": "terakoya.exporters.ct2.exporter:Ct2Exporter",
    "hub": "terakoya.exporters.hub.exporter:HubExporter",
    "page": "terakoya.exporters.page.exporter:PageExporter",
    "runtime": "terakoya.exporters.runtime.exporter:RuntimeExporter",
}


def _maker(place: str) -> Callable[[], Exporter]:
    module, _colon, name = place.partition(":")
    return lambda: cast("Exporter", getattr(import_module(module), name)())


EXPORTERS: Mapping[str, Callable[[], Exporter]] = MappingProxyType(
    {name: _maker(place) for name, place in _EXPORTERS.items()}
)


def find_exporter(target: str) -> Exporter:
    """The exporter of a `target`. Raises ConfigError, offering the nearest name, for an unknown one."""
    if target not in EXPORTERS:
        raise ConfigError(
            _("there is no export to '{target}'", target=target),
            where="--to",
            do=nearest(target, EXPORTERS),
        )
    return EXPORTERS[target]()
