"""Built-in models: character-level transformers of 60 thousand to 10 million weights, trained from random weights.

    model = build(config.model, pairs, seed=7)        # shape from the named size and the data
    model.save(folder); model = load(folder)          # config.json, vocabulary.json, model.safetensors, nothing else

A source longer than `max_source` is never truncated: training refuses it by name (DataError), and for prediction `fits`
is False, upon which decoding returns an unfinished sequence. Characters never seen in training are read as <unknown>.
`sizes` knows the named sizes, `network` the transformer, `kv_cache` decoding, `characters` the vocabulary; `set_model`
is the model for sets of labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from terakoya.config import ModelConfig
from terakoya.errors import ConfigError, DataError, nearest
from terakoya.i18n import _
from terakoya.models.builtin.characters import END, CharacterVocabulary
from terakoya.models.builtin.kv_cache import BuiltinDecodingState
from terakoya.models.builtin.network import CharacterTransformer
from terakoya.models.builtin.saving import FORMAT, load_weights, read_description, read_json, source_text, write_json
from terakoya.models.builtin.set_model import BuiltinSetModel, build_set, load_set
from terakoya.models.builtin.shape import Shape
from terakoya.models.builtin.sizes import SIZES, read_shape, shape_for
from terakoya.models.protocol import Batch, ModelInfo, Outputs, Pair, Query, SetScores

_TEXT_KINDS = {"source": _("source"), "target": _("target")}
# Few rows are soon memorised; with fewer than these a fifth of every residual branch is dropped.
FEW_ROWS, FEW_ROWS_DROPOUT = 1000, 0.2


class BuiltinModel:
    """The `Model` of models/protocol.py with a sequence head.

    name        the named size it was built from
    shape       of its network
    characters  its vocabulary
    """

    head: Literal["sequence", "set"] = "sequence"
    end = END
    labels: tuple[str, ...] = ()

    def __init__(self, name: str, shape: Shape, characters: CharacterVocabulary) -> None:
        self.name, self.shape, self.characters = name, shape, characters
        self.max_target_length = shape.max_target
        # torch draws initial weights that `initialise` or a file replaces at once; its rng must not advance. (Building
        # on the device "meta" draws nothing and costs two seconds of imports instead.)
        with torch.random.fork_rng(devices=[]):
            self.module: CharacterTransformer = CharacterTransformer(shape)
        self.module.eval()

    @property
    def info(self) -> ModelInfo:
        """Name, family and size of the model."""
        weights = sum(weight.numel() for weight in self.module.parameters())
        return ModelInfo(self.name, self.shape.family, weights, weights, self.characters.size, asdict(self.shape))

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.module.embed.weight.device

    def shared_weight_replica(self) -> BuiltinModel | None:
        """The same weights in another module, with gradients of its own, so that two passes can run at the same time.

        None with dropout, which draws from one rng: whichever pass came first would change the other's draws.
        """
        if self.shape.dropout:
            return None
        replica = copy(self)
        replica.module = deepcopy(self.module)
        for weight, original in zip(replica.module.parameters(), self.module.parameters(), strict=True):
            weight.data = original.data
        return replica

    def length(self, pair: Pair) -> int:
        """Characters of source and target of `pair`."""
        return len(source_text(pair.query)) + len(pair.target)

    def fits(self, query: Query) -> bool:
        """Whether the text of `query` is neither empty nor longer than `max_source`."""
        return 0 < len(source_text(query)) <= self.shape.max_source

    def unknown_characters(self, query: Query) -> str:
        """The characters of `query` that training never showed, each once."""
        return self.characters.unknown_in(source_text(query))

    def collate(self, pairs: Sequence[Pair]) -> Batch:
        """The batch of `pairs`: source (B, S) padded left, decoder input and targets (B, T) padded right.

        Raises DataError, naming the row, where a text is empty or too long, or a target has an unknown character.
        """
        sources = [source_text(pair.query) for pair in pairs]
        for pair, source in zip(pairs, sources, strict=True):
            self._check_lengths(pair, source)
        lengths = np.array([len(pair.target) for pair in pairs])
        longest = int(lengths.max())
        ids = self.characters.ids([pair.target for pair in pairs], longest, left=False)
        real = np.arange(longest) < lengths[:, None]
        self._check_characters(pairs, ids, real)
        starts = np.full((len(pairs), 1), self.characters.start)
        targets = np.concatenate((np.where(real, ids, END), starts), axis=1)
        targets[:, longest] = END
        tensors = self._source_tensors(sources) | {
            "decoder_input": torch.from_numpy(np.concatenate((starts, ids), axis=1)),
            "targets": torch.from_numpy(targets.reshape(-1)),
        }
        target_count = int(lengths.sum()) + len(pairs)
        if target_count < targets.size:  # logits are computed where a target stands and nowhere else
            positions = np.flatnonzero(np.arange(longest + 1) <= lengths[:, None])
            tensors["positions"] = torch.from_numpy(positions)
            tensors["targets"] = torch.from_numpy(targets.reshape(-1)[positions])
        tokens = target_count + sum(map(len, sources))
        return Batch(tensors, target_count, tokens, tuple(pair.key or pair.query.source for pair in pairs))

    def outputs(self, batch: Batch) -> Outputs:
        """One forward pass over `batch`: logits (N, V) at the target positions."""
        tensors = batch.tensors
        hidden = self.module(tensors["source"], tensors["decoder_input"], tensors.get("mask")).flatten(0, 1)
        if "positions" in tensors:
            hidden = hidden.index_select(0, tensors["positions"])
        return Outputs(self.module.logits(hidden), tensors["targets"])

    def start(self, queries: Sequence[Query]) -> BuiltinDecodingState:
        """Begin to generate a sequence for each of `queries`, all of which fit."""
        sources = self._source_tensors([source_text(query) for query in queries])
        tensors = {name: tensor.to(self.device) for name, tensor in sources.items()}
        return BuiltinDecodingState(self.module, tensors["source"], tensors.get("mask"), self.characters.start)

    def set_scores(self, queries: Sequence[Query]) -> SetScores:
        """Raises ConfigError, whatever the `queries`: this model has no set head."""
        raise ConfigError(
            _("this model has a sequence head, not a set head"),
            do=_("Set model.head = 'set' and train again."),
        )

    def text(self, tokens: Sequence[int]) -> str:
        """The text of token ids `tokens`, without the end token."""
        texts = self.token_texts()
        return "".join(texts[token] for token in tokens)

    def token_texts(self) -> Sequence[str]:
        """(V,) the character of each token id; "" for the end token."""
        return self.characters.token_texts()

    def show_tokens(self, pair: Pair) -> Sequence[tuple[str, bool]]:
        """The characters of `pair`, each with whether the loss includes it."""
        target = [(char, True) for char in pair.target]
        return [*((char, False) for char in source_text(pair.query)), (" → ", False), *target, ("END", True)]

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and weights of the whole network."""
        return self.module.named_parameters()

    def save(self, folder: Path) -> None:
        """Write model.safetensors, vocabulary.json and config.json to `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.module.named_parameters()}
        save_file(weights, folder / "model.safetensors")
        write_json(folder / "vocabulary.json", self.characters.to_json())
        about = {"format": FORMAT, "kind": "terakoya", "head": self.head, "name": self.name}
        write_json(folder / "config.json", about | {"shape": asdict(self.shape)})

    def _source_tensors(self, sources: Sequence[str]) -> dict[str, Tensor]:
        """Ids (B, S) padded left; the mask (B, 1, 1, S) only where the rows differ in length."""
        longest = max(map(len, sources))
        ids = self.characters.ids(sources, longest, left=True)
        tensors = {"source": torch.from_numpy(ids)}
        if min(map(len, sources)) < longest:
            tensors["mask"] = torch.from_numpy(ids != self.characters.pad)[:, None, None, :]
        return tensors

    def _check_lengths(self, pair: Pair, source: str) -> None:
        if not source:
            raise DataError(
                _("the source is empty"),
                where=pair.key,
                do=_("Remove the row or fill it in."),
            )
        max_target = self.shape.max_target - 1  # the end token needs a position too
        for kind, text, limit in (("source", source, self.shape.max_source), ("target", pair.target, max_target)):
            if len(text) > limit:
                length, name = len(text), _TEXT_KINDS[kind]
                raise DataError(
                    _(
                        "its {name} has {length} characters and the model takes {limit}",
                        name=name,
                        length=length,
                        limit=limit,
                    ),
                    where=pair.key or source[:40],
                    do=_("Raise model.max_{kind}, or shorten the row. Nothing is truncated silently.", kind=kind),
                )

    def _check_characters(self, pairs: Sequence[Pair], ids: Any, real: Any) -> None:
        unknown = real & (ids >= self.characters.outputs)
        if unknown.any():
            row, column = (int(index) for index in np.argwhere(unknown)[0])
            pair = pairs[row]
            char = pair.target[column]
            raise DataError(
                _("the character '{char}' of its target was in no target when the model was made", char=char),
                where=pair.key or pair.query.source[:40],
                do=_("Make the model from all rows of training."),
            )


def build(
    config: ModelConfig,
    pairs: Iterable[Pair],
    labels: tuple[str, ...] = (),
    *,
    seed: int,
    dropout: float | None = None,
    label_names: Mapping[str, Sequence[str]] | None = None,
) -> BuiltinModel | BuiltinSetModel:
    """A new model for these rows: their characters are its vocabulary, their lengths and a quarter more its limits.

    config       named size, family, head and whatever else differs from the size
    pairs        the rows of training; where rows are generated without end, a sample large enough to hold every
                 character and the longest row
    labels       of a label codec; () for none. With labels the model gets a set head, unless config.head is "sequence"
    seed         of the initial weights, which are the same on every machine
    dropout      probability; None for that of the config, or 0.2 for fewer than 1000 rows, or that of the size
    label_names  words by which a text may name a label (set head)
    Raises ConfigError for an unknown size or impossible shape, DataError where there are no rows.
    """
    if config.head == "set" or (labels and config.head == "auto"):
        return build_set(config, pairs, labels, seed=seed, label_names=label_names)
    size = SIZES.get(config.base)
    if size is None:
        base = config.base
        raise ConfigError(
            _("'{base}' is no built-in size", base=base),
            where="model.base",
            do=nearest(config.base, SIZES),
        )
    source_chars: set[str] = set()
    target_chars: set[str] = set()
    rows = longest_source = longest_target = 0
    for pair in pairs:
        rows += 1
        source = source_text(pair.query)
        source_chars.update(source)
        target_chars.update(pair.target)
        longest_source = max(longest_source, len(source))
        longest_target = max(longest_target, len(pair.target))
    if not target_chars:
        raise DataError(
            _("there is no row to make a model from"),
            do=_("Bring rows to train on."),
        )
    # A label that no row of training holds may stand in dev: its loss is high, and no reason to stop.
    target_chars.update(*labels)
    characters = CharacterVocabulary(target_chars, source_chars)
    if dropout is None and config.dropout < 0 and rows < FEW_ROWS:
        dropout = FEW_ROWS_DROPOUT
    limits = (_with_headroom(longest_source), _with_headroom(longest_target))
    model = BuiltinModel(config.base, shape_for(config, size, characters, *limits, dropout), characters)
    model.module.initialise(seed, characters.unknown)
    return model


def load(folder: Path) -> BuiltinModel | BuiltinSetModel:
    """The model in a `folder` that `save` wrote. Only data is read: nothing in the folder can run.

    Raises CorruptError for a folder that holds no such model, IncompatibleError for one of another format.
    """
    about = read_description(folder)
    if about.get("head") == "set":
        return load_set(folder)
    characters = CharacterVocabulary.from_json(read_json(folder / "vocabulary.json"), str(folder / "vocabulary.json"))
    model = BuiltinModel(str(about.get("name")), read_shape(about, characters, folder), characters)
    load_weights(model.module, folder / "model.safetensors")
    return model


def _with_headroom(longest: int) -> int:
    """A limit a quarter above the longest text, so that slightly longer ones still fit."""
    return longest + longest // 4 + 4
