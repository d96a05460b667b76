"""The networks of built-in models as ONNX graphs: an encoder and one cached decoding step, or one graph of set scores.

B rows, S source characters, P cached positions, L decoder layers, H heads, D width of a head, V tokens; U distinct
features and N label names of a batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from terakoya.errors import need
from terakoya.models.builtin.network import CharacterTransformer, as_layers, call_module, causal_mask
from terakoya.models.builtin.set_ensemble import SetEnsemble

OPSET = 18
_ROWS, _LENGTH, _CACHED = 2, 3, 4  # of the example inputs; all are dynamic


class SourceGraph(nn.Module):
    """source (B, S), mask (B, 1, 1, S) → memory, the keys and values that each decoding step reads.

    Of an encoder-decoder they are those of cross-attention, (2L, B, H, S, D); of a decoder-only model they are the
    cache of its prefix.

    network  the trained model
    """

    def __init__(self, network: CharacterTransformer) -> None:
        super().__init__()
        self.network = network

    def forward(self, source: Tensor, mask: Tensor) -> Tensor:
        """Keys and values of each layer, one after the other.

        source  (B, S) token ids, padded on the left
        mask    (B, 1, 1, S), true where a character stands
        """
        net = self.network
        if net.shape.encoder:
            pairs = net.source_keys_values(net.encoder(source, mask))
        else:
            pairs = []
            x = net.encoder.embed_source(source, mask)
            full = causal_mask(mask, x.shape[1])
            for layer in as_layers(net.layers):
                q, k, v = layer.attention.project(x)
                pairs.append((k, v))
                x = layer.after_attention(x + layer.attention.mix(q, k, v, full), None)
        return torch.stack([part for pair in pairs for part in pair])


class StepGraph(nn.Module):
    """One token more for every row: token ids, cache and memory → logits and the longer cache.

    network  the trained model
    """

    def __init__(self, network: CharacterTransformer) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, tokens: Tensor, position: Tensor, cache: Tensor, mask: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, V), and the cache (2L, B, H, P + 1, D).

        tokens    (B, 1) token ids
        position  (1,) of these tokens in the target
        cache     (2L, B, H, P, D) keys and values so far
        mask      of an encoder-decoder (B, 1, 1, S), of a decoder-only model (B, 1, 1, P + 1); true where one stands
        memory    (2L, B, H, S, D) of an encoder-decoder
        """
        net = self.network
        # index_select: the exporter cannot slice by a position that is an input.
        x = net.embed(tokens) * net.encoder.scale + net.places.index_select(0, position)
        parts: list[Tensor] = []
        for index, layer in enumerate(as_layers(net.layers)):
            q, k, v = layer.attention.project(x)
            keys = torch.cat((cache[2 * index], k), dim=2)
            values = torch.cat((cache[2 * index + 1], v), dim=2)
            parts += [keys, values]
            if memory is None:
                x = layer.after_attention(x + layer.attention.mix(q, keys, values, mask), None)
            else:
                source = (memory[2 * index], memory[2 * index + 1], mask)
                x = layer.after_attention(x + layer.attention.mix(q, keys, values), source)
        return net.logits(call_module(net.norm, x[:, 0])), torch.stack(parts)


def export_sequence(network: CharacterTransformer, folder: Path) -> tuple[str, ...]:
    """Write source.onnx and step.onnx.

    network  of a built-in model with a sequence head, in evaluation mode
    folder   in which the files are written
    Returns their names.
    """
    shape = network.shape
    layers, heads, width = 2 * shape.decoder, shape.heads, shape.width // shape.heads
    source = torch.ones(_ROWS, _LENGTH, dtype=torch.long)
    mask = torch.ones(_ROWS, 1, 1, _LENGTH, dtype=torch.bool)
    rows, length, cached, seen = (_dynamic(name) for name in ("rows", "length", "cached", "seen"))
    _export(
        SourceGraph(network), (source, mask), folder / "source.onnx", ("source", "mask"), ("memory",),
        {"source": {0: rows, 1: length}, "mask": {0: rows, 3: length}},
    )  # fmt: skip
    tokens, position = torch.ones(_ROWS, 1, dtype=torch.long), torch.ones(1, dtype=torch.long)
    cache = torch.zeros(layers, _ROWS, heads, _CACHED, width)
    inputs: list[Tensor] = [tokens, position, cache]
    names = ["tokens", "position", "cache", "mask"]
    shapes: dict[str, Any] = {"tokens": {0: rows}, "position": None, "cache": {1: rows, 3: cached}}
    if shape.encoder:
        inputs += [mask, torch.zeros(layers, _ROWS, heads, _LENGTH, width)]
        names.append("memory")
        shapes |= {"mask": {0: rows, 3: length}, "memory": {1: rows, 3: length}}
    else:
        inputs.append(torch.ones(_ROWS, 1, 1, _CACHED + 1, dtype=torch.bool))
        shapes |= {"mask": {0: rows, 3: seen}}
    _export(StepGraph(network), tuple(inputs), folder / "step.onnx", names, ("logits", "cache_after"), shapes)
    return "source.onnx", "step.onnx"


def export_set(ensemble: SetEnsemble, folder: Path) -> tuple[str, ...]:
    """Write scores.onnx: bag (B, U), features (U,), name_indices (3, N), name_weights (N,) → labels (B, L) and sizes.

    ensemble  of a built-in model with a set head, in evaluation mode
    folder    in which the file is written
    Returns its name.
    """
    rows, used, found = (_dynamic(name) for name in ("rows", "used", "names"))
    inputs = (
        torch.ones(_ROWS, 5), torch.arange(5), torch.zeros(3, 4, dtype=torch.long), torch.ones(4)
    )  # fmt: skip
    names = ("bag", "features", "name_indices", "name_weights")
    shapes = {"bag": {0: rows, 1: used}, "features": {0: used}, "name_indices": {1: found}, "name_weights": {0: found}}
    _export(ensemble, inputs, folder / "scores.onnx", names, ("labels", "sizes"), shapes)
    return ("scores.onnx",)


def _dynamic(name: str) -> Any:
    return torch.export.Dim(name, min=1, max=1 << 20)


def _export(
    module: nn.Module, inputs: tuple[Tensor, ...], file: Path, names: Sequence[str], outputs: Sequence[str],
    shapes: Mapping[str, Any],
) -> None:  # fmt: skip
    need("onnxscript", extra="onnx")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            module.eval(), inputs, dynamo=True, opset_version=OPSET, input_names=list(names),
            output_names=list(outputs), dynamic_shapes=dict(shapes), external_data=False, verbose=False,
        )  # fmt: skip
    model = cast("Any", program).model_proto
    _without_traces(model)
    file.write_bytes(model.SerializeToString())


def _without_traces(model: Any) -> None:
    """Remove what the exporter notes about where the code stood: stack traces hold paths of this machine."""
    model.doc_string = ""
    for field in (model.metadata_props, model.graph.metadata_props):
        del field[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for function in model.functions:
        function.doc_string = ""
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]
    for values in (model.graph.input, model.graph.output, model.graph.value_info, model.graph.initializer):
        for value in values:
            value.doc_string = ""
            del value.metadata_props[:]
