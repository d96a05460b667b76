"""Layers that a GPU is sent in fewer pieces, walked on a processor: the same sums, or the architecture's own way."""

from __future__ import annotations

import copy
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from terakoya.config import ModelConfig, TrainConfig
from terakoya.models.pretrained import build
from terakoya.models.pretrained.fused import tree_attention
from terakoya.models.pretrained.fused.equivalence import Prepared
from terakoya.models.pretrained.fused.grouped_matmul import beside
from terakoya.models.pretrained.fused.patching import quicken_layers
from terakoya.models.protocol import Pair, Query
from terakoya.training.nonfinite.detection import first_bad_module

Base = Callable[[str], Path]
PAIRS = [Pair(Query("一万五千"), "(15000)"), Pair(Query("二十"), "(20)"), Pair(Query("一億"), "(100000000)")]
NUMERALS = [Pair(Query(source), f"({number})") for source, number in (
    ("三", 3), ("十二", 12), ("九百", 900), ("千一", 1001), ("八万三", 80003), ("六十億", 6000000000), ("四百七", 407),
)]  # fmt: skip
QUICK = ("gemma3", "qwen2", "llama", "t5", "lfm2")
LAYERS = {"gemma3": 2, "qwen2": 2, "llama": 2, "t5": 4, "lfm2": 2}


