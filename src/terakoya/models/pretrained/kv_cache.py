"""Answers of a pretrained model while they are written: keys and values are kept, finished rows leave.

The library's cache copies everything it holds at every token; the one here grows by blocks and copies only when rows
leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from terakoya.errors import need
from terakoya.models.pretrained.seq2seq_batches import filled

_ROOM = 32  # places by which a cache grows


def growing_cache(config: Any) -> Any:
    """A cache for this model: layers of attention grow by blocks, layers of another kind are the library's own."""
    utils = need("transformers.cache_utils", extra="hub")
    cache = utils.DynamicCache(config=config)
    kind = _growing_layer(utils)
    plain = (utils.DynamicLayer, utils.DynamicSlidingWindowLayer)
    if cache.layers:
        # A window is kept by the mask: rows are short, and a mask is exact whatever the cache holds.
        cache.layers = [kind() if type(layer) in plain else layer for layer in cache.layers]
    else:
        cache.layer_class_to_replicate = kind
    return cache


def _growing_layer(utils: Any) -> Any:
    class GrowingLayer(utils.DynamicLayer):  # type: ignore[misc]
        filled = 0
        store: Tensor | None = None  # (2, rows, heads, room, D)

        def update(self, key: Tensor, value: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
            end = self.filled + key.shape[-2]
            if self.store is None or end > self.store.shape[-2]:
                room = key.new_empty(2, *key.shape[:2], end + _ROOM, key.shape[-1])
                if self.store is not None:
                    room[..., : self.filled, :] = self.store[..., : self.filled, :]
                self.store, self.is_initialized = room, True
                self.dtype, self.device = key.dtype, key.device
            self.store[0, :, :, self.filled : end] = key
            self.store[1, :, :, self.filled : end] = value
            self.filled = end
            self.keys, self.values = self.store[0, :, :, :end], self.store[1, :, :, :end]
            return self.keys, self.values

        def get_seq_length(self) -> int:
            return self.filled

        def arrange(self, places: Tensor) -> None:
            """Each row's places in another order, (rows, filled)."""
            if self.store is not None:
                _, rows, heads, _, width = self.store.shape
                index = places[None, :, None, :, None].expand(2, rows, heads, self.filled, width)
                self.store[..., : self.filled, :] = self.store[..., : self.filled, :].gather(3, index)

        def reorder_cache(self, beam_idx: Tensor) -> None:
            if self.store is not None:
                self.store = self.store.index_select(1, beam_idx)
                self.keys, self.values = (part[:, :, : self.filled] for part in self.store)

    return GrowingLayer


class CausalState:
    """The State of models/model.py for a causal model. Prompts are filled on the left, so that all end together.

    share   what all prompts begin with is read once, and its keys and values are given to every row; exact where a
            row's past is all in its keys and values (a model that takes trees)
    window  how far back a layer looks, in places of the cache; 0 where none has an end. A prompt that is longer is read
            by itself, for filling lies between the beginning and the rest of a row until all are read
    """

    def __init__(
        self, module: Any, prompts: Sequence[Sequence[int]], pad: int, device: torch.device,
        *, share: bool = False, window: int = 0,
    ) -> None:  # fmt: skip
        self.module = module
        self.mask: Tensor | None = None
        self.cache = growing_cache(module.config)
        fits = not window or max(map(len, prompts)) <= window
        lead = _common(prompts) if share and fits and len(prompts) > 1 else 0
        if lead:
            opening = torch.tensor([list(prompts[0][:lead])], device=device)
            self._step(opening, torch.arange(lead, device=device)[None])
            self.cache.reorder_cache(torch.zeros(len(prompts), dtype=torch.long, device=device))
        ids, mask = filled([prompt[lead:] for prompt in prompts], pad, left=True)
        if not bool(mask.all()):
            self.mask = torch.cat((mask.new_ones(len(prompts), lead), mask), dim=1).to(device)
        self.place = (lead + mask.sum(1)).to(device)  # of the next token of every row
        positions = (lead + mask.cumsum(1) - 1).clamp(min=0).to(device)
        self.logits = self._step(ids.to(device), positions)
        if lead and window and self.mask is not None:
            self._fill_in_front(self.mask)

    def _fill_in_front(self, mask: Tensor) -> None:
        """A window counts places: filling between a row's tokens would push its beginning out too early."""
        places = mask.argsort(dim=1, stable=True)
        for layer in self.cache.layers:
            layer.arrange(places)
        self.mask = mask.gather(1, places)

    def advance(self, tokens: Tensor) -> None:
        if self.mask is not None:
            self.mask = torch.cat((self.mask, self.mask.new_ones(len(tokens), 1)), dim=1)
        self.logits = self._step(tokens[:, None], self.place[:, None])
        self.place = self.place + 1

    def select(self, rows: Tensor) -> None:
        self.cache.reorder_cache(rows)
        self.place, self.logits = self.place.index_select(0, rows), self.logits.index_select(0, rows)
        self.mask = None if self.mask is None else self.mask.index_select(0, rows)

    def _step(self, ids: Tensor, positions: Tensor) -> Tensor:
        found: Tensor = self.module(
            input_ids=ids,
            position_ids=positions,
            attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return found[:, -1]


def _common(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; one of each is left to be asked."""
    alike = [list(prompt) for prompt in prompts]
    first, last = min(alike), max(alike)  # what these two share, all share
    most = min(map(len, prompts)) - 1
    return next((place for place in range(most) if first[place] != last[place]), most)


class Seq2SeqState:
    """The State of models/model.py for an encoder-decoder: the source is read once."""

    def __init__(
        self, module: Any, sources: Sequence[Sequence[int]], begin: Sequence[int], pad: int, device: torch.device
    ) -> None:
        utils = need("transformers.cache_utils", extra="hub")
        self.module = module
        ids, mask = filled(sources, pad)
        self.mask = mask.to(device)
        self.encoded = module.get_encoder()(input_ids=ids.to(device), attention_mask=self.mask)
        self.cache = utils.EncoderDecoderCache(growing_cache(_decoder(module)), growing_cache(_decoder(module)))
        start = torch.tensor([list(begin)], device=device).expand(len(sources), -1)
        self.logits = self._step(start)

    def advance(self, tokens: Tensor) -> None:
        self.logits = self._step(tokens[:, None])

    def select(self, rows: Tensor) -> None:
        self.cache.reorder_cache(rows)
        self.encoded["last_hidden_state"] = self.encoded.last_hidden_state.index_select(0, rows)
        self.mask, self.logits = self.mask.index_select(0, rows), self.logits.index_select(0, rows)

    def _step(self, ids: Tensor) -> Tensor:
        found: Tensor = self.module(
            encoder_outputs=self.encoded,
            attention_mask=self.mask,
            decoder_input_ids=ids,
            past_key_values=self.cache,
            use_cache=True,
        ).logits
        return found[:, -1]


def _decoder(module: Any) -> Any:
    return module.config.get_text_config(decoder=True)
