"""What is the same in every layer of one forward pass: rotary angles and masks, prepared once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_ALIGNMENT = 16  # elements: the kernels copy a mask whose rows are aligned otherwise, in every layer


class PassCache:
    """Prepared angles and masks, recognised in later layers because they come from the very same tensors."""

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[Any, ...], Any]] = []

    def angles(self, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Rotary position embeddings for queries and keys of one tensor.

        cos, sin  (B, T, W), as transformers passes them
        Returns (B, T, 1, W) each, the first half of sin negated: x · cos + roll(x, W/2) · sin rotates x.
        """

        def prepare() -> tuple[Tensor, Tensor]:
            first, second = sin.float().chunk(2, -1)
            return cos.float()[:, :, None], torch.cat((-first, second), -1)[:, :, None]

        return self._once((cos, sin), prepare)  # type: ignore[no-any-return]

    def mask(
        self, mask: Tensor | None, dtype: torch.dtype, *, bias: Tensor | None = None, causal: int = 0
    ) -> Tensor | None:
        """What is added to attention scores, with aligned rows.

        mask    (B, 1, T, S), True where a key is visible, or values to be added
        dtype   of the result
        bias    (1, H, T, S), added where a key is visible
        causal  T, where without a mask a query sees the keys up to its own; 0 where it sees all
        Returns bias or 0 where a key is visible, -inf elsewhere; None where nothing was given.
        """
        if mask is None and bias is None and not causal:
            return None
        return self._once((mask, bias, dtype, causal), lambda: _additive(mask, bias, causal, dtype))  # type: ignore[no-any-return]

    def _once(self, key: tuple[Any, ...], prepare: Callable[[], Any]) -> Any:
        for known, value in self._entries:
            if len(known) == len(key) and all(one is other for one, other in zip(known, key, strict=True)):
                return value
        value = prepare()
        self._entries = [*self._entries[-3:], (key, value)]  # two kinds of angles and two of masks
        return value


def _additive(mask: Tensor | None, bias: Tensor | None, causal: int, dtype: torch.dtype) -> Tensor:
    if mask is None and causal:
        assert bias is not None
        mask = torch.ones(causal, causal, dtype=torch.bool, device=bias.device).tril()[None, None]
    scores = bias
    if mask is not None and mask.dtype == torch.bool:
        visible = mask.new_zeros(mask.shape, dtype=torch.float32) if bias is None else bias
        scores = visible.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        scores = mask if bias is None else bias + mask
    assert scores is not None
    size = scores.shape[-1]
    return functional.pad(scores.to(dtype), (0, -size % _ALIGNMENT))[..., :size]
