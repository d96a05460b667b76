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
from terakoya.i18n import both, japanese
from terakoya.training.nonfinite.evidence import KINDS_JA, Cause


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
            return both(f"the weight {name} itself", f"重み {name} そのもの")
    losses: list[Tensor] = []
    place = first_bad_module(module, lambda: losses.append(ask()))
    if place:
        return both(f"the output of module {place}", f"モジュール {place} の出力")
    if losses and not finite(losses):
        return both("the loss (every module's output is finite)", "損失（モジュールの出力はすべて有限）")
    for name, weight in weights:
        if weight.grad is not None and not finite([weight.grad]):
            return both(f"the gradient of {name}", f"{name} の勾配")
    return both("the norm of all gradients (each gradient is finite)", "全勾配のノルム（個々の勾配は有限）")


def refusal(
    *, what: str, step: int, rows: Iterable[str], learning_rate: float, dtype: torch.dtype, cause: Cause
) -> NumericError:
    """`what` is the place where it shows, `cause` what most likely brought it there."""
    listed = list(cause.rows or rows)
    shown = ", ".join(listed[:5]) + (
        both(f" and {len(listed) - 5} more", f"、他{len(listed) - 5}行") if len(listed) > 5 else ""
    )
    which = both("bad rows", "壊れた行") if cause.rows else both("rows", "行")
    return NumericError(
        both(
            f"not finite: {what} (learning rate {learning_rate:.3g}, {str(dtype).removeprefix('torch.')}, "
            f"{which}: {shown})\nLikely cause: {cause.kind}: {cause.why}",
            f"有限でない：{japanese(what)}（学習率 {learning_rate:.3g}、"
            f"{str(dtype).removeprefix('torch.')}、{japanese(which)}：{japanese(shown)}）"
            f"\n考えられる原因：{KINDS_JA[cause.kind]}：{japanese(cause.why)}",
        ),
        where=both(f"step {step}", f"ステップ{step}"),
        do=cause.do,
        saved=both(
            "The weights of this step were not saved; the last checkpoint is sound.",
            "このステップの重みは保存していない。最後のチェックポイントは無事である。",
        ),
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
