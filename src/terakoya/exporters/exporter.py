"""What every target of an export can do: write an artifact, and open it in its own runtime.

exporter = EXPORTERS["page"]()
artifact = exporter.write(skill, folder, ExportOptions())
exported = exporter.open(artifact)             # in the runtime that its users will have
exported.predict(["三万八千"])                   # compared with the skill's own predictions (prove.py)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

from terakoya.errors import ConfigError, nearest
from terakoya.i18n import _
from terakoya.records import Prediction
from terakoya.saved_model import Skill

if TYPE_CHECKING:
    from terakoya.exporters.proof import Proof


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

    def number_format(self, known: Collection[str], default: str) -> str:
        """The number format that was chosen.

        known    those of the target
        default  taken where the user named none
        Raises ConfigError for one that is not known.
        """
        chosen = self.quantisation or default
        if chosen not in known:
            raise ConfigError(
                _("there is no quantisation '{kind}' here", kind=chosen),
                where="--quantisation",
                do=_("Choose one of: {known}.", known=", ".join(known)),
            )
        return chosen


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


class Exporter(ABC):
    """One way out: writes an artifact and opens it in its own runtime.

    name       the target, as --to names it
    takes      fields of ExportOptions that it goes by
    tolerance  largest difference of the model's probability that the runtime's arithmetic explains; None: the weights
               are changed on purpose
    """

    name: ClassVar[str]
    takes: ClassVar[tuple[str, ...]] = ()
    tolerance: ClassVar[float | None] = None

    @abstractmethod
    def obstacle(self, skill: Skill) -> str | None:
        """Why this skill cannot go this way; None where it can.

        skill  the trained skill
        """

    def obstacle_with(self, skill: Skill, options: ExportOptions) -> str | None:
        """Why this skill cannot go this way with what the user chose; None where it can.

        skill    the trained skill
        options  what the user chose
        """
        return self.obstacle(skill)

    @abstractmethod
    def write(self, skill: Skill, folder: Path, options: ExportOptions) -> Path:
        """Write the artifact.

        skill    the trained skill
        folder   an empty temporary one, which gets its name once the artifact is proved
        options  what the user chose
        Returns the artifact, a file or folder inside `folder`.
        """

    @abstractmethod
    def open(self, artifact: Path) -> ExportedSkill:
        """The artifact, in its own runtime.

        artifact  that `write` returned, wherever it lies now
        Raises NoRuntimeError where the runtime is not installed, CorruptError for a damaged artifact.
        """

    def same_weights(self, skill: Skill, artifact: Path) -> bool | None:
        """Whether every weight has the bits that were trained; None where the target has other numbers.

        skill     the original
        artifact  that `write` returned
        """
        return None

    def usage(self, artifact: Path) -> Sequence[str]:
        """The lines of the README that call the artifact; () where there is nothing to type.

        artifact  its path as the README names it
        """
        return ()

    def finish(self, skill: Skill, folder: Path, proof: Proof) -> None:  # noqa: B027  # most have nothing to add
        """Add to the README what the target needs there.

        skill   the original
        folder  of the export, with its README
        proof   what the exam showed
        """

    def publish(self, folder: Path, options: ExportOptions) -> None:  # noqa: B027  # most go nowhere
        """Bring a proved export to where the options say.

        folder   of the export
        options  what the user chose
        """


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
