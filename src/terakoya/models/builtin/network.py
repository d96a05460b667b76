"""The network of the built-in models: a small pre-norm transformer made for speed on a CPU.

Sources stand flush right, so answers of all rows begin in the same column. Places are learned (rotary ones were far
worse at this size) and counted from both ends of the source: the last digit of a number is its ones wherever it
stands, and without the beginning a model cannot know where a source is over.
Shapes: B rows, S source characters, T answer tokens, H heads, D width of a head, W = H·D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """All that fixes the weights of a network. `encoder` is 0 for a decoder-only model."""

    family: Literal["encoder-decoder", "decoder"]
    width: int
    encoder: int  # layers
    decoder: int
    heads: int
    feed: int  # inner width of the feed-forward part
    dropout: float
    max_source: int
    max_target: int
    vocabulary: int
    outputs: int


def call(module: nn.Module, x: Tensor) -> Tensor:
    """A module asked for one tensor; torch itself promises only `Any`."""
    found: Tensor = module(x)
    return found


def stack(layers: nn.ModuleList) -> list[Layer]:
    return cast("list[Layer]", list(layers))


class Attention(nn.Module):
    """Self-attention with one fused projection for query, key and value."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norm = nn.LayerNorm(shape.width)
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, W) → three of (B, H, T, D)."""
        rows, length, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(rows, length, 3, self.heads, width // self.heads).unbind(2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return call(self.out, mixed.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        return self.mix(*self.project(x), mask, causal)


class Cross(nn.Module):
    """Attention of the answer to the source; keys and values of all layers come from one product elsewhere."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norm = nn.LayerNorm(shape.width)
        self.query = nn.Linear(shape.width, shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        q = self.query(self.norm(x)).unflatten(2, (self.heads, -1)).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
        return call(self.out, mixed.transpose(1, 2).flatten(2))


class Feed(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.inner = nn.Linear(shape.width, shape.feed)
        self.outer = nn.Linear(shape.feed, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        return call(self.outer, F.relu(self.inner(self.norm(x))))


class Layer(nn.Module):
    """Attention, (attention to the source,) feed-forward; dropout on each contribution."""

    def __init__(self, shape: Shape, crossed: bool) -> None:
        super().__init__()
        self.attention = Attention(shape)
        self.cross = Cross(shape) if crossed else None
        self.feed = Feed(shape)
        self.rate = shape.dropout

    def drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.rate, self.training) if self.rate and self.training else x

    def forward(
        self, x: Tensor, mask: Tensor | None, causal: bool, source: tuple[Tensor, Tensor, Tensor | None] | None = None
    ) -> Tensor:
        return self.after_attention(x + self.drop(self.attention(x, mask, causal)), source)

    def after_attention(self, x: Tensor, source: tuple[Tensor, Tensor, Tensor | None] | None) -> Tensor:
        if self.cross is not None and source is not None:
            x = x + self.drop(self.cross(x, *source))
        return x + self.drop(self.feed(x))


class Encoder(nn.Module):
    """Source ids → one vector for each character; also the ground on which a head for sets can stand."""

    def __init__(self, shape: Shape, embed: nn.Embedding) -> None:
        super().__init__()
        self.embed = embed
        self.scale = shape.width**0.5
        self.rate = shape.dropout
        self.places = nn.Parameter(torch.zeros(shape.max_source, shape.width))
        self.places_from_end = nn.Parameter(torch.zeros(shape.max_source, shape.width))
        self.layers = nn.ModuleList(Layer(shape, crossed=False) for _ in range(shape.encoder))

    def enter(self, source: Tensor, mask: Tensor | None) -> Tensor:
        """ids (B, S), flush right → (B, S, W); the last row of `places_from_end` is the last character's."""
        length = source.shape[1]
        if mask is None:
            begun = self.places[:length]
        else:
            begun = F.embedding((mask[:, 0, 0].cumsum(1) - 1).clamp(min=0), self.places)
        x: Tensor = self.embed(source) * self.scale + (begun + self.places_from_end[len(self.places) - length :])
        return F.dropout(x, self.rate, self.training) if self.rate and self.training else x

    def forward(self, source: Tensor, mask: Tensor | None) -> Tensor:
        """mask (B, 1, 1, S), true where a character stands; None where all rows are full. Returns (B, S, W)."""
        x = self.enter(source, mask)
        for layer in stack(self.layers):
            x = layer(x, mask, False)
        return x


class Net(nn.Module):
    """Encoder-decoder, or decoder-only where the shape has no encoder layers (then the source is read causally)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.encoder = Encoder(shape, self.embed)
        self.places = nn.Parameter(torch.zeros(shape.max_target, shape.width))
        self.layers = nn.ModuleList(Layer(shape, crossed=bool(shape.encoder)) for _ in range(shape.decoder))
        self.memory_norm = nn.LayerNorm(shape.width) if shape.encoder else None
        self.memory = nn.Linear(shape.width, 2 * shape.width * shape.decoder) if shape.encoder else None
        self.norm = nn.LayerNorm(shape.width)

    def begin(self, seed: int, unknown: int) -> None:
        """First weights, drawn from the seed alone. <unknown> starts as nothing, for training never shows it."""
        chance = torch.Generator().manual_seed(seed)
        depth = (2 * (self.shape.encoder + self.shape.decoder)) ** -0.5
        with torch.no_grad():
            for name, weights in self.named_parameters():
                if name.endswith("norm.weight"):
                    # The last norm starts small: a token's own vector runs through the whole sum, and with shared
                    # embeddings it would shout its own name; so the first loss is near an even guess.
                    weights.fill_(self.shape.width**-0.5 if name == "norm.weight" else 1.0)
                elif weights.dim() < 2:
                    weights.zero_()
                elif "places" in name:
                    weights.normal_(0, 0.5, generator=chance)
                else:
                    # Ends of residual branches start small, so that depth does not blow up the sum.
                    damp = depth if name.endswith(("out.weight", "outer.weight")) else 1.0
                    weights.normal_(0, damp * weights.shape[1] ** -0.5, generator=chance)
            self.embed.weight[unknown] = 0.0

    def sources(self, memory: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values (B, H, S, D) of every layer for attention to the source, in one product."""
        assert self.memory is not None
        assert self.memory_norm is not None
        rows, length, width = memory.shape
        heads = self.shape.heads
        both = self.memory(self.memory_norm(memory)).view(rows, length, 2 * len(self.layers), heads, width // heads)
        parts = [part.transpose(1, 2) for part in both.unbind(2)]
        return [(parts[2 * number], parts[2 * number + 1]) for number in range(len(self.layers))]

    def answer_vectors(self, answer: Tensor, first: int = 0) -> Tensor:
        vectors: Tensor = self.embed(answer) * self.encoder.scale + self.places[first : first + answer.shape[1]]
        return vectors

    def dropped(self, x: Tensor) -> Tensor:
        return stack(self.layers)[0].drop(x)

    def forward(self, source: Tensor, answer: Tensor, mask: Tensor | None) -> Tensor:
        """source (B, S) and answer (B, T) beginning with <start> → hidden vectors (B, T, W), normed."""
        if self.shape.encoder:
            sources = self.sources(self.encoder(source, mask))
            x = self.dropped(self.answer_vectors(answer))
            for layer, (keys, values) in zip(stack(self.layers), sources, strict=True):
                x = layer(x, None, True, (keys, values, mask))
            return call(self.norm, x)
        x = torch.cat((self.encoder.enter(source, mask), self.dropped(self.answer_vectors(answer))), dim=1)
        full = causal_mask(mask, x.shape[1])
        for layer in stack(self.layers):
            x = layer(x, full, full is None)
        return call(self.norm, x[:, source.shape[1] :])

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the ids that can be answered."""
        return F.linear(hidden, self.embed.weight[: self.shape.outputs])


def causal_mask(mask: Tensor | None, length: int) -> Tensor | None:
    """(B, 1, 1, S) of a source flush right → (B, 1, length, length): causal, filling unseen. None stays None."""
    if mask is None:
        return None
    seen = F.pad(mask, (0, length - mask.shape[-1]), value=True)
    causal = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    # A row of filling sees itself: attention over nothing would be NaN, and NaN spreads through 0 · NaN.
    return (seen & causal) | torch.eye(length, dtype=torch.bool, device=mask.device)
