"""Half precision where it cannot end well: refused before the first step, with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from terakoya.i18n import _, joined
from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.training import device
from terakoya.training.defaults import BUILT_IN
from terakoya.training.preflight.one_step import ProbeResult
from terakoya.training.preflight.sample import RowSample

_FLOAT16_MAX = 65504.0


def precision_findings(sample: RowSample, probe: ProbeResult) -> Iterator[Finding]:
    """Whether values or updates are lost in half precision.

    sample  model and config
    probe   the largest value of one step
    """
    config = sample.setup.config
    dtype = next(sample.model.module.parameters()).dtype
    if config.model.dtype == "float16" and config.model.base not in BUILT_IN:
        yield _float16_finding(sample.model, dtype, probe)
    if config.model.dtype == "mixed" and device.mixed_precision_is_slow(config.device):
        yield Finding(
            "half-precision",
            "warn",
            _("this processor has no matrix units for bfloat16 (AMX): mixed precision takes longer than float32 here"),
            where="model.dtype",
            do=_("Set model.dtype = '{better}'.", better="float32"),
        )
    if dtype == torch.bfloat16:
        yield from _lost_update_findings(sample, dtype)


def _float16_finding(model: Model, dtype: torch.dtype, probe: ProbeResult) -> Finding:
    reasons = []
    if not torch.cuda.is_available():
        reasons.append(_("there is no GPU here, and float16 on a processor has no use"))
    extra = model.info.extra
    if "t5" in str(extra.get("architecture", "")).lower():
        reasons.append(_("T5 was trained in bfloat16, and its activations leave the range of float16"))
    if new := extra.get("new_tokens"):
        reasons.append(_("the gradients of {new} new embeddings overflow in float16", new=new))
    largest, limit = probe.max_abs_output, _FLOAT16_MAX
    if largest > limit / 4:
        reasons.append(
            _(
                "values reach {largest:.3g} in the first step, and float16 ends at {limit:,.0f}",
                largest=largest,
                limit=limit,
            )
        )
    better = "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "float32"
    actual = str(dtype).removeprefix("torch.")
    instead = "" if dtype == torch.float16 else _(". With --anyway it is trained in {actual}", actual=actual)
    return Finding(
        "half-precision",
        "stop" if reasons else "warn",
        (joined("; ", reasons) or _("weights held in float16 lose small updates")) + instead,
        where="model.dtype",
        do=_("Set model.dtype = '{better}'.", better=better),
        values={"reach": largest, "end": limit},
    )


def _lost_update_findings(sample: RowSample, dtype: torch.dtype) -> Iterator[Finding]:
    """A weight in bfloat16 changes only by 1/256 of itself or more; a smaller update is rounded away."""
    rate = float(sample.setup.config.train.learning_rate)
    with torch.no_grad():
        weights = torch.cat([_sample(weight) for _, weight in sample.model.parameters_to_train()]).float().abs()
    lost = float((weights * torch.finfo(dtype).eps / 2 > rate).float().mean())
    if lost > 0.5:
        yield Finding(
            "half-precision",
            "warn",
            _(
                "{lost:.0%} of the weights cannot change: in bfloat16 an update of {rate:.2g} is rounded away",
                lost=lost,
                rate=rate,
            ),
            where="model.dtype",
            do=_("Set model.dtype = 'float32', or raise train.learning_rate."),
            values={"lost": lost},
        )


def _sample(weight: Tensor, most: int = 1000) -> Tensor:
    flat = weight.detach().flatten()
    return flat[:: max(1, len(flat) // most)]
