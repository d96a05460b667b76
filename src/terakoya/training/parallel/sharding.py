"""Weights, gradients and optimizer state divided among processes (FSDP2: Zhao et al., 2023, arXiv:2304.11277).

Every process keeps a part of each weight, its gradient and its optimizer state; the weights of a layer are gathered
while that layer is computed. torch's `fully_shard` is called here as accelerate calls it: accelerate itself (1.15) does
so among GPUs only, and the same code has to run on gloo to be tested.

For whatever needs the whole model (dev, the saved model) the module is given back its own weights for a while: it is
then as it was before, without FSDP's hooks and classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

Attributes = dict[nn.Module, tuple[type, dict[str, Any]]]


class Shards:
    """The trained weights of a module as this process's part of each.

    module  on its device; afterwards its layers gather their weights when they are called
    count   number of processes
    """

    def __init__(self, module: nn.Module, count: int) -> None:
        self.module = module
        self._whole = dict(module.named_parameters())
        self._whole_attributes = _attributes(module)
        device = next(iter(self._whole.values())).device
        self.mesh = init_device_mesh(device.type, (count,))
        for layer in _layers(module):
            fully_shard(layer, mesh=self.mesh)
        fully_shard(module, mesh=self.mesh)
        for part in module.modules():
            if isinstance(part, FSDPModule):
                # Sums, as the loss is weighted by targets already; gloo has no scaled sum.
                part.set_gradient_divide_factor(1.0)
                part.set_force_sum_reduction_for_comms(True)
        self._distributed: dict[str, Any] = dict(module.named_parameters())
        self._sharded_attributes = _attributes(module)
        self.local = {
            name: nn.Parameter(weight.to_local().detach())
            for name, weight in self._distributed.items()
            if weight.requires_grad
        }
        self._empty_whole()

    def _empty_whole(self) -> None:
        for weight in self._whole.values():
            weight.data = weight.new_empty(0)

    def collect_gradients(self) -> None:
        """Hand the gradients of a step, summed over all processes, to the local weights."""
        for name, weight in self.local.items():
            distributed = self._distributed[name]
            weight.grad = None if distributed.grad is None else distributed.grad.to_local()
            distributed.grad = None

    def gather(self, name: str, local: Tensor) -> Tensor:
        """The whole of what belongs to a weight, such as its average. All processes call it at the same time.

        name   of the weight
        local  this process's part
        """
        like = self._distributed[name]
        part = DTensor.from_local(
            local.detach().to(like.device), self.mesh, like.placements, shape=like.shape, stride=like.stride()
        )
        return part.full_tensor()

    def part(self, name: str, whole: Tensor) -> Tensor:
        """This process's part of what belongs to a weight.

        name   of the weight
        whole  the same in every process
        """
        like = self._distributed[name]
        return distribute_tensor(whole.to(like.device), self.mesh, like.placements, src_data_rank=None).to_local()

    def gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a training state with every part made whole. All processes call it at the same time.

        tensors  as "PREFIX/NAME"
        """
        return {key: self._converted(key, tensor, whole=True) for key, tensor in tensors.items()}

    def split(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """This process's parts of the tensors of a training state.

        tensors  as "PREFIX/NAME", each whole
        """
        return {key: self._converted(key, tensor, whole=False) for key, tensor in tensors.items()}

    def _converted(self, key: str, tensor: Tensor, *, whole: bool) -> Tensor:
        name = key.rpartition("/")[2]
        if not tensor.dim() or name not in self.local:
            return tensor  # a counter
        return self.gather(name, tensor).cpu() if whole else self.part(name, tensor)

    @contextmanager
    def whole(self, keep: bool) -> Iterator[None]:
        """The module as it was before, with all of its weights. All processes begin at the same time.

        keep  whether this process uses it; others take part in the gathering alone
        """
        self.restore(keep)
        try:
            yield
        finally:
            if keep:
                _set_attributes(self._sharded_attributes)
                self._empty_whole()

    def restore(self, keep: bool = True) -> None:
        """Give the module its whole weights back for good. All processes call it at the same time.

        keep  whether this process needs it
        """
        self._sharded_attributes = _attributes(self.module)
        for name, weight in self._whole.items():
            gathered = self._distributed[name].full_tensor().detach()
            if keep:
                weight.data = gathered
        if keep:
            _set_attributes(self._whole_attributes)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The members of the outermost lists of modules: the layers of an encoder or decoder."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from (layer for layer in child if next(layer.parameters(), None) is not None)
        else:
            yield from _layers(child)


def _attributes(module: nn.Module) -> Attributes:
    """Class, weights, hooks and whatever else each part has now; dictionaries are copied."""
    return {part: (type(part), _copied(vars(part))) for part in module.modules()}


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.copy() if isinstance(value, dict) else value for key, value in values.items()}


def _set_attributes(attributes: Attributes) -> None:
    for part, (kind, values) in attributes.items():
        training = part.training
        part.__class__ = kind
        vars(part).clear()
        vars(part).update(_copied(values))
        vars(part)["training"] = training


def global_norm(norm: Tensor) -> Tensor:
    """The norm of all gradients, from that of this process's parts.

    norm  of the parts that lie here
    """
    square = norm.float().square()
    torch.distributed.all_reduce(square)
    return square.sqrt()
