"""Decoding states of pretrained models: a key-value cache that grows by blocks, and rows that leave when finished.

The cache of transformers copies everything it holds at every token; the one here grows by blocks of positions and
copies only when it grows or when rows leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from terakoya.errors import need
from terakoya.models.pretrained.seq2seq_batches import pad_sequences

_BLOCK = 32  # positions by which a cache grows


def growing_cache(config: Any) -> Any:
    """A key-value cache for the model of this config, for `past_key_values`.

    config  of a decoder in transformers. Its attention layers get blocks; layers of another kind keep the library's
            own cache
    """
    utils = need("transformers.cache_utils", extra="hub")
    cache = utils.DynamicCache(config=config)
    layer_class = _growing_layer(utils)
    replaced = (utils.DynamicLayer, utils.DynamicSlidingWindowLayer)
    if cache.layers:
        # A sliding window is left to the mask: rows are short, and a mask is exact whatever the cache holds.
        cache.layers = [layer_class() if type(layer) in replaced else layer for layer in cache.layers]
    else:
        cache.layer_class_to_replicate = layer_class
    return cache


def _growing_layer(utils: Any) -> Any:
    class GrowingLayer(utils.DynamicLayer):  # type: ignore[misc]
        length = 0
        store: Tensor | None = None  # (2, rows, heads, capacity, D), keys and values

        def update(self, key: Tensor, value: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
            end = self.length + key.shape[-2]
            if self.store is None or end > self.store.shape[-2]:
                larger = key.new_empty(2, *key.shape[:2], end + _BLOCK, key.shape[-1])
                if self.store is not None:
                    larger[..., : self.length, :] = self.store[..., : self.length, :]
                self.store, self.is_initialized = larger, True
                self.dtype, self.device = key.dtype, key.device
            self.store[0, :, :, self.length : end] = key
            self.store[1, :, :, self.length : end] = value
            self.length = end
            self.keys, self.values = self.store[0, :, :, :end], self.store[1, :, :, :end]
            return self.keys, self.values

        def get_seq_length(self) -> int:
            return self.length

        def reorder_positions(self, order: Tensor) -> None:
            """Each row's positions in another order, (rows, length)."""
            if self.store is not None:
                _, rows, heads, _, width = self.store.shape
                index = order[None, :, None, :, None].expand(2, rows, heads, self.length, width)
                self.store[..., : self.length, :] = self.store[..., : self.length, :].gather(3, index)

        def reorder_cache(self, beam_idx: Tensor) -> None:
            if self.store is not None:
                self.store = self.store.index_select(1, beam_idx)
                self.keys, self.values = (part[:, :, : self.length] for part in self.store)

    return GrowingLayer


class CachedPrefix:
    """The keys and values of a prefix of many prompts, computed once for any number of batches.

    module  a causal model of transformers that keeps nothing of the past but keys and values
    ids     token ids of the prefix, one at least
    device  of the model
    """

    def __init__(self, module: Any, ids: Sequence[int], device: torch.device) -> None:
        self.ids, self.cache = tuple(ids), growing_cache(module.config)
        module(
            input_ids=torch.tensor([list(ids)], device=device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )

    def copy(self, config: Any, rows: int) -> Any:
        """A new cache that begins with this prefix in each of so many `rows`; `config` is that of the model."""
        copied = growing_cache(config)
        for index, layer in enumerate(self.cache.layers):
            copied.update(layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1), index)
        return copied


