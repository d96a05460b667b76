"""The network of the built-in models: a small pre-norm transformer made for speed on a CPU.

Sources are padded on the left, so the targets of all rows start in the same column. Positions are learned embeddings
(rotary ones were far worse at this size), counted from both ends of the source: the last digit of a number is its ones
wherever it stands, and without positions from the start a model cannot know where a source ends.
Shapes: B rows, S source characters, T target tokens, H heads, D width of a head, W = H·D.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from terakoya.models.builtin.shape import Shape


def call_module(module: nn.Module, x: Tensor) -> Tensor:
    """`module(x)`, typed as a tensor: torch itself promises only `Any`."""
    result: Tensor = module(x)
    return result


def as_layers(layers: nn.ModuleList) -> list[TransformerLayer]:
    """The modules of `layers`, typed as transformer layers."""
    return cast("list[TransformerLayer]", list(layers))


class Attention(nn.Module):
    """Self-attention of a network of this `shape`, with one fused projection for query, key and value."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norm = nn.LayerNorm(shape.width)
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B, H, T, D), of hidden vectors x (B, T, W)."""
        rows, length, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(rows, length, 3, self.heads, width // self.heads).unbind(2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """The attention output (B, T, W).

        q       (B, H, T, D) queries
        k, v    (B, H, any, D) keys and values
        mask    broadcast to (B, H, T, any), true where attention is allowed; None for no mask
        causal  whether the usual triangular mask applies instead
        """
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return call_module(self.out, mixed.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """Self-attention of x (B, T, W); mask and causal as in `mix`."""
        return self.mix(*self.project(x), mask, causal)


class CrossAttention(nn.Module):
    """Attention of the target to the source, for a network of this `shape`.

    Keys and values of all layers come from one matmul, `CharacterTransformer.source_keys_values`.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norm = nn.LayerNorm(shape.width)
        self.query = nn.Linear(shape.width, shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """The attention output (B, T, W).

        x             (B, T, W) hidden vectors of the target
        keys, values  (B, H, S, D) of the source
        mask          (B, 1, 1, S), true where a character stands; None where no row is padded
        """
        q = self.query(self.norm(x)).unflatten(2, (self.heads, -1)).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
        return call_module(self.out, mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """The feed-forward network of a layer, of this `shape`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.inner = nn.Linear(shape.width, shape.feed)
        self.outer = nn.Linear(shape.feed, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        """Hidden vectors x (..., W) → (..., W)."""
        return call_module(self.outer, F.relu(self.inner(self.norm(x))))


class TransformerLayer(nn.Module):
    """Self-attention, cross-attention where `crossed`, feed-forward; dropout on each residual branch.

    shape    of the network
    crossed  whether the layer attends to a source
    """

    def __init__(self, shape: Shape, crossed: bool) -> None:
        super().__init__()
        self.attention = Attention(shape)
        self.cross = CrossAttention(shape) if crossed else None
        self.feed = FeedForward(shape)
        self.rate = shape.dropout

    def drop(self, x: Tensor) -> Tensor:
        """Dropout on x (any shape) while training."""
        return F.dropout(x, self.rate, self.training) if self.rate and self.training else x

    def forward(
        self, x: Tensor, mask: Tensor | None, causal: bool, source: tuple[Tensor, Tensor, Tensor | None] | None = None
    ) -> Tensor:
        """Hidden vectors (B, T, W) of the next layer.

        x             (B, T, W) hidden vectors
        mask, causal  of self-attention, as in `Attention.mix`
        source        keys, values and mask for cross-attention; None for none
        """
        return self.after_attention(x + self.drop(self.attention(x, mask, causal)), source)

    def after_attention(self, x: Tensor, source: tuple[Tensor, Tensor, Tensor | None] | None) -> Tensor:
        """The rest of the layer, from the residual sum x (B, T, W) after self-attention; `source` as in `forward`."""
        if self.cross is not None and source is not None:
            x = x + self.drop(self.cross(x, *source))
        return x + self.drop(self.feed(x))


class Encoder(nn.Module):
    """Source ids → one hidden vector for each character.

    shape  of the network
    embed  token embeddings, shared with the decoder
    """

    def __init__(self, shape: Shape, embed: nn.Embedding) -> None:
        super().__init__()
        self.embed = embed
        self.scale = shape.width**0.5
        self.rate = shape.dropout
        # Position embeddings. Saved weights have them under this name.
        self.places = nn.Parameter(torch.zeros(shape.max_source, shape.width))
        self.places_from_end = nn.Parameter(torch.zeros(shape.max_source, shape.width))
        self.layers = nn.ModuleList(TransformerLayer(shape, crossed=False) for _ in range(shape.encoder))

    def embed_source(self, source: Tensor, mask: Tensor | None) -> Tensor:
        """Token and position embeddings (B, S, W).

        source  (B, S) token ids, padded on the left; the last position from the end belongs to the last character
        mask    (B, 1, 1, S), true where a character stands; None where no row is padded
        """
        length = source.shape[1]
        if mask is None:
            from_start = self.places[:length]
        else:
            from_start = F.embedding((mask[:, 0, 0].cumsum(1) - 1).clamp(min=0), self.places)
        from_end = self.places_from_end[len(self.places_from_end) - length :]
        x: Tensor = self.embed(source) * self.scale + (from_start + from_end)
        return F.dropout(x, self.rate, self.training) if self.rate and self.training else x

    def forward(self, source: Tensor, mask: Tensor | None) -> Tensor:
        """Hidden vectors (B, S, W); source and mask as in `embed_source`."""
        x = self.embed_source(source, mask)
        for layer in as_layers(self.layers):
            x = layer(x, mask, False)
        return x


class CharacterTransformer(nn.Module):
    """Encoder-decoder, or decoder-only where the `shape` has no encoder layers (then the source is read causally)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.encoder = Encoder(shape, self.embed)
        self.places = nn.Parameter(torch.zeros(shape.max_target, shape.width))  # position embeddings
        self.layers = nn.ModuleList(TransformerLayer(shape, crossed=bool(shape.encoder)) for _ in range(shape.decoder))
        self.memory_norm = nn.LayerNorm(shape.width) if shape.encoder else None
        self.memory = nn.Linear(shape.width, 2 * shape.width * shape.decoder) if shape.encoder else None
        self.norm = nn.LayerNorm(shape.width)

    def initialise(self, seed: int, unknown: int) -> None:
        """Random weights that depend on the seed alone.

        seed     of the generator
        unknown  id of <unknown>, whose embedding is set to zero, for training never shows it
        """
        rng = torch.Generator().manual_seed(seed)
        depth = (2 * (self.shape.encoder + self.shape.decoder)) ** -0.5
        with torch.no_grad():
            for name, weights in self.named_parameters():
                if name.endswith("norm.weight"):
                    # The last norm starts small: a token's own embedding runs through the whole residual sum, and with
                    # tied embeddings its logit would be far the largest; so the first loss is near that of uniform
                    # probabilities.
                    weights.fill_(self.shape.width**-0.5 if name == "norm.weight" else 1.0)
                elif weights.dim() < 2:
                    weights.zero_()
                elif "places" in name:
                    weights.normal_(0, 0.5, generator=rng)
                else:
                    # Ends of residual branches start small, so that depth does not blow up the sum.
                    damping = depth if name.endswith(("out.weight", "outer.weight")) else 1.0
                    weights.normal_(0, damping * weights.shape[1] ** -0.5, generator=rng)
            self.embed.weight[unknown] = 0.0

    def source_keys_values(self, memory: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values (B, H, S, D) of every layer for cross-attention, in one matmul over memory (B, S, W)."""
        assert self.memory is not None
        assert self.memory_norm is not None
        rows, length, width = memory.shape
        heads = self.shape.heads
        fused = self.memory(self.memory_norm(memory)).view(rows, length, 2 * len(self.layers), heads, width // heads)
        parts = [part.transpose(1, 2) for part in fused.unbind(2)]
        return [(parts[2 * index], parts[2 * index + 1]) for index in range(len(self.layers))]

    def embed_target(self, target: Tensor, first: int = 0) -> Tensor:
        """Token and position embeddings (B, T, W) of target (B, T) token ids, the first at position `first`."""
        vectors: Tensor = self.embed(target) * self.encoder.scale + self.places[first : first + target.shape[1]]
        return vectors

    def drop(self, x: Tensor) -> Tensor:
        """Dropout on embeddings x (any shape) while training."""
        return as_layers(self.layers)[0].drop(x)

    def forward(self, source: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        """Normalised hidden vectors (B, T, W) of the target positions, under teacher forcing.

        source  (B, S) token ids, padded on the left
        target  (B, T) token ids, <start> first
        mask    (B, 1, 1, S), true where a character stands; None where no row is padded
        """
        if self.shape.encoder:
            memory = self.source_keys_values(self.encoder(source, mask))
            x = self.drop(self.embed_target(target))
            for layer, (keys, values) in zip(as_layers(self.layers), memory, strict=True):
                x = layer(x, None, True, (keys, values, mask))
            return call_module(self.norm, x)
        x = torch.cat((self.encoder.embed_source(source, mask), self.drop(self.embed_target(target))), dim=1)
        full = causal_mask(mask, x.shape[1])
        for layer in as_layers(self.layers):
            x = layer(x, full, full is None)
        return call_module(self.norm, x[:, source.shape[1] :])

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (..., outputs) of hidden vectors (..., W), by the embeddings of the ids that can be generated."""
        return F.linear(hidden, self.embed.weight[: self.shape.outputs])


def causal_mask(mask: Tensor | None, length: int) -> Tensor | None:
    """A causal mask (B, 1, length, length) that hides the padding, true where attention is allowed.

    mask    (B, 1, 1, S), true where a character stands; None where no row is padded, and then None is returned
    length  of source and target together
    """
    if mask is None:
        return None
    visible = F.pad(mask, (0, length - mask.shape[-1]), value=True)
    causal = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    # A padding position sees itself: attention over nothing would be NaN, and NaN spreads through 0 · NaN.
    return (visible & causal) | torch.eye(length, dtype=torch.bool, device=mask.device)
