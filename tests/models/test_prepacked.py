"""Prepacked weights while a model predicts: the same outputs, nothing left behind, never an old weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import FAMILIES
from torch import nn
from torch.nn import functional

from terakoya.codec import TextCodec
from terakoya.config import DecodeConfig, ModelConfig
from terakoya.decoding import generate, score_sets
from terakoya.decoding.likelihood import negative_log_likelihoods
from terakoya.models import prepacked
from terakoya.models.pretrained import build
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.pretrained.vocabulary import NewRowsHead
from terakoya.models.protocol import Pair, Query
from terakoya.training.dev_evaluation import plain_loss

Base = Callable[[str], Path]
PAIRS = [Pair(Query("一万五千"), "(15000)"), Pair(Query("二十"), "(20)"), Pair(Query("楽しい日"), "✨ 📚")]
QUERIES = [Query(text) for text in ("一", "百億三千二万五千", "二十", "冷蔵庫の奥", "三千", "五")] * 3
MANY = len(QUERIES)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers as small as those of the tests count as large."""
    monkeypatch.setattr(prepacked, "_LEAST_WEIGHTS", 1)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, ...]]]:
    """Shapes of the weights that were prepacked."""
    shapes: list[tuple[int, ...]] = []
    plain = prepacked._prepacked_linear

    def replacement(weight: torch.Tensor, bias: Any) -> Any:
        shapes.append(tuple(weight.shape))
        return plain(weight, bias)

    monkeypatch.setattr(prepacked, "_prepacked_linear", replacement)
    prepacked._is_supported(torch.float32)  # its own trial does not count
    shapes.clear()
    yield shapes


def noisy(base: Base, family: str, **more: Any) -> PretrainedModel:
    model = build.build(ModelConfig(base=str(base(family)), head="sequence", **more), PAIRS, ("✨", "📚"), seed=0)
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, weight in model.parameters_to_train():
            weight += 0.25 * torch.randn(weight.shape, generator=rng)
    return model


