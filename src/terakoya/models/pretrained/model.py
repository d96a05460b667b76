"""Pretrained models behind protocol.Model: causal and encoder-decoder differ in three methods.

model.collate(pairs) → model.outputs(batch)        training: loss on the target, or on prompt and target
model.start(queries) → DecodingState               prediction: the very same prompts
model.save(folder)                                 opens with plain from_pretrained, or `build.load`
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
from terakoya.i18n import _
from terakoya.models.pretrained import causal_batches, seq2seq_batches
from terakoya.models.pretrained.causal_batches import CausalRow
from terakoya.models.pretrained.kv_cache import CausalState, Seq2SeqState
from terakoya.models.pretrained.metadata import PretrainedMetadata
from terakoya.models.pretrained.prompt import Prompt
from terakoya.models.pretrained.saving import save
from terakoya.models.pretrained.vocabulary import VocabularyTables
from terakoya.models.protocol import Batch, DecodingState, ModelInfo, Outputs, Pair, Query, SetScores
from terakoya.records import Finding

_SOURCE, _TARGET, _ROW = _("source"), _("target"), _("row")
_PROBE = "一二三四五六七八九十"  # a source of at least eight different tokens, whatever the prompt adds to it
_CACHED_ROWS = 200_000  # rows whose ids are kept, so that sorting by length tokenizes nothing twice

TokenIds = tuple[int, ...]


class PretrainedModel:
    """A pretrained checkpoint as a model with a sequence head (protocol.Model): what both families share.

    module      of transformers, patched and adapted as wanted
    prompt      makes token ids of queries and targets
    vocabulary  the tables of `module`, trimmed or not
    metadata    what a saved folder needs beside the weights
    All ids inside are those of the trimmed vocabulary.
    """

    head: Literal["sequence", "set"] = "sequence"
    labels: tuple[str, ...] = ()
    family = ""

    def __init__(self, module: Any, prompt: Prompt, vocabulary: VocabularyTables, metadata: PretrainedMetadata) -> None:
        self.module: nn.Module = module
        self.core: Any = module
        self.prompt, self.vocabulary, self.metadata = prompt, vocabulary, metadata
        self.tokenizer = prompt.tokenizer
        self.end = vocabulary.id_map.to_trimmed([prompt.end])[0]
        pad = self.tokenizer.hf_tokenizer.pad_token_id
        self.pad = vocabulary.id_map.to_trimmed([pad if pad is not None else prompt.end])[0]
        self.loss_on_prompt = False
        self.share_prefix = True
        self.max_target_length = metadata.max_target or min(self._positions, 4096)
        self._ids: dict[tuple[Query, str], tuple[TokenIds, TokenIds]] = {}

    def configure(self, train: TrainConfig) -> None:
        """Take over what concerns the model of a training config: loss mask, shared prefixes, gradient checkpointing.

        train  the training's settings
        Raises ConfigError where the loss shall be taken on the prompt of an encoder-decoder.
        """
        if train.loss_on == "all" and self.family == "encoder-decoder":
            default = TrainConfig.model_fields["loss_on"].default
            raise ConfigError(
                _("an encoder-decoder generates no prompt on which a loss could be taken"),
                where="train.loss_on",
                do=_("Set train.loss_on = '{default}'.", default=default),
            )
        self.loss_on_prompt = train.loss_on == "all"
        self.share_prefix = train.prefix_cache in ("auto", True)
        self.configure_checkpointing(train)
        self._ids.clear()

    def configure_checkpointing(self, train: TrainConfig) -> None:
        """Switch gradient checkpointing on where `train.checkpointing` says so."""
        if train.checkpointing:
            old = "gradient_checkpointing_enable"  # an older name, which transformers 6 is said to drop
            enable = getattr(self.core, "activation_checkpointing_enable", None) or getattr(self.core, old)
            enable({"use_reentrant": False})
            if self.metadata.lora is not None:
                self.core.enable_input_require_grads()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was noticed while the checkpoint was opened."""
        return self.metadata.findings

    @property
    def info(self) -> ModelInfo:
        """Name, family, number of weights, and what was made of the checkpoint."""
        weights = {id(w): w for w in self.module.parameters()}.values()
        return ModelInfo(
            name=self.metadata.name,
            family=self.family,
            weights=sum(weight.numel() for weight in weights),
            trainable=sum(weight.numel() for weight in weights if weight.requires_grad),
            vocabulary=self.vocabulary.id_map.size,
            extra={
                "revision": self.metadata.revision,
                "architecture": self.core.config.model_type,
                "template": "chat" if self.prompt.template else "plain",
                "vocabulary": "full" if self.metadata.kept_ids is None else "trimmed",
                "new_tokens": len(self.metadata.new_tokens),
                "adaptation": "full" if self.metadata.lora is None else "lora",
                "dtype": str(next(iter(weights)).dtype).removeprefix("torch."),
                "layout": self.layout,
                **({"gguf": self.metadata.gguf} if self.metadata.gguf else {}),
            },
        )

    @property
    def layout(self) -> str:
        """How batches are laid out: "tree" (shared prefixes) or "padded"."""
        return "padded"

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.module.parameters()).device

    def length(self, pair: Pair) -> int:
        """Number of tokens of `pair`, prompt and target."""
        prompt, target = self._pair_ids(pair)
        return len(prompt) + len(target)

    def fits(self, query: Query) -> bool:
        """Whether the prompt of `query` fits: within the model's positions less one for a target's token, or within
        `model.max_source` tokens."""
        return 0 < len(self.prompt_ids(query)) <= self.max_source_length

    def unknown_characters(self, query: Query) -> str:
        """The characters of `query` for which the tokenizer has the unknown token only, each once."""
        tokenizer = self.prompt.tokenizer
        text = "".join((*(turn.content for turn in query.turns), query.source))
        if tokenizer.unknown_id is None or not tokenizer.has_unknown(text):
            return ""
        return "".join(char for char in dict.fromkeys(text) if tokenizer.has_unknown(char))

    def prompt_ids(self, query: Query) -> list[int]:
        """Ids of everything before the target of `query`, in training and in prediction alike."""
        return self.vocabulary.id_map.to_trimmed(self.prompt.prompt_ids(query))

    def target_ids(self, target: str) -> list[int]:
        """Ids of a `target` with its end. Raises DataError where a token of it is not in the trimmed vocabulary."""
        ids = self.vocabulary.id_map.to_trimmed(self.prompt.target_ids(target))
        lost = [i for i in ids if i >= self.vocabulary.id_map.size]
        if lost:
            text = self.tokenizer.decode(self.vocabulary.id_map.to_full(lost[:1]))
            raise DataError(
                _("its target holds {text!r}, which is not in the trimmed vocabulary", text=text),
                do=_("Make the model from all rows of the training data, or set model.vocabulary = 'full'."),
            )
        return ids

    def show_tokens(self, pair: Pair) -> list[tuple[str, bool]]:
        """The tokens of `pair` as the model receives them, each with whether the loss includes it."""
        prompt, target = self._pair_ids(pair)
        in_loss = [self.loss_on_prompt] * len(prompt) + [True] * len(target)
        ids = self.vocabulary.id_map.to_full([*prompt, *target])
        return [
            (self._control_name(i) or self.tokenizer.decode([i]) or f"<{i}>", included)
            for i, included in zip(ids, in_loss, strict=True)
        ]

    def _control_name(self, full_id: int) -> str:
        is_control = full_id in self.tokenizer.control_tokens
        return self.tokenizer.hf_tokenizer.convert_ids_to_tokens(full_id) if is_control else ""

    def set_scores(self, queries: Sequence[Query]) -> SetScores:
        """Raises ConfigError: a sequence head has no set scores for `queries`."""
        raise ConfigError(
            _("this model generates text and has no scores of label sets"),
            do=_("Set model.head = 'set'; train again."),
        )

    def text(self, tokens: Sequence[int]) -> str:
        """Decode token ids `tokens`, without the end token, to text."""
        return self.tokenizer.decode(self.vocabulary.id_map.to_full(tokens))

    def token_texts(self) -> Sequence[str]:
        """(V,) the text that each token id adds to a target; "" for control tokens and parts of characters."""
        return self._token_texts

    @cached_property
    def _token_texts(self) -> tuple[str, ...]:
        id_map = self.vocabulary.id_map
        return tuple(map(self.tokenizer.token_text, id_map.to_full(range(id_map.size))))

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and weights that the optimiser updates."""
        return ((name, weight) for name, weight in self.module.named_parameters() if weight.requires_grad)

    def save(self, folder: Path) -> None:
        """Write the model to `folder`; see saving.save."""
        save(self, folder)

    def collate(self, pairs: Sequence[Pair]) -> Batch:
        """A batch of `pairs`. Raises DataError, naming the row, where one is empty, too long or without ids."""
        rows = [self._checked_ids(pair) for pair in pairs]
        tensors = self._tensors(rows)
        tokens = sum(len(prompt) + len(target) for prompt, target in rows)
        keys = tuple(pair.key or pair.query.source for pair in pairs)
        return Batch(tensors, len(tensors["targets"]), tokens, keys)

    def outputs(self, batch: Batch) -> Outputs:
        """One forward pass over `batch`: logits where there is a target, and only there."""
        tensors = dict(batch.tensors)
        return Outputs(self._logits(self.module, self.vocabulary.tables.head, tensors), tensors["targets"])

    _logits: Callable[..., torch.Tensor]

    def _tensors(self, rows: Sequence[tuple[TokenIds, TokenIds]]) -> dict[str, torch.Tensor]:
        raise NotImplementedError

    def start(self, queries: Sequence[Query]) -> DecodingState:
        """Begin to generate a sequence for each of `queries`."""
        raise NotImplementedError

    @property
    def max_positions(self) -> int:
        """Tokens of prompt and target together that the model can read."""
        return self._positions

    @property
    def _positions(self) -> int:
        return int(getattr(self.core.config, "max_position_embeddings", 0) or 1 << 20)

    @property
    def max_source_length(self) -> int:
        """Tokens that a prompt can have at most."""
        return self.metadata.max_source or self._positions - 1

    def _pair_ids(self, pair: Pair) -> tuple[TokenIds, TokenIds]:
        """Ids of prompt and target; an empty target is its end alone."""
        known = self._ids.get((pair.query, pair.target))
        if known is None:
            target = self.target_ids(pair.target) if pair.target else [self.end]
            known = tuple(self.prompt_ids(pair.query)), tuple(target)
            if len(self._ids) >= _CACHED_ROWS:
                self._ids.clear()
            self._ids[pair.query, pair.target] = known
        return known

    def _checked_ids(self, pair: Pair) -> tuple[TokenIds, TokenIds]:
        where = pair.key or pair.query.source[:40]
        if not pair.target:
            raise _empty(_TARGET, where)
        try:
            prompt, target = self._pair_ids(pair)
        except DataError as error:
            raise DataError(error.what, where=where, do=error.do) from error
        if not prompt:
            raise _empty(_SOURCE, where)
        for part, size, most in (
            (_SOURCE, len(prompt), self.max_source_length),
            (_TARGET, len(target), self.max_target_length),
            (_ROW, self._positions_used(prompt, target), self._positions),
        ):
            if size > most:
                raise DataError(
                    _("its {part} has {size} tokens and the model takes {most}", part=part, size=size, most=most),
                    where=where,
                    do=_("Shorten the row, or raise model.max_source or model.max_target. Nothing is cut silently."),
                )
        return prompt, target

    def _positions_used(self, prompt: Sequence[int], target: Sequence[int]) -> int:
        return len(prompt) + len(target)


def _empty(part: str, where: str) -> DataError:
    return DataError(
        _("an empty {part} cannot be trained on", part=part),
        where=where,
        do=_("Remove the row or complete it."),
    )


class PretrainedCausal(PretrainedModel):
    """A causal (decoder-only) model; the parameters `module`, `prompt`, `vocabulary` and `metadata` are those of
    PretrainedModel."""

    family = "decoder"
    _logits = staticmethod(causal_batches.target_logits)

    def __init__(self, module: Any, prompt: Prompt, vocabulary: VocabularyTables, metadata: PretrainedMetadata) -> None:
        super().__init__(module, prompt, vocabulary, metadata)
        probe = self.prompt_ids(Query(_PROBE))
        self.uses_prefix_tree = causal_batches.prefix_tree_is_exact(module, vocabulary.tables.head, probe)
        if self.uses_prefix_tree and metadata.forward != "library":
            causal_batches.use_branch_attention(module, vocabulary.tables.head, probe)

    @property
    def layout(self) -> str:
        """How batches are laid out: "tree" where shared prefixes are computed once, else "padded"."""
        return "tree" if self.uses_prefix_tree else "padded"

    def start(self, queries: Sequence[Query]) -> DecodingState:
        """Begin to generate a sequence for each of `queries`."""
        return CausalState(
            self.core, [self.prompt_ids(query) for query in queries], self.pad, self.device,
            share=self.uses_prefix_tree, window=self._window,
        )  # fmt: skip

    @property
    def _window(self) -> int:
        """Size of the sliding attention window that at least one layer has; 0 where none has."""
        return int(getattr(self.core.config, "sliding_window", None) or 0)

    def _tensors(self, rows: Sequence[tuple[TokenIds, TokenIds]]) -> dict[str, torch.Tensor]:
        sequences = [CausalRow((*p, *t), 0 if self.loss_on_prompt else len(p)) for p, t in rows]
        in_window = not self._window or max(len(row.token_ids) for row in sequences) <= self._window
        if self.uses_prefix_tree and in_window:
            on_cpu = self.device.type == "cpu"
            return causal_batches.prefix_tree_batch(sequences, share=self.share_prefix, branches=on_cpu)
        return causal_batches.padded_batch(sequences, self.pad)


class PretrainedSeq2Seq(PretrainedModel):
    """An encoder-decoder model."""

    family = "encoder-decoder"
    _logits = staticmethod(seq2seq_batches.target_logits)

    @cached_property
    def decoder_start(self) -> list[int]:
        """Ids that precede every target in the decoder."""
        first = self.core.config.decoder_start_token_id
        pad = self.tokenizer.hf_tokenizer.pad_token_id
        return self.vocabulary.id_map.to_trimmed([first if first is not None else pad, *self.tokenizer.target_prefix])

    def start(self, queries: Sequence[Query]) -> DecodingState:
        """Begin to generate a sequence for each of `queries`."""
        prompts = [self.prompt_ids(query) for query in queries]
        return Seq2SeqState(self.core, prompts, self.decoder_start, self.pad, self.device)

    def _tensors(self, rows: Sequence[tuple[TokenIds, TokenIds]]) -> dict[str, torch.Tensor]:
        sources, targets = [source for source, _ in rows], [target for _, target in rows]
        return seq2seq_batches.padded_batch(sources, targets, self.decoder_start, self.pad)

    def _positions_used(self, prompt: Sequence[int], target: Sequence[int]) -> int:
        return max(len(prompt), len(target))


def model_class(causal: bool) -> type[PretrainedModel]:
    """The class for a model that is `causal`, or for an encoder-decoder."""
    return PretrainedCausal if causal else PretrainedSeq2Seq
