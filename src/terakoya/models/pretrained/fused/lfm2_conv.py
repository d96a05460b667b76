"""A layer of LFM2 that mixes tokens by a short convolution, with half of the operators; its attention layers are in
decoder_layer.

B, C and x are one matmul; B · x is convolved along each channel, causally, and multiplied by C. Weights are cast
together and concatenated. With a cache, which keeps a convolution's past in its own way, the architecture's own forward
is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from terakoya.models.pretrained.fused import dispatch
from terakoya.models.pretrained.fused.decoder_layer import LFM2, activate
from terakoya.models.pretrained.fused.equivalence import agree
from terakoya.models.pretrained.fused.grouped_matmul import Projection, concatenate_cast, grouped_linears, projections
from terakoya.models.pretrained.fused.pass_cache import PassCache
from terakoya.models.pretrained.fused.rms_norm import norm_constants, rms_norm


@dataclass(frozen=True)
class ConvLayerSpec:
    """What a convolution layer consists of.

    kernel_size  positions that the convolution sees
    eps          of its norms
    adapted      which of its linear projections have an adapter
    """

    kernel_size: int
    eps: float
    adapted: tuple[bool, ...]


def inspect_layer(layer: Any) -> ConvLayerSpec | None:
    """What a `layer` consists of by its parts; None where it has others, or not all of them."""
    mixer, feed = getattr(layer, "conv", None), getattr(layer, LFM2.feed_forward, None)
    conv = getattr(mixer, "conv", None)
    norms = [getattr(layer, name, None) for name in LFM2.block_norms]
    if feed is None or type(conv) is not nn.Conv1d or conv.bias is not None or None in norms:
        return None
    if (
        conv.groups != conv.in_channels
        or conv.in_channels != conv.out_channels
        or conv.stride + conv.dilation != (1, 1)
    ):
        return None
    modules = _linear_modules(layer)
    linear = projections(modules)
    if linear is None or any(one.bias is not None for one in linear):
        return None
    known = {id(weight) for one in (*modules, *norms, conv) for weight in one.parameters()}
    constants, *others = {norm_constants(one) for one in norms}
    if {id(weight) for weight in layer.parameters()} != known or others or constants[0] != 0.0:
        return None
    return ConvLayerSpec(int(conv.kernel_size[0]), constants[1], tuple(one.adapted for one in linear))


def fused_forward(original: Any, spec: ConvLayerSpec, cache: PassCache) -> Any:
    """A forward for layers of this kind: fused on a GPU, and the original one in all cases that are not known here.

    original  the forward of the layer's class
    spec      what the layer consists of
    cache     not used by a convolution
    """

    def forward(
        layer: Any, hidden_states: Tensor, *rest: Any, attention_mask: Tensor | None = None,
        past_key_values: Any = None, **options: Any,
    ) -> Any:  # fmt: skip
        linear = projections(_linear_modules(layer)) if dispatch.is_on_gpu(hidden_states) else None
        if (
            linear is None or rest or past_key_values is not None
            or (attention_mask is not None and attention_mask.dim() != 2)
            or not dispatch.is_known_precision(layer.operator_norm.weight, hidden_states)
            or dispatch.has_hooks((layer.conv, layer.feed_forward))
        ):  # fmt: skip
            return original(
                layer, hidden_states, *rest, attention_mask=attention_mask, past_key_values=past_key_values, **options
            )
        return _layer(layer, spec, linear, hidden_states, attention_mask, dispatch.matmul_dtype(hidden_states))

    return forward


def is_equivalent(layer: Any, spec: ConvLayerSpec) -> bool:
    """Whether the fused forward of a `layer` with this `spec` gives what its own gives, with padding inside rows."""
    rng = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 6, len(layer.operator_norm.weight), generator=rng)
    mask = torch.ones(2, 6, dtype=torch.long)
    mask[1, 2] = mask[1, 5] = 0
    linear = projections(_linear_modules(layer))
    assert linear is not None

    def original(hidden: Tensor) -> list[Tensor]:
        output = type(layer).forward(layer, hidden, attention_mask=mask, past_key_values=None)
        return [output if isinstance(output, Tensor) else output[0]]

    def fused(hidden: Tensor) -> list[Tensor]:
        return [_layer(layer, spec, linear, hidden, mask, torch.float32, concatenate=True)]

    return agree(layer, original, fused, {"hidden": hidden})


def _layer(
    layer: Any, spec: ConvLayerSpec, linear: list[Projection], hidden: Tensor, mask: Tensor | None,
    dtype: torch.dtype, *, concatenate: bool = False,
) -> Tensor:  # fmt: skip
    """hidden (B, T, D) → the same after this layer; mask (B, T) is 0 where there is padding."""
    project_in, project_out, gate_up, down = grouped_linears(
        [linear[:1], linear[1:2], linear[2:4], linear[4:]], dtype, concatenate=concatenate
    )
    kernel = layer.conv.conv.weight
    if kernel.dtype != dtype:
        (kernel,) = concatenate_cast([[kernel]], dtype)
    width = hidden.shape[-1]

    def normed(name: str) -> Tensor:
        scale = getattr(layer, name).weight
        return rms_norm(hidden, scale if scale.dtype == torch.float32 else scale.float(), width, spec.eps)

    inputs = normed(LFM2.block_norms[0])
    inputs = inputs.to(dtype) if mask is None else (inputs * mask[:, :, None]).to(dtype)
    b, c, x = project_in.one(inputs).chunk(3, -1)
    size = hidden.shape[1]
    mixed = functional.conv1d((b * x).transpose(1, 2), kernel, padding=spec.kernel_size - 1, groups=width)[..., :size]
    hidden = hidden + project_out.one(c * mixed.transpose(1, 2))
    gate, up = gate_up.two(normed(LFM2.block_norms[1]).to(dtype))
    return hidden + down.one(activate(layer.feed_forward, gate) * up)


def _linear_modules(layer: Any) -> list[Any]:
    """Projections to B, C and x; output; gate, up; down. None where one is missing."""
    modules = [getattr(layer.conv, name, None) for name in ("in_proj", "out_proj")]
    return modules + [getattr(layer.feed_forward, name, None) for name in LFM2.feed_forward_projections]
