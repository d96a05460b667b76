"""Weights packed while a model is asked: the same answers, nothing left behind, never an old weight."""

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
from terakoya.decoding import answers, scored
from terakoya.decoding.likelihood import surprises
from terakoya.models import prepacked
from terakoya.models.pretrained import build
from terakoya.models.pretrained.model import HubModel
from terakoya.models.pretrained.vocabulary import Head
from terakoya.models.protocol import Pair, Query
from terakoya.training.trainer import plain_loss

Base = Callable[[str], Path]
PAIRS = [Pair(Query("一万五千"), "(15000)"), Pair(Query("二十"), "(20)"), Pair(Query("楽しい日"), "✨ 📚")]
ASKS = [Query(text) for text in ("一", "百億三千二万五千", "二十", "冷蔵庫の奥", "三千", "五")] * 3
MANY = len(ASKS)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of a test's size count as large."""
    monkeypatch.setattr(prepacked, "_WEIGHTS", 1)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, ...]]]:
    """Shapes of the weights that were packed."""
    found: list[tuple[int, ...]] = []
    plain = prepacked._product

    def product(weight: torch.Tensor, bias: Any) -> Any:
        found.append(tuple(weight.shape))
        return plain(weight, bias)

    monkeypatch.setattr(prepacked, "_product", product)
    prepacked._able(torch.float32)  # its own trial counts for nobody
    found.clear()
    yield found


def noisy(base: Base, family: str, **more: Any) -> HubModel:
    model = build.build(ModelConfig(base=str(base(family)), head="sequence", **more), PAIRS, ("✨", "📚"), seed=0)
    chance = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, weight in model.parameters_to_train():
            weight += 0.25 * torch.randn(weight.shape, generator=chance)
    return model


