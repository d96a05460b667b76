"""Built-in models: character-level transformers of 60 thousand to 10 million weights, taught from nothing on a laptop.

    model = build(config.model, pairs, seed=7)        # shape from the named size and the data
    model.save(folder); model = load(folder)          # config.json, vocabulary.json, model.safetensors, nothing else

A source longer than `max_source` is never cut: training refuses it by name (DataError), and at use `fits` says
no, upon which decoding gives an unfinished answer that nobody can mistake for one. Characters never seen in
training are read as <unknown>. `tiny_shape` knows the sizes, `tiny_net` holds the network, `tiny_state` the writing of
answers, `tiny_text` the characters; `tiny_set` is the model for sets of labels.
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
from terakoya.errors import ConfigError, CorruptError, DataError, IncompatibleError, nearest
from terakoya.i18n import both
from terakoya.models.builtin.characters import END, Characters
from terakoya.models.builtin.kv_cache import TinyState
from terakoya.models.builtin.network import Net, Shape
from terakoya.models.builtin.saving import fill, read_json, source_text, write_json
from terakoya.models.builtin.set_model import TinySetModel, build_set, load_set
from terakoya.models.builtin.sizes import SIZES, read_shape, shape_for
from terakoya.models.protocol import Batch, ModelInfo, Outputs, Pair, Query, SetScores

FORMAT = 1
_KINDS_JA = {"source": "入力", "target": "正解"}  # as Japanese sentences name them
# Few rows are soon known by heart; with fewer than these a fifth of every contribution is dropped.
FEW_ROWS, FEW_ROWS_DROPOUT = 1000, 0.2


class TinyModel:
    """The Model of models/model.py with a sequence head."""

    head: Literal["sequence", "set"] = "sequence"
    end = END
    labels: tuple[str, ...] = ()

    def __init__(self, name: str, shape: Shape, characters: Characters) -> None:
        self.name, self.shape, self.characters = name, shape, characters
        self.longest_answer = shape.max_target
        # torch draws first weights that `begin` or a file replaces at once; its generator must not notice. (Building on
        # the device "meta" draws nothing and costs two seconds of imports instead.)
        with torch.random.fork_rng(devices=[]):
            self.module: Net = Net(shape)
        self.module.eval()

    @property
    def card(self) -> ModelInfo:
        weights = sum(weight.numel() for weight in self.module.parameters())
        return ModelInfo(self.name, self.shape.family, weights, weights, self.characters.size, asdict(self.shape))

    @property
    def device(self) -> torch.device:
        return self.module.embed.weight.device

    def twin(self) -> TinyModel | None:
        """The same weights in another module, with gradients of its own, so that two passes can run side by side.

        None with dropout, which draws from one generator: whichever pass came first would change the other's draws.
        """
        if self.shape.dropout:
            return None
        other = copy(self)
        other.module = deepcopy(self.module)
        for weight, original in zip(other.module.parameters(), self.module.parameters(), strict=True):
            weight.data = original.data
        return other

    def length(self, pair: Pair) -> int:
        """Rows with equal sources in length fill a batch best; the answer's length decides among them."""
        return len(source_text(pair.ask)) + len(pair.written)

    def fits(self, ask: Query) -> bool:
        return 0 < len(source_text(ask)) <= self.shape.max_source

    def collate(self, pairs: Sequence[Pair]) -> Batch:
        sources = [source_text(pair.ask) for pair in pairs]
        for pair, source in zip(pairs, sources, strict=True):
            self._check(pair, source)
        lengths = np.array([len(pair.written) for pair in pairs])
        widest = int(lengths.max())
        answer = self.characters.ids([pair.written for pair in pairs], widest, left=False)
        real = np.arange(widest) < lengths[:, None]
        self._check_characters(pairs, answer, real)
        starts = np.full((len(pairs), 1), self.characters.start)
        targets = np.concatenate((np.where(real, answer, END), starts), axis=1)
        targets[:, widest] = END
        tensors = self._asked(sources) | {
            "answer": torch.from_numpy(np.concatenate((starts, answer), axis=1)),
            "targets": torch.from_numpy(targets.reshape(-1)),
        }
        wanted = int(lengths.sum()) + len(pairs)
        if wanted < targets.size:  # logits are computed where a target stands and nowhere else
            positions = np.flatnonzero(np.arange(widest + 1) <= lengths[:, None])
            tensors["positions"] = torch.from_numpy(positions)
            tensors["targets"] = torch.from_numpy(targets.reshape(-1)[positions])
        tokens = wanted + sum(map(len, sources))
        return Batch(tensors, wanted, tokens, tuple(pair.key or pair.ask.source for pair in pairs))

    def outputs(self, batch: Batch) -> Outputs:
        tensors = batch.tensors
        hidden = self.module(tensors["source"], tensors["answer"], tensors.get("mask")).flatten(0, 1)
        if "positions" in tensors:
            hidden = hidden.index_select(0, tensors["positions"])
        return Outputs(self.module.logits(hidden), tensors["targets"])

    def start(self, asks: Sequence[Query]) -> TinyState:
        tensors = {name: tensor.to(self.device) for name, tensor in self._asked([source_text(a) for a in asks]).items()}
        return TinyState(self.module, tensors["source"], tensors.get("mask"), self.characters.start)

    def set_scores(self, asks: Sequence[Query]) -> SetScores:
        raise ConfigError(
            both("this model writes answers and scores no sets", "このモデルは答えを書くもので、集合を採点しない"),
            do=both("Set model.head = 'set' and train again.", "model.head = 'set' として学習し直すこと。"),
        )

    def text(self, tokens: Sequence[int]) -> str:
        pieces = self.pieces()
        return "".join(pieces[token] for token in tokens)

    def pieces(self) -> Sequence[str]:
        return self.characters.pieces()

    def shown(self, pair: Pair) -> Sequence[tuple[str, bool]]:
        answer = [(char, True) for char in pair.written]
        return [*((char, False) for char in source_text(pair.ask)), (" → ", False), *answer, ("END", True)]

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        return self.module.named_parameters()

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.module.named_parameters()}
        save_file(weights, folder / "model.safetensors")
        write_json(folder / "vocabulary.json", self.characters.to_json())
        about = {"format": FORMAT, "kind": "terakoya", "head": self.head, "name": self.name}
        write_json(folder / "config.json", about | {"shape": asdict(self.shape)})

    def _asked(self, sources: Sequence[str]) -> dict[str, Tensor]:
        """Ids (B, S) flush right; the mask (B, 1, 1, S) only where the rows differ in length."""
        widest = max(map(len, sources))
        ids = self.characters.ids(sources, widest, left=True)
        tensors = {"source": torch.from_numpy(ids)}
        if min(map(len, sources)) < widest:
            tensors["mask"] = torch.from_numpy(ids != self.characters.pad)[:, None, None, :]
        return tensors

    def _check(self, pair: Pair, source: str) -> None:
        if not source:
            raise DataError(
                both("an empty source cannot be taught", "空の入力は学習できない"),
                where=pair.key,
                do=both("Remove the row or fill it in.", "行を取り除くか、埋めること。"),
            )
        for kind, text, most in (("source", source, self.shape.max_source), ("target", pair.written, self._most)):
            if len(text) > most:
                raise DataError(
                    both(
                        f"its {kind} has {len(text)} characters and the model takes {most}",
                        f"{_KINDS_JA[kind]}が{len(text)}文字で、モデルが受け取れるのは{most}までである",
                    ),
                    where=pair.key or source[:40],
                    do=both(
                        f"Raise model.max_{kind}, or shorten the row. Nothing is cut silently.",
                        f"model.max_{kind} を大きくするか、行を短くすること。黙って切ることはない。",
                    ),
                )

    @property
    def _most(self) -> int:
        return self.shape.max_target - 1  # the end needs a place too

    def _check_characters(self, pairs: Sequence[Pair], answer: Any, real: Any) -> None:
        strange = real & (answer >= self.characters.outputs)
        if strange.any():
            row, column = (int(place) for place in np.argwhere(strange)[0])
            raise DataError(
                both(
                    f"the character '{pairs[row].written[column]}' of its target was in no answer when the "
                    "model was made",
                    f"正解の文字 '{pairs[row].written[column]}' は、モデルを作ったときのどの答えにもなかった",
                ),
                where=pairs[row].key or pairs[row].ask.source[:40],
                do=both(
                    "Make the model from all the rows it shall learn.", "学習させるすべての行からモデルを作ること。"
                ),
            )


