"""The description of a saved built-in set model: all but its weights, readable without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError
from terakoya.i18n import _
from terakoya.models.builtin.base_scoring import BaseScoring
from terakoya.models.builtin.saving import read_json
from terakoya.models.builtin.set_features import NAME_KINDS, TextFeatures
from terakoya.models.calibration import calibration_from_json
from terakoya.models.protocol import LabelPenalty

MEMBERS = (0, 64, 64, 64)  # width of the vectors of each member of the ensemble; 0 for the table
SIZE_LABELS = 8  # highest label probabilities from which the size of the set is predicted
MOST_WEIGHTS = 40_000_000  # a description that needs more is corrupt or malicious


def weights_per_feature(labels: int) -> int:
    """Weights of all members that one more feature needs, with so many `labels`."""
    return sum((width or labels) + 1 for width in MEMBERS)


@dataclass(frozen=True)
class SetDescription:
    """What a saved set model says of itself.

    name                 the named size it was built from
    labels               L labels, in the order of the logits
    features             that it knows of a text
    counts               (L,) occurrences of each label in the training rows
    rows                 number of training rows
    largest              size of the largest set
    mixing_weight        weight of the table in the mean over members
    inverse_temperature  by which label logits are multiplied
    penalties            one per label whose share is capped
    base_scores          the pretrained base whose scores are added to the logits; None without one
    """

    name: str
    labels: tuple[str, ...]
    features: TextFeatures
    counts: tuple[float, ...]
    rows: int
    largest: int
    mixing_weight: float
    inverse_temperature: float
    penalties: tuple[LabelPenalty, ...]
    base_scores: BaseScoring | None = None

    @property
    def members(self) -> int:
        """Number of members of the ensemble."""
        return len(MEMBERS)

    @classmethod
    def read(cls, about: Mapping[str, Any], folder: Path) -> SetDescription:
        """The description in a folder, checked before anything of its size is allocated.

        about   content of config.json
        folder  of the model
        Raises CorruptError for what describes no set model.
        """
        vocabulary = read_json(folder / "vocabulary.json")
        if about.get("head") != "set":
            raise CorruptError(_("this is no built-in model for sets"), where=str(folder / "config.json"))
        try:
            temperature, penalties = calibration_from_json(about)
            base = about.get("base_scores")
            found = cls(
                str(about.get("name")),
                tuple(str(label) for label in about["labels"]),
                TextFeatures.from_json(vocabulary),
                tuple(float(count) for count in about["counts"]),
                int(about["rows"]),
                int(about["largest"]),
                float(about["blend"]),
                temperature,
                penalties,
                BaseScoring.from_json(base, len(about["labels"])) if base is not None else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptError(
                _("the description of the model cannot be read ({error})", error=error),
                where=str(folder),
            ) from error
        if not found._possible():
            raise CorruptError(_("the description of the model is impossible"), where=str(folder / "config.json"))
        return found

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name → shape of every saved weight."""
        return dict(self._weight_shapes())

    def _weight_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        labels, features = len(self.labels), len(self.features.vocabulary)
        for number, wanted in enumerate(MEMBERS):
            width, name = min(wanted, labels), f"members.{number}"
            yield f"{name}.table", (features, width or labels)
            if width:
                yield f"{name}.labels", (labels, width)
            yield f"{name}.worth", (features, 1)
            yield f"{name}.prior", (labels,)
            yield f"{name}.names", (NAME_KINDS,)
            yield f"{name}.sizes.weight", (self.largest, min(SIZE_LABELS, labels) + 2)
            yield f"{name}.sizes.bias", (self.largest,)

    def _possible(self) -> bool:
        labels = len(self.labels)
        indices = [one for named in self.features.names.values() for one in named]
        indices += [one.label for one in self.penalties]
        return (
            all(0 <= index < labels for index in indices)
            and 0 < self.largest <= labels == len(self.counts)
            and 0 < self.inverse_temperature < 100
            and 0 <= self.mixing_weight <= 1
            and weights_per_feature(labels) * len(self.features.vocabulary) <= MOST_WEIGHTS
        )
