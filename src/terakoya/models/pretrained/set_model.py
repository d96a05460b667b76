"""A set head on a pretrained model: a score for each label from the hidden states, and the size of the set.

    model = build.build(config.model, pairs, labels, seed=7)   # with codec = "labels" and no other head configured
    model.save(folder)                                         # the backbone opens with plain from_pretrained

Of an encoder-decoder the encoder is used, of a causal model all layers: the head reads the last hidden state of every
token of the prompt (`set_head.SetHead`). Nothing is generated token by token, so no token is added for a label and no
prediction can be illegal. Labels are initialised from the model's own representation of their names, where they have
some. All weights are trained, or LoRA's.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from terakoya.config import TrainConfig
from terakoya.errors import ConfigError, CorruptError, DataError
from terakoya.i18n import _
from terakoya.models.calibration import calibration_from_json, calibration_to_json
from terakoya.models.pretrained.checkpoint_files import read_json
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.pretrained.seq2seq_batches import pad_sequences
from terakoya.models.protocol import Batch, LabelPenalty, ModelInfo, Outputs, Pair, Query, SetScores
from terakoya.models.set_head import (
    SetHead,
    label_and_size_counts,
    membership,
)
from terakoya.records import Finding

HEAD_FILE, WEIGHTS = "set-head.json", "set-head.safetensors"
# A learning rate that suits pretrained weights is far too small for a head that starts from scratch. Its parameters are
# stored this much smaller than they act, so that Adam's steps, whose size is the learning rate's, reach this much
# further.
_SCALE = 40.0
_NAMES_AT_ONCE = 64


class ScaledSetHead(nn.Module):
    """A set head whose parameters are stored `_SCALE` times smaller than they act.

    head  defines the function and the initial weights
    """

    def __init__(self, head: SetHead) -> None:
        super().__init__()
        self.head = head
        for name, weight in list(head.named_parameters()):
            self.register_parameter(name.replace(".", "_"), nn.Parameter(weight.detach() / _SCALE))
        head.requires_grad_(False)

    def forward(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Label logits (B, L) and size logits (B, S) from `hidden` (B, T, H) and its attention `mask` (B, T)."""
        scaled = {name: _SCALE * getattr(self, name.replace(".", "_")) for name, _ in self.head.named_parameters()}
        scores: tuple[Tensor, Tensor] = torch.func.functional_call(self.head, scaled, (hidden, mask))
        return scores

    def effective_weights(self) -> dict[str, Tensor]:
        """The head's weights as they act, by their own names."""
        return {
            name: (_SCALE * getattr(self, name.replace(".", "_"))).detach().cpu().contiguous()
            for name, _ in self.head.named_parameters()
        }