def build(
    config: ModelConfig,
    pairs: Iterable[Pair],
    labels: tuple[str, ...] = (),
    *,
    seed: int,
    dropout: float | None = None,
    label_names: Mapping[str, Sequence[str]] | None = None,
) -> TinyModel | TinySetModel:
    """A fresh model for these pairs: their characters are its vocabulary, their lengths and a quarter more its limits.

    Where rows are drawn without end, hand in a sample large enough to hold every character and the longest row.
    `labels` call for a head for sets unless the config asks for a sequence; `label_names` are words that tell of them.
    The same seed gives the same weights on every machine.
    """
    if config.head == "set" or (labels and config.head == "auto"):
        return build_set(config, pairs, labels, seed=seed, label_names=label_names)
    size = SIZES.get(config.base)
    if size is None:
        raise ConfigError(
            both(f"'{config.base}' is no built-in size", f"'{config.base}' という組み込みの大きさはない"),
            where="model.base",
            do=nearest(config.base, SIZES),
        )
    asked: set[str] = set()
    answered: set[str] = set()
    rows = longest_source = longest_target = 0
    for pair in pairs:
        rows += 1
        source = source_text(pair.ask)
        asked.update(source)
        answered.update(pair.written)
        longest_source = max(longest_source, len(source))
        longest_target = max(longest_target, len(pair.written))
    if not answered:
        raise DataError(
            both("there is no row to make a model from", "モデルを作るための行がない"),
            do=both("Bring rows to train on.", "学習する行を用意すること。"),
        )
    # A label that no row of training holds may stand in dev: its loss is dear, and no reason to end.
    answered.update(*labels)
    characters = Characters(answered, asked)
    if dropout is None and config.dropout < 0 and rows < FEW_ROWS:
        dropout = FEW_ROWS_DROPOUT
    shape = shape_for(config, size, characters, _room(longest_source), _room(longest_target), dropout)
    model = TinyModel(config.base, shape, characters)
    model.module.begin(seed, characters.unknown)
    return model


def load(folder: Path) -> TinyModel | TinySetModel:
    """The model in a folder that `save` wrote. Reads numbers and text only: nothing in the folder can run."""
    about = read_json(folder / "config.json")
    if not isinstance(about, dict) or about.get("kind") != "terakoya":
        raise CorruptError(
            both("this is no built-in model", "組み込みモデルではない"), where=str(folder / "config.json")
        )
    if about.get("head") == "set":
        return load_set(folder)
    if about.get("format") != FORMAT:
        raise IncompatibleError(
            both(
                f"this model has format {about.get('format')} and this version reads {FORMAT}",
                f"このモデルの形式は {about.get('format')} で、この版が読めるのは {FORMAT} である",
            ),
            where=str(folder),
            do=both("Open it with the version of terakoya that made it.", "作ったときの版の terakoya で開くこと。"),
        )
    characters = Characters.from_json(read_json(folder / "vocabulary.json"), str(folder / "vocabulary.json"))
    shape = read_shape(about, characters, folder)
    model = TinyModel(str(about.get("name")), shape, characters)
    fill(model.module, folder / "model.safetensors")
    return model


def _room(longest: int) -> int:
    return longest + longest // 4 + 4
