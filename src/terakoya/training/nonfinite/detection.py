"""Where a value stopped being finite: found by running the batch again, not by reading logs.

With a hook on every module, the first that gives a non-finite value is named. Where all values are finite, the weight
whose gradient is not is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from terakoya.errors import NumericError
from terakoya.i18n import Message, _
from terakoya.training.nonfinite.evidence import KIND_NAMES, Cause

_SHOWN = 5  # rows named


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every value of all `tensors` is finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def first_nonfinite_module(module: nn.Module, forward: Callable[[], object]) -> str:
    """The name of the module that first gives a non-finite value; "" where none does.

    module   the whole model
    forward  runs it once
    """
    bad: list[str] = []

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if not bad and not all_finite(_float_tensors(output)):
                bad.append(name)

        return hook

    hooks = [part.register_forward_hook(hook_for(name)) for name, part in module.named_modules() if name]
    try:
        with torch.no_grad():
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return bad[0] if bad else ""


def locate_nonfinite(
    module: nn.Module, parameters: Iterable[tuple[str, nn.Parameter]], forward: Callable[[], Tensor]
) -> Message:
    """What is not finite, in words: a weight, a module's output, the loss itself, or a gradient.

    module      the whole model
    parameters  its trained weights, by name, with the gradients of the step
    forward     runs the step's rows once and gives their loss
    """
    weights = list(parameters)
    for name, weight in weights:
        if not all_finite([weight]):
            return _("the weight {name} itself", name=name)
    losses: list[Tensor] = []
    place = first_nonfinite_module(module, lambda: losses.append(forward()))
    if place:
        return _("the output of module {place}", place=place)
    if losses and not all_finite(losses):
        return _("the loss (every module's output is finite)")
    for name, weight in weights:
        if weight.grad is not None and not all_finite([weight.grad]):
            return _("the gradient of {name}", name=name)
    return _("the norm of all gradients (each gradient is finite)")


def nonfinite_error(
    *, what: str, step: int, rows: Iterable[str], learning_rate: float, dtype: torch.dtype, cause: Cause
) -> NumericError:
    """The error that ends the training.

    what           where it shows (`locate_nonfinite`)
    step           counted from 1
    rows           of the step, by name
    learning_rate  of the step
    dtype          of the weights
    cause          what most likely led to it
    """
    listed = list(cause.rows or rows)
    shown, left = ", ".join(listed[:_SHOWN]), len(listed) - _SHOWN
    more = _(" and {left} more", left=left) if left > 0 else ""
    which = _("bad rows") if cause.rows else _("rows")
    precision, kind, why = str(dtype).removeprefix("torch."), KIND_NAMES[cause.kind], cause.why
    return NumericError(
        _(
            "not finite: {what} (learning rate {learning_rate:.3g}, {precision}, {which}: {shown}{more})\n"
            "Likely cause: {kind}: {why}",
            what=what,
            learning_rate=learning_rate,
            precision=precision,
            which=which,
            shown=shown,
            more=more,
            kind=kind,
            why=why,
        ),
        where=_("step {step}", step=step),
        do=cause.do,
        saved=_("The weights of this step were not saved; the last checkpoint is sound."),
        cause=cause.kind,
        step=step,
    )


def _float_tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in _float_tensors(item)]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in _float_tensors(item)]
    return []