class CausalState:
    """Predictions of a causal model while they are decoded (protocol.DecodingState). Prompts are left-padded.

    module   a causal model of transformers
    prompts  token ids of B prompts
    pad      id of the padding token
    device   of the model
    share    run the prefix that all prompts share once and copy its keys and values to every row; exact where keys and
             values are all that a model keeps of the past (models that take prefix trees)
    window   size of the sliding attention window in positions, 0 where there is none. With a prompt that is longer no
             prefix is shared, for until all prompts are read padding lies between the prefix and the rest of a row
    prefix   with which every prompt begins, computed before; for models that `share` is exact for
    """

    def __init__(
        self, module: Any, prompts: Sequence[Sequence[int]], pad: int, device: torch.device,
        *, share: bool = False, window: int = 0, prefix: CachedPrefix | None = None,
    ) -> None:  # fmt: skip
        self.module = module
        self.mask: Tensor | None = None
        fits = not window or max(map(len, prompts)) <= window
        known = len(prefix.ids) if prefix is not None and fits else 0
        self.cache = prefix.copy(module.config, len(prompts)) if prefix and known else growing_cache(module.config)
        shared = known or (_shared_prefix(prompts) if share and fits and len(prompts) > 1 else 0)
        if shared and not known:
            shared_ids = torch.tensor([list(prompts[0][:shared])], device=device)
            self._step(shared_ids, torch.arange(shared, device=device)[None])
            self.cache.reorder_cache(torch.zeros(len(prompts), dtype=torch.long, device=device))
        ids, mask = pad_sequences([prompt[shared:] for prompt in prompts], pad, left=True)
        if not bool(mask.all()):
            self.mask = torch.cat((mask.new_ones(len(prompts), shared), mask), dim=1).to(device)
        self.next_position = (shared + mask.sum(1)).to(device)  # (B,)
        positions = (shared + mask.cumsum(1) - 1).clamp(min=0).to(device)
        self.logits = self._step(ids.to(device), positions)
        if shared and window and self.mask is not None:
            self._move_padding_left(self.mask)

    def _move_padding_left(self, mask: Tensor) -> None:
        """A window counts cache positions: padding inside a row would push its first tokens out of it too early."""
        order = mask.argsort(dim=1, stable=True)
        for layer in self.cache.layers:
            layer.reorder_positions(order)
        self.mask = mask.gather(1, order)

    def advance(self, tokens: Tensor) -> None:
        """Append one token to every row and compute the next logits: `tokens` (B,)."""
        if self.mask is not None:
            self.mask = torch.cat((self.mask, self.mask.new_ones(len(tokens), 1)), dim=1)
        self.logits = self._step(tokens[:, None], self.next_position[:, None])
        self.next_position = self.next_position + 1

    def select(self, rows: Tensor) -> None:
        """Keep, or repeat for beams, the rows at these indices: `rows` of any length."""
        self.cache.reorder_cache(rows)
        self.next_position, self.logits = self.next_position.index_select(0, rows), self.logits.index_select(0, rows)
        self.mask = None if self.mask is None else self.mask.index_select(0, rows)

    def _step(self, ids: Tensor, positions: Tensor) -> Tensor:
        logits: Tensor = self.module(
            input_ids=ids,
            position_ids=positions,
            attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1]


def _shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the prefix that all prompts share; at least one token of each is left to be run."""
    lists = [list(prompt) for prompt in prompts]
    first, last = min(lists), max(lists)  # what these two share, all share
    most = min(map(len, prompts)) - 1
    return next((index for index in range(most) if first[index] != last[index]), most)


class Seq2SeqState:
    """Predictions of an encoder-decoder while they are decoded (protocol.DecodingState); the source is encoded once.

    module         an encoder-decoder of transformers
    sources        token ids of B sources
    decoder_start  ids that precede every target
    pad            id of the padding token
    device         of the model
    """

    def __init__(
        self, module: Any, sources: Sequence[Sequence[int]], decoder_start: Sequence[int], pad: int,
        device: torch.device,
    ) -> None:  # fmt: skip
        utils = need("transformers.cache_utils", extra="hub")
        self.module = module
        ids, mask = pad_sequences(sources, pad)
        self.mask = mask.to(device)
        self.encoded = module.get_encoder()(input_ids=ids.to(device), attention_mask=self.mask)
        decoder = module.config.get_text_config(decoder=True)
        self.cache = utils.EncoderDecoderCache(growing_cache(decoder), growing_cache(decoder))
        start = torch.tensor([list(decoder_start)], device=device).expand(len(sources), -1)
        self.logits = self._step(start)

    def advance(self, tokens: Tensor) -> None:
        """Append one token to every row and compute the next logits: `tokens` (B,)."""
        self.logits = self._step(tokens[:, None])

    def select(self, rows: Tensor) -> None:
        """Keep, or repeat for beams, the rows at these indices: `rows` of any length."""
        self.cache.reorder_cache(rows)
        self.encoded["last_hidden_state"] = self.encoded.last_hidden_state.index_select(0, rows)
        self.mask, self.logits = self.mask.index_select(0, rows), self.logits.index_select(0, rows)

    def _step(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.module(
            encoder_outputs=self.encoded,
            attention_mask=self.mask,
            decoder_input_ids=ids,
            past_key_values=self.cache,
            use_cache=True,
        ).logits
        return logits[:, -1]
