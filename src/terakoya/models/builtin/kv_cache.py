"""Decoding state of a built-in model: keys and values are cached, so each step computes one position per row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from terakoya.models.builtin.network import CharacterTransformer, as_layers, call_module, causal_mask

_GROWTH = 16  # positions by which the cache grows


class BuiltinDecodingState:
    """The `DecodingState` of models/protocol.py. B rows, all at the same target position; D width of a head.

    network  the model, in evaluation mode
    source   (B, S) token ids, padded on the left
    mask     (B, 1, 1, S), true where a character stands; None where no row is padded
    start    id of the start token
    """

    def __init__(self, network: CharacterTransformer, source: Tensor, mask: Tensor | None, start: int) -> None:
        self.network, self.mask = network, mask
        self.position = 0  # of the next target token
        self.length = 0  # positions of the cache in use
        shape = network.shape
        self.source_keys_values: list[tuple[Tensor, Tensor]] = []  # by layer, of an encoder-decoder
        # (layer, key or value, row, head, position, D)
        self.cache = torch.empty(
            len(network.layers), 2, len(source), shape.heads, _GROWTH, shape.width // shape.heads, device=source.device
        )
        if shape.encoder:
            self.source_keys_values = network.source_keys_values(network.encoder(source, mask))
        else:
            self._prefill(source)
        self.logits = self._step(torch.full((len(source),), start, device=source.device))

    def advance(self, tokens: Tensor) -> None:
        """Append one token id to every row, `tokens` (B,), and compute the next logits."""
        self.logits = self._step(tokens)

    def select(self, rows: Tensor) -> None:
        """Keep or repeat the rows at the indices `rows`."""
        self.cache = self.cache[:, :, :, :, : self.length].index_select(2, rows)
        self.source_keys_values = [
            (keys.index_select(0, rows), values.index_select(0, rows)) for keys, values in self.source_keys_values
        ]
        self.mask = None if self.mask is None else self.mask.index_select(0, rows)
        self.logits = self.logits.index_select(0, rows)

    def _prefill(self, source: Tensor) -> None:
        """A decoder-only model reads the source once; its keys and values are the prefix of the cache."""
        x = self.network.encoder.embed_source(source, self.mask)
        full = causal_mask(self.mask, x.shape[1])
        for index, layer in enumerate(as_layers(self.network.layers)):
            q, k, v = layer.attention.project(x)
            self._store(index, k, v)
            x = layer.after_attention(x + layer.attention.mix(q, k, v, full, full is None), None)
        self.length = source.shape[1]

    def _step(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) after one more token of every row."""
        x = self.network.embed_target(tokens[:, None], self.position)
        mask = None if self.mask is None else F.pad(self.mask, (0, self.length + 1 - self.mask.shape[-1]), value=True)
        for index, layer in enumerate(as_layers(self.network.layers)):
            q, k, v = layer.attention.project(x)
            keys, values = self._store(index, k, v)
            if self.source_keys_values:
                x = x + layer.attention.mix(q, keys, values)
                x = layer.after_attention(x, (*self.source_keys_values[index], self.mask))
            else:
                x = layer.after_attention(x + layer.attention.mix(q, keys, values, mask), None)
        self.position += 1
        self.length += 1
        return self.network.logits(call_module(self.network.norm, x[:, 0]))

    def _store(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values of a layer to the cache; returns all of that layer so far."""
        end = self.length + k.shape[2]
        if end > self.cache.shape[4]:
            self.cache = F.pad(self.cache, (0, 0, 0, end - self.cache.shape[4] + _GROWTH))
        self.cache[layer, 0, :, :, self.length : end] = k
        self.cache[layer, 1, :, :, self.length : end] = v
        return self.cache[layer, 0, :, :, :end], self.cache[layer, 1, :, :, :end]
