"""Fused layers, run on a CPU: the same values and gradients, or the architecture's own forward."""

from __future__ import annotations

import copy
import json
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
from terakoya.models.pretrained.fused import dispatch, tree_attention
from terakoya.models.pretrained.fused.grouped_matmul import concatenate_cast
from terakoya.models.pretrained.fused.pass_cache import PassCache
from terakoya.models.pretrained.fused.patching import patch_layers
from terakoya.models.protocol import Pair, Query
from terakoya.training.nonfinite.detection import first_nonfinite_module

Base = Callable[[str], Path]
PAIRS = [Pair(Query("一万五千"), "(15000)"), Pair(Query("二十"), "(20)"), Pair(Query("一億"), "(100000000)")]
NUMERALS = [Pair(Query(source), f"({number})") for source, number in (
    ("三", 3), ("十二", 12), ("九百", 900), ("千一", 1001), ("八万三", 80003), ("六十億", 6000000000), ("四百七", 407),
)]  # fmt: skip
FUSED = ("gemma3", "qwen2", "llama", "t5", "lfm2")
LAYERS = {"gemma3": 2, "qwen2": 2, "llama": 2, "t5": 4, "lfm2": 2}


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Sets whether the code path of a GPU is used."""

    def set_gpu(enabled: bool) -> None:
        monkeypatch.setattr(dispatch, "is_on_gpu", lambda x: enabled)

    return set_gpu


def gradients(model: Any, pairs: list[Pair] = PAIRS, *, half: bool = False) -> dict[str, Tensor]:
    """Loss and every gradient of one batch as on a GPU, without the branch tensors of a CPU."""
    batch = model.collate(pairs)
    for name in tree_attention.BRANCH_TENSORS:
        batch.tensors.pop(name, None)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        outputs = model.outputs(batch)
    loss = torch.nn.functional.cross_entropy(outputs.logits.float(), outputs.targets)
    model.module.zero_grad()
    loss.backward()
    found = {name: weight.grad.clone() for name, weight in model.parameters_to_train() if weight.grad is not None}
    return found | {"loss": loss.detach()}


def patchable_layers(model: Any) -> list[Any]:
    """Modules that may have a fused forward, norms left out."""
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
    """Relative error of all of these."""
    between = sum(float((found[name].float() - right[name]).square().sum()) for name in right)
    return float((between / sum(float(part.square().sum()) for part in right.values())) ** 0.5)


def no_farther(model: Any, right: Any, on_gpu: Callable[[bool], None], *, half: bool = False) -> bool:
    """Whether the fused gradients are no farther from float32's (of `right`) than those of the original forward:
    the median of seven batches, for one batch's error says little."""
    ratios = []
    for first in range(7):
        pairs = (NUMERALS * 2)[first : first + 3]
        on_gpu(False)
        exact, own = gradients(right, pairs), gradients(model, pairs, half=half)
        on_gpu(True)
        fused = gradients(model, pairs, half=half)
        assert fused.keys() == own.keys() == exact.keys()
        assert all(fused[name].dtype == own[name].dtype for name in own)
        ratios.append(error(fused, exact) / error(own, exact))
    return 0 < statistics.median(ratios) <= 1.4


