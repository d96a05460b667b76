"""One real forward and backward pass on the worst batch, in the mode in which it will be trained."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from terakoya.i18n import both, japanese
from terakoya.models.oom import is_oom
from terakoya.models.protocol import Model, Outputs, Pair
from terakoya.records import Finding
from terakoya.training.losses import loss_for, plain
from terakoya.training.nonfinite.detection import first_bad_module
from terakoya.training.preflight.sample import Look

# A first loss so far above an even guess is no chance: pretrained models that never saw such text stay below.
_ABOVE, _NATS = 1.25, 0.5


@dataclass(frozen=True)
class Trial:
    """What the pass came to.

    rows         number of rows in it
    loss, plain  the config's loss, and the plain one, in nats per target
    choices      number of answers that an even guess guesses among (0: the head scores sets)
    learnt       answers as the loss takes them, read back from the target ids; None where it is taken on all text
    targets      number of targets that the loss was taken over
    reach        largest absolute value that a module gave
    kept         bytes that the forward pass keeps for the backward one
    sloped       weights that got a gradient, and whether all of it is finite
    full         memory ran out
    """

    rows: int
    seconds: float
    loss: float = math.nan
    plain: float = math.nan
    choices: int = 0
    learnt: Counter[str] | None = None
    targets: int = 0
    reach: float = 0.0
    kept: int = 0
    sloped: int = 0
    finite: bool = False
    module: str = ""
    full: bool = False


def attempt(look: Look) -> Trial:
    """The pass, with chance, mode and gradients left as they were."""
    model, started = look.model, time.monotonic()
    training = model.module.training
    model.module.train()
    try:
        with torch.random.fork_rng():
            return _passed(look, started)
    except (RuntimeError, MemoryError) as error:
        if not is_oom(error):
            raise
        return Trial(len(look.worst), time.monotonic() - started, full=True)
    finally:
        model.module.zero_grad(set_to_none=True)
        model.module.train(training)


def _passed(look: Look, started: float) -> Trial:
    model, how = look.model, look.lesson.config.train
    batch = model.collate(look.worst).to(next(model.module.parameters()).device)
    reach = _Reach(model.module) if look.lesson.config.model.dtype == "float16" else None
    with _Kept(model.module) as kept:
        outputs = model.outputs(batch)
        loss = loss_for(how)(outputs)
    if reach is not None:
        reach.close()
    loss.backward()  # type: ignore[no-untyped-call]
    slopes = [weight.grad for _, weight in model.parameters_to_train() if weight.grad is not None]
    finite = bool(torch.isfinite(loss)) and all(bool(torch.isfinite(slope).all()) for slope in slopes)
    module = "" if finite else first_bad_module(model.module, lambda: model.outputs(batch))
    return Trial(
        rows=len(look.worst),
        seconds=time.monotonic() - started,
        loss=float(loss.detach()),
        plain=float(plain(outputs).detach()),
        choices=0 if outputs.sizes is not None else int(outputs.logits.shape[-1]),
        learnt=_learnt(model, outputs) if how.loss_on == "answer" and outputs.sizes is None else None,
        targets=int(outputs.targets.shape[0]),
        reach=reach.most if reach is not None else 0.0,
        kept=kept.bytes,
        sloped=sum(bool(slope.any()) for slope in slopes),
        finite=finite,
        module=module,
    )


def _learnt(model: Model, outputs: Outputs) -> Counter[str]:
    """The answers that the targets spell, each up to its end; what follows the last end is told as it is."""
    found: Counter[str] = Counter()
    answer: list[int] = []
    for token in outputs.targets.tolist():
        if token == model.end:
            found[model.text(answer)] += 1
            answer = []
        else:
            answer.append(token)
    if answer:
        found["… " + model.text([token for token in answer if token >= 0])] += 1
    return found


def trial_findings(look: Look, trial: Trial) -> Iterator[Finding]:
    if trial.full:
        return  # told where memory is told
    if trial.targets == 0:
        yield Finding(
            "masks",
            "stop",
            both(
                "nothing is learnt: the mask leaves no target in the longest batch",
                "何も学習しない：マスクのため、最も長いバッチに学習対象が残らない",
            ),
            where="train",
            do=both("Look at the learnt tokens: --show-tokens.", "学習するトークンを見ること：--show-tokens。"),
        )
        return
    if trial.sloped == 0 and trial.finite:
        yield Finding(
            "masks",
            "stop",
            both("no weight gets a gradient: nothing would change", "勾配を受ける重みがない：何も変わらない"),
            do=both("Look at the loss.", "損失の設定を見ること。"),
        )
    yield from _masks(look.worst, trial)
    yield from _first_loss(trial)


def _masks(pairs: tuple[Pair, ...], trial: Trial) -> Iterator[Finding]:
    """What the loss is taken over, read back, must be the answers and their ends: no filling, no prompt, no less."""
    if trial.learnt is None:
        return
    wanted = Counter(pair.written for pair in pairs)
    strange, missing = trial.learnt - wanted, wanted - trial.learnt
    if not strange and not missing:
        answers = both(
            f"the loss is taken over {trial.targets} tokens of {trial.rows} rows: their answers and ends",
            f"損失は{trial.rows}行の{trial.targets}トークンについて取る：回答とその終わりである",
        )
        yield Finding("masks", "note", answers, values={"targets": float(trial.targets)})
        return
    yield Finding(
        "masks",
        "stop",
        both(
            f"the learnt tokens read back are not the answers: {_some(strange)} in place of {_some(missing)}",
            f"学習するトークンを読み戻すと回答と違う：{_some(missing)} の代わりに {_some(strange)}",
        ),
        where="train",
        do=both(
            "A tokenizer that loses text, an end that is cut, filling or prompt in the loss: look at --show-tokens.",
            "トークナイザが文字を失う、終わりが切れている、"
            "詰め物やプロンプトが損失に入っている：--show-tokens で見ること。",
        ),
        values={"wrong": float(strange.total()), "missing": float(missing.total())},
    )


def _some(texts: Counter[str]) -> str:
    return ", ".join(repr(text[:30]) for text in list(texts)[:3]) or both("nothing", "（なし）")


def _first_loss(trial: Trial) -> Iterator[Finding]:
    """An untrained model guesses evenly: its first loss is near ln V. Far above it, something is broken at step 0."""
    if not trial.finite:
        place = (
            both(f" (first in module {trial.module})", f"（最初に起きたモジュールは {trial.module}）")
            if trial.module
            else ""
        )
        what = both(
            f"loss or gradient of the first step is not finite{place}",
            f"最初のステップの損失か勾配が有限でない{japanese(place)}",
        )
        yield Finding(
            "first-loss",
            "stop",
            what,
            do=both(
                "Load the weights again; in half precision take float32.",
                "重みを読み直すこと。半精度なら float32 にすること。",
            ),
        )
        return
    if not trial.choices:
        return
    even = math.log(trial.choices)
    figures = {"first_loss": trial.plain, "even_guess": even}
    if trial.plain <= _ABOVE * even + _NATS:
        yield Finding(
            "first-loss",
            "note",
            both(
                f"{trial.plain:.2f}; an even guess gives {even:.2f}",
                f"{trial.plain:.2f}、均等な当て推量では {even:.2f}",
            ),
            values=figures,
        )
        return
    yield Finding(
        "first-loss",
        "warn",
        both(
            f"the first loss is {trial.plain:.2f} where an even guess among {trial.choices:,} tokens gives {even:.2f}: "
            "embeddings or head are broken before the first step",
            f"最初の損失が {trial.plain:.2f} で、{trial.choices:,}トークンからの均等な当て推量"
            f"では {even:.2f} である：最初のステップの前に埋め込みかヘッドが壊れている",
        ),
        where="model",
        do=both(
            "For new tokens set model.new_token_init = 'meaning'; else see whether tokenizer and weights fit.",
            "新しいトークンには model.new_token_init = 'meaning' とし、"
            "そうでなければトークナイザと重みが合うか確かめること。",
        ),
        values=figures,
    )


class _Reach:
    """The largest absolute value that any module gives."""

    def __init__(self, module: nn.Module) -> None:
        self.most = 0.0
        self.hooks = [part.register_forward_hook(self._see) for part in module.modules()]

    def _see(self, _module: nn.Module, _given: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point() and output.numel():
            self.most = max(self.most, float(output.detach().abs().max()))

    def close(self) -> None:
        for hook in self.hooks:
            hook.remove()


class _Kept(AbstractContextManager["_Kept"]):
    """Counts what a forward pass keeps for the backward one; weights are not counted, and no storage twice."""

    def __init__(self, module: nn.Module) -> None:
        self.seen = {weight.untyped_storage().data_ptr() for weight in module.parameters()}
        self.bytes = 0
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def __enter__(self) -> _Kept:
        self.hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.hooks.__exit__(*error)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.seen:
            self.seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor
