"""One real forward and backward pass on the longest batch, in training mode."""

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

from terakoya.i18n import _
from terakoya.models.oom import is_oom
from terakoya.models.protocol import Model, Outputs, Pair
from terakoya.records import Finding
from terakoya.training.losses import loss_for, plain
from terakoya.training.nonfinite.detection import first_nonfinite_module
from terakoya.training.preflight.sample import RowSample

# A first loss so far above a uniform guess is no accident: pretrained models that never saw such text stay below.
_MAX_RATIO, _MAX_EXCESS = 1.25, 0.5


@dataclass(frozen=True)
class ProbeResult:
    """What the pass gave.

    rows                   number of rows in it
    seconds                that it took
    loss                   of the config, in nats per target
    plain                  the plain cross-entropy, in nats per target
    vocabulary             number of tokens that a uniform guess chooses among (0: the head scores sets)
    target_texts           targets as the loss sees them, decoded from the token ids; None where it is taken on all text
    targets                number of targets that the loss was taken over
    max_abs_output         largest absolute value that a module gave; 0 where it was not looked for (not float16)
    activation_bytes       that the forward pass keeps for the backward pass
    weights_with_gradient  number of weights with a gradient other than 0
    finite                 whether loss and gradients are finite
    module                 the first module whose output is not finite
    out_of_memory          memory ran out; nothing else is known
    """

    rows: int
    seconds: float
    loss: float = math.nan
    plain: float = math.nan
    vocabulary: int = 0
    target_texts: Counter[str] | None = None
    targets: int = 0
    max_abs_output: float = 0.0
    activation_bytes: int = 0
    weights_with_gradient: int = 0
    finite: bool = False
    module: str = ""
    out_of_memory: bool = False


def probe_step(sample: RowSample) -> ProbeResult:
    """Do one step without an update; random generator, mode and gradients are left as they were.

    sample  its longest batch is used
    """
    model, started = sample.model, time.monotonic()
    training = model.module.training
    model.module.train()
    try:
        with torch.random.fork_rng():
            return _forward_and_backward(sample, started)
    except (RuntimeError, MemoryError) as error:
        if not is_oom(error):
            raise
        return ProbeResult(len(sample.longest_batch), time.monotonic() - started, out_of_memory=True)
    finally:
        model.module.zero_grad(set_to_none=True)
        model.module.train(training)


def _forward_and_backward(sample: RowSample, started: float) -> ProbeResult:
    model, train = sample.model, sample.setup.config.train
    batch = model.collate(sample.longest_batch).to(next(model.module.parameters()).device)
    largest = _MaxAbsOutput(model.module) if sample.setup.config.model.dtype == "float16" else None
    with _SavedActivations(model.module) as saved:
        outputs = model.outputs(batch)
        loss = loss_for(train)(outputs)
    if largest is not None:
        largest.close()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [weight.grad for _, weight in model.parameters_to_train() if weight.grad is not None]
    finite = bool(torch.isfinite(loss)) and all(bool(torch.isfinite(one).all()) for one in gradients)
    module = "" if finite else first_nonfinite_module(model.module, lambda: model.outputs(batch))
    return ProbeResult(
        rows=len(sample.longest_batch),
        seconds=time.monotonic() - started,
        loss=float(loss.detach()),
        plain=float(plain(outputs).detach()),
        vocabulary=0 if outputs.sizes is not None else int(outputs.logits.shape[-1]),
        target_texts=_target_texts(model, outputs) if train.loss_on == "target" and outputs.sizes is None else None,
        targets=int(outputs.targets.shape[0]),
        max_abs_output=largest.value if largest is not None else 0.0,
        activation_bytes=saved.bytes,
        weights_with_gradient=sum(bool(one.any()) for one in gradients),
        finite=finite,
        module=module,
    )


def _target_texts(model: Model, outputs: Outputs) -> Counter[str]:
    """The target tokens as text, each target up to its end token; what follows the last one is marked by "…"."""
    found: Counter[str] = Counter()
    tokens: list[int] = []
    for token in outputs.targets.tolist():
        if token == model.end:
            found[model.text(tokens)] += 1
            tokens = []
        else:
            tokens.append(token)
    if tokens:
        found["… " + model.text([token for token in tokens if token >= 0])] += 1
    return found


