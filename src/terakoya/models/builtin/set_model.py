"""The built-in model for sets of labels: every word (or character n-gram) is evidence for some labels.

    model = build_set(config.model, pairs, labels, seed=7, label_names={"🐱": ("ネコの顔",)})
    model.save(folder); model = load_set(folder)

`set_features` extracts the features of a text, `set_ensemble` turns them into logits, to which `base_evidence` adds
the scores of a pretrained base where `model.base_scores` names one. Names of labels that stand in a
text are evidence for labels that never occur in training; `model.label_init = "random"` switches that off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from terakoya.codec.text import normalise_source
from terakoya.config import ModelConfig
from terakoya.errors import ConfigError, DataError, nearest
from terakoya.i18n import _
from terakoya.models.builtin.base_evidence import BaseEvidence, make_evidence
from terakoya.models.builtin.saving import FORMAT, load_weights, read_description, source_text, write_json
from terakoya.models.builtin.set_description import SetDescription, weights_per_feature
from terakoya.models.builtin.set_ensemble import SetEnsemble
from terakoya.models.builtin.set_features import TextFeatures, build_features
from terakoya.models.calibration import calibration_to_json
from terakoya.models.protocol import Batch, LabelPenalty, ModelInfo, Outputs, Pair, Query, SetScores
from terakoya.models.set_head import (
    label_and_size_counts,
    log_odds,
    membership,
)

# Weights by named size: the number of features follows from them.
SIZES: Mapping[str, int] = {"tiny": 1_000_000, "small": 4_000_000, "base": 10_000_000}


class BuiltinSetModel:
    """The `Model` of models/protocol.py with a set head.

    `inverse_temperature`, `penalties` and `mixing_weight` are calibrated after training (decoding/set_calibration.py).

    name      the named size it was built from
    labels    L labels, in the order of the logits
    features  that it knows of a text
    counts    (L,) occurrences of each label in the training rows
    rows      number of training rows
    most      size of the largest set
    """

    head: Literal["sequence", "set"] = "set"
    mixing_weights = (0.1, 0.25, 0.5, 0.75, 1.0)  # that calibration tries
    end = 0
    max_target_length = 0

    def __init__(
        self, name: str, labels: tuple[str, ...], features: TextFeatures, counts: Tensor, rows: int, most: int
    ) -> None:
        self.name, self.labels, self.features, self.counts, self.rows = name, labels, features, counts, rows
        self.inverse_temperature = 1.0  # by which label logits are multiplied
        self.penalties: tuple[LabelPenalty, ...] = ()
        self.rebuild: Callable[[Sequence[Pair]], BuiltinSetModel] | None = None  # a new model for other rows
        self.evidence: BaseEvidence | None = None  # scores of a pretrained base, added to the logits
        self.module = SetEnsemble(len(features.vocabulary), len(labels), most)

    @property
    def info(self) -> ModelInfo:
        """Name and size of the model."""
        weights = sum(weight.numel() for weight in self.module.parameters())
        extra: dict[str, Any] = {
            "labels": len(self.labels),
            "names": len(self.features.names),
            "spaced": self.features.spaced,
        }
        if self.evidence is not None:
            extra |= {"base_scores": self.evidence.name, "base_weight": self.evidence.parameters[0]}
        return ModelInfo(self.name, "set", weights, weights, len(self.features.vocabulary), extra)

    @property
    def mixing_weight(self) -> float:
        """The weight of the table in the mean over ensemble members, from 0 to 1."""
        return self.module.table_share

    @mixing_weight.setter
    def mixing_weight(self, weight: float) -> None:
        """Set it to `weight`."""
        self.module.table_share = weight

    @property
    def largest(self) -> int:
        """Size of the largest set."""
        return self.module.largest

    @property
    def log_prior(self) -> Tensor:
        """(L,) log share of each label among the training rows."""
        return torch.log((self.counts + 0.5) / (self.rows + 1.0))

    def fits(self, query: Query) -> bool:
        """Whether `query` has a visible character: unknown features are ignored, and no length is too long."""
        return bool(normalise_source(source_text(query)))

    def length(self, pair: Pair) -> int:
        """Characters of the source of `pair`."""
        return len(source_text(pair.query))

    def collate(self, pairs: Sequence[Pair]) -> Batch:
        """The batch of `pairs`: features, label names and set membership (B, L).

        Raises DataError, naming the row, where a set is empty or has an unknown label.
        """
        sets = [_labels_of(pair.target, pair.key or pair.query.source[:40]) for pair in pairs]
        known = set(self.labels)
        for pair, labels in zip(pairs, sets, strict=True):
            if unknown := [label for label in labels if label not in known]:
                label = unknown[0]
                raise DataError(
                    _("'{label}' is no label of this model", label=label),
                    where=pair.key or pair.query.source[:40],
                    do=_("Make the model from all rows of training."),
                )
        tensors = self._source_tensors([pair.query for pair in pairs]) | {"targets": membership(sets, self.labels)}
        keys = tuple(pair.key or pair.query.source for pair in pairs)
        return Batch(tensors, len(pairs), int(tensors["bag"].sum()) + len(pairs), keys)

    def collate_share(self, pairs: Sequence[Pair], index: int, count: int) -> Batch:
        """The batch of the rows `pairs[index::count]`, whose dropout is drawn as in the batch of all `pairs`.

        pairs  of all processes
        index  of this process, less than the number of pairs
        count  number of processes
        """
        whole = self.collate(pairs)
        tensors = whole.tensors
        mine = torch.arange(len(pairs)) % count == index
        named = tensors["name_indices"][0] % count == index
        rows, label, kind = tensors["name_indices"][:, named]
        bag = tensors["bag"][mine]
        share = {
            "bag": bag,
            "features": tensors["features"],
            "name_indices": torch.stack((rows // count, label, kind)),
            "name_weights": tensors["name_weights"][named],
            "targets": tensors["targets"][mine],
            "rows": mine,
        }
        return Batch(share, len(bag), int(bag.sum()) + len(bag), whole.keys[index::count])

    def outputs(self, batch: Batch) -> Outputs:
        """One forward pass over `batch`. While training, the rows of every ensemble member one after the other."""
        logits, sizes = self._forward(batch.tensors)
        targets = batch.tensors["targets"].repeat(len(logits) // batch.targets, 1)
        prior, counts = self.log_prior.to(logits.device), self.counts.to(logits.device)
        return Outputs(logits, targets, sizes, prior, counts, self.module.penalty(self.rows))

    def set_scores(self, queries: Sequence[Query]) -> SetScores:
        """Label and size logits for each of `queries`, all of which fit."""
        device = next(self.module.parameters()).device
        logits, sizes = self._forward({name: one.to(device) for name, one in self._source_tensors(queries).items()})
        if self.evidence is not None and self.evidence.parameters[0]:
            evidence = self.evidence.evidence_of(queries)
            logits = logits + self.evidence.parameters[0] * evidence.to(logits)
        return SetScores(logits * self.inverse_temperature, sizes, self.penalties)

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and weights of all members."""
        return self.module.named_parameters()

    def show_tokens(self, pair: Pair) -> Sequence[tuple[str, bool]]:
        """The known features and label names of the source of `pair`, then its labels."""
        text = source_text(pair.query)
        features = [(self.features.vocabulary[index], False) for index in self.features.ids(text)]
        names = [(f"name:{self.labels[label]}", False) for label, _, _ in self.features.find_names(text)]
        return [*features, *names, (" → ", False), *((label, True) for label in pair.target.split())]

    def start(self, queries: Sequence[Query]) -> NoReturn:
        """Raises ConfigError, whatever the `queries`: this model has no sequence head."""
        raise ConfigError(
            _("this model has a set head, not a sequence head"),
            do=_("Set model.head = 'sequence'; train again."),
        )

    def text(self, tokens: Sequence[int]) -> str:
        """The labels of the indices `tokens`, separated by spaces."""
        return " ".join(self.labels[token] for token in tokens)

    def token_texts(self) -> Sequence[str]:
        """(L,) the labels."""
        return self.labels

    def save(self, folder: Path) -> None:
        """Write model.safetensors, vocabulary.json and config.json to `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.module.named_parameters()}
        save_file(weights, folder / "model.safetensors")
        write_json(folder / "vocabulary.json", self.features.to_json())
        about = {"format": FORMAT, "kind": "terakoya", "head": "set", "name": self.name, "largest": self.largest}
        data = {"labels": self.labels, "counts": [int(count) for count in self.counts], "rows": self.rows}
        calibration = calibration_to_json(self.inverse_temperature, self.penalties)
        base = {} if self.evidence is None else {"base_scores": self.evidence.saved_in(folder)}
        write_json(folder / "config.json", about | data | {"blend": self.mixing_weight} | calibration | base)

    def _forward(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = self.module(
            tensors["bag"], tensors["features"], tensors["name_indices"], tensors["name_weights"], tensors.get("rows")
        )
        return outputs

    def _source_tensors(self, queries: Sequence[Query]) -> dict[str, Tensor]:
        """The inputs of `SetEnsemble.forward`, by name."""
        texts = [source_text(query) for query in queries]
        rows = [self.features.ids(text) for text in texts]
        used = sorted({feature for row in rows for feature in row})
        column = {feature: index for index, feature in enumerate(used)}
        bag = torch.zeros(len(rows), len(used))
        for index, row in enumerate(rows):
            bag[index, [column[feature] for feature in row]] = 1.0
        names = [(row, *found) for row, text in enumerate(texts) for found in self.features.find_names(text)]
        indices = torch.tensor([[row, label, kind] for row, label, kind, _ in names], dtype=torch.long).reshape(-1, 3)
        return {
            "bag": bag,
            "features": torch.tensor(used, dtype=torch.long),
            "name_indices": indices.T.contiguous(),
            "name_weights": torch.tensor([weight for *_, weight in names], dtype=torch.float32),
        }


def build_set(
    config: ModelConfig,
    pairs: Iterable[Pair],
    labels: tuple[str, ...],
    *,
    seed: int,
    label_names: Mapping[str, Sequence[str]] | None = None,
    evidence: BaseEvidence | None = None,
) -> BuiltinSetModel:
    """A new model for these rows and labels.

    config       its named size bounds the number of features
    pairs        the rows of training
    labels       in the order of the logits
    seed         of the initial weights, which are the same on every machine
    label_names  words by which a text may name a label; ignored where config.label_init is "random"
    evidence     scores of a pretrained base; None makes them where config.base_scores names one
    Raises ConfigError for an unknown size, DataError where there are no rows or an empty set.
    """
    if config.base not in SIZES:
        base = config.base
        raise ConfigError(
            _("'{base}' is no built-in size", base=base),
            where="model.evidence",
            do=nearest(config.base, SIZES),
        )
    rows = list(pairs)
    if not rows:
        raise DataError(
            _("there is no row to make a model from"),
            do=_("Bring rows to train on."),
        )
    names = {} if config.label_init == "random" else dict(label_names or {})
    table_weights = SIZES[config.base] * len(labels) // weights_per_feature(len(labels))
    features = build_features([source_text(row.query) for row in rows], labels, names, weights=table_weights)
    sets = [_labels_of(row.target, row.key) for row in rows]
    counts, sizes = label_and_size_counts(sets, labels)
    model = BuiltinSetModel(config.base, labels, features, counts, len(rows), min(len(sizes), len(labels)))
    model.module.initialise(seed, log_odds(counts, len(rows)), sizes[: model.largest].float() + 0.5)
    model.evidence = evidence or (make_evidence(config, rows, labels) if config.base_scores else None)
    model.rebuild = lambda other: build_set(
        config,
        other,
        labels,
        seed=seed,
        label_names=label_names,
        evidence=model.evidence,  # shared: what is fitted holds for all
    )
    return model


def load_set(folder: Path) -> BuiltinSetModel:
    """The model in a `folder` that `save` wrote. Only data is read: nothing in the folder can run.

    Raises CorruptError for a folder that holds no such model, IncompatibleError for one of another format.
    """
    about = SetDescription.read(read_description(folder), folder)
    counts = torch.tensor(about.counts)
    model = BuiltinSetModel(about.name, about.labels, about.features, counts, about.rows, about.largest)
    model.mixing_weight, model.penalties = about.mixing_weight, about.penalties
    model.inverse_temperature = about.inverse_temperature
    model.evidence = BaseEvidence(about.base_scores, about.labels, folder) if about.base_scores else None
    load_weights(model.module, folder / "model.safetensors")
    return model


def _labels_of(target: str, where: str) -> list[str]:
    labels = target.split()
    if not labels:
        raise DataError(
            _("the set of labels is empty"),
            where=where,
            do=_("Remove the row or fill it in."),
        )
    return labels
