"""Whether memory and disk will do: estimated from the worst batch, told with the setting that fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from terakoya.config import TrainConfig
from terakoya.i18n import both
from terakoya.memory import size
from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.runs.disk import free_bytes
from terakoya.training.device import memory_left
from terakoya.training.preflight.one_step import Trial
from terakoya.training.preflight.sample import Look

# Gradients of activations and what a kernel needs for a moment, for each byte that is kept for the backward pass.
_BESIDE = 1.3
_TIGHT = 0.85  # of what is left


@dataclass(frozen=True)
class Needed:
    """Bytes that a training takes besides the model as it is loaded; `activations` those of one batch."""

    gradients: int
    optimizer: int
    copies: int
    activations: int

    @property
    def all(self) -> int:
        return self.gradients + self.optimizer + self.copies + self.activations


def needed(model: Model, how: TrainConfig, kept: int) -> Needed:
    """`kept`: bytes that the forward pass of one batch keeps."""
    trained = [(weight.numel(), weight.element_size()) for _, weight in model.parameters_to_train()]
    weights = sum(count * wide for count, wide in trained)
    # AdamW remembers two numbers for each weight, Muon one for each of its matrices; counted as two.
    copies = int(bool(float(how.average))) + int(how.select != "last")
    return Needed(weights, 2 * weights, copies * weights, int(_BESIDE * kept))


def room_findings(look: Look, trial: Trial, folder: Path | None) -> Iterator[Finding]:
    yield from _memory(look, trial)
    if folder is not None:
        yield from _disk(look, folder)


def _memory(look: Look, trial: Trial) -> Iterator[Finding]:
    how, device = look.lesson.config.train, next(look.model.module.parameters()).device
    left = memory_left(device)
    need = needed(look.model, how, trial.kept)
    figures = {"needed": float(need.all), "left": float(left or 0), "activations": float(need.activations)}
    if trial.full:
        half = max(1, trial.rows // 2)
        what = both(
            f"memory ran out on the {trial.rows} longest rows before the first step",
            f"最初のステップの前に、最も長い{trial.rows}行でメモリが足りなくなった",
        )
        yield Finding("memory", "stop", what, where="train.batch_size", do=_smaller(how, half), values=figures)
    elif left is not None and need.all > _TIGHT * left:
        rest = _TIGHT * left - (need.all - need.activations)
        fit = int(trial.rows * rest / need.activations) if need.activations else 0
        yield Finding(
            "memory",
            "stop" if need.all > left else "warn",
            both(
                f"about {size(need.all)} more are needed ({size(need.gradients + need.optimizer)} for gradients and "
                f"optimizer, {size(need.copies)} for copies, {size(need.activations)} for the longest batch) and "
                f"{size(left)} are left",
                f"あと約 {size(need.all)} 必要（勾配とオプティマイザに"
                f" {size(need.gradients + need.optimizer)}、写しに {size(need.copies)}、"
                f"最も長いバッチに {size(need.activations)}）で、残りは {size(left)} である",
            ),
            where="train.batch_size",
            do=_smaller(how, fit),
            values=figures,
        )
    elif left is not None:
        what = both(
            f"about {size(need.all)} more are needed and {size(left)} are left",
            f"あと約 {size(need.all)} 必要で、残りは {size(left)} である",
        )
        yield Finding("memory", "note", what, values=figures)


def _smaller(how: TrainConfig, fit: int) -> str:
    if fit < 1:
        return both(
            "Take a smaller model, model.adaptation = 'lora' or model.vocabulary = 'trimmed'; or leave programs.",
            "小さなモデル、model.adaptation = 'lora'、model.vocabulary = 'trimmed' のいずれか"
            "にするか、他のプログラムを終えること。",
        )
    more = -(-int(how.batch_size) // fit)
    return both(
        f"Set train.batch_size = {fit} and train.accumulate = {how.accumulate * more}, or train.on_oom = 'halve'.",
        f"train.batch_size = {fit} と train.accumulate = {how.accumulate * more} にするか"
        "、train.on_oom = 'halve' とすること。",
    )


def checkpoint_bytes(model: Model, how: TrainConfig) -> int:
    """Bytes of one checkpoint: weights, two numbers of the optimizer for each, the average and the best."""
    weights = sum(weight.numel() * weight.element_size() for _, weight in model.parameters_to_train())
    return weights * (3 + int(bool(float(how.average))) + int(how.select != "last"))


def _disk(look: Look, folder: Path) -> Iterator[Finding]:
    """Two checkpoints stand side by side while the newer one is written, and the taught model comes last."""
    how = look.lesson.config.train
    one = checkpoint_bytes(look.model, how)
    model = sum(weight.numel() * weight.element_size() for weight in look.model.module.parameters())
    need, free = (how.keep + 1) * one + model, free_bytes(folder)
    figures = {"needed": float(need), "free": float(free), "checkpoint": float(one)}
    if free < 2 * one + model:
        yield Finding(
            "disk",
            "stop",
            both(
                f"two checkpoints and the model need {size(2 * one + model)} and {size(free)} are free",
                f"チェックポイント二つとモデルに {size(2 * one + model)} 必要で、空きは {size(free)} である",
            ),
            where=str(folder),
            do=both(
                "Make room, or choose another place with --run-dir.", "空きを作るか、--run-dir で別の場所を選ぶこと。"
            ),
            values=figures,
        )
    elif free < need:
        what = both(
            f"{how.keep + 1} checkpoints and the model need {size(need)} and {size(free)} are free",
            f"チェックポイント{how.keep + 1}個とモデルに {size(need)} 必要で、空きは {size(free)} である",
        )
        yield Finding(
            "disk",
            "warn",
            what,
            where=str(folder),
            do=both("Make room, or lower train.keep.", "空きを作るか、train.keep を減らすこと。"),
            values=figures,
        )