@pytest.fixture
def launching(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether what is computed is launched on another device; norms stay as they are on a processor."""

    def say(launched: bool) -> None:
        monkeypatch.setattr(tree_attention, "launches", lambda x: launched)

    return say


def slopes(model: Any, pairs: list[Pair] = PAIRS, *, half: bool = False) -> dict[str, Tensor]:
    """Loss and every gradient of one batch laid out as on a GPU, without the lanes of a processor."""
    batch = model.collate(pairs)
    for name in tree_attention.LANES:
        batch.tensors.pop(name, None)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        outputs = model.outputs(batch)
    loss = torch.nn.functional.cross_entropy(outputs.logits.float(), outputs.targets)
    model.module.zero_grad()
    loss.backward()
    found = {name: weight.grad.clone() for name, weight in model.parameters_to_train() if weight.grad is not None}
    return found | {"loss": loss.detach()}


def quick_layers(model: Any) -> list[Any]:
    """Modules that may have a forward of ours, norms left out."""
    return [part for part in model.module.modules() if not type(part).__name__.endswith(("RMSNorm", "LayerNorm"))]


def equal(found: dict[str, Tensor], own: dict[str, Tensor]) -> bool:
    """As one order of summing equals another in float32: a few draws are so ill-conditioned that either is 1e-5 from
    the sum in float64. Every gradient for itself, and all together."""
    largest = max(float(part.norm()) for part in own.values())
    return (
        found.keys() == own.keys()
        and error(found, own) <= 5e-5
        and all(
            float((found[name] - own[name]).norm()) <= 1e-3 * float(own[name].norm()) + 1e-5 * largest for name in own
        )
    )


def error(found: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    """How far all of these are from what is right, as a share of it."""
    between = sum(float((found[name].float() - right[name]).square().sum()) for name in right)
    return float((between / sum(float(part.square().sum()) for part in right.values())) ** 0.5)


def no_farther(model: Any, right: Any, launching: Callable[[bool], None], *, half: bool = False) -> bool:
    """Whether the quick way's gradients are no farther from float32's (of `right`) than the architecture's own way's:
    in the middle of seven batches, for one batch's error says little."""
    ratios = []
    for first in range(7):
        pairs = (NUMERALS * 2)[first : first + 3]
        launching(False)
        exact, own = slopes(right, pairs), slopes(model, pairs, half=half)
        launching(True)
        quick = slopes(model, pairs, half=half)
        assert quick.keys() == own.keys() == exact.keys()
        assert all(quick[name].dtype == own[name].dtype for name in own)
        ratios.append(error(quick, exact) / error(own, exact))
    return 0 < statistics.median(ratios) <= 1.4


def counted(work: Callable[[], Any], launching: Callable[[bool], None]) -> list[Counter[str]]:
    """Operators by name, the architecture's own way and the quick one."""
    counts = []
    for launched in (False, True):
        launching(launched)
        with operators() as found:
            work()
        counts.append(found)
    return counts


@contextmanager
def operators() -> Iterator[Counter[str]]:
    found: Counter[str] = Counter()

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found[operator.overloadpacket.__name__] += 1
            return operator(*args, **(kwargs or {}))

    with Count():
        yield found


@pytest.mark.parametrize(("family", "count"), LAYERS.items())
def test_layers_of_a_kind_that_is_known_are_quickened(base: Base, family: str, count: int) -> None:
    """All layers of all five families."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    assert sum("forward" in vars(part) for part in quick_layers(model)) == count


@pytest.mark.parametrize("family", LAYERS)
def test_nothing_is_ours_where_the_library_shall_compute(base: Base, family: str, tmp_path: Path) -> None:
    """For whoever wants to know whose fault a number is; kept with what was taught."""
    model = build.build(ModelConfig(base=str(base(family)), forward="library"), PAIRS, seed=0)
    model.save(tmp_path / "saved")
    for one in (model, build.load(tmp_path / "saved")):
        assert not any("forward" in vars(part) for part in one.module.modules())
        assert one.core.config._attn_implementation == "sdpa"  # type: ignore[union-attr]
    assert build.load(base(family)).about.forward == "quick"


@pytest.mark.parametrize("family", LAYERS)
@pytest.mark.parametrize("vocabulary", ["full", "trimmed"])
def test_loss_and_every_gradient_are_the_same(
    base: Base, family: str, vocabulary: str, launching: Callable[[bool], None]
) -> None:
    """In float32."""
    model = build.build(
        ModelConfig(base=str(base(family))).model_copy(update={"vocabulary": vocabulary}), PAIRS, seed=0
    )
    launching(False)
    own = slopes(model)
    launching(True)
    quick = slopes(model)
    assert equal(quick, own)


@pytest.mark.parametrize("family", QUICK)
def test_half_precision_moves_gradients_no_more_than_it_did(
    base: Base, family: str, launching: Callable[[bool], None]
) -> None:
    """bfloat16 beside float32 weights, held against float32: the quick way is no farther from it than the old."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    assert no_farther(model, model, launching, half=True)


@pytest.mark.parametrize("family", QUICK)
def test_fewer_operators_are_sent(base: Base, family: str, launching: Callable[[bool], None]) -> None:
    """What it is for; the benchmark counts as a GPU does, here a processor's pieces of a norm are counted too."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    counts = counted(lambda: slopes(model, half=True), launching)
    own, quick = (found["mm"] + found["addmm"] + found["_to_copy"] for found in counts)
    assert quick < 0.6 * own


@pytest.mark.parametrize("family", QUICK)
def test_rows_that_are_filled_up_and_no_mask_at_all(base: Base, family: str, launching: Callable[[bool], None]) -> None:
    """Without trees rows are padded; rows of one length may bring no mask, and then places see those before them."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    model.exact_tree = False
    for pairs in (PAIRS, [PAIRS[1]] * 2):
        launching(False)
        own = slopes(model, pairs)
        launching(True)
        quick = slopes(model, pairs)
        assert equal(quick, own)


@pytest.mark.parametrize("family", QUICK)
@pytest.mark.parametrize("with_adapters", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_checkpointed_and_repeated_passes_give_the_same(
    base: Base, family: str, checkpointing: bool, with_adapters: bool, launching: Callable[[bool], None]
) -> None:
    """Gradient checkpointing walks a layer twice, accumulation a batch after another with what was prepared before."""
    if with_adapters:
        model = adapted(base, family, "every layer")
    else:
        model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    model.settle(TrainConfig(checkpointing=checkpointing))
    model.module.train()
    found = []
    for launched in (False, True):
        launching(launched)
        slopes(model, PAIRS[:2])
        found.append(slopes(model))
    assert equal(found[1], found[0])


@pytest.mark.parametrize("family", QUICK)
def test_weights_that_are_held_still_get_no_gradient(
    base: Base, family: str, launching: Callable[[bool], None]
) -> None:
    """Only what is taught; the rest of a group that is laid together is left alone."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    launching(True)
    whole = slopes(model)
    held = [name for name in whole if name.endswith(("k_proj.weight", ".k.weight", "up_proj.weight"))]
    for name, weight in model.module.named_parameters():
        weight.requires_grad_(name not in held)
    some = slopes(model)
    assert held and some.keys() == whole.keys() - set(held)
    assert all(torch.equal(some[name], whole[name]) for name in some)


@pytest.mark.parametrize("family", LAYERS)
@pytest.mark.parametrize(
    "asks", [("一万五千", "二十", "一億"), ("二十", "三十"), ("十",)], ids=["filled", "even", "one"]
)
def test_answers_are_written_with_the_same_numbers(
    base: Base, family: str, asks: tuple[str, ...], launching: Callable[[bool], None]
) -> None:
    """Token after token: prompts of several lengths or one, a beginning that all share, rows that leave."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    found = []
    for launched in (False, True):
        launching(launched)
        with torch.inference_mode():
            state = model.start([Query(source) for source in asks])
            numbers = [state.logits]
            for step in range(5):
                state.advance(numbers[0].argsort(-1)[:, -1 - step][: len(state.logits)])
                numbers.append(state.logits)
                if step == 2 and len(asks) > 1:
                    state.select(torch.arange(len(asks))[1:])
                    numbers[0] = numbers[0][1:]
        found.append(numbers)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", QUICK)
def test_a_token_is_written_with_fewer_operators(base: Base, family: str, launching: Callable[[bool], None]) -> None:
    """The same weights, not copied."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    with torch.inference_mode():
        state = model.start([pair.ask for pair in PAIRS])
        counts = counted(lambda: state.advance(state.logits.argmax(-1)), launching)
    assert counts[1]["_foreach_copy_"] == 0
    assert counts[1]["mul"] + counts[1]["cat"] + counts[1]["clone"] < counts[0]["mul"] + counts[0]["cat"]


@pytest.mark.parametrize("family", ["gemma3", "qwen2", "llama", "lfm2"])
def test_weights_in_half_precision(base: Base, family: str, launching: Callable[[bool], None]) -> None:
    """A model kept in bfloat16: no farther from the float32 model's answers than the architecture's own way is."""
    exact = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    model = build.build(ModelConfig(base=str(base(family)), dtype="bfloat16"), PAIRS, seed=0)
    assert no_farther(model, exact, launching)


@pytest.mark.parametrize("family", QUICK)
def test_the_module_that_breaks_is_still_named(base: Base, family: str, launching: Callable[[bool], None]) -> None:
    """Who looks at the parts of a layer sees them called."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    launching(True)
    names = [name for name, _ in model.module.named_modules() if name.endswith(("down_proj", "wo", "w2"))]
    weight = dict(model.module.named_parameters())[names[-1] + ".weight"]
    with torch.no_grad():
        weight[0, 0] = torch.inf
    assert first_bad_module(model.module, lambda: model.outputs(model.collate(PAIRS)).logits) == names[-1]


def test_a_copy_has_its_own_weights(base: Base, launching: Callable[[bool], None]) -> None:
    """A layer's new forward goes with the copy, and does not call the weights of the first."""
    model = build.build(ModelConfig(base=str(base("llama"))), PAIRS, seed=0)
    launching(True)
    before = slopes(model)["loss"]
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.module.parameters():
            weight.zero_()
    assert torch.equal(slopes(model)["loss"], before)
    assert not torch.equal(slopes(other)["loss"], before)


ADAPTERS: dict[str, dict[str, Any]] = {
    "every layer": {},
    "two kinds": {
        "llama": ("q_proj", "v_proj"),
        "qwen2": ("up_proj", "o_proj"),
        "gemma3": ("k_proj",),
        "t5": ("q", "wo"),
        "lfm2": ("in_proj", "w3"),
    },
}


def adapted(base: Base, family: str, where: str, **more: Any) -> Any:
    """With adapters that are no longer at their beginning, where they add nothing."""
    told = {"adaptation": "lora", "lora_rank": 4, "lora_targets": ADAPTERS[where].get(family, ())} | more
    model = build.build(ModelConfig(base=str(base(family))).model_copy(update=told), PAIRS, seed=0)
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.module.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.05 * torch.randn(weight.shape, generator=chance))
    return model


@pytest.mark.parametrize("where", ADAPTERS)
@pytest.mark.parametrize("family", QUICK)
def test_adapters_come_to_the_same(base: Base, family: str, where: str, launching: Callable[[bool], None]) -> None:
    """In every projection or in some; what is frozen gets no gradient, and no product is made for one."""
    model = adapted(base, family, where)
    assert sum("forward" in vars(part) for part in quick_layers(model)) == LAYERS[family]
    launching(False)
    own = slopes(model)
    launching(True)
    quick = slopes(model)
    assert equal(quick, own) and all("lora_" in name or name == "loss" for name in own)
    assert no_farther(model, model, launching, half=True)


def test_adapters_send_fewer_operators_and_no_more_products(base: Base, launching: Callable[[bool], None]) -> None:
    """Three products a group forward, and on the way back none for what is frozen."""
    model = adapted(base, "llama", "every layer")
    counts = counted(lambda: slopes(model, half=True), launching)
    assert counts[1]["mm"] < 0.6 * counts[0]["mm"]
    assert counts[1]["_to_copy"] < 0.5 * counts[0]["_to_copy"]


def test_an_adapted_model_in_half_precision_answers_the_same(base: Base, launching: Callable[[bool], None]) -> None:
    """Weights in bfloat16 stay where they are; adapters, which are kept in float32, are cast."""
    model = adapted(base, "llama", "every layer", dtype="bfloat16")
    assert no_farther(model, adapted(base, "llama", "every layer"), launching)


@pytest.mark.parametrize(
    "change", [{"lora_dropout": 0.1}, {"lora_bias": True}, {"use_dora": True}, {"rank_pattern": {"q_proj": 2}}],
    ids=["dropout", "bias", "another kind", "another factor"],
)  # fmt: skip
def test_adapters_that_are_not_known_take_the_old_way(change: dict[str, Any]) -> None:
    """Ours puts in none of them; a model made elsewhere may have them."""
    import peft

    module = nn.ModuleList([a_layer()])
    told = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "init_lora_weights": True} | change
    told["target_modules"] = ["q_proj", "k_proj", "down_proj"]
    peft.inject_adapter_in_model(peft.LoraConfig(**told), module)  # type: ignore[attr-defined]
    assert quicken_layers(module) == 0