def counted(work: Callable[[], Any], on_gpu: Callable[[bool], None]) -> list[Counter[str]]:
    """Counts of operators by name, of the original and of the fused forward."""
    counts = []
    for enabled in (False, True):
        on_gpu(enabled)
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
def test_layers_of_a_known_kind_are_patched(base: Base, family: str, count: int) -> None:
    """All layers of all five families."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    assert sum("forward" in vars(part) for part in patchable_layers(model)) == count


@pytest.mark.parametrize("family", LAYERS)
def test_nothing_is_patched_where_the_config_says_library(base: Base, family: str, tmp_path: Path) -> None:
    """For whoever wants to compare with transformers alone; saved with the model."""
    model = build.build(ModelConfig(base=str(base(family)), forward="library"), PAIRS, seed=0)
    model.save(tmp_path / "saved")
    for one in (model, build.load(tmp_path / "saved")):
        assert not any("forward" in vars(part) for part in one.module.modules())
        assert one.core.config._attn_implementation == "sdpa"  # type: ignore[union-attr]
    assert build.load(base(family)).metadata.forward == "fused"


def test_a_folder_of_the_first_format_is_fused(base: Base, tmp_path: Path) -> None:
    """It has the setting under an older name."""
    build.build(ModelConfig(base=str(base("llama"))), PAIRS, seed=0).save(tmp_path)
    file = tmp_path / "terakoya-model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"forward": "quick"}))
    model = build.load(tmp_path)
    assert model.metadata.forward == "fused"
    assert sum("forward" in vars(part) for part in patchable_layers(model)) == LAYERS["llama"]


@pytest.mark.parametrize("family", LAYERS)
@pytest.mark.parametrize("vocabulary", ["full", "trimmed"])
def test_loss_and_every_gradient_are_the_same(
    base: Base, family: str, vocabulary: str, on_gpu: Callable[[bool], None]
) -> None:
    """In float32."""
    model = build.build(
        ModelConfig(base=str(base(family))).model_copy(update={"vocabulary": vocabulary}), PAIRS, seed=0
    )
    on_gpu(False)
    own = gradients(model)
    on_gpu(True)
    fused = gradients(model)
    assert equal(fused, own)


@pytest.mark.parametrize("family", FUSED)
def test_half_precision_changes_gradients_no_more_than_it_did(
    base: Base, family: str, on_gpu: Callable[[bool], None]
) -> None:
    """bfloat16 autocast, compared with float32: the fused forward is no farther from it than the original."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    assert no_farther(model, model, on_gpu, half=True)


@pytest.mark.parametrize("family", FUSED)
def test_fewer_operators_are_launched(base: Base, family: str, on_gpu: Callable[[bool], None]) -> None:
    """The purpose; the benchmark counts as a GPU does, here a CPU's parts of a norm are counted too."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    counts = counted(lambda: gradients(model, half=True), on_gpu)
    own, fused = (found["mm"] + found["addmm"] + found["_to_copy"] for found in counts)
    assert fused < 0.6 * own


@pytest.mark.parametrize("family", FUSED)
def test_padded_rows_and_no_mask_at_all(base: Base, family: str, on_gpu: Callable[[bool], None]) -> None:
    """Without prefix trees rows are padded; rows of one length may bring no mask, and attention is causal."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    model.uses_prefix_tree = False
    for pairs in (PAIRS, [PAIRS[1]] * 2):
        on_gpu(False)
        own = gradients(model, pairs)
        on_gpu(True)
        fused = gradients(model, pairs)
        assert equal(fused, own)


@pytest.mark.parametrize("family", FUSED)
@pytest.mark.parametrize("with_adapters", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_checkpointed_and_repeated_passes_give_the_same(
    base: Base, family: str, checkpointing: bool, with_adapters: bool, on_gpu: Callable[[bool], None]
) -> None:
    """Checkpointing runs a layer twice, accumulation runs batch after batch with the same cache."""
    if with_adapters:
        model = adapted(base, family, "every layer")
    else:
        model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    model.configure(TrainConfig(checkpointing=checkpointing))
    model.module.train()
    found = []
    for enabled in (False, True):
        on_gpu(enabled)
        gradients(model, PAIRS[:2])
        found.append(gradients(model))
    assert equal(found[1], found[0])


@pytest.mark.parametrize("family", FUSED)
def test_frozen_weights_get_no_gradient(base: Base, family: str, on_gpu: Callable[[bool], None]) -> None:
    """Only trained weights; the rest of a concatenated group gets none."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    on_gpu(True)
    whole = gradients(model)
    held = [name for name in whole if name.endswith(("k_proj.weight", ".k.weight", "up_proj.weight"))]
    for name, weight in model.module.named_parameters():
        weight.requires_grad_(name not in held)
    some = gradients(model)
    assert held and some.keys() == whole.keys() - set(held)
    assert all(torch.equal(some[name], whole[name]) for name in some)


@pytest.mark.parametrize("family", LAYERS)
@pytest.mark.parametrize(
    "queries", [("一万五千", "二十", "一億"), ("二十", "三十"), ("十",)], ids=["padded", "even", "one"]
)
def test_decoding_has_the_same_logits(
    base: Base, family: str, queries: tuple[str, ...], on_gpu: Callable[[bool], None]
) -> None:
    """Token by token: prompts of several lengths or one, a shared prefix, rows that leave."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    found = []
    for enabled in (False, True):
        on_gpu(enabled)
        with torch.inference_mode():
            state = model.start([Query(source) for source in queries])
            numbers = [state.logits]
            for step in range(5):
                state.advance(numbers[0].argsort(-1)[:, -1 - step][: len(state.logits)])
                numbers.append(state.logits)
                if step == 2 and len(queries) > 1:
                    state.select(torch.arange(len(queries))[1:])
                    numbers[0] = numbers[0][1:]
        found.append(numbers)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FUSED)
