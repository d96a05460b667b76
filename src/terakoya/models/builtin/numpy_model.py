"""Built-in models opened for prediction without PyTorch: `load_without_torch(folder)`.

They have what decoding needs of a model (`fits`, `length`, `start` or `set_scores`) and nothing that trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from terakoya.codec.text import normalise_source
from terakoya.errors import IncompatibleError
from terakoya.i18n import _
from terakoya.models.builtin.characters import END, CharacterVocabulary
from terakoya.models.builtin.numpy_network import NumpyDecodingState, NumpyNetwork
from terakoya.models.builtin.saving import read_description, read_json, require_shapes, source_text, weight_errors
from terakoya.models.builtin.set_description import SetDescription
from terakoya.models.builtin.shape import Shape
from terakoya.models.builtin.sizes import read_shape
from terakoya.models.protocol import LabelPenalty, Query

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_TINY = 1e-7


class NumpyModel:
    """A built-in model with a sequence head.

    shape       of its network
    characters  its vocabulary
    weights     as saved
    """

    head: ClassVar[str] = "sequence"
    end = END
    labels: tuple[str, ...] = ()

    def __init__(self, shape: Shape, characters: CharacterVocabulary, weights: Mapping[str, Floats]) -> None:
        self.characters, self.shape = characters, shape
        self.network = NumpyNetwork(shape, weights)
        self.max_target_length = shape.max_target

    def fits(self, query: Query) -> bool:
        """Whether the text of `query` is neither empty nor longer than `max_source`."""
        return 0 < len(source_text(query)) <= self.shape.max_source

    def length(self, query: Query) -> int:
        """Characters of the text of `query`."""
        return len(source_text(query))

    def unknown_characters(self, query: Query) -> str:
        """The characters of `query` that training never showed, each once."""
        return self.characters.unknown_in(source_text(query))

    def token_texts(self) -> Sequence[str]:
        """(V,) the character of each token id; "" for the end token."""
        return self.characters.token_texts()

    def start(self, queries: Sequence[Query]) -> NumpyDecodingState:
        """Begin to generate a sequence for each of `queries`, all of which fit."""
        sources = [source_text(query) for query in queries]
        longest = max(map(len, sources))
        ids = self.characters.ids(sources, longest, left=True)
        mask = (ids != self.characters.pad)[:, None, None, :] if min(map(len, sources)) < longest else None
        return NumpyDecodingState(self.network, ids, mask, self.characters.start)


@dataclass(frozen=True)
class NumpySetScores:
    """What `models.protocol.SetScores` is, as arrays.

    labels     (B, L) logits
    sizes      (B, S) logits of the set sizes 1..S
    penalties  one per label whose share is capped
    """

    labels: Floats
    sizes: Floats
    penalties: tuple[LabelPenalty, ...]


class NumpySetModel:
    """A built-in model with a set head.

    about    its description
    weights  as saved
    """

    head: ClassVar[str] = "set"

    def __init__(self, about: SetDescription, weights: Mapping[str, Floats]) -> None:
        self.about, self.weights, self.labels = about, weights, about.labels

    @property
    def log_prior(self) -> Floats:
        """(L,) log share of each label among the training rows."""
        counts = np.asarray(self.about.counts, dtype=np.float32)
        result: Floats = np.log((counts + np.float32(0.5)) / np.float32(self.about.rows + 1.0))
        return result

    def fits(self, query: Query) -> bool:
        """Whether `query` has a visible character."""
        return bool(normalise_source(source_text(query)))

    def length(self, query: Query) -> int:
        """Characters of the text of `query`."""
        return len(source_text(query))

    def set_scores(self, queries: Sequence[Query]) -> NumpySetScores:
        """Label and size logits for each of `queries`, all of which fit."""
        bag, used, names = bag_of_features(self.about, queries)
        outputs = [self._member(f"members.{number}", bag, used, names) for number in range(self.about.members)]
        rest = (1 - self.about.mixing_weight) / (self.about.members - 1)
        shares = [self.about.mixing_weight, *[rest] * (self.about.members - 1)]
        probabilities = sum(
            np.float32(share) * _sigmoid(logits) for share, (logits, _sizes) in zip(shares, outputs, strict=True)
        )
        probabilities = np.clip(probabilities, np.float32(_TINY), np.float32(1 - _TINY))
        sizes = sum(np.float32(share) * _softmax(one) for share, (_logits, one) in zip(shares, outputs, strict=True))
        logits = np.log(probabilities) - np.log1p(-probabilities)
        return NumpySetScores(logits * np.float32(self.about.inverse_temperature), np.log(sizes), self.about.penalties)

    def _member(
        self, name: str, bag: Floats, used: Sequence[int], names: Sequence[tuple[int, int, int, float]]
    ) -> tuple[Floats, Floats]:
        """Label logits (B, L) and size logits (B, S) of one member, as `set_ensemble.EnsembleMember` computes them."""
        table: Floats = self.weights[f"{name}.table"][list(used)]
        if f"{name}.labels" in self.weights:
            table = table @ self.weights[f"{name}.labels"].T
        evidence = np.log(_softmax(table)) + self.weights[f"{name}.worth"][list(used)]
        odds = np.exp(self.weights[f"{name}.prior"]) + bag @ np.exp(evidence)
        of_names = np.exp(self.weights[f"{name}.names"])
        for row, label, kind, weight in names:
            odds[row, label] += np.float32(weight) * of_names[kind]
        logits: Floats = np.log(odds)
        probabilities = _sigmoid(logits)
        total = probabilities.sum(1, keepdims=True)
        matrix = self.weights[f"{name}.sizes.weight"]
        top = -np.sort(-probabilities, axis=1)[:, : matrix.shape[1] - 2]
        seen = np.concatenate((top, total / np.float32(3), np.log(np.maximum(total, np.float32(1e-6)))), axis=1)
        return logits, seen @ matrix.T + self.weights[f"{name}.sizes.bias"]


def bag_of_features(
    about: SetDescription, queries: Sequence[Query]
) -> tuple[Floats, list[int], list[tuple[int, int, int, float]]]:
    """What a set head is given of `queries`.

    about    description of the head: its features
    queries  that fit
    Returns (queries, used features) with 1 where a query has the feature, the indices of the used features, and the
    names of labels that were found, as (row, label, kind, weight).
    """
    features = about.features
    texts = [source_text(query) for query in queries]
    rows = [features.ids(text) for text in texts]
    used = sorted({feature for row in rows for feature in row})
    column = {feature: index for index, feature in enumerate(used)}
    bag = np.zeros((len(rows), len(used)), dtype=np.float32)
    for index, row in enumerate(rows):
        bag[index, [column[feature] for feature in row]] = 1.0
    names = [(row, *found) for row, text in enumerate(texts) for found in features.find_names(text)]
    return bag, used, names


def load_without_torch(folder: Path) -> NumpyModel | NumpySetModel:
    """The built-in model in a `folder` that its `save` wrote. Only data is read: nothing in the folder can run.

    Raises CorruptError for a folder that holds no such model, IncompatibleError for one of another format, or one that
    needs the scores of a pretrained base.
    """
    from safetensors.numpy import load_file

    about = read_description(folder)
    file = folder / "model.safetensors"
    if about.get("head") == "set":
        description = SetDescription.read(about, folder)
        with weight_errors(file):
            weights = load_file(file)
        require_shapes(weights, description.weight_shapes(), file)
        if description.base_scores is not None:  # without them its predictions would be those of another model
            raise IncompatibleError(
                _("this model needs the scores of its pretrained base, which PyTorch computes"),
                where=str(folder),
                do=_("Predict with: terakoya predict {folder}", folder=folder),
            )
        return NumpySetModel(description, weights)
    characters = CharacterVocabulary.from_json(read_json(folder / "vocabulary.json"), str(folder / "vocabulary.json"))
    shape = read_shape(about, characters, folder)
    with weight_errors(file):
        weights = load_file(file)
    require_shapes(weights, shape.weight_shapes(), file)
    return NumpyModel(shape, characters, weights)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _softmax(x: Any) -> Any:
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