@pytest.mark.parametrize("family", QUICK)
def test_an_adapter_that_is_switched_off_later_is_not_added(
    base: Base, family: str, launching: Callable[[bool], None]
) -> None:
    """As a tool does that asks the base beside the taught model; folded in, it is the weights' own."""
    model = adapted(base, family, "every layer")
    layers = [part for part in model.module.modules() if hasattr(part, "lora_A")]
    launching(True)
    taught = slopes(model)["loss"]
    for change in (lambda one: one.enable_adapters(False), lambda one: one.enable_adapters(True) or one.merge()):
        for layer in layers:
            change(layer)
        launching(True)
        with torch.no_grad():
            quick = model.outputs(model.collate(PAIRS)).logits
        launching(False)
        with torch.no_grad():
            torch.testing.assert_close(quick, model.outputs(model.collate(PAIRS)).logits, rtol=1e-4, atol=1e-5)
    for layer in layers:
        layer.unmerge()
    launching(True)
    torch.testing.assert_close(slopes(model)["loss"], taught)


def test_an_adapter_that_is_switched_off_leaves_another_layer() -> None:
    """Off or folded in when the layer is looked at."""
    import peft

    for change in (lambda one: one.enable_adapters(False), lambda one: one.merge()):
        module = nn.ModuleList([a_layer()])
        peft.inject_adapter_in_model(peft.LoraConfig(r=4, target_modules=["q_proj"]), module)  # type: ignore[attr-defined]
        change(module[0].self_attn.q_proj)
        assert quicken_layers(module) == 0


