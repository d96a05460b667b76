"""Whether a fused layer computes what the architecture's own forward computes: values and gradients, measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Function = Callable[..., Sequence[Tensor]]


def agree(layer: nn.Module, original: Function, fused: Function, inputs: Mapping[str, Tensor]) -> bool:
    """Whether two functions of a layer give the same in float32.

    layer     whose weights both use
    original  the architecture's own forward, called with the inputs as keywords
    fused     what shall replace it
    inputs    tensors by name
    Compared are values and gradients with respect to inputs and weights, to 1e-4 of their norms. A function that raises
    differs.
    """
    with _evaluation_mode(layer):
        try:
            one, other = (_values_and_gradients(function, layer, inputs) for function in (original, fused))
        except (ValueError, RuntimeError, TypeError, IndexError, KeyError, AttributeError):
            return False
    distances = (((a - b).norm(), a.norm() + b.norm()) for a, b in zip(one, other, strict=True))
    return all(bool(distance <= 1e-4 * size + 1e-9) for distance, size in distances)


@contextmanager
def _evaluation_mode(layer: nn.Module) -> Iterator[None]:
    """Without dropout, and with gradients whatever the caller switched off."""
    training = layer.training
    layer.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        layer.train(training)


def _values_and_gradients(function: Function, layer: nn.Module, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
    weights = [weight for weight in layer.parameters() if weight.requires_grad]
    values = function(**leaves)
    rng = torch.Generator().manual_seed(1)
    loss = torch.stack([(value * torch.randn(value.shape, generator=rng)).sum() for value in values]).sum()
    gradients = torch.autograd.grad(loss, [*leaves.values(), *weights], allow_unused=True)
    return [value.detach() for value in values] + [torch.zeros(1) if one is None else one for one in gradients]