def probe_findings(sample: RowSample, probe: ProbeResult) -> Iterator[Finding]:
    """Whether the first step is sound: targets, gradients, masks and the first loss.

    sample  rows of the step
    probe   what it gave; where memory ran out, the check of memory reports it
    """
    if probe.out_of_memory:
        return
    if probe.targets == 0:
        yield Finding(
            "masks",
            "stop",
            _("nothing is learnt: the mask leaves no target in the longest batch"),
            where="train",
            do=_("Look at the target tokens: terakoya doctor EXPERIMENT --show-tokens."),
        )
        return
    if probe.weights_with_gradient == 0 and probe.finite:
        yield Finding(
            "masks",
            "stop",
            _("no weight has a gradient: nothing would change"),
            do=_("Look at the loss."),
        )
    yield from _mask_findings(sample.longest_batch, probe)
    yield from _first_loss_findings(probe)


def _mask_findings(pairs: tuple[Pair, ...], probe: ProbeResult) -> Iterator[Finding]:
    """The target tokens, decoded, must be the targets and their end tokens: no padding, no prompt, no less."""
    if probe.target_texts is None:
        return
    wanted = Counter(pair.target for pair in pairs)
    strange, missing = probe.target_texts - wanted, wanted - probe.target_texts
    if not strange and not missing:
        tokens, rows = probe.targets, probe.rows
        sound = _(
            "the loss is taken over {tokens} tokens of {rows} rows: their targets and end tokens",
            tokens=tokens,
            rows=rows,
        )
        yield Finding("masks", "note", sound, values={"targets": float(tokens)})
        return
    unexpected, expected = _examples(strange), _examples(missing)
    yield Finding(
        "masks",
        "stop",
        _(
            "the target tokens, decoded, are not the targets: {unexpected} in place of {expected}",
            unexpected=unexpected,
            expected=expected,
        ),
        where="train",
        do=_(
            "A tokenizer that loses text, a truncated end, padding or prompt in the loss: look with terakoya doctor "
            "EXPERIMENT --show-tokens."
        ),
        values={"wrong": float(strange.total()), "missing": float(missing.total())},
    )


def _examples(texts: Counter[str]) -> str:
    return ", ".join(repr(text[:30]) for text in list(texts)[:3]) or _("nothing")


def _first_loss_findings(probe: ProbeResult) -> Iterator[Finding]:
    """An untrained model guesses uniformly: its first loss is near ln V. Far above it, something is broken."""
    first, module, vocabulary = probe.plain, probe.module, probe.vocabulary
    if not probe.finite:
        place = _(" (first in module {module})", module=module) if module else ""
        what = _("loss or gradient of the first step is not finite{place}", place=place)
        yield Finding(
            "first-loss",
            "stop",
            what,
            do=_("Load the weights again; instead of half precision use float32."),
        )
        return
    if not vocabulary:
        return
    uniform = math.log(vocabulary)
    values = {"first_loss": first, "even_guess": uniform}
    if first <= _MAX_RATIO * uniform + _MAX_EXCESS:
        yield Finding(
            "first-loss",
            "note",
            _("{first:.2f}; a uniform guess gives {uniform:.2f}", first=first, uniform=uniform),
            values=values,
        )
        return
    yield Finding(
        "first-loss",
        "warn",
        _(
            "the first loss is {first:.2f} where a uniform guess among {vocabulary:,} tokens gives {uniform:.2f}: "
            "embeddings or head are broken before the first step",
            first=first,
            vocabulary=vocabulary,
            uniform=uniform,
        ),
        where="model",
        do=_("For new tokens set model.new_token_init = 'meaning'; else see whether tokenizer and weights match."),
        values=values,
    )


class _MaxAbsOutput:
    """The largest absolute value that any module gives."""

    def __init__(self, module: nn.Module) -> None:
        self.value = 0.0
        self.hooks = [part.register_forward_hook(self._hook) for part in module.modules()]

    def _hook(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point() and output.numel():
            self.value = max(self.value, float(output.detach().abs().max()))

    def close(self) -> None:
        for hook in self.hooks:
            hook.remove()


class _SavedActivations(AbstractContextManager["_SavedActivations"]):
    """Counts what a forward pass keeps for the backward one; weights are not counted, and no storage twice."""

    def __init__(self, module: nn.Module) -> None:
        self.seen = {weight.untyped_storage().data_ptr() for weight in module.parameters()}
        self.bytes = 0
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def __enter__(self) -> _SavedActivations:
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
