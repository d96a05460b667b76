"""Whether memory and disk suffice: estimated from the longest batch, reported with the setting that fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from terakoya.config import TrainConfig
from terakoya.i18n import Message, _
from terakoya.models.memory import format_bytes
from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.runs.disk import free_bytes
from terakoya.training.device import available_memory
from terakoya.training.parallel.launch import launched_processes
from terakoya.training.preflight.one_step import ProbeResult
from terakoya.training.preflight.sample import RowSample

# Gradients of activations and the workspace of kernels, for each byte that is kept for the backward pass.
_TRANSIENT_RATIO = 1.3
_MANY_WEIGHTS = 10**9  # from which on weights are advised to be divided among GPUs
_TIGHT_SHARE = 0.85  # of what is left


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a training takes besides the model as it is loaded.

    gradients    of all trained weights
    optimizer    its state
    copies       averaged weights and the best ones
    activations  of one batch, with what is needed besides them
    """

    gradients: int
    optimizer: int
    copies: int
    activations: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.gradients + self.optimizer + self.copies + self.activations


def estimate_memory(model: Model, train: TrainConfig, activation_bytes: int) -> MemoryEstimate:
    """What a training will take, of each process where torchrun started several.

    model             with the weights that are trained
    train             the `train` section, resolved
    activation_bytes  that the forward pass of one batch keeps for the backward pass
    """
    weights = _trained_bytes(model)
    copies = int(bool(float(train.average))) + int(train.select != "last")
    if train.shard:
        weights //= launched_processes()
    # AdamW keeps two values for each weight, Muon one for each of its matrices; counted as two.
    return MemoryEstimate(weights, 2 * weights, copies * weights, int(_TRANSIENT_RATIO * activation_bytes))


def checkpoint_bytes(model: Model, train: TrainConfig) -> int:
    """Bytes of one checkpoint: weights, two optimizer values for each, the averaged and the best weights.

    model  with the weights that are trained
    train  the `train` section, resolved
    """
    return _trained_bytes(model) * (3 + int(bool(float(train.average))) + int(train.select != "last"))


def _trained_bytes(model: Model) -> int:
    return sum(weight.numel() * weight.element_size() for _, weight in model.parameters_to_train())


def sharding_findings(model: Model, train: TrainConfig) -> Iterator[Finding]:
    """For a base above a billion weights: how its training state can be divided among GPUs.

    model  the model to be trained
    train  the `train` section, resolved
    """
    info = model.info
    if train.shard or info.trainable < _MANY_WEIGHTS or model.head != "sequence":
        return
    state = estimate_memory(model, train, 0).total
    yield Finding(
        "shard",
        "note",
        _(
            "{weights:,} weights are trained, whose gradients, optimizer state and copies take {size} on every GPU",
            weights=info.trainable,
            size=format_bytes(state),
        ),
        where="train.shard",
        do=_(
            "To divide them among several: torchrun --standalone --nproc_per_node=8 -m terakoya run EXPERIMENT --set "
            "train.shard=true. To train fewer weights: model.adaptation = 'lora'."
        ),
        values={"weights": float(info.trainable), "bytes": float(state)},
    )


def headroom_findings(sample: RowSample, probe: ProbeResult, folder: Path | None) -> Iterator[Finding]:
    """Whether memory and disk suffice.

    sample  model and config
    probe   what one step took
    folder  where checkpoints will lie; None: the disk is not checked
    """
    yield from _memory_findings(sample, probe)
    if folder is not None:
        yield from _disk_findings(sample, folder)


def _memory_findings(sample: RowSample, probe: ProbeResult) -> Iterator[Finding]:
    train, device = sample.setup.config.train, next(sample.model.module.parameters()).device
    left = available_memory(device)
    estimate = estimate_memory(sample.model, train, probe.activation_bytes)
    values = {
        "needed": float(estimate.total), "left": float(left or 0), "activations": float(estimate.activations),
    }  # fmt: skip
    rows, total, remaining = probe.rows, format_bytes(estimate.total), format_bytes(left or 0)
    if probe.out_of_memory:
        what = _("memory ran out on the {rows} longest rows before the first step", rows=rows)
        advice = _smaller_batch_advice(train, max(1, rows // 2))
        yield Finding("memory", "stop", what, where="train.batch_size", do=advice, values=values)
    elif left is not None and estimate.total > _TIGHT_SHARE * left:
        rest = _TIGHT_SHARE * left - (estimate.total - estimate.activations)
        fitting = int(rows * rest / estimate.activations) if estimate.activations else 0
        optimizer, copies = format_bytes(estimate.gradients + estimate.optimizer), format_bytes(estimate.copies)
        batch = format_bytes(estimate.activations)
        yield Finding(
            "memory",
            "stop" if estimate.total > left else "warn",
            _(
                "about {total} more are needed ({optimizer} for gradients and optimizer, {copies} for copies, {batch} "
                "for the longest batch) and {remaining} are left",
                total=total,
                optimizer=optimizer,
                copies=copies,
                batch=batch,
                remaining=remaining,
            ),
            where="train.batch_size",
            do=_smaller_batch_advice(train, fitting),
            values=values,
        )
    elif left is not None:
        what = _("about {total} more are needed and {remaining} are left", total=total, remaining=remaining)
        yield Finding("memory", "note", what, values=values)


def _smaller_batch_advice(train: TrainConfig, fitting: int) -> Message:
    if fitting < 1:
        return _(
            "Choose a smaller model, model.adaptation = 'lora' or model.vocabulary = 'trimmed'; or close programs."
        )
    accumulate = train.accumulate * -(-int(train.batch_size) // fitting)
    return _(
        "Set train.batch_size = {fitting} and train.accumulate = {accumulate}, or train.on_oom = 'halve'.",
        fitting=fitting,
        accumulate=accumulate,
    )


def _disk_findings(sample: RowSample, folder: Path) -> Iterator[Finding]:
    """Two checkpoints exist at once while the newer one is written, and the trained model comes last."""
    train = sample.setup.config.train
    checkpoint = checkpoint_bytes(sample.model, train)
    model = sum(weight.numel() * weight.element_size() for weight in sample.model.module.parameters())
    least, needed, free = 2 * checkpoint + model, (train.keep + 1) * checkpoint + model, free_bytes(folder)
    values = {"needed": float(needed), "free": float(free), "checkpoint": float(checkpoint)}
    left = format_bytes(free)
    if free < least:
        size = format_bytes(least)
        yield Finding(
            "disk",
            "stop",
            _("two checkpoints and the model need {size} and {left} are free", size=size, left=left),
            where=str(folder),
            do=_("Free some disk space, or choose another place with --run-dir."),
            values=values,
        )
    elif free < needed:
        count, size = train.keep + 1, format_bytes(needed)
        yield Finding(
            "disk",
            "warn",
            _("{count} checkpoints and the model need {size} and {left} are free", count=count, size=size, left=left),
            where=str(folder),
            do=_("Free some disk space, or lower train.keep."),
            values=values,
        )
