"""Built-in models whose network onnxruntime computes; codec, grammar and decoding are those of prediction without
PyTorch (decoding/without_torch.py), so only the arithmetic differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from terakoya.exporters.skill_files import need_runtime
from terakoya.models.builtin.characters import CharacterVocabulary
from terakoya.models.builtin.numpy_model import NumpyModel, NumpySetModel, NumpySetScores, bag_of_features
from terakoya.models.builtin.saving import read_description, read_json, source_text
from terakoya.models.builtin.set_description import SetDescription
from terakoya.models.builtin.shape import Shape
from terakoya.models.builtin.sizes import read_shape
from terakoya.models.protocol import Query

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Booleans = NDArray[np.bool_]
    Ids = NDArray[np.int64]


class OnnxDecodingState:
    """What `numpy_network.NumpyDecodingState` is, computed by two ONNX graphs.

    model   has the sessions and the shape
    source  (B, S) token ids, padded on the left
    mask    (B, 1, 1, S), true where a character stands
    """

    def __init__(self, model: OnnxModel, source: Ids, mask: Booleans) -> None:
        self.model, self.mask, self.position = model, mask, 0
        shape = model.shape
        memory: Floats = model.source.run(["memory"], {"source": source, "mask": mask})[0]
        self.memory = memory if shape.encoder else None
        empty = np.zeros((2 * shape.decoder, len(source), shape.heads, 0, shape.width // shape.heads), np.float32)
        self.cache: Floats = empty if shape.encoder else memory
        self.logits: Floats = self._step(np.full(len(source), model.characters.start))

    def advance(self, tokens: Ids) -> None:
        """Append one token id to every row, `tokens` (B,), and compute the next logits."""
        self.logits = self._step(tokens)

    def select(self, rows: Ids) -> None:
        """Keep the rows at the indices `rows`."""
        self.cache, self.mask, self.logits = self.cache[:, rows], self.mask[rows], self.logits[rows]
        self.memory = None if self.memory is None else self.memory[:, rows]

    def _step(self, tokens: Ids) -> Floats:
        mask = self.mask
        if self.memory is None:
            new = np.ones((len(tokens), 1, 1, self.cache.shape[3] + 1 - mask.shape[3]), dtype=bool)
            mask = np.concatenate((mask, new), axis=3)
        inputs = {"tokens": tokens[:, None].astype(np.int64), "position": np.array([self.position]),
                  "cache": self.cache, "mask": mask}  # fmt: skip
        if self.memory is not None:
            inputs["memory"] = self.memory
        logits, self.cache = self.model.step.run(["logits", "cache_after"], inputs)
        self.position += 1
        result: Floats = logits
        return result


class OnnxModel(NumpyModel):
    """A built-in model with a sequence head.

    shape       of its network
    characters  its vocabulary
    folder      in which source.onnx and step.onnx lie
    """

    def __init__(self, shape: Shape, characters: CharacterVocabulary, folder: Path) -> None:
        self.characters, self.shape, self.max_target_length = characters, shape, shape.max_target
        self.source, self.step = _session(folder / "source.onnx"), _session(folder / "step.onnx")

    def start(self, queries: Sequence[Query]) -> Any:
        """Begin to generate a sequence for each of `queries`, all of which fit."""
        sources = [source_text(query) for query in queries]
        ids = self.characters.ids(sources, max(map(len, sources)), left=True)
        return OnnxDecodingState(self, ids, (ids != self.characters.pad)[:, None, None, :])


class OnnxSetModel(NumpySetModel):
    """A built-in model with a set head.

    about   its description
    folder  in which scores.onnx lies
    """

    def __init__(self, about: SetDescription, folder: Path) -> None:
        self.about, self.labels = about, about.labels
        self.scores = _session(folder / "scores.onnx")

    def set_scores(self, queries: Sequence[Query]) -> NumpySetScores:
        """Label and size logits for each of `queries`, all of which fit."""
        bag, used, names = bag_of_features(self.about, queries)
        indices = np.array([name[:3] for name in names], dtype=np.int64).reshape(-1, 3)
        inputs = {
            "bag": bag, "features": np.array(used, dtype=np.int64), "name_indices": np.ascontiguousarray(indices.T),
            "name_weights": np.array([name[3] for name in names], dtype=np.float32),
        }  # fmt: skip
        labels, sizes = self.scores.run(["labels", "sizes"], inputs)
        return NumpySetScores(labels * np.float32(self.about.inverse_temperature), sizes, self.about.penalties)


def load_onnx(artifact: Path, description: Path) -> OnnxModel | OnnxSetModel:
    """The model of an artifact.

    artifact     folder with the graphs
    description  folder with config.json and vocabulary.json
    Raises CorruptError where they describe no built-in model, ConfigError without onnxruntime.
    """
    about = read_description(description)
    if about.get("head") == "set":
        return OnnxSetModel(SetDescription.read(about, description), artifact)
    file = description / "vocabulary.json"
    characters = CharacterVocabulary.from_json(read_json(file), str(file))
    return OnnxModel(read_shape(about, characters, description), characters, artifact)


def _session(file: Path) -> Any:
    onnxruntime = need_runtime("onnxruntime", extra="onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # tiny matrices: more threads only wait
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