def own_forwards(module: nn.Module) -> dict[str, Any]:
    return {name: vars(part).get("forward") for name, part in module.named_modules()}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("adaptation", ["full", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_logits(base: Base, family: str, adaptation: str, calls: list[tuple[int, ...]]) -> None:
    """Another order of summation is not another function: logits of each step, every family, with adapters too."""
    model = noisy(base, family, adaptation=adaptation)
    before = own_forwards(model.module)
    model.module.eval()
    with torch.inference_mode():
        plain = model.start(QUERIES)
        steps = [plain.logits]
        for _ in range(6):
            plain.advance(steps[-1].argmax(-1))
            steps.append(plain.logits)
        with prepacked.prepacked_weights(model.module, MANY):
            prepacked_state = model.start(QUERIES)
            for expected in steps:
                torch.testing.assert_close(prepacked_state.logits, expected, rtol=1e-3, atol=1e-3)
                prepacked_state.advance(expected.argmax(-1))
    head = model.vocabulary.tables.head  # under LoRA it has trained rows beside frozen ones
    assert isinstance(head, NewRowsHead) == (adaptation == "lora")
    assert tuple(head.weight.shape) in calls and len(calls) > 10
    assert own_forwards(model.module) == before
    assert not any("frozen_logits" in vars(part) for part in model.module.modules())


@pytest.mark.usefixtures("small")
def test_in_half_precision_where_the_cpu_supports_it(base: Base, calls: list[tuple[int, ...]]) -> None:
    """Equal up to the rounding of bfloat16; where this CPU does not compute in it nothing is prepacked."""
    supported = prepacked._is_supported(torch.bfloat16)
    calls.clear()
    model = build.build(ModelConfig(base=str(base("llama")), dtype="bfloat16"), PAIRS, seed=0)
    model.module.eval()
    with torch.inference_mode():
        plain = model.start(QUERIES).logits
        with prepacked.prepacked_weights(model.module, MANY):
            logits = model.start(QUERIES).logits
    torch.testing.assert_close(logits, plain, rtol=5e-2, atol=5e-2)
    assert bool(calls) == supported


@pytest.mark.usefixtures("small")
def test_decoding_uses_prepacked_weights(base: Base, calls: list[tuple[int, ...]]) -> None:
    model = noisy(base, "llama")
    found = generate(model, QUERIES, TextCodec(), DecodeConfig(constrained=False), max_tokens=8)
    shapes = list(calls)
    few = generate(model, QUERIES[:6], TextCodec(), DecodeConfig(constrained=False), max_tokens=8)
    assert len(shapes) > 10 and calls == shapes  # once, however many batches; and not for few queries
    assert [one.raw for one in few] == [one.raw for one in found[:6]]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_likelihoods_are_those_of_plain_weights(
    base: Base, family: str, calls: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dev loss and the likelihood of targets take a whole forward pass, with prefix trees."""
    model, rows = noisy(base, family), PAIRS * 8
    loss, scores = plain_loss(model, rows), negative_log_likelihoods(model, rows)
    assert len(calls) > 10
    monkeypatch.setattr(prepacked, "_LEAST_QUERIES", 1000)
    calls.clear()
    assert loss == pytest.approx(plain_loss(model, rows), rel=1e-3)
    for one, other in zip(scores, negative_log_likelihoods(model, rows), strict=True):
        assert one is not None and other is not None
        assert one.nats == pytest.approx(other.nats, rel=1e-3)
    assert not calls


@pytest.mark.usefixtures("small")
def test_sets_are_scored_with_prepacked_weights(base: Base, calls: list[tuple[int, ...]]) -> None:
    config = ModelConfig(base=str(base("t5")), head="set")
    model = build.build(config, [Pair(Query("楽しい日"), "✨ 📚"), Pair(Query("本"), "📚")] * 4, ("✨", "📚"), seed=0)
    model.module.eval()
    found = score_sets(model, QUERIES, 7)
    assert len(calls) > 10
    with torch.inference_mode():
        alone = torch.cat([model.set_scores([query]).labels for query in QUERIES])
    torch.testing.assert_close(found.labels, alone, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("small")
def test_weights_changed_since_are_used(base: Base) -> None:
    """A stale copy would be the worst of faults: scores of a model that no longer exists."""
    model = noisy(base, "qwen2")
    generate(model, QUERIES, TextCodec(), DecodeConfig(constrained=False), max_tokens=4)
    with torch.no_grad():
        for _, weight in model.parameters_to_train():
            weight.data.mul_(-1)
    now = generate(model, QUERIES, TextCodec(), DecodeConfig(constrained=False), max_tokens=4)
    fresh = [
        generate(model, [query], TextCodec(), DecodeConfig(constrained=False), max_tokens=4)[0] for query in QUERIES
    ]
    assert [one.raw for one in now] == [one.raw for one in fresh]


@pytest.mark.usefixtures("small")
def test_an_exception_leaves_nothing_behind(base: Base) -> None:
    model = noisy(base, "llama")
    before = own_forwards(model.module)
    with pytest.raises(KeyboardInterrupt), prepacked.prepacked_weights(model.module, MANY):
        assert own_forwards(model.module) != before
        raise KeyboardInterrupt
    assert own_forwards(model.module) == before


@pytest.mark.usefixtures("small")
def test_two_threads_may_use_the_same_model(base: Base) -> None:
    """The first to finish restores the layers; the others go on with plain weights and the same outputs."""
    model = noisy(base, "llama")
    decode = DecodeConfig(constrained=False)
    expected = [one.raw for one in generate(model, QUERIES[:6], TextCodec(), decode, max_tokens=8)] * 3
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(generate, model, QUERIES, TextCodec(), decode, 8) for _ in range(12)]
        found = [[one.raw for one in job.result()] for job in jobs]
    assert found == [expected] * 12
    assert not any("forward" in vars(part) for part in model.module.modules() if type(part) is nn.Linear)


class Subclass(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + 1


@pytest.mark.usefixtures("small")
def test_only_plain_linear_layers_are_prepacked(calls: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer with a forward of its own keeps it; so do other dtypes, and all layers where memory is short."""
    own = nn.Linear(8, 9)
    own.forward = lambda x: functional.linear(x, own.weight) * 2  # type: ignore[method-assign]
    module = nn.ModuleList(
        [nn.Linear(8, 4), nn.Linear(8, 5, bias=False), Subclass(8, 6), own, nn.Linear(8, 7).double()]
    )
    x = torch.randn(3, 2, 8).transpose(0, 1)
    with torch.inference_mode():
        plain = [part(x.to(part.weight.dtype)) for part in module]  # type: ignore[arg-type,union-attr]
        with prepacked.prepacked_weights(module, MANY):
            outputs = [part(x.to(part.weight.dtype)) for part in module]  # type: ignore[arg-type,union-attr]
            assert calls == [(4, 8), (5, 8)]
            with prepacked.prepacked_weights(module, MANY):  # nested
                assert calls == [(4, 8), (5, 8)]
            assert "forward" in vars(module[0])
        for one, other in zip(outputs, plain, strict=True):
            torch.testing.assert_close(one, other)
        calls.clear()
        for left in (4 * sum(part.weight.nbytes for part in module[:2]) - 1, 0):  # type: ignore[misc,union-attr]
            monkeypatch.setattr(prepacked, "available_memory", lambda left=left: left)
            with prepacked.prepacked_weights(module, MANY):
                assert not calls
        monkeypatch.setattr(prepacked, "available_memory", lambda: None)  # unknown: no reason not to
        with prepacked.prepacked_weights(module, MANY):
            assert len(calls) == 2


@pytest.mark.usefixtures("small")
def test_copies_that_run_out_of_memory_after_all_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the layers prepacked would hold memory that decoding needs."""
    module = nn.ModuleList([nn.Linear(8, 4), nn.Linear(8, 5)])
    plain = prepacked._prepacked_linear

    def replacement(weight: torch.Tensor, bias: Any) -> Any:
        if len(weight) == 5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return plain(weight, bias)

    monkeypatch.setattr(prepacked, "_prepacked_linear", replacement)
    with prepacked.prepacked_weights(module, MANY):
        assert not any(own_forwards(module).values())


def test_small_layers_are_left_alone(calls: list[tuple[int, ...]]) -> None:
    """Below some size the call costs more than the layout saves."""
    with prepacked.prepacked_weights(nn.ModuleList([nn.Linear(256, 511), nn.Linear(256, 512)]), MANY):
        assert calls == [(512, 256)]


def test_a_build_without_the_operator_uses_plain_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator is the one that torch's own compiler uses; another build may not have it, or another of its name."""
    for broken in (AttributeError("gone"), NotImplementedError("not here"), RuntimeError("other arguments")):
        prepacked._is_supported.cache_clear()

        def replacement(*_: Any, broken: Exception = broken) -> Any:
            raise broken

        with monkeypatch.context() as patch:
            patch.setattr(prepacked, "_prepacked_linear", replacement)
            assert not prepacked._is_supported(torch.float32)
    prepacked._is_supported.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(
            prepacked, "_prepacked_linear", lambda weight, bias: lambda x: functional.linear(x, weight)
        )  # forgets the bias
        assert not prepacked._is_supported(torch.float32)
    prepacked._is_supported.cache_clear()
