"""What a causal base still knows of language: its loss on running text that has nothing to do with the task.

    text = RunningText(model)          # before the first step
    text.base, text.shuffled           # loss of the base on the text, and on the same tokens in random order
    text.forgotten()                   # 0: as at the start; 1: no more than shuffled text would cost the base

Fine-tuning overwrites what pretraining taught (catastrophic forgetting: French, 1999, Trends in Cognitive Sciences 3;
in language models: Luo et al., 2023, arXiv:2308.08747). The loss on the task does not show it: a network whose
knowledge is gone can still learn its rows by heart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from terakoya.models.pretrained.causal_batches import CausalRow, padded_batch
from terakoya.models.pretrained.model import PretrainedCausal

# Our own sentences, in two languages: a base that knows one of them has something to forget.
SENTENCES = (
    "朝から雨が降っていたので、傘を持って駅まで歩いた。",
    "母は台所で夕食の支度をしながら、ラジオを聞いている。",
    "この町には古い図書館があり、子どもたちが放課後によく集まる。",
    "彼は友人に手紙を書いたが、返事はまだ届いていない。",
    "会議は予定より長く続き、終わったときには外が暗くなっていた。",
    "先生は黒板に図を描いて、地球が太陽の周りを回る仕組みを説明した。",
    "祖父の家の庭には大きな柿の木があり、秋には実がたくさんなる。",
    "医者は、よく眠り、野菜を食べ、毎日少し歩くようにと勧めた。",
    "It had been raining since the morning, so she took an umbrella and walked to the station.",
    "The old library in the middle of the town is a place where children meet after school.",
    "He wrote a long letter to his friend, but he has not received an answer yet.",
    "The meeting lasted longer than planned, and it was already dark outside when it ended.",
    "The teacher drew a picture on the board and explained how the earth moves around the sun.",
    "There is a large apple tree in my grandfather's garden, and it bears a lot of fruit in autumn.",
)


class RunningText:
    """The loss of a model on `SENTENCES`, now and with the weights that it had when this was made.

    The softmax runs over the tokens of the sentences alone, whose rows of the output head are copied here: a trimmed
    vocabulary does not hold them all, and a full one would cost more than the rest of the model.

    model     a causal base before its first step
    autocast  whether to compute in bfloat16, as a training in mixed precision does
    base      nats per token of the text
    shuffled  nats per token of the same tokens, each sentence in random order: what text without language costs
    """

    def __init__(self, model: PretrainedCausal, *, autocast: bool = False) -> None:
        self.model, self.autocast = model, autocast
        begin = model.tokenizer.hf_tokenizer.bos_token_id
        prefix = () if begin is None else (int(begin),)
        encode = model.tokenizer.backend.encode
        sentences = [tuple(encode(text, add_special_tokens=False).ids) for text in SENTENCES]
        used = sorted({token for sentence in sentences for token in sentence})
        self.column = {token: number for number, token in enumerate(used)}
        self.rows = _head_rows(model, used)
        self.batch, self.targets = self._batch(sentences, prefix)
        self.base = self.loss()
        rng = Random("shuffled text")
        mixed = [tuple(rng.sample(sentence, len(sentence))) for sentence in sentences]
        self.shuffled = self._loss(*self._batch(mixed, prefix))

    def loss(self) -> float:
        """Nats per token with the weights that the model has now."""
        return self._loss(self.batch, self.targets)

    def forgotten(self) -> float:
        """How far the loss has gone from that of the base to that of shuffled text: 0 is not at all, 1 is all."""
        return (self.loss() - self.base) / (self.shuffled - self.base)

    def _batch(self, sentences: Sequence[Sequence[int]], prefix: tuple[int, ...]) -> tuple[dict[str, Tensor], Tensor]:
        to_trimmed = self.model.vocabulary.id_map.to_trimmed
        first = max(1, len(prefix))  # without a token that begins a text the first one is given
        rows = [CausalRow(tuple(to_trimmed([*prefix, *sentence])), first) for sentence in sentences]
        known = [token for sentence in sentences for token in [*prefix, *sentence][first:]]
        return padded_batch(rows, self.model.pad), torch.tensor([self.column[token] for token in known])

    def _loss(self, batch: dict[str, Tensor], targets: Tensor) -> float:
        module, device = self.model.module, self.model.device  # which may have moved since this was made
        training = module.training
        module.eval()
        try:
            with (
                torch.no_grad(),
                torch.autocast(device.type, torch.bfloat16, enabled=self.autocast),
                _other_head(self.model.vocabulary.tables.head, batch["logit_indices"].to(device), self.rows.to(device)),
            ):
                ids, mask = batch["input_ids"].to(device), batch["attention_mask"].to(device)
                logits: Tensor = module(input_ids=ids, attention_mask=mask, use_cache=False).logits
        finally:
            module.train(training)
        return float(F.cross_entropy(logits[0].float(), targets.to(device)))


def _head_rows(model: PretrainedCausal, tokens: Sequence[int]) -> Tensor:
    """(N, D) the rows of the base's output head for these full ids, copied."""
    vocabulary = model.vocabulary
    if vocabulary.full_tables is not None:
        table = vocabulary.full_tables[1]
        return table[torch.tensor(tokens, device=table.device)].detach().to(vocabulary.tables.head.weight, copy=True)
    weight = vocabulary.tables.head.weight
    return weight.detach()[torch.tensor(tokens, device=weight.device)].clone()


@contextmanager
def _other_head(head: nn.Module, indices: Tensor, rows: Tensor) -> Iterator[None]:
    """Inside, the head gives logits (1, N, R) of N positions for R other rows; what the model does to logits goes on.

    head     output head of a model
    indices  (N,), into the flattened (rows × positions)
    rows     (R, D)
    """
    hidden: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden.append(inputs[0].flatten(0, -2).index_select(0, indices)[None])
        return (inputs[0][:, :1], *inputs[1:])  # the logits of its own rows are not needed

    def replace(_: nn.Module, _inputs: Any, _logits: Tensor) -> Tensor:
        return F.linear(hidden.pop(), rows)

    hooks = [head.register_forward_pre_hook(keep), head.register_forward_hook(replace)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
