"""Where a number stopped being finite: found by looking, not by reading logs.

The batch is asked once more with a hook on every module; the first that gives a non-finite value is named. Where
all values are finite, the weight whose gradient is not is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from terakoya.errors import NumericError
from terakoya.training.diagnosis import Cause


def finite(tensors: Iterable[Tensor]) -> bool:
    """One number decides: a sum of squares of sums is finite only if every part is."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def first_bad_module(module: nn.Module, ask: Callable[[], object]) -> str:
    """The name of the module that first gives a non-finite value while `ask` runs; "" where none does."""
    bad: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if not bad and not finite(_floats(output)):
                bad.append(name)

        return look

    hooks = [part.register_forward_hook(watch(name)) for name, part in module.named_modules() if name]
    try:
        with torch.no_grad():
            ask()
    finally:
        for hook in hooks:
            hook.remove()
    return bad[0] if bad else ""


def cause(module: nn.Module, named: Iterable[tuple[str, nn.Parameter]], ask: Callable[[], Tensor]) -> str:
    """What is not finite, in words: a weight, a module's output, the loss itself, or a gradient."""
    weights = list(named)
    for name, weight in weights:
        if not finite([weight]):
            return f"the weight {name} itself"
    losses: list[Tensor] = []
    place = first_bad_module(module, lambda: losses.append(ask()))
    if place:
        return f"the output of module {place}"
    if losses and not finite(losses):
        return "the loss (every module's output is finite)"
    for name, weight in weights:
        if weight.grad is not None and not finite([weight.grad]):
            return f"the gradient of {name}"
    return "the norm of all gradients (each gradient is finite)"


def refusal(
    *, what: str, step: int, rows: Iterable[str], learning_rate: float, dtype: torch.dtype, cause: Cause
) -> NumericError:
    """`what` is the place where it shows, `cause` what most likely brought it there."""
    listed = list(cause.rows or rows)
    shown = ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
    return NumericError(
        f"not finite: {what} (learning rate {learning_rate:.3g}, {str(dtype).removeprefix('torch.')}, "
        f"{'bad rows' if cause.rows else 'rows'}: {shown})\nLikely cause: {cause.kind}: {cause.why}",
        where=f"step {step}",
        do=cause.do,
        saved="The weights of this step were not saved; the last checkpoint is sound.",
        cause=cause.kind,
        step=step,
    )


def _floats(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in _floats(item)]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in _floats(item)]
    return []
