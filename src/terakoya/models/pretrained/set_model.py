"""A set head on a pretrained model: one score for each label from the hidden states, and the size of the set.

    model = hub.build(config.model, pairs, labels, seed=7)     # codec = "labels" and nothing else said
    model.save(folder)                                         # the backbone opens with plain from_pretrained

An encoder-decoder lends its encoder, a causal model all its layers: the head reads the last hidden state of every
token of the prompt (`set_head.SetHead`). Nothing is written token by token, so no token is added for a label and none
can be illegal. Labels start from the model's own reading of their names, where they have some. In full or with LoRA.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from terakoya.config import TrainConfig
from terakoya.errors import ConfigError, CorruptError, DataError
from terakoya.i18n import both
from terakoya.models.pretrained.checkpoint_files import read_json
from terakoya.models.pretrained.model import HubModel
from terakoya.models.pretrained.seq2seq_batches import filled
from terakoya.models.protocol import Batch, LabelPenalty, ModelInfo, Outputs, Pair, Query, SetScores
from terakoya.models.set_head import SetHead, membership, shares
from terakoya.records import Finding

FACTS, WEIGHTS = "set-head.json", "set-head.safetensors"
# A rate that suits weights which have read the web is far too small for a head that has read nothing: its weights are
# held this much smaller than they act, so that Adam's steps, whose length is the rate's, reach this much further.
_EAGER = 40.0
_NAMES_AT_ONCE = 64


class Eager(nn.Module):
    """A set head whose weights are stored `_EAGER` times smaller than they act."""

    def __init__(self, head: SetHead) -> None:
        super().__init__()
        self.shape = head
        for name, weight in list(head.named_parameters()):
            self.register_parameter(name.replace(".", "_"), nn.Parameter(weight.detach() / _EAGER))
        head.requires_grad_(False)

    def forward(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        acting = {name: _EAGER * getattr(self, name.replace(".", "_")) for name, _ in self.shape.named_parameters()}
        found: tuple[Tensor, Tensor] = torch.func.functional_call(self.shape, acting, (hidden, mask))
        return found

    def acting(self) -> dict[str, Tensor]:
        """The head's weights as they act, by their own names."""
        return {
            name: (_EAGER * getattr(self, name.replace(".", "_"))).detach().cpu().contiguous()
            for name, _ in self.shape.named_parameters()
        }


