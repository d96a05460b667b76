"""A model: a module with `build(config, pairs, labels, *, seed)` and `load(folder)`; what they return keeps to the
protocol of terakoya/models/protocol.py. This one is a GRU encoder-decoder (Cho et al., 2014) over characters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from terakoya.config import ModelConfig
from terakoya.errors import ConfigError, DataError
from terakoya.models.protocol import Batch, ModelInfo, Outputs, Pair, Query, SetScores

END, UNKNOWN = 0, 1  # ids; 0 also starts a target and pads
_WIDTH = 64


def build(config: ModelConfig, pairs: Iterable[Pair], labels: tuple[str, ...] = (), *, seed: int) -> GruModel:
    """A new model whose vocabulary and limits come from the rows of training."""
    rows = list(pairs)
    characters = sorted({char for row in rows for char in row.query.source + row.target})
    shape = {
        "characters": "".join(characters),
        "width": config.width or _WIDTH,
        "max_source": config.max_source or 2 * max(len(row.query.source) for row in rows),
        "max_target": config.max_target or 2 * max(len(row.target) for row in rows),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GruModel(shape)


def load(folder: Path) -> GruModel:
    """The model that `save` wrote into a folder."""
    model = GruModel(json.loads((folder / "gru.json").read_text(encoding="utf-8")))
    model.module.load_state_dict(load_file(folder / "gru.safetensors"))
    return model


class Network(nn.Module):
    """Embedding, encoder and decoder; the encoder's last state starts the decoder."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.encoder = nn.GRU(width, width, batch_first=True)
        self.decoder = nn.GRU(width, width, batch_first=True)
        self.output = nn.Linear(width, vocabulary)

    def encode(self, sources: Tensor, lengths: Tensor) -> Tensor:
        """States (1, B, W) after the last character of each source (B, S)."""
        states, _ = self.encoder(self.embed(sources))
        return states[torch.arange(len(sources)), lengths - 1].unsqueeze(0)

    def decode(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, T, V) after each of the tokens (B, T), and the last state."""
        hidden, state = self.decoder(self.embed(tokens), state)
        return self.output(hidden), state


class GruModel:
    """A `Model` with a sequence head. V is the number of characters and 2."""

    head: Literal["sequence", "set"] = "sequence"
    end = END
    labels: tuple[str, ...] = ()

    def __init__(self, shape: dict) -> None:
        self.shape, self.texts = shape, ("", "", *shape["characters"])
        self.ids = {char: number for number, char in enumerate(self.texts) if char}
        self.module = Network(len(self.texts), shape["width"])
        self.max_target_length = shape["max_target"] + 1

    @property
    def info(self) -> ModelInfo:
        weights = sum(weight.numel() for weight in self.module.parameters())
        return ModelInfo("gru", "encoder-decoder", weights, weights, len(self.texts), self.shape)

    @property
    def device(self) -> torch.device:
        return self.module.embed.weight.device

    def length(self, pair: Pair) -> int:
        return len(pair.query.source) + len(pair.target)

    def fits(self, query: Query) -> bool:
        return 0 < len(query.source) <= self.shape["max_source"]

    def collate(self, pairs: Sequence[Pair]) -> Batch:
        for pair in pairs:
            if not self.fits(pair.query) or len(pair.target) > self.shape["max_target"]:
                raise DataError("the row is empty or too long for this model", where=pair.key)
        sources, lengths = self._sources([pair.query for pair in pairs])
        targets = [torch.tensor([*self._numbers(pair.target), END]) for pair in pairs]
        inputs = pad_sequence([torch.cat((torch.tensor([END]), one[:-1])) for one in targets], batch_first=True)
        mask = pad_sequence([torch.ones(len(one), dtype=torch.bool) for one in targets], batch_first=True)
        tensors = {
            "sources": sources,
            "lengths": lengths,
            "inputs": inputs,
            "mask": mask,
            "targets": torch.cat(targets),
        }
        count = len(tensors["targets"])
        return Batch(tensors, count, count + int(lengths.sum()), tuple(pair.key for pair in pairs))

    def outputs(self, batch: Batch) -> Outputs:
        tensors = batch.tensors
        state = self.module.encode(tensors["sources"], tensors["lengths"])
        logits, _ = self.module.decode(tensors["inputs"], state)
        return Outputs(logits[tensors["mask"]], tensors["targets"])

    def start(self, queries: Sequence[Query]) -> GruState:
        sources, lengths = self._sources(queries)
        return GruState(self.module, self.module.encode(sources.to(self.device), lengths.to(self.device)))

    def set_scores(self, queries: Sequence[Query]) -> SetScores:
        raise ConfigError("this model has no set head", where="model.head", do='Set model.head = "sequence".')

    def text(self, tokens: Sequence[int]) -> str:
        return "".join(self.texts[token] for token in tokens)

    def token_texts(self) -> Sequence[str]:
        return self.texts

    def show_tokens(self, pair: Pair) -> Sequence[tuple[str, bool]]:
        return [*((char, False) for char in pair.query.source), *((char, True) for char in pair.target), ("END", True)]

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        return self.module.named_parameters()

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.module.state_dict().items()}
        save_file(weights, folder / "gru.safetensors")
        (folder / "gru.json").write_text(json.dumps(self.shape, ensure_ascii=False), encoding="utf-8")

    def _numbers(self, text: str) -> list[int]:
        return [self.ids.get(char, UNKNOWN) for char in text]

    def _sources(self, queries: Sequence[Query]) -> tuple[Tensor, Tensor]:
        """Ids (B, S) padded right, and lengths (B,)."""
        rows = [torch.tensor(self._numbers(query.source)) for query in queries]
        return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


class GruState:
    """A `DecodingState`: the decoder's state (1, B, W) and the logits (B, V) of the next token."""

    def __init__(self, network: Network, state: Tensor) -> None:
        self.network = network
        start = torch.full((state.shape[1], 1), END, device=state.device)
        self._step(start, state)

    def advance(self, tokens: Tensor) -> None:
        self._step(tokens[:, None], self.state)

    def select(self, rows: Tensor) -> None:
        self.state, self.logits = self.state[:, rows], self.logits[rows]

    def _step(self, tokens: Tensor, state: Tensor) -> None:
        logits, self.state = self.network.decode(tokens, state)
        self.logits = logits[:, 0]