class PretrainedSetModel:
    """A pretrained checkpoint with a set head (protocol.Model).

    backbone  the pretrained model
    labels    in the order of the head's logits
    counts    (L,) how often each label occurs in the training data
    rows      number of training rows
    largest   size of the largest set that can be predicted
    `inverse_temperature` and `penalties` are set by the calibration after training.
    """

    head: Literal["sequence", "set"] = "set"
    end = 0
    max_target_length = 0

    def __init__(
        self, backbone: PretrainedModel, labels: tuple[str, ...], counts: Tensor, rows: int, largest: int
    ) -> None:
        self.backbone, self.labels, self.counts, self.rows = backbone, labels, counts, rows
        self.inverse_temperature = 1.0
        self.penalties: tuple[LabelPenalty, ...] = ()
        self.largest = largest
        self.scorer = ScaledSetHead(SetHead(_hidden_width(backbone.core), len(labels), largest))
        self.module = nn.ModuleDict({"base": backbone.module, "set_head": self.scorer})

    # ── description and configuration ───────────────────────────────────────────────────────────────

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was noticed while the checkpoint was opened."""
        return self.backbone.findings

    @property
    def info(self) -> ModelInfo:
        """That of the backbone, with the head's weights added."""
        base = self.backbone.info
        own = sum(weight.numel() for weight in self.scorer.parameters() if weight.requires_grad)
        extra = {**base.extra, "head": "set", "labels": len(self.labels)}
        return ModelInfo(base.name, "set", base.weights + own, base.trainable + own, base.vocabulary, extra)

    @property
    def log_prior(self) -> Tensor:
        """(L,) log share of each label among the training rows."""
        return torch.log((self.counts + 0.5) / (self.rows + 1.0))

    def configure(self, train: TrainConfig) -> None:
        """Switch gradient checkpointing on where `train` says so; a loss mask has no meaning for a set."""
        self.backbone.configure_checkpointing(train)

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and weights that the optimiser updates, of backbone and head."""
        yield from self.backbone.parameters_to_train()
        yield from ((f"set_head.{name}", w) for name, w in self.scorer.named_parameters() if w.requires_grad)

    # ── batches ─────────────────────────────────────────────────────────────────────────────────────

    def fits(self, query: Query) -> bool:
        """Whether the prompt of `query` fits the backbone."""
        return self.backbone.fits(query)

    def length(self, pair: Pair) -> int:
        """Number of tokens of the prompt of `pair`."""
        return len(self.backbone.prompt_ids(pair.query))

    def collate(self, pairs: Sequence[Pair]) -> Batch:
        """A batch of `pairs`. Raises DataError, naming the row, for an unknown label, an empty set, a long source."""
        known = set(self.labels)
        sets = [pair.target.split() for pair in pairs]
        for pair, members in zip(pairs, sets, strict=True):
            self._check(pair, members, known)
        tensors = self._prompts([pair.query for pair in pairs])
        targets = membership(sets, self.labels)
        return Batch(
            tensors | {"targets": targets},
            len(pairs),
            int(tensors["attention_mask"].sum()),
            tuple(pair.key or pair.query.source for pair in pairs),
        )

    def _check(self, pair: Pair, members: Sequence[str], known: Collection[str]) -> None:
        where = pair.key or pair.query.source[:40]
        unknown = next((label for label in members if label not in known), None)
        if unknown is not None or not members:
            raise DataError(
                _("{unknown!r} is none of the labels", unknown=unknown)
                if unknown is not None
                else _("an empty set of labels cannot be trained on"),
                where=where,
                do=_("Make the model from all rows of the training data."),
            )
        if not self.fits(pair.query):
            raise DataError(
                _("its source does not fit the model"),
                where=where,
                do=_("Shorten the row, or raise model.max_source."),
            )

    def outputs(self, batch: Batch) -> Outputs:
        """One forward pass over `batch`: label logits and size logits, with the labels' prior and counts."""
        logits, sizes = self._scores(batch.tensors)
        device = logits.device
        return Outputs(logits, batch.tensors["targets"], sizes, self.log_prior.to(device), self.counts.to(device))

    def set_scores(self, queries: Sequence[Query]) -> SetScores:
        """Score every label for each of `queries`, with the calibrated temperature."""
        device = self.backbone.device
        tensors = {name: tensor.to(device) for name, tensor in self._prompts(queries).items()}
        logits, sizes = self._scores(tensors)
        return SetScores(logits.float() * self.inverse_temperature, sizes.float(), self.penalties)

    def show_tokens(self, pair: Pair) -> Sequence[tuple[str, bool]]:
        """The tokens of the prompt of `pair`, then its labels, each with whether the loss includes it."""
        prompt = [token for token, _ in self.backbone.show_tokens(Pair(pair.query, ""))[:-1]]
        labels = pair.target.split()
        return [*((token, False) for token in prompt), (" → ", False), *((label, True) for label in labels)]

    def start(self, queries: Sequence[Query]) -> NoReturn:
        """Raises ConfigError: a set head generates no sequence for `queries`."""
        raise ConfigError(
            _("this model scores label sets and generates no text"),
            do=_("Set model.head = 'sequence'; train again."),
        )

    def text(self, tokens: Sequence[int]) -> str:
        """The labels with these indices, `tokens`, joined by spaces."""
        return " ".join(self.labels[index] for index in tokens)

    def token_texts(self) -> Sequence[str]:
        """The labels."""
        return self.labels

    # ── hidden states ───────────────────────────────────────────────────────────────────────────────

    def _prompts(self, queries: Sequence[Query]) -> dict[str, Tensor]:
        ids, mask = pad_sequences([self.backbone.prompt_ids(query) for query in queries], self.backbone.pad)
        return {"input_ids": ids, "attention_mask": mask}

    def hidden(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Last hidden state (B, T, H) of every token, before any head.

        tensors  input_ids and attention_mask (B, T), on the model's device
        """
        core, is_seq2seq = self.backbone.core, self.backbone.family == "encoder-decoder"
        encoder = core.get_encoder() if is_seq2seq else core.base_model
        inputs: dict[str, Any] = {"input_ids": tensors["input_ids"], "attention_mask": tensors["attention_mask"]}
        if not is_seq2seq:
            inputs["use_cache"] = False
        states: Tensor = encoder(**inputs).last_hidden_state
        return states

    def _scores(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        scores: tuple[Tensor, Tensor] = self.scorer(self.hidden(tensors).float(), tensors["attention_mask"])
        return scores

    def name_vectors(self, names: Mapping[int, str]) -> dict[int, Tensor]:
        """A vector (H,) for each text: the mean of its tokens' hidden states, normalised as the head normalises them.

        names  texts by any key; what all vectors have in common is subtracted, for it tells no text from another
        """
        keys = list(names)
        vectors: dict[int, Tensor] = {}
        training = self.module.training
        self.module.eval()
        with torch.no_grad():
            for start in range(0, len(keys), _NAMES_AT_ONCE):
                some = keys[start : start + _NAMES_AT_ONCE]
                ids, mask = pad_sequences([self._name_ids(names[key]) for key in some], self.backbone.pad)
                device = self.backbone.device
                states = self.hidden({"input_ids": ids.to(device), "attention_mask": mask.to(device)}).float()
                normalised = torch.nn.functional.layer_norm(states, states.shape[-1:])
                weights = mask.to(device)[..., None]
                means = (normalised * weights).sum(1) / weights.sum(1).clamp(min=1)
                vectors |= {key: mean.cpu() for key, mean in zip(some, means, strict=True)}
        self.module.train(training)
        common = torch.stack(list(vectors.values())).mean(0) if vectors else torch.zeros(())
        return {key: vector - common for key, vector in vectors.items()}

    def _name_ids(self, words: str) -> list[int]:
        ids = self.backbone.tokenizer.encode_description(words)
        return self.backbone.vocabulary.id_map.to_trimmed(ids) or [self.backbone.pad]

    # ── disk ────────────────────────────────────────────────────────────────────────────────────────

    def save(self, folder: Path) -> None:
        """Write backbone and head to `folder`."""
        self.backbone.save(folder)
        save_file(self.scorer.effective_weights(), folder / WEIGHTS)
        description = {
            "labels": self.labels, "counts": [int(count) for count in self.counts], "rows": self.rows,
            "largest": self.largest, **calibration_to_json(self.inverse_temperature, self.penalties),
        }  # fmt: skip
        text = json.dumps(description, ensure_ascii=False, indent=1) + "\n"
        (folder / HEAD_FILE).write_text(text, encoding="utf-8")


def build_set(
    backbone: PretrainedModel,
    pairs: Sequence[Pair],
    labels: tuple[str, ...],
    seed: int,
    names: Mapping[str, Sequence[str]],
) -> PretrainedSetModel:
    """An untrained head on a pretrained model; the same seed gives the same weights.

    backbone  the pretrained model
    pairs     training data, for the labels' counts
    labels    all labels of the task
    seed      of the initial weights
    names     words from which a label's weights are initialised; labels without any start at random
    """
    counts, sizes = label_and_size_counts([pair.target.split() for pair in pairs], labels)
    model = PretrainedSetModel(backbone, labels, counts, len(pairs), min(len(sizes), len(labels)))
    texts = {index: " ".join(names[label]) for index, label in enumerate(labels) if names.get(label)}
    vectors = model.name_vectors(texts) if texts else {}
    head = model.scorer.head
    head.initialise(seed, counts, len(pairs), sizes[: model.largest].float(), vectors)
    _store(model, dict(head.named_parameters()))
    return model


def load_set(backbone: PretrainedModel, folder: Path) -> PretrainedSetModel:
    """The head that `save` wrote, on its backbone.

    backbone  the model that the same folder holds
    folder    with set-head.json and set-head.safetensors
    Raises CorruptError where they cannot be read or do not fit.
    """
    description = read_json(folder / HEAD_FILE, str(folder))
    try:
        labels = tuple(str(label) for label in description["labels"])
        counts = torch.tensor([float(count) for count in description["counts"]])
        model = PretrainedSetModel(backbone, labels, counts, int(description["rows"]), int(description["largest"]))
        model.inverse_temperature, model.penalties = calibration_from_json(description)
        _store(model, load_file(folder / WEIGHTS))
    except (KeyError, TypeError, ValueError, OSError, RuntimeError) as error:
        raise CorruptError(
            _("the set head cannot be read ({error})", error=error),
            where=str(folder / HEAD_FILE),
        ) from error
    return model


def is_set(folder: Path) -> bool:
    """Whether the model in `folder` has a set head."""
    return (folder / HEAD_FILE).is_file()


@torch.no_grad()
def _store(model: PretrainedSetModel, weights: Mapping[str, Tensor]) -> None:
    for name, weight in weights.items():
        getattr(model.scorer, name.replace(".", "_")).copy_(weight.detach() / _SCALE)


def _hidden_width(core: Any) -> int:
    """Width of the last hidden state; some models have narrower embeddings."""
    config = core.config.get_text_config()
    embedding_width = core.get_input_embeddings().weight.shape[1]
    return int(getattr(config, "hidden_size", None) or getattr(config, "d_model", None) or embedding_width)