def test_a_token_is_decoded_with_fewer_operators(base: Base, family: str, on_gpu: Callable[[bool], None]) -> None:
    """The same weights, not copied."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    with torch.inference_mode():
        state = model.start([pair.query for pair in PAIRS])
        counts = counted(lambda: state.advance(state.logits.argmax(-1)), on_gpu)
    assert counts[1]["_foreach_copy_"] == 0
    assert counts[1]["mul"] + counts[1]["cat"] + counts[1]["clone"] < counts[0]["mul"] + counts[0]["cat"]


@pytest.mark.parametrize("family", ["gemma3", "qwen2", "llama", "lfm2"])
def test_weights_in_half_precision(base: Base, family: str, on_gpu: Callable[[bool], None]) -> None:
    """Weights in bfloat16: no farther from the float32 model than the original forward is."""
    exact = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    model = build.build(ModelConfig(base=str(base(family)), dtype="bfloat16"), PAIRS, seed=0)
    assert no_farther(model, exact, on_gpu)


@pytest.mark.parametrize("family", FUSED)
def test_the_module_with_non_finite_values_is_still_named(
    base: Base, family: str, on_gpu: Callable[[bool], None]
) -> None:
    """Hooks on the parts of a layer are called."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    on_gpu(True)
    names = [name for name, _ in model.module.named_modules() if name.endswith(("down_proj", "wo", "w2"))]
    weight = dict(model.module.named_parameters())[names[-1] + ".weight"]
    with torch.no_grad():
        weight[0, 0] = torch.inf
    assert first_nonfinite_module(model.module, lambda: model.outputs(model.collate(PAIRS)).logits) == names[-1]


def test_a_copy_has_its_own_weights(base: Base, on_gpu: Callable[[bool], None]) -> None:
    """A fused forward belongs to the copy, and does not use the weights of the first."""
    model = build.build(ModelConfig(base=str(base("llama"))), PAIRS, seed=0)
    on_gpu(True)
    before = gradients(model)["loss"]
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.module.parameters():
            weight.zero_()
    assert torch.equal(gradients(model)["loss"], before)
    assert not torch.equal(gradients(other)["loss"], before)


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
    """With adapters that are no longer at their initial values, where they add nothing."""
    options = {"adaptation": "lora", "lora_rank": 4, "lora_targets": ADAPTERS[where].get(family, ())} | more
    model = build.build(ModelConfig(base=str(base(family))).model_copy(update=options), PAIRS, seed=0)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.module.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.05 * torch.randn(weight.shape, generator=rng))
    return model


@pytest.mark.parametrize("where", ADAPTERS)
@pytest.mark.parametrize("family", FUSED)
def test_adapters_give_the_same(base: Base, family: str, where: str, on_gpu: Callable[[bool], None]) -> None:
    """In every projection or in some; what is frozen gets no gradient, and no matmul is spent on one."""
    model = adapted(base, family, where)
    assert sum("forward" in vars(part) for part in patchable_layers(model)) == LAYERS[family]
    on_gpu(False)
    own = gradients(model)
    on_gpu(True)
    fused = gradients(model)
    assert equal(fused, own) and all("lora_" in name or name == "loss" for name in own)
    assert no_farther(model, model, on_gpu, half=True)