def own_ways(module: nn.Module) -> dict[str, Any]:
    return {name: vars(part).get("forward") for name, part in module.named_modules()}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("adaptation", ["full", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_answers(base: Base, family: str, adaptation: str, calls: list[tuple[int, ...]]) -> None:
    """Another order of sums is not another function: logits of each step, for every family, with adapters too."""
    model = noisy(base, family, adaptation=adaptation)
    before = own_ways(model.module)
    model.module.eval()
    with torch.inference_mode():
        plain = model.start(ASKS)
        steps = [plain.logits]
        for _ in range(6):
            plain.advance(steps[-1].argmax(-1))
            steps.append(plain.logits)
        with prepacked.packed(model.module, MANY):
            quick = model.start(ASKS)
            for wanted in steps:
                torch.testing.assert_close(quick.logits, wanted, rtol=1e-3, atol=1e-3)
                quick.advance(wanted.argmax(-1))
    head = model.words.tables.head  # under LoRA it has rows that are taught beside those that are not
    assert isinstance(head, Head) == (adaptation == "lora")
    assert tuple(head.weight.shape) in calls and len(calls) > 10
    assert own_ways(model.module) == before and not any("product" in vars(part) for part in model.module.modules())


@pytest.mark.usefixtures("small")
def test_in_half_precision_where_the_processor_has_it(base: Base, calls: list[tuple[int, ...]]) -> None:
    """bfloat16 is as wide as its own rounding; where this processor does not compute in it nothing is packed."""
    able = prepacked._able(torch.bfloat16)
    calls.clear()
    model = build.build(ModelConfig(base=str(base("llama")), dtype="bfloat16"), PAIRS, seed=0)
    model.module.eval()
    with torch.inference_mode():
        plain = model.start(ASKS).logits
        with prepacked.packed(model.module, MANY):
            quick = model.start(ASKS).logits
    torch.testing.assert_close(quick, plain, rtol=5e-2, atol=5e-2)
    assert bool(calls) == able


@pytest.mark.usefixtures("small")
def test_answers_go_through_packed_weights(base: Base, calls: list[tuple[int, ...]]) -> None:
    model = noisy(base, "llama")
    found = answers(model, ASKS, TextCodec(), DecodeConfig(constrained=False), max_tokens=8)
    packed_ = list(calls)
    few = answers(model, ASKS[:6], TextCodec(), DecodeConfig(constrained=False), max_tokens=8)
    assert len(packed_) > 10 and calls == packed_  # once, however many batches; and not for few
    assert [one.raw for one in few] == [one.raw for one in found[:6]]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_surprises_are_those_of_the_plain_way(
    base: Base, family: str, calls: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dev's loss and the perplexity of right answers go through a whole pass, trees and all."""
    model, rows = noisy(base, family), PAIRS * 8
    loss, told = plain_loss(model, rows), surprises(model, rows)
    assert len(calls) > 10
    monkeypatch.setattr(prepacked, "_ASKS", 1000)
    calls.clear()
    assert loss == pytest.approx(plain_loss(model, rows), rel=1e-3)
    for one, other in zip(told, surprises(model, rows), strict=True):
        assert one is not None and other is not None
        assert one.nats == pytest.approx(other.nats, rel=1e-3)
    assert not calls


@pytest.mark.usefixtures("small")
def test_sets_are_scored_from_packed_weights(base: Base, calls: list[tuple[int, ...]]) -> None:
    config = ModelConfig(base=str(base("t5")), head="set")
    model = build.build(config, [Pair(Query("楽しい日"), "✨ 📚"), Pair(Query("本"), "📚")] * 4, ("✨", "📚"), seed=0)
    model.module.eval()
    found = scored(model, ASKS, 7)
    assert len(calls) > 10
    with torch.inference_mode():
        alone = torch.cat([model.set_scores([ask]).labels for ask in ASKS])
    torch.testing.assert_close(found.labels, alone, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("small")
def test_weights_taught_since_are_the_ones_that_answer(base: Base) -> None:
    """A copy from before the last step would be the worst of faults: scores of a model that is no more."""
    model = noisy(base, "qwen2")
    answers(model, ASKS, TextCodec(), DecodeConfig(constrained=False), max_tokens=4)
    with torch.no_grad():
        for _, weight in model.parameters_to_train():
            weight.data.mul_(-1)
    now = answers(model, ASKS, TextCodec(), DecodeConfig(constrained=False), max_tokens=4)
    fresh = [answers(model, [ask], TextCodec(), DecodeConfig(constrained=False), max_tokens=4)[0] for ask in ASKS]
    assert [one.raw for one in now] == [one.raw for one in fresh]


@pytest.mark.usefixtures("small")
def test_a_fault_leaves_nothing_behind(base: Base) -> None:
    model = noisy(base, "llama")
    before = own_ways(model.module)
    with pytest.raises(KeyboardInterrupt), prepacked.packed(model.module, MANY):
        assert own_ways(model.module) != before
        raise KeyboardInterrupt
    assert own_ways(model.module) == before


@pytest.mark.usefixtures("small")
def test_two_threads_may_ask_the_same_model(base: Base) -> None:
    """Whoever ends first unpacks; the other goes on the plain way, with the same answers."""
    model = noisy(base, "llama")
    told = DecodeConfig(constrained=False)
    wanted = [one.raw for one in answers(model, ASKS[:6], TextCodec(), told, max_tokens=8)] * 3
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(answers, model, ASKS, TextCodec(), told, 8) for _ in range(12)]
        found = [[one.raw for one in job.result()] for job in jobs]
    assert found == [wanted] * 12
    assert not any("forward" in vars(part) for part in model.module.modules() if type(part) is nn.Linear)


class Other(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + 1


@pytest.mark.usefixtures("small")
def test_only_what_is_known_is_packed(calls: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer with another way of its own keeps it; so do other dtypes, and all of them where memory is short."""
    own = nn.Linear(8, 9)
    own.forward = lambda x: functional.linear(x, own.weight) * 2  # type: ignore[method-assign]
    module = nn.ModuleList([nn.Linear(8, 4), nn.Linear(8, 5, bias=False), Other(8, 6), own, nn.Linear(8, 7).double()])
    x = torch.randn(3, 2, 8).transpose(0, 1)
    with torch.inference_mode():
        plain = [part(x.to(part.weight.dtype)) for part in module]  # type: ignore[arg-type,union-attr]
        with prepacked.packed(module, MANY):
            quick = [part(x.to(part.weight.dtype)) for part in module]  # type: ignore[arg-type,union-attr]
            assert calls == [(4, 8), (5, 8)]
            with prepacked.packed(module, MANY):  # one within another
                assert calls == [(4, 8), (5, 8)]
            assert "forward" in vars(module[0])
        for one, other in zip(quick, plain, strict=True):
            torch.testing.assert_close(one, other)
        calls.clear()
        for left in (4 * sum(part.weight.nbytes for part in module[:2]) - 1, 0):  # type: ignore[misc,union-attr]
            monkeypatch.setattr(prepacked, "memory_left", lambda left=left: left)
            with prepacked.packed(module, MANY):
                assert not calls
        monkeypatch.setattr(prepacked, "memory_left", lambda: None)  # not known: no reason to hold back
        with prepacked.packed(module, MANY):
            assert len(calls) == 2


@pytest.mark.usefixtures("small")
def test_copies_that_find_no_room_after_all_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of them packed and half not would hold memory that the answers need."""
    module = nn.ModuleList([nn.Linear(8, 4), nn.Linear(8, 5)])
    plain = prepacked._product

    def product(weight: torch.Tensor, bias: Any) -> Any:
        if len(weight) == 5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return plain(weight, bias)

    monkeypatch.setattr(prepacked, "_product", product)
    with prepacked.packed(module, MANY):
        assert not any(own_ways(module).values())


def test_small_layers_are_left_alone(calls: list[tuple[int, ...]]) -> None:
    """Below some size the call costs more than the order saves."""
    with prepacked.packed(nn.ModuleList([nn.Linear(256, 511), nn.Linear(256, 512)]), MANY):
        assert calls == [(512, 256)]


def test_a_build_without_the_operator_goes_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator is the one that torch's own compiler uses; another build may not have it, or another of its name."""
    for broken in (AttributeError("gone"), NotImplementedError("not here"), RuntimeError("other arguments")):
        prepacked._able.cache_clear()

        def product(*_: Any, broken: Exception = broken) -> Any:
            raise broken

        with monkeypatch.context() as patch:
            patch.setattr(prepacked, "_product", product)
            assert not prepacked._able(torch.float32)
    prepacked._able.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(
            prepacked, "_product", lambda weight, bias: lambda x: functional.linear(x, weight)
        )  # forgets the bias
        assert not prepacked._able(torch.float32)
    prepacked._able.cache_clear()
