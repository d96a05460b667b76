"""Branch attention and fused norms compute the same values and gradients as the library's functions."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from checkpoints import CAUSAL, FAMILIES
from torch import Tensor, nn

from terakoya.config import ModelConfig
from terakoya.models.pretrained import build, causal_batches
from terakoya.models.pretrained.causal_batches import CausalRow
from terakoya.models.pretrained.fused import dispatch, rms_norm, tree_attention
from terakoya.models.protocol import Pair, Query

Base = Callable[[str], Path]
PAIRS = [Pair(Query("一万五千"), "(15000)"), Pair(Query("二十"), "(20)"), Pair(Query("一億"), "(100000000)")]


def a_tree(rng: Random) -> tuple[list[CausalRow], dict[str, Tensor]]:
    """Rows of all lengths, many with a shared prefix, some twice."""
    start = [rng.randrange(5) for _ in range(rng.randrange(6))]
    rows = [
        CausalRow((*start, *(rng.randrange(4) for _ in range(rng.randint(2, 9)))), len(start) + 1)
        for _ in range(rng.randint(1, 7))
    ]
    rows += rng.sample(rows, min(len(rows), rng.randrange(3)))
    return rows, causal_batches.prefix_tree_batch(rows, share=rng.random() < 0.8)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("shared", [1, 2, 4])
def test_branches_give_what_the_mask_gives(seed: int, shared: int) -> None:
    """Any tree, one to four heads of keys; values and all three gradients."""
    _, batch = a_tree(Random(seed))
    size = batch["input_ids"].shape[1]
    torch.manual_seed(seed)
    parts = [torch.randn(1, heads, size, 8, requires_grad=True) for heads in (4, shared, shared)]
    layer = nn.Module()
    layer.num_key_value_groups = 4 // shared  # type: ignore[assignment]
    gradient = torch.randn(1, size, 4, 8)
    branches = {name: batch[name] for name in tree_attention.BRANCH_TENSORS}
    found = []
    for given in (None, branches):
        output, _ = tree_attention.attention(layer, *parts, batch["tree_mask"], scaling=0.4, branches=given)  # type: ignore[misc]
        found.append((output, *torch.autograd.grad((output * gradient).sum(), parts)))
    for masked, by_branches in zip(*found, strict=True):
        torch.testing.assert_close(by_branches, masked, rtol=1e-4, atol=1e-5)


def test_a_shared_prefix_does_not_make_every_branch_as_long() -> None:
    """The first row brings it, and is cut; otherwise each branch would be padded to its length."""
    start = tuple(range(20))
    rows = [CausalRow((*start, 30 + row, 40, 50), 20) for row in range(8)]
    branches = causal_batches.prefix_tree_batch(rows, share=True)["queries"]
    assert branches.shape[1] <= 3 and branches.numel() < 40


def test_the_norm_has_the_right_gradient() -> None:
    """Against finite differences, in double precision, also for rows that lie apart in memory."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, 3, 6, dtype=torch.float64).transpose(1, 2).requires_grad_()
    weight = torch.randn(6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: rms_norm.RMSNorm.apply(a, b, 1e-6), (x, weight))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_norm_of_every_family_is_recognised(base: Base, family: str) -> None:
    """By what it computes: no architecture's class is named, so a new one needs no line here."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    norms = [part for part in model.module.modules() if type(part).__name__.endswith(("RMSNorm", "LayerNorm"))]
    assert norms and all("forward" in vars(part) for part in norms)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_norms_of_a_gpu_give_what_the_architecture_s_own_give(
    base: Base, family: str, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU's code path on a CPU: values, gradients and the dtype of the output."""
    model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
    monkeypatch.setattr(dispatch, "is_on_gpu", lambda x: True)
    torch.manual_seed(0)
    for norm in (part for part in model.module.modules() if type(part).__name__.endswith(("RMSNorm", "LayerNorm"))):
        x = torch.randn(3, 4, len(norm.weight), dtype=torch.bfloat16 if half else torch.float32, requires_grad=True)
        found = []
        for one in (norm.forward, lambda x, norm=norm: type(norm).forward(norm, x)):
            given = one(x)
            found.append((given, *torch.autograd.grad(given.float().square().sum(), (x, norm.weight))))
        for ours, own in zip(*found, strict=True):
            assert ours.dtype == own.dtype
            torch.testing.assert_close(ours, own, **({"rtol": 2e-2, "atol": 2e-2} if half else {}))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_in_mixed_precision_is_the_same_with_norms_of_a_gpu(
    base: Base, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bfloat16 autocast with float32 weights, as on a GPU: the loss changes less than bfloat16 itself changes it."""
    losses = []
    for fused in (False, True):
        monkeypatch.setattr(dispatch, "is_on_gpu", lambda x, fused=fused: fused)
        model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = model.outputs(model.collate(PAIRS))
        losses.append(torch.nn.functional.cross_entropy(outputs.logits.float(), outputs.targets).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


@pytest.mark.parametrize("family", CAUSAL)
def test_branches_have_gradients_in_mixed_precision_on_a_processor(base: Base, family: str) -> None:
    """The backward pass ended in "expected scalar type Float but found BFloat16"."""
    gradients = []
    for half in (False, True):
        model = build.build(ModelConfig(base=str(base(family))), PAIRS, seed=0)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs = model.outputs(model.collate(PAIRS))
        torch.nn.functional.cross_entropy(outputs.logits.float(), outputs.targets).backward()
        gradients.append(torch.cat([w.grad.flatten() for _, w in model.parameters_to_train() if w.grad is not None]))
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99


class Centred(nn.Module):
    """Named like an RMS norm, and none."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(8)), 1e-6

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        return self.weight * x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt()


def test_what_is_no_rms_norm_stays_as_it_is() -> None:
    """A mean that is subtracted, a bias, another width."""
    module = nn.ModuleList([Centred(), nn.LayerNorm(8), nn.Linear(8, 8), nn.GroupNorm(2, 8), nn.Embedding(4, 8)])
    assert rms_norm.patch_norms(module) == 0


@pytest.mark.parametrize("family", [name for name in CAUSAL if name != "lfm2"])
def test_half_precision_uses_the_original_forward(base: Base, family: str) -> None:
    """The fused functions are written and verified for float32."""
    model = build.build(ModelConfig(base=str(base(family)), dtype="bfloat16"), PAIRS, seed=0)
    assert torch.isfinite(model.outputs(model.collate(PAIRS)).logits).all()


def test_branches_that_are_wrong_are_not_used(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose values they change keeps the attention it had."""
    right = tree_attention.attention

    def wrong(*given: Any, branches: Any = None, **options: Any) -> tuple[Tensor, None]:
        output, _ = right(*given, branches=branches, **options)
        return (output if branches is None else output.flip(1)), None

    monkeypatch.setattr(tree_attention, "attention", wrong)
    model = build.build(ModelConfig(base=str(base("gemma3"))), PAIRS, seed=0)
    assert model.core.config._attn_implementation == "sdpa"
    assert model.layout == "tree"


def test_a_trimmed_model_releases_the_checkpoint(base: Base, tmp_path: Path) -> None:
    """One weight in the mapped file would keep all of the file in memory that was ever touched."""
    # A copy: models of earlier tests that were not collected yet may map the shared checkpoint.
    own = Path(shutil.copytree(base("gemma3"), tmp_path / "gemma3"))
    model = build.build(ModelConfig(base=str(own), vocabulary="trimmed"), PAIRS, seed=0)
    file = str(own / "model.safetensors")
    with Path("/proc/self/maps").open(encoding="utf-8") as lines:
        mapped = [line for line in lines if line.rstrip().endswith(file)]
    assert len(mapped) <= 1, "the rows that were not kept, and nothing else"
    assert model.vocabulary.full_tables is not None
