"""The networks of the built-in models in numpy alone, for prediction: no PyTorch is loaded, which costs seconds.

Same weights, same arithmetic in float32, other kernels: probabilities differ in the sixth digit. Shapes as in
`network`: B rows, S source characters, T target tokens, H heads, D width of a head, W = H·D, V tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from terakoya.models.builtin.shape import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Booleans = NDArray[np.bool_]
    Ids = NDArray[np.int64]

_EPSILON = 1e-5  # of layer normalisation, as in torch


class NumpyNetwork:
    """Weights by name, and the passes of `network.CharacterTransformer` over them.

    shape    of the network
    weights  as saved, float32
    """

    def __init__(self, shape: Shape, weights: Mapping[str, Floats]) -> None:
        self.shape, self.weights = shape, weights
        # Transposed once: (input, output), contiguous.
        self._matrices = {
            name: np.ascontiguousarray(weight.T) for name, weight in weights.items() if name.endswith(".weight")
        }

    def linear(self, name: str, x: Floats) -> Floats:
        """x (..., input) times the weight `name` and its bias, (..., output)."""
        result: Floats = x @ self._matrices[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return result

    def norm(self, name: str, x: Floats) -> Floats:
        """Layer normalisation `name` of x (..., W)."""
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(-1, keepdims=True) + _EPSILON)
        result: Floats = centred / deviation * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return result

    def heads(self, x: Floats) -> Floats:
        """x (B, T, W) → (B, H, T, D)."""
        rows, length, width = x.shape
        return x.reshape(rows, length, self.shape.heads, width // self.shape.heads).transpose(0, 2, 1, 3)

    def project(self, layer: str, x: Floats) -> tuple[Floats, Floats, Floats]:
        """Queries, keys and values, each (B, H, T, D), of the self-attention of `layer` for x (B, T, W)."""
        fused = self.linear(f"{layer}.attention.qkv", self.norm(f"{layer}.attention.norm", x))
        q, k, v = np.split(fused, 3, axis=2)
        return self.heads(q), self.heads(k), self.heads(v)

    def mix(self, name: str, q: Floats, k: Floats, v: Floats, mask: Booleans | None) -> Floats:
        """The output (B, T, W) of the attention `name`.

        name  as in the names of the weights
        q     (B, H, T, D) queries
        k, v  (B, H, any, D) keys and values
        mask  broadcast to (B, H, T, any), true where attention is allowed; None for no mask
        """
        scores = q @ k.swapaxes(-1, -2) * np.float32(q.shape[-1] ** -0.5)
        if mask is not None:
            scores = np.where(mask, scores, np.float32(-np.inf))
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        rows, heads, length, width = mixed.shape
        return self.linear(f"{name}.out", mixed.transpose(0, 2, 1, 3).reshape(rows, length, heads * width))

    def after_attention(self, layer: str, x: Floats, source: tuple[Floats, Floats, Booleans | None] | None) -> Floats:
        """The rest of a layer, from the residual sum x (B, T, W) after its self-attention.

        layer   as in the names of the weights
        source  keys, values and mask for cross-attention; None for none
        """
        if source is not None:
            keys, values, mask = source
            q = self.heads(self.linear(f"{layer}.cross.query", self.norm(f"{layer}.cross.norm", x)))
            x = x + self.mix(f"{layer}.cross", q, keys, values, mask)
        inner = self.linear(f"{layer}.feed.inner", self.norm(f"{layer}.feed.norm", x))
        return x + self.linear(f"{layer}.feed.outer", np.maximum(inner, 0))

    def embed_source(self, source: Ids, mask: Booleans | None) -> Floats:
        """Token and position embeddings (B, S, W); source (B, S) padded on the left, mask (B, 1, 1, S)."""
        length = source.shape[1]
        places, from_end = self.weights["encoder.places"], self.weights["encoder.places_from_end"]
        from_start = places[:length] if mask is None else places[np.maximum(mask[:, 0, 0].cumsum(1) - 1, 0)]
        return self.embed(source) + (from_start + from_end[len(from_end) - length :])

    def embed(self, ids: Ids) -> Floats:
        """Scaled embeddings (..., W) of token ids (...)."""
        result: Floats = self.weights["embed.weight"][ids] * np.float32(self.shape.width**0.5)
        return result

    def encode(self, source: Ids, mask: Booleans | None) -> list[tuple[Floats, Floats]]:
        """Keys and values (B, H, S, D) of each decoder layer for the source; source, mask as for `embed_source`."""
        x = self.embed_source(source, mask)
        for index in range(self.shape.encoder):
            layer = f"encoder.layers.{index}"
            x = self.after_attention(layer, x + self.mix(f"{layer}.attention", *self.project(layer, x), mask), None)
        fused = self.linear("memory", self.norm("memory_norm", x))
        parts = [self.heads(part) for part in np.split(fused, 2 * self.shape.decoder, axis=2)]
        return list(zip(parts[::2], parts[1::2], strict=True))

    def logits(self, x: Floats) -> Floats:
        """Logits (B, V) of hidden vectors x (B, W), by the embeddings of the ids that can be generated."""
        result: Floats = self.norm("norm", x) @ self.weights["embed.weight"][: self.shape.outputs].T
        return result


class NumpyDecodingState:
    """What `kv_cache.BuiltinDecodingState` is, in numpy: `logits`, `advance` and `select`.

    network  the model
    source   (B, S) token ids, padded on the left
    mask     (B, 1, 1, S), true where a character stands; None where no row is padded
    start    id of the start token
    """

    def __init__(self, network: NumpyNetwork, source: Ids, mask: Booleans | None, start: int) -> None:
        self.network, self.mask = network, mask
        self.position = 0  # of the next target token
        self.cache: list[tuple[Floats, Floats]] = []  # by layer: keys and values (B, H, positions, D)
        self.memory: list[tuple[Floats, Floats]] = []
        if network.shape.encoder:
            self.memory = network.encode(source, mask)
        else:
            self._prefill(source)
        self.logits = self._step(np.full(len(source), start))

    def advance(self, tokens: Ids) -> None:
        """Append one token id to every row, `tokens` (B,), and compute the next logits."""
        self.logits = self._step(tokens)

    def select(self, rows: Ids) -> None:
        """Keep the rows at the indices `rows`."""
        self.cache = [(keys[rows], values[rows]) for keys, values in self.cache]
        self.memory = [(keys[rows], values[rows]) for keys, values in self.memory]
        self.mask = None if self.mask is None else self.mask[rows]
        self.logits = self.logits[rows]

    def _prefill(self, source: Ids) -> None:
        net, length = self.network, source.shape[1]
        x = net.embed_source(source, self.mask)
        full: Any = np.tril(np.ones((length, length), dtype=bool))
        if self.mask is not None:  # a padding position sees itself: attention over nothing would be NaN
            full = (self.mask & full) | np.eye(length, dtype=bool)
        for index in range(net.shape.decoder):
            layer = f"layers.{index}"
            q, k, v = net.project(layer, x)
            self.cache.append((k, v))
            x = net.after_attention(layer, x + net.mix(f"{layer}.attention", q, k, v, full), None)

    def _step(self, tokens: Ids) -> Floats:
        """Logits (B, V) after one more token of every row."""
        net = self.network
        x = net.embed(tokens[:, None]) + net.weights["places"][self.position : self.position + 1]
        for index in range(net.shape.decoder):
            layer = f"layers.{index}"
            q, keys, values = net.project(layer, x)
            if index < len(self.cache):
                keys = np.concatenate((self.cache[index][0], keys), axis=2)
                values = np.concatenate((self.cache[index][1], values), axis=2)
                self.cache[index] = (keys, values)
            else:
                self.cache.append((keys, values))
            mask, source = None, None
            if self.memory:
                source = (*self.memory[index], self.mask)
            elif self.mask is not None:
                new = np.ones((len(tokens), 1, 1, keys.shape[2] - self.mask.shape[-1]), dtype=bool)
                mask = np.concatenate((self.mask, new), axis=3)
            x = net.after_attention(layer, x + net.mix(f"{layer}.attention", q, keys, values, mask), source)
        self.position += 1
        return net.logits(x[:, 0])