def a_layer(**changed: Any) -> Any:
    """One decoder layer of Qwen 3, whose queries and keys have norms."""
    from transformers.models.qwen3.configuration_qwen3 import Qwen3Config
    from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

    told = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 8, "num_hidden_layers": 1} | changed  # fmt: skip
    torch.manual_seed(0)
    config = Qwen3Config(**told)
    config._attn_implementation = "sdpa"
    return Qwen3DecoderLayer(config, 0)


def test_a_family_that_no_line_names_is_known_by_trial() -> None:
    """Its parts are those of others, put together in its own way."""
    assert quicken_layers(nn.ModuleList([a_layer(), a_layer()])) == 2


def test_layers_of_one_class_that_differ_are_tried_each(launching: Callable[[bool], None]) -> None:
    """SmolLM3 turns queries by their place in three layers of four; to take the fourth for one would be silent."""
    import transformers as t

    config = t.SmolLM3Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, no_rope_layers=[1, 1, 1, 0], pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    module = t.SmolLM3ForCausalLM(config)
    ids = torch.arange(3, 15)[None]
    own = module(input_ids=ids).logits
    assert quicken_layers(module) == 3
    launching(True)
    torch.testing.assert_close(module(input_ids=ids).logits, own, rtol=1e-4, atol=1e-5)