class HubSetModel:
    """The Model of models/model.py with a set head on a pretrained one. `scale` and `tolls` are settled by sets."""

    head: Literal["sequence", "set"] = "set"
    end = 0
    longest_answer = 0

    def __init__(self, inner: HubModel, labels: tuple[str, ...], counts: Tensor, rows: int, most: int) -> None:
        self.inner, self.labels, self.counts, self.rows = inner, labels, counts, rows
        self.scale = 1.0
        self.tolls: tuple[LabelPenalty, ...] = ()
        width = int(inner.core.get_input_embeddings().weight.shape[1])
        self.largest = most
        self.scorer = Eager(SetHead(_hidden_width(inner.core, width), len(labels), most))
        self.module = nn.ModuleDict({"base": inner.module, "set_head": self.scorer})

    # ── what it is ──────────────────────────────────────────────────────────────────────────────────

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.inner.findings

    @property
    def card(self) -> ModelInfo:
        inner = self.inner.card
        own = sum(weight.numel() for weight in self.scorer.parameters() if weight.requires_grad)
        extra = {**inner.extra, "head": "set", "labels": len(self.labels)}
        return ModelInfo(inner.name, "set", inner.weights + own, inner.trainable + own, inner.vocabulary, extra)

    @property
    def log_prior(self) -> Tensor:
        """(L,) log share of each label among the training rows."""
        return torch.log((self.counts + 0.5) / (self.rows + 1.0))

    def settle(self, train: TrainConfig) -> None:
        """Gradient checkpointing and the like; where the loss is taken has no meaning for a set."""
        self.inner.settle(train.model_copy(update={"loss_on": "answer"}))

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self.inner.parameters_to_train()
        yield from ((f"set_head.{name}", w) for name, w in self.scorer.named_parameters() if w.requires_grad)

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────

    def fits(self, ask: Query) -> bool:
        return self.inner.fits(ask)

    def length(self, pair: Pair) -> int:
        return len(self.inner.question(pair.ask))

    def collate(self, pairs: Sequence[Pair]) -> Batch:
        known = set(self.labels)
        sets = [pair.written.split() for pair in pairs]
        for pair, members in zip(pairs, sets, strict=True):
            strange = [label for label in members if label not in known]
            if strange or not members:
                raise DataError(
                    both(f"{strange[0]!r} is none of the labels", f"{strange[0]!r} はラベルではない")
                    if strange
                    else both("an empty set of labels cannot be taught", "空のラベル集合は学習できない"),
                    where=pair.key or pair.ask.source[:40],
                    do=both("Make the model from all the rows it shall learn.", "学習する全行からモデルを作ること。"),
                )
            if not self.fits(pair.ask):
                raise DataError(
                    both("its source does not fit the model", "原文がモデルに収まらない"),
                    where=pair.key or pair.ask.source[:40],
                    do=both(
                        "Shorten the row, or raise model.max_source.", "行を短くするか model.max_source を上げること。"
                    ),
                )
        tensors = self._asked([pair.ask for pair in pairs])
        targets = membership(sets, self.labels)
        return Batch(
            tensors | {"targets": targets},
            len(pairs),
            int(tensors["padding"].sum()),
            tuple(pair.key or pair.ask.source for pair in pairs),
        )

    def outputs(self, batch: Batch) -> Outputs:
        logits, sizes = self._scored(batch.tensors)
        device = logits.device
        return Outputs(logits, batch.tensors["targets"], sizes, self.log_prior.to(device), self.counts.to(device))

    def set_scores(self, asks: Sequence[Query]) -> SetScores:
        device = self.inner.device
        logits, sizes = self._scored({name: one.to(device) for name, one in self._asked(asks).items()})
        return SetScores(logits.float() * self.scale, sizes.float(), self.tolls)

    def shown(self, pair: Pair) -> Sequence[tuple[str, bool]]:
        question = [token for token, _ in self.inner.shown(Pair(pair.ask, ""))[:-1]]
        return [*((token, False) for token in question), (" → ", False), *((one, True) for one in pair.written.split())]

    def start(self, asks: Sequence[Query]) -> NoReturn:
        raise ConfigError(
            both("this model scores sets and writes nothing", "このモデルは集合に点を付け、文字列は書かない"),
            do=both("Set model.head = 'sequence'; train again.", "model.head = 'sequence' として学習し直すこと。"),
        )

    def text(self, tokens: Sequence[int]) -> str:
        return " ".join(self.labels[token] for token in tokens)

    def pieces(self) -> Sequence[str]:
        return self.labels

    # ── hidden states ───────────────────────────────────────────────────────────────────────────────

    def _asked(self, asks: Sequence[Query]) -> dict[str, Tensor]:
        ids, mask = filled([self.inner.question(ask) for ask in asks], self.inner.pad)
        return {"ids": ids, "padding": mask}

    def hidden(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """(B, T, H): the last hidden state of every token, before any head."""
        core = self.inner.core
        reader = core.get_encoder() if self.inner.family == "encoder-decoder" else core.base_model
        given: dict[str, Any] = {"input_ids": tensors["ids"], "attention_mask": tensors["padding"]}
        if self.inner.family != "encoder-decoder":
            given["use_cache"] = False
        states: Tensor = reader(**given).last_hidden_state
        return states

    def _scored(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.scorer(self.hidden(tensors).float(), tensors["padding"])
        return found

    def read_names(self, names: Mapping[int, str]) -> dict[int, Tensor]:
        """What the model makes of each text: the mean hidden state of its tokens, normed as the head will norm it."""
        numbers = list(names)
        found: dict[int, Tensor] = {}
        was = self.module.training
        self.module.eval()
        with torch.no_grad():
            for first in range(0, len(numbers), _NAMES_AT_ONCE):
                some = numbers[first : first + _NAMES_AT_ONCE]
                ids, mask = filled([self._spelt(names[one]) for one in some], self.inner.pad)
                device = self.inner.device
                states = self.hidden({"ids": ids.to(device), "padding": mask.to(device)}).float()
                normed = torch.nn.functional.layer_norm(states, states.shape[-1:])
                seen = mask.to(device)[..., None]
                means = (normed * seen).sum(1) / seen.sum(1).clamp(min=1)
                found |= {number: mean.cpu() for number, mean in zip(some, means, strict=True)}
        self.module.train(was)
        # What all names have in common tells none of them apart.
        common = torch.stack(list(found.values())).mean(0) if found else torch.zeros(())
        return {number: vector - common for number, vector in found.items()}

    def _spelt(self, words: str) -> list[int]:
        return self.inner.words.numbering.inward(self.inner.tokens.spelling(words)) or [self.inner.pad]

    # ── disk ────────────────────────────────────────────────────────────────────────────────────────

    def save(self, folder: Path) -> None:
        self.inner.save(folder)
        save_file(self.scorer.acting(), folder / WEIGHTS)
        facts = {
            "labels": self.labels, "counts": [int(count) for count in self.counts], "rows": self.rows,
            "largest": self.largest, "scale": self.scale, "tolls": [asdict(toll) for toll in self.tolls],
        }  # fmt: skip
        (folder / FACTS).write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def build_set(
    inner: HubModel, pairs: Sequence[Pair], labels: tuple[str, ...], seed: int, names: Mapping[str, Sequence[str]]
) -> HubSetModel:
    """A fresh head for these pairs and labels on a model made ready for them; the same seed, the same weights."""
    counts, sizes = shares([pair.written.split() for pair in pairs], labels)
    model = HubSetModel(inner, labels, counts, len(pairs), min(len(sizes), len(labels)))
    spoken = {number: " ".join(names[label]) for number, label in enumerate(labels) if names.get(label)}
    vectors = model.read_names(spoken) if spoken else {}
    head = model.scorer.shape
    head.begin(seed, counts, len(pairs), sizes[: model.largest].float(), vectors)
    _take(model, dict(head.named_parameters()))
    return model


def load_set(inner: HubModel, folder: Path) -> HubSetModel:
    """The head that `save` wrote, on the model beside it."""
    facts = read_json(folder / FACTS, str(folder))
    try:
        labels = tuple(str(label) for label in facts["labels"])
        counts = torch.tensor([float(count) for count in facts["counts"]])
        model = HubSetModel(inner, labels, counts, int(facts["rows"]), int(facts["largest"]))
        model.scale = float(facts["scale"])
        model.tolls = tuple(LabelPenalty(int(t["label"]), float(t["price"]), float(t["share"])) for t in facts["tolls"])
        _take(model, load_file(folder / WEIGHTS))
    except (KeyError, TypeError, ValueError, OSError, RuntimeError) as error:
        raise CorruptError(
            both(f"the set head cannot be read ({error})", f"集合ヘッドを読めない（{error}）"),
            where=str(folder / FACTS),
        ) from error
    return model


def is_set(folder: Path) -> bool:
    return (folder / FACTS).is_file()


@torch.no_grad()
def _take(model: HubSetModel, acting: Mapping[str, Tensor]) -> None:
    for name, weight in acting.items():
        getattr(model.scorer, name.replace(".", "_")).copy_(weight.detach() / _EAGER)


def _hidden_width(core: Any, embedded: int) -> int:
    """The width of the last hidden state; some models embed narrower than they think."""
    config = core.config.get_text_config()
    return int(getattr(config, "hidden_size", None) or getattr(config, "d_model", None) or embedded)
