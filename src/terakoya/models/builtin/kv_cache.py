"""Answers of a built-in model while they are written: keys and values are kept, so each token costs one row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from terakoya.models.builtin.network import Net, call, causal_mask, stack

_ROOM = 16  # places by which the cache grows


class TinyState:
    """The State of models/model.py. B rows, all at the same answer place; finished rows leave by `select`."""

    def __init__(self, net: Net, source: Tensor, mask: Tensor | None, start: int) -> None:
        self.net, self.mask = net, mask
        self.place = 0  # of the next answer token
        self.filled = 0  # columns of the cache in use
        shape = net.shape
        self.sources: list[tuple[Tensor, Tensor]] = []
        # (layer, key or value, row, head, place, D)
        self.cache = torch.empty(
            len(net.layers), 2, len(source), shape.heads, _ROOM, shape.width // shape.heads, device=source.device
        )
        if shape.encoder:
            self.sources = net.sources(net.encoder(source, mask))
        else:
            self._read(source)
        self.logits = self._write(torch.full((len(source),), start, device=source.device))

    def advance(self, tokens: Tensor) -> None:
        self.logits = self._write(tokens)

    def select(self, rows: Tensor) -> None:
        self.cache = self.cache[:, :, :, :, : self.filled].index_select(2, rows)
        self.sources = [(keys.index_select(0, rows), values.index_select(0, rows)) for keys, values in self.sources]
        self.mask = None if self.mask is None else self.mask.index_select(0, rows)
        self.logits = self.logits.index_select(0, rows)

    def _read(self, source: Tensor) -> None:
        """A decoder-only model reads the source once; its keys and values are the beginning of the cache."""
        x = self.net.encoder.enter(source, self.mask)
        full = causal_mask(self.mask, x.shape[1])
        for number, layer in enumerate(stack(self.net.layers)):
            q, k, v = layer.attention.project(x)
            self._keep(number, k, v)
            x = layer.after_attention(x + layer.attention.mix(q, k, v, full, full is None), None)
        self.filled = source.shape[1]

    def _write(self, tokens: Tensor) -> Tensor:
        x = self.net.answer_vectors(tokens[:, None], self.place)
        mask = None if self.mask is None else F.pad(self.mask, (0, self.filled + 1 - self.mask.shape[-1]), value=True)
        for number, layer in enumerate(stack(self.net.layers)):
            q, k, v = layer.attention.project(x)
            keys, values = self._keep(number, k, v)
            if self.sources:
                x = x + layer.attention.mix(q, keys, values)
                x = layer.after_attention(x, (*self.sources[number], self.mask))
            else:
                x = layer.after_attention(x + layer.attention.mix(q, keys, values, mask), None)
        self.place += 1
        self.filled += 1
        return self.net.logits(call(self.net.norm, x[:, 0]))

    def _keep(self, number: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        end = self.filled + k.shape[2]
        if end > self.cache.shape[4]:
            self.cache = F.pad(self.cache, (0, 0, 0, end - self.cache.shape[4] + _ROOM))
        self.cache[number, 0, :, :, self.filled : end] = k
        self.cache[number, 1, :, :, self.filled : end] = v
        return self.cache[number, 0, :, :, :end], self.cache[number, 1, :, :, :end]
