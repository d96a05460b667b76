"""Half precision where it cannot end well: refused before the first step, with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from terakoya.i18n import both, joined
from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.training.defaults import BUILT_IN
from terakoya.training.preflight.one_step import Trial
from terakoya.training.preflight.sample import Look

_FLOAT16 = 65504.0  # where float16 ends


def precision_findings(look: Look, trial: Trial) -> Iterator[Finding]:
    config = look.lesson.config
    held = next(look.model.module.parameters()).dtype
    if config.model.dtype == "float16" and config.model.base not in BUILT_IN:
        yield _float16(look.model, held, trial)
    if held == torch.bfloat16:
        yield from _lost_updates(look, held)


def _float16(model: Model, held: torch.dtype, trial: Trial) -> Finding:
    reasons = []
    if not torch.cuda.is_available():
        reasons.append(
            both(
                "there is no GPU here, and float16 on a processor has no use",
                "ここに GPU はなく、プロセッサ上の float16 に利点はない",
            )
        )
    extra = model.card.extra
    if "t5" in str(extra.get("architecture", "")).lower():
        reasons.append(
            both(
                "T5 was trained in bfloat16, and its activations leave the range of float16",
                "T5 は bfloat16 で学習されており、活性値が float16 の範囲を超える",
            )
        )
    if extra.get("new_tokens"):
        reasons.append(
            both(
                f"the gradients of {extra['new_tokens']} new embeddings overflow in float16",
                f"新しい埋め込み{extra['new_tokens']}個の勾配が float16 であふれる",
            )
        )
    if trial.reach > _FLOAT16 / 4:
        reasons.append(
            both(
                f"values reach {trial.reach:.3g} in the first step, and float16 ends at {_FLOAT16:,.0f}",
                f"最初のステップで値が {trial.reach:.3g} に達し、float16 は {_FLOAT16:,.0f} までしか表せない",
            )
        )
    better = "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"
    went = (
        ""
        if held == torch.float16
        else both(
            f". With --anyway it is trained in {str(held).removeprefix('torch.')}",
            f"。--anyway を付けると {str(held).removeprefix('torch.')} で学習する",
        )
    )
    return Finding(
        "half-precision",
        "stop" if reasons else "warn",
        (
            joined("; ", reasons)
            or both("weights held in float16 lose small updates", "float16 で持つ重みは小さな更新を失う")
        )
        + went,
        where="model.dtype",
        do=both(f"Set model.dtype = '{better}'.", f"model.dtype = '{better}' とすること。"),
        values={"reach": trial.reach, "end": _FLOAT16},
    )


def _lost_updates(look: Look, held: torch.dtype) -> Iterator[Finding]:
    """A weight in bfloat16 moves only by 1/256 of itself or more; a smaller step is rounded away."""
    rate = float(look.lesson.config.train.learning_rate)
    with torch.no_grad():
        sample = torch.cat([_some(weight) for _, weight in look.model.parameters_to_train()]).float().abs()
    lost = float((sample * torch.finfo(held).eps / 2 > rate).float().mean())
    if lost > 0.5:
        yield Finding(
            "half-precision",
            "warn",
            both(
                f"{lost:.0%} of the weights cannot move: in bfloat16 a step of {rate:.2g} is rounded away",
                f"重みの{lost:.0%}が動けない：bfloat16 では {rate:.2g} の一歩が丸めで消える",
            ),
            where="model.dtype",
            do=both(
                "Set model.dtype = 'float32', or raise train.learning_rate.",
                "model.dtype = 'float32' とするか、train.learning_rate を上げること。",
            ),
            values={"lost": lost},
        )


def _some(weight: Tensor, most: int = 1000) -> Tensor:
    flat = weight.detach().flatten()
    return flat[:: max(1, len(flat) // most)]