def turned_in_pairs(attention: Any) -> None:
    """As families turn that pair neighbours and not halves."""
    module = __import__(type(attention).__module__, fromlist=["apply_rotary_pos_emb"])
    forward = type(attention).forward

    def other(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        def turn(x: Tensor) -> Tensor:
            return x * cos[:, None] + torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2) * sin[:, None]

        return turn(q), turn(k)

    def wrapped(*given: Any, **told: Any) -> Any:
        own, module.apply_rotary_pos_emb = module.apply_rotary_pos_emb, other
        try:
            return forward(attention, *given, **told)
        finally:
            module.apply_rotary_pos_emb = own

    attention.forward = wrapped


def scaled(layer: Any) -> None:
    layer.mlp.act_fn = nn.Sequential(layer.mlp.act_fn, nn.LeakyReLU(2.0))
    down = layer.mlp.forward
    layer.mlp.forward = lambda x: 0.5 * down(x)


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: turned_in_pairs(layer.self_attn),
        scaled,
        lambda layer: setattr(layer.self_attn, "scaling", 2 * layer.self_attn.scaling) or own_scaling(layer),
        lambda layer: layer.register_parameter("gate", nn.Parameter(torch.ones(1))),
        lambda layer: setattr(layer.self_attn, "attention_dropout", 0.1),
        lambda layer: setattr(layer.mlp, "up_proj", nn.Sequential(layer.mlp.up_proj)),
        lambda layer: setattr(layer.input_layernorm, "variance_epsilon", 1e-2),
    ],
    ids=["angles", "feed-forward", "scaling", "another weight", "dropout", "no plain product", "epsilon"],
)
def test_a_layer_that_is_another_stays_as_it_is(change: Callable[[Any], Any]) -> None:
    """By its parts, or by trial where the parts look the same."""
    layer = a_layer()
    change(layer)
    assert quicken_layers(nn.ModuleList([layer])) == 0


def own_scaling(layer: Any) -> None:
    """The attribute says one thing and the attention does another."""
    own = layer.self_attn.scaling / 2
    forward = type(layer.self_attn).forward

    def wrapped(*given: Any, **told: Any) -> Any:
        said, layer.self_attn.scaling = layer.self_attn.scaling, own
        try:
            return forward(layer.self_attn, *given, **told)
        finally:
            layer.self_attn.scaling = said

    layer.self_attn.forward = wrapped


def test_weights_beside_each_other_go_back_each_to_its_own() -> None:
    """Values in the other dtype, gradients in the weight's."""
    one, two, three = (nn.Parameter(torch.randn(size, 3)) for size in (2, 4, 5))
    first, second = beside([[one, two], [three]], torch.bfloat16)
    assert torch.equal(first, torch.cat([one, two]).bfloat16()) and torch.equal(second, three.bfloat16())
    (first.float().square().sum() + second.float().sum()).backward()
    for weight in (one, two):
        torch.testing.assert_close(weight.grad, 2 * weight, rtol=1e-2, atol=1e-2)
    assert three.grad is not None and torch.equal(three.grad, torch.ones(5, 3))


def test_what_is_prepared_is_made_once_for_the_same_and_anew_for_another() -> None:
    """Known by being the same tensors, not by being equal; never more than a few are kept."""
    prepared = Prepared()
    sight = torch.ones(1, 1, 5, 5, dtype=torch.bool).tril()
    first = prepared.mask(sight, torch.bfloat16)
    assert first is prepared.mask(sight, torch.bfloat16)
    assert first is not prepared.mask(sight.clone(), torch.bfloat16)
    assert first is not None and first.stride(-2) % 16 == 0 and first.dtype == torch.bfloat16
    assert torch.equal(first == 0, sight) and torch.equal(first == -torch.inf, ~sight)
    for _ in range(9):
        prepared.mask(sight.clone(), torch.float32)
    assert len(prepared._kept) == 4
    assert prepared.mask(None, torch.float32) is None
