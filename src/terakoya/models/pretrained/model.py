"""Pretrained models behind the house's one face: causal and encoder-decoder differ in three methods.

model.collate(pairs) → model.outputs(batch)        training: loss on the answer, or on everything
model.start(asks) → State                          use: the very same prompts
model.save(folder)                                 opens with plain from_pretrained, or `hub.load`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from terakoya.config import TrainConfig
from terakoya.errors import ConfigError, DataError
from terakoya.i18n import both
from terakoya.models.pretrained import causal_batches, seq2seq_batches
from terakoya.models.pretrained.causal_batches import Row
from terakoya.models.pretrained.kv_cache import CausalState, Seq2SeqState
from terakoya.models.pretrained.metadata import About
from terakoya.models.pretrained.prompt import Prompt
from terakoya.models.pretrained.saving import save
from terakoya.models.pretrained.vocabulary import Words
from terakoya.models.protocol import Batch, ModelInfo, Outputs, Pair, Query, SetScores, State
from terakoya.records import Finding

_KINDS_JA = {"source": "入力", "target": "正解", "row": "行"}  # as Japanese sentences name them
_REMEMBERED = 200_000  # rows whose ids are kept, so that sorting by length tokenizes nothing twice


class HubModel:
    """The Model of models/model.py, for everything that both families share."""

    head: Literal["sequence", "set"] = "sequence"
    labels: tuple[str, ...] = ()
    family = ""

    def __init__(self, module: Any, prompt: Prompt, words: Words, about: About) -> None:
        self.module: nn.Module = module
        self.core: Any = module
        self.prompt, self.words, self.about = prompt, words, about
        self.tokens = prompt.tokens
        self.end = words.numbering.inward([prompt.end])[0]
        pad = self.tokens.tokenizer.pad_token_id
        self.pad = words.numbering.inward([pad if pad is not None else prompt.end])[0]
        self.loss_on: Literal["answer", "all"] = "answer"
        self.share_prefix = True
        self.longest_answer = about.max_target or min(self._positions, 4096)
        self._ids: dict[tuple[Query, str], tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def settle(self, train: TrainConfig) -> None:
        """Take what a training says of the model: where the loss is taken, shared prefixes, gradient checkpointing."""
        if train.loss_on == "all" and self.family == "encoder-decoder":
            raise ConfigError(
                both(
                    "an encoder-decoder writes no prompt that a loss could be taken on",
                    "encoder-decoder は損失を取れるプロンプトを書かない",
                ),
                where="train.loss_on",
                do=both("Set train.loss_on = 'answer'.", "train.loss_on = 'answer' とすること。"),
            )
        self.loss_on = train.loss_on
        self.share_prefix = train.prefix_cache in ("auto", True)
        if train.checkpointing:
            old = "gradient_checkpointing_enable"  # an older name, which transformers 6 is said to drop
            enable = getattr(self.core, "activation_checkpointing_enable", None) or getattr(self.core, old)
            enable({"use_reentrant": False})
            if self.about.lora is not None:
                self.core.enable_input_require_grads()
        self._ids.clear()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was noticed while the checkpoint was opened."""
        return self.about.findings

    @property
    def card(self) -> ModelInfo:
        weights = {id(w): w for w in self.module.parameters()}.values()
        return ModelInfo(
            name=self.about.base,
            family=self.family,
            weights=sum(weight.numel() for weight in weights),
            trainable=sum(weight.numel() for weight in weights if weight.requires_grad),
            vocabulary=self.words.numbering.size,
            extra={
                "revision": self.about.revision,
                "architecture": self.core.config.model_type,
                "template": "chat" if self.prompt.template else "plain",
                "vocabulary": "full" if self.about.kept is None else "trimmed",
                "new_tokens": len(self.about.new_tokens),
                "adaptation": "full" if self.about.lora is None else "lora",
                "dtype": str(next(iter(weights)).dtype).removeprefix("torch."),
                "layout": self.layout,
            },
        )

    @property
    def layout(self) -> str:
        return "padded"

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    def length(self, pair: Pair) -> int:
        question, answer = self._row(pair)
        return len(question) + len(answer)

    def fits(self, ask: Query) -> bool:
        """Within the model's positions, or `model.max_source` tokens, with room for one token of an answer."""
        return 0 < len(self.question(ask)) <= self._most_source

    def question(self, ask: Query) -> list[int]:
        """Working ids of everything before the answer: training and use both come here."""
        return self.words.numbering.inward(self.prompt.question(ask))

    def answer(self, written: str) -> list[int]:
        """Working ids of an answer with its end. Raises DataError where a token of it is not in the vocabulary."""
        ids = self.words.numbering.inward(self.prompt.answer(written))
        lost = [i for i in ids if i >= self.words.numbering.size]
        if lost:
            text = self.tokens.text(self.words.numbering.outward(lost[:1]))
            raise DataError(
                both(
                    f"its target holds {text!r}, which is not in the trimmed vocabulary",
                    f"正解に、切り詰めた語彙にない {text!r} がある",
                ),
                do=both(
                    "Make the model from all the rows it shall learn, or set model.vocabulary = 'full'.",
                    "学習させるすべての行からモデルを作るか、model.vocabulary = 'full' とすること。",
                ),
            )
        return ids

    def shown(self, pair: Pair) -> list[tuple[str, bool]]:
        """The tokens of a row as the model sees them, and whether each is learnt."""
        question, answer = self._row(pair)
        learnt = [self.loss_on == "all"] * len(question) + [True] * len(answer)
        ids = self.words.numbering.outward([*question, *answer])
        names = (self.tokens.tokenizer.convert_ids_to_tokens(i) if i in self.tokens.controls else "" for i in ids)
        return [
            (name or self.tokens.text([i]) or f"<{i}>", taught)
            for name, i, taught in zip(names, ids, learnt, strict=True)
        ]

    def set_scores(self, asks: Sequence[Query]) -> SetScores:
        raise ConfigError(
            both("this model writes answers and scores no sets", "このモデルは答えを書くもので、集合を採点しない"),
            do=both("Set model.head = 'sequence'.", "model.head = 'sequence' とすること。"),
        )

    def text(self, tokens: Sequence[int]) -> str:
        return self.tokens.text(self.words.numbering.outward(tokens))

    def pieces(self) -> Sequence[str]:
        return self._pieces

    @cached_property
    def _pieces(self) -> tuple[str, ...]:
        numbering = self.words.numbering
        return tuple(map(self.tokens.piece, numbering.outward(range(numbering.size))))

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, weight) for name, weight in self.module.named_parameters() if weight.requires_grad)

    def save(self, folder: Path) -> None:
        save(self, folder)

    def collate(self, pairs: Sequence[Pair]) -> Batch:
        rows = [self._checked(pair) for pair in pairs]
        tensors = self._tensors(rows)
        tokens = sum(len(question) + len(answer) for question, answer in rows)
        keys = tuple(pair.key or pair.ask.source for pair in pairs)
        return Batch(tensors, len(tensors["targets"]), tokens, keys)

    def outputs(self, batch: Batch) -> Outputs:
        tensors = dict(batch.tensors)
        return Outputs(self._logits(self.module, self.words.tables.head, tensors), tensors["targets"])

    _logits: Callable[..., torch.Tensor]

    def _tensors(self, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> dict[str, torch.Tensor]:
        raise NotImplementedError

    def start(self, asks: Sequence[Query]) -> State:
        raise NotImplementedError

    @property
    def _positions(self) -> int:
        return int(getattr(self.core.config, "max_position_embeddings", 0) or 1 << 20)

    @property
    def _most_source(self) -> int:
        return self.about.max_source or self._positions - 1

    def _row(self, pair: Pair) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Working ids of question and answer; an empty answer is its end alone."""
        known = self._ids.get((pair.ask, pair.written))
        if known is None:
            answer = self.answer(pair.written) if pair.written else [self.end]
            known = tuple(self.question(pair.ask)), tuple(answer)
            if len(self._ids) >= _REMEMBERED:
                self._ids.clear()
            self._ids[pair.ask, pair.written] = known
        return known

    def _checked(self, pair: Pair) -> tuple[tuple[int, ...], tuple[int, ...]]:
        where = pair.key or pair.ask.source[:40]
        if not pair.written:
            raise DataError(
                both("an empty target cannot be taught", "空の正解は学習できない"),
                where=where,
                do=both("Remove the row or fill it in.", "行を取り除くか、埋めること。"),
            )
        try:
            question, answer = self._row(pair)
        except DataError as error:
            raise DataError(error.what, where=where, do=error.do) from error
        if not question:
            raise DataError(
                both("an empty source cannot be taught", "空の入力は学習できない"),
                where=where,
                do=both("Remove the row or fill it in.", "行を取り除くか、埋めること。"),
            )
        for kind, size, most in (
            ("source", len(question), self._most_source),
            ("target", len(answer), self.longest_answer),
            ("row", self._whole(question, answer), self._positions),
        ):
            if size > most:
                raise DataError(
                    both(
                        f"its {kind} has {size} tokens and the model takes {most}",
                        f"{_KINDS_JA[kind]}が{size}トークンで、モデルが受け取れるのは{most}までである",
                    ),
                    where=where,
                    do=both(
                        "Shorten the row, or raise model.max_source or model.max_target. Nothing is cut silently.",
                        "行を短くするか、model.max_source または model.max_target を大きくすること。"
                        "黙って切ることはない。",
                    ),
                )
        return question, answer

    def _whole(self, question: Sequence[int], answer: Sequence[int]) -> int:
        return len(question) + len(answer)


class HubCausal(HubModel):
    family = "decoder"
    _logits = staticmethod(causal_batches.logits)

    def __init__(self, module: Any, prompt: Prompt, words: Words, about: About) -> None:
        super().__init__(module, prompt, words, about)
        probe = self.question(Query("一二三"))
        self.exact_tree = causal_batches.tree_is_exact(module, words.tables.head, probe)
        if self.exact_tree and about.forward == "quick":
            causal_batches.quicken(module, words.tables.head, probe)

    @property
    def layout(self) -> str:
        return "tree" if self.exact_tree else "padded"

    def start(self, asks: Sequence[Query]) -> State:
        return CausalState(
            self.core, [self.question(ask) for ask in asks], self.pad, self.device,
            share=self.exact_tree, window=self._window,
        )  # fmt: skip

    @property
    def _window(self) -> int:
        """How many tokens back a layer looks, at least one of them; 0 where all look back to the beginning."""
        return int(getattr(self.core.config, "sliding_window", None) or 0)

    def _tensors(self, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> dict[str, torch.Tensor]:
        begin = 0 if self.loss_on == "all" else None
        laid = [Row((*q, *a), len(q) if begin is None else begin) for q, a in rows]
        if self.exact_tree and (not self._window or max(len(row.ids) for row in laid) <= self._window):
            return causal_batches.tree(laid, share=self.share_prefix, lanes=self.device.type == "cpu")
        return causal_batches.padded(laid, self.pad)


class HubSeq2Seq(HubModel):
    family = "encoder-decoder"
    _logits = staticmethod(seq2seq_batches.logits)

    @cached_property
    def begin(self) -> list[int]:
        """What the decoder is given before every answer."""
        first = self.core.config.decoder_start_token_id
        pad = self.tokens.tokenizer.pad_token_id
        return self.words.numbering.inward([first if first is not None else pad, *self.tokens.lead])

    def start(self, asks: Sequence[Query]) -> State:
        return Seq2SeqState(self.core, [self.question(ask) for ask in asks], self.begin, self.pad, self.device)

    def _tensors(self, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> dict[str, torch.Tensor]:
        return seq2seq_batches.padded([q for q, _ in rows], [a for _, a in rows], self.begin, self.pad)

    def _whole(self, question: Sequence[int], answer: Sequence[int]) -> int:
        return max(len(question), len(answer))


def kind_of(causal: bool) -> type[HubModel]:
    return HubCausal if causal else HubSeq2Seq