def test_adapters_need_fewer_operators_and_matmuls(base: Base, on_gpu: Callable[[bool], None]) -> None:
    """Three matmuls a group forward, and backward none for what is frozen."""
    model = adapted(base, "llama", "every layer")
    counts = counted(lambda: gradients(model, half=True), on_gpu)
    assert counts[1]["mm"] < 0.6 * counts[0]["mm"]
    assert counts[1]["_to_copy"] < 0.5 * counts[0]["_to_copy"]


def test_an_adapted_model_in_half_precision_gives_the_same(base: Base, on_gpu: Callable[[bool], None]) -> None:
    """Weights in bfloat16 stay where they are; adapters, which are kept in float32, are cast."""
    model = adapted(base, "llama", "every layer", dtype="bfloat16")
    assert no_farther(model, adapted(base, "llama", "every layer"), on_gpu)


@pytest.mark.parametrize(
    "change", [{"lora_dropout": 0.1}, {"lora_bias": True}, {"use_dora": True}, {"rank_pattern": {"q_proj": 2}}],
    ids=["dropout", "bias", "another kind", "another factor"],
)  # fmt: skip
def test_unknown_kinds_of_adapters_use_the_original_forward(change: dict[str, Any]) -> None:
    """We inject none of them; a model made elsewhere may have them."""
    import peft

    module = nn.ModuleList([a_layer()])
    options = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "init_lora_weights": True} | change
    options["target_modules"] = ["q_proj", "k_proj", "down_proj"]
    peft.inject_adapter_in_model(peft.LoraConfig(**options), module)  # type: ignore[attr-defined]
    assert patch_layers(module) == 0


@pytest.mark.parametrize("family", FUSED)
def test_an_adapter_that_is_disabled_later_is_not_added(
    base: Base, family: str, on_gpu: Callable[[bool], None]
) -> None:
    """As a tool does that compares the base with the trained model; merged, it is part of the weights."""
    model = adapted(base, family, "every layer")
    layers = [part for part in model.module.modules() if hasattr(part, "lora_A")]
    on_gpu(True)
    trained = gradients(model)["loss"]
    for change in (lambda one: one.enable_adapters(False), lambda one: one.enable_adapters(True) or one.merge()):
        for layer in layers:
            change(layer)
        on_gpu(True)
        with torch.no_grad():
            fused = model.outputs(model.collate(PAIRS)).logits
        on_gpu(False)
        with torch.no_grad():
            torch.testing.assert_close(fused, model.outputs(model.collate(PAIRS)).logits, rtol=1e-4, atol=1e-5)
    for layer in layers:
        layer.unmerge()
    on_gpu(True)
    torch.testing.assert_close(gradients(model)["loss"], trained)


def test_a_disabled_or_merged_adapter_makes_another_layer() -> None:
    """Disabled or merged when the layer is inspected."""
    import peft

    for change in (lambda one: one.enable_adapters(False), lambda one: one.merge()):
        module = nn.ModuleList([a_layer()])
        peft.inject_adapter_in_model(peft.LoraConfig(r=4, target_modules=["q_proj"]), module)  # type: ignore[attr-defined]
        change(module[0].self_attn.q_proj)
        assert patch_layers(module) == 0


def a_layer(**changed: Any) -> Any:
    """One decoder layer of Qwen 3, whose queries and keys have norms."""
    from transformers.models.qwen3.configuration_qwen3 import Qwen3Config
    from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

    options = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 8, "num_hidden_layers": 1} | changed  # fmt: skip
    torch.manual_seed(0)
    config = Qwen3Config(**options)
    config._attn_implementation = "sdpa"
    return Qwen3DecoderLayer(config, 0)


def test_a_family_that_no_line_names_is_recognised() -> None:
    """Its parts are those of others, combined in its own way."""
    assert patch_layers(nn.ModuleList([a_layer(), a_layer()])) == 2


