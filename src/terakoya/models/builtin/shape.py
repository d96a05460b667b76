"""All that fixes the weights of a built-in network; readable without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Shape:
    """All that fixes the weights of a network. The field names are keys of config.json.

    family      "encoder-decoder" or "decoder"
    width       of hidden vectors
    encoder     number of encoder layers; 0 for a decoder-only model
    decoder     number of decoder layers
    heads       attention heads; divides the width
    feed        inner width of the feed-forward network
    dropout     probability
    max_source  characters that a source can have at most
    max_target  tokens that a target can have at most, its end token included
    vocabulary  number of token ids
    outputs     ids 0 … outputs-1 can be generated
    """

    family: Literal["encoder-decoder", "decoder"]
    width: int
    encoder: int
    decoder: int
    heads: int
    feed: int
    dropout: float
    max_source: int
    max_target: int
    vocabulary: int
    outputs: int

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name → shape of every weight, as saved."""
        return dict(self._weight_shapes())

    def _weight_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        width = self.width
        yield "embed.weight", (self.vocabulary, width)
        yield "encoder.places", (self.max_source, width)
        yield "encoder.places_from_end", (self.max_source, width)
        yield "places", (self.max_target, width)
        yield from _norm("norm", width)
        for index in range(self.encoder):
            yield from self._layer(f"encoder.layers.{index}")
        for index in range(self.decoder):
            yield from self._layer(f"layers.{index}")
            if self.encoder:
                cross = f"layers.{index}.cross"
                yield from (*_norm(f"{cross}.norm", width), *_linear(f"{cross}.query", width, width))
                yield from _linear(f"{cross}.out", width, width)
        if self.encoder:
            yield from (*_norm("memory_norm", width), *_linear("memory", width, 2 * width * self.decoder))

    def _layer(self, name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        width = self.width
        yield from (*_norm(f"{name}.attention.norm", width), *_norm(f"{name}.feed.norm", width))
        yield from (
            *_linear(f"{name}.attention.qkv", width, 3 * width),
            *_linear(f"{name}.attention.out", width, width),
        )
        yield from (*_linear(f"{name}.feed.inner", width, self.feed), *_linear(f"{name}.feed.outer", self.feed, width))


def _linear(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from ((f"{name}.weight", (outputs, inputs)), (f"{name}.bias", (outputs,)))


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from ((f"{name}.weight", (width,)), (f"{name}.bias", (width,)))
