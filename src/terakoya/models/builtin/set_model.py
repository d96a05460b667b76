"""The built-in model for sets of labels: every word (or character n-gram) is evidence for a few labels.

    model = build_set(config.model, pairs, labels, seed=7, label_names={"🐱": ("ネコの顔",)})
    model.save(folder); model = load_set(folder)

What a text says is in `set_features`, what it is taken for in `set_evidence`. Names of labels that stand in a text
tell of labels that were never taught; `model.label_init = "random"` switches that off. Nothing is written token by
token: nothing can repeat, and nothing illegal can be answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NoReturn

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from terakoya.config import ModelConfig
from terakoya.errors import ConfigError, CorruptError, DataError, IncompatibleError, nearest
from terakoya.i18n import both
from terakoya.models.builtin.saving import fill, read_json, source_text, write_json
from terakoya.models.builtin.set_ensemble import Evidence, weights_of_feature
from terakoya.models.builtin.set_features import Features, features_of
from terakoya.models.protocol import Batch, LabelPenalty, ModelInfo, Outputs, Pair, Query, SetScores
from terakoya.models.set_head import log_odds, membership, shares
from terakoya.text import source_form

FORMAT = 1
# Weights by named size: how many features are known follows from them.
SIZES: Mapping[str, int] = {"tiny": 1_000_000, "small": 4_000_000, "base": 10_000_000}


class TinySetModel:
    """The Model of models/model.py with a set head. `scale` and `tolls` are settled after training (sets.settle)."""

    head: Literal["sequence", "set"] = "set"
    blends = (0.1, 0.25, 0.5, 0.75, 1.0)
    end = 0
    longest_answer = 0

    def __init__(self, name: str, labels: tuple[str, ...], features: Features, counts: Tensor, rows: int, most: int):
        self.name, self.labels, self.features, self.counts, self.rows = name, labels, features, counts, rows
        self.scale = 1.0  # of label logits: how sure to be
        self.tolls: tuple[LabelPenalty, ...] = ()
        self.remake: Callable[[Sequence[Pair]], TinySetModel] | None = None  # another of its kind, for other rows
        self.module = Evidence(len(features.vocabulary), len(labels), most)

    @property
    def card(self) -> ModelInfo:
        weights = sum(weight.numel() for weight in self.module.parameters())
        facts = {"labels": len(self.labels), "names": len(self.features.names), "spaced": self.features.spaced}
        return ModelInfo(self.name, "set", weights, weights, len(self.features.vocabulary), facts)

    @property
    def blend(self) -> float:
        """The table's part in the mean of all members; one of `blends`, settled on dev."""
        return self.module.table_share

    @blend.setter
    def blend(self, share: float) -> None:
        self.module.table_share = share

    @property
    def largest(self) -> int:
        return self.module.largest

    @property
    def log_prior(self) -> Tensor:
        """(L,) log share of each label among the training rows."""
        return torch.log((self.counts + 0.5) / (self.rows + 1.0))

    def fits(self, ask: Query) -> bool:
        """Every text with a visible character: what is not known says nothing, and no length is too long."""
        return bool(source_form(source_text(ask)))

    def length(self, pair: Pair) -> int:
        return len(source_text(pair.ask))

    def collate(self, pairs: Sequence[Pair]) -> Batch:
        sets = [_members(pair.written, pair.key or pair.ask.source[:40]) for pair in pairs]
        known = set(self.labels)
        for pair, members in zip(pairs, sets, strict=True):
            if strange := [label for label in members if label not in known]:
                raise DataError(
                    both(f"'{strange[0]}' is no label of this model", f"'{strange[0]}' はこのモデルのラベルではない"),
                    where=pair.key or pair.ask.source[:40],
                    do=both(
                        "Make the model from all the rows it shall learn.", "学習させるすべての行からモデルを作ること。"
                    ),
                )
        tensors = self._asked([pair.ask for pair in pairs]) | {"targets": membership(sets, self.labels)}
        keys = tuple(pair.key or pair.ask.source for pair in pairs)
        return Batch(tensors, len(pairs), int(tensors["bag"].sum()) + len(pairs), keys)

    def outputs(self, batch: Batch) -> Outputs:
        """While training every member answers every row: rows of the first member, then those of the second …"""
        logits, sizes = self._forward(batch.tensors)
        targets = batch.tensors["targets"].repeat(len(logits) // batch.targets, 1)
        prior, counts = self.log_prior.to(logits.device), self.counts.to(logits.device)
        return Outputs(logits, targets, sizes, prior, counts, self.module.penalty(self.rows))

    def set_scores(self, asks: Sequence[Query]) -> SetScores:
        device = next(self.module.parameters()).device
        logits, sizes = self._forward({name: one.to(device) for name, one in self._asked(asks).items()})
        return SetScores(logits * self.scale, sizes, self.tolls)

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        return self.module.named_parameters()

    def shown(self, pair: Pair) -> Sequence[tuple[str, bool]]:
        text = source_text(pair.ask)
        seen = [(self.features.vocabulary[number], False) for number in self.features.ids(text)]
        named = [(f"name:{self.labels[label]}", False) for label, _, _ in self.features.named(text)]
        return [*seen, *named, (" → ", False), *((label, True) for label in pair.written.split())]

    def start(self, asks: Sequence[Query]) -> NoReturn:
        raise ConfigError(
            both("this model scores sets and writes nothing", "このモデルは集合を採点するもので、何も書かない"),
            do=both("Set model.head = 'sequence'; train again.", "model.head = 'sequence' として学習し直すこと。"),
        )

    def text(self, tokens: Sequence[int]) -> str:
        return " ".join(self.labels[token] for token in tokens)

    def pieces(self) -> Sequence[str]:
        return self.labels

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.module.named_parameters()}
        save_file(weights, folder / "model.safetensors")
        write_json(folder / "vocabulary.json", self.features.to_json())
        facts = {"labels": self.labels, "counts": [int(count) for count in self.counts], "rows": self.rows}
        about = {"format": FORMAT, "kind": "terakoya", "head": "set", "name": self.name, "largest": self.largest}
        tolls = [asdict(toll) for toll in self.tolls]
        write_json(folder / "config.json", about | facts | {"blend": self.blend, "scale": self.scale, "tolls": tolls})

    def _forward(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.module(
            tensors["bag"], tensors["features"], tensors["places"], tensors["weights"]
        )
        return found

    def _asked(self, asks: Sequence[Query]) -> dict[str, Tensor]:
        texts = [source_text(ask) for ask in asks]
        rows = [self.features.ids(text) for text in texts]
        used = sorted({feature for row in rows for feature in row})
        column = {feature: number for number, feature in enumerate(used)}
        bag = torch.zeros(len(rows), len(used))
        for number, row in enumerate(rows):
            bag[number, [column[feature] for feature in row]] = 1.0
        named = [(row, *found) for row, text in enumerate(texts) for found in self.features.named(text)]
        places = torch.tensor([[row, label, kind] for row, label, kind, _ in named], dtype=torch.long).reshape(-1, 3)
        return {
            "bag": bag,
            "features": torch.tensor(used, dtype=torch.long),
            "places": places.T.contiguous(),
            "weights": torch.tensor([weight for *_, weight in named], dtype=torch.float32),
        }


def build_set(
    config: ModelConfig,
    pairs: Iterable[Pair],
    labels: tuple[str, ...],
    *,
    seed: int,
    label_names: Mapping[str, Sequence[str]] | None = None,
) -> TinySetModel:
    """A fresh model for these pairs and labels; the same seed gives the same weights on every machine.

    label_names  words by which a label may be recognised in a text; left out where config.label_init is "random"
    """
    if config.base not in SIZES:
        raise ConfigError(
            both(f"'{config.base}' is no built-in size", f"'{config.base}' という組み込みの大きさはない"),
            where="model.base",
            do=nearest(config.base, SIZES),
        )
    rows = list(pairs)
    if not rows:
        raise DataError(
            both("there is no row to make a model from", "モデルを作るための行がない"),
            do=both("Bring rows to train on.", "学習する行を用意すること。"),
        )
    names = {} if config.label_init == "random" else dict(label_names or {})
    room = SIZES[config.base] * len(labels) // weights_of_feature(len(labels))
    features = features_of([source_text(row.ask) for row in rows], labels, names, weights=room)
    sets = [_members(row.written, row.key) for row in rows]
    counts, sizes = shares(sets, labels)
    model = TinySetModel(config.base, labels, features, counts, len(rows), min(len(sizes), len(labels)))
    model.module.begin(seed, log_odds(counts, len(rows)), sizes[: model.largest].float() + 0.5)
    model.remake = lambda other: build_set(config, other, labels, seed=seed, label_names=label_names)
    return model


def load_set(folder: Path) -> TinySetModel:
    """The model in a folder that `save` wrote. Reads numbers and text only: nothing in the folder can run."""
    about, words = read_json(folder / "config.json"), read_json(folder / "vocabulary.json")
    if not isinstance(about, dict) or about.get("kind") != "terakoya" or about.get("head") != "set":
        raise CorruptError(
            both("this is no built-in model for sets", "集合用の組み込みモデルではない"),
            where=str(folder / "config.json"),
        )
    if about.get("format") != FORMAT:
        raise IncompatibleError(
            both(
                f"this model has format {about.get('format')}, not {FORMAT}",
                f"このモデルの形式は {about.get('format')} で、{FORMAT} ではない",
            ),
            where=str(folder),
            do=both("Open it with the version of terakoya that made it.", "作ったときの版の terakoya で開くこと。"),
        )
    try:
        labels = tuple(str(label) for label in about["labels"])
        counts, rows, most = (
            torch.tensor([float(n) for n in about["counts"]]),
            int(about["rows"]),
            int(about["largest"]),
        )
        tolls = tuple(
            LabelPenalty(int(one["label"]), float(one["price"]), float(one["share"])) for one in about["tolls"]
        )
        blend, scale = float(about["blend"]), float(about["scale"])
        features = Features.from_json(words)
        numbers = [*(one for found in features.names.values() for one in found), *(toll.label for toll in tolls)]
        sound = all(0 <= one < len(labels) for one in numbers) and 0 < most <= len(labels) == len(counts)
        sound = sound and 0 < scale < 100 and 0 <= blend <= 1
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptError(
            both(f"the description of the model cannot be read ({error})", f"モデルの記述を読めない（{error}）"),
            where=str(folder),
        ) from error
    if not sound or weights_of_feature(len(labels)) * len(features.vocabulary) > 4 * max(SIZES.values()):
        raise CorruptError(
            both("the description of the model makes no sense", "モデルの記述が意味をなさない"),
            where=str(folder / "config.json"),
        )
    model = TinySetModel(str(about.get("name")), labels, features, counts, rows, most)
    model.blend, model.scale, model.tolls = blend, scale, tolls
    fill(model.module, folder / "model.safetensors")
    return model


def _members(written: str, where: str) -> list[str]:
    members = written.split()
    if not members:
        raise DataError(
            both("an empty set of labels cannot be taught", "空のラベル集合は学習できない"),
            where=where,
            do=both("Remove the row or fill it in.", "行を取り除くか、埋めること。"),
        )
    return members