def test_layers_of_one_class_that_differ_are_verified_separately(on_gpu: Callable[[bool], None]) -> None:
    """SmolLM3 has rotary embeddings in three layers of four; to give them to the fourth would be a silent fault."""
    import transformers as t

    config = t.SmolLM3Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, no_rope_layers=[1, 1, 1, 0], pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    module = t.SmolLM3ForCausalLM(config)
    ids = torch.arange(3, 15)[None]
    own = module(input_ids=ids).logits
    assert patch_layers(module) == 3
    on_gpu(True)
    torch.testing.assert_close(module(input_ids=ids).logits, own, rtol=1e-4, atol=1e-5)


def rotated_in_pairs(attention: Any) -> None:
    """Rotary embeddings as in families that pair neighbours and not halves."""
    module = __import__(type(attention).__module__, fromlist=["apply_rotary_pos_emb"])
    forward = type(attention).forward

    def other(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        def turn(x: Tensor) -> Tensor:
            return x * cos[:, None] + torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2) * sin[:, None]

        return turn(q), turn(k)

    def wrapped(*given: Any, **options: Any) -> Any:
        own, module.apply_rotary_pos_emb = module.apply_rotary_pos_emb, other
        try:
            return forward(attention, *given, **options)
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
        lambda layer: rotated_in_pairs(layer.self_attn),
        scaled,
        lambda layer: setattr(layer.self_attn, "scaling", 2 * layer.self_attn.scaling) or own_scaling(layer),
        lambda layer: layer.register_parameter("gate", nn.Parameter(torch.ones(1))),
        lambda layer: setattr(layer.self_attn, "attention_dropout", 0.1),
        lambda layer: setattr(layer.mlp, "up_proj", nn.Sequential(layer.mlp.up_proj)),
        lambda layer: setattr(layer.input_layernorm, "variance_epsilon", 1e-2),
    ],
    ids=["angles", "feed-forward", "scaling", "another weight", "dropout", "no plain product", "epsilon"],
)
def test_a_layer_that_computes_something_else_is_not_patched(change: Callable[[Any], Any]) -> None:
    """By its parts, or by measurement where the parts look the same."""
    layer = a_layer()
    change(layer)
    assert patch_layers(nn.ModuleList([layer])) == 0


def own_scaling(layer: Any) -> None:
    """The attribute says one thing and the attention does another."""
    own = layer.self_attn.scaling / 2
    forward = type(layer.self_attn).forward

    def wrapped(*given: Any, **options: Any) -> Any:
        said, layer.self_attn.scaling = layer.self_attn.scaling, own
        try:
            return forward(layer.self_attn, *given, **options)
        finally:
            layer.self_attn.scaling = said

    layer.self_attn.forward = wrapped


def test_gradients_of_concatenated_weights_go_back_to_each() -> None:
    """Values in the other dtype, gradients in the weight's."""
    one, two, three = (nn.Parameter(torch.randn(size, 3)) for size in (2, 4, 5))
    first, second = concatenate_cast([[one, two], [three]], torch.bfloat16)
    assert torch.equal(first, torch.cat([one, two]).bfloat16()) and torch.equal(second, three.bfloat16())
    (first.float().square().sum() + second.float().sum()).backward()
    for weight in (one, two):
        torch.testing.assert_close(weight.grad, 2 * weight, rtol=1e-2, atol=1e-2)
    assert three.grad is not None and torch.equal(three.grad, torch.ones(5, 3))


def test_the_pass_cache_recognises_the_same_tensors_only() -> None:
    """By identity, not by equality; never more than a few entries are kept."""
    prepared = PassCache()
    sight = torch.ones(1, 1, 5, 5, dtype=torch.bool).tril()
    first = prepared.mask(sight, torch.bfloat16)
    assert first is prepared.mask(sight, torch.bfloat16)
    assert first is not prepared.mask(sight.clone(), torch.bfloat16)
    assert first is not None and first.stride(-2) % 16 == 0 and first.dtype == torch.bfloat16
    assert torch.equal(first == 0, sight) and torch.equal(first == -torch.inf, ~sight)
    for _ in range(9):
        prepared.mask(sight.clone(), torch.float32)
    assert len(prepared._entries) == 4
    assert prepared.mask(None, torch.float32) is None
