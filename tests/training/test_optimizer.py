"""Muon's update, and which weights it takes."""

from __future__ import annotations

import torch
from backwards import recipe, small_model

from terakoya.training.optimizer import Muon, make_optimizers, orthogonalize


def test_an_orthogonal_update_is_equally_long_in_every_direction() -> None:
    """Weak directions of the gradient are learnt as fast as strong ones."""
    matrices = torch.randn(3, 24, 8, generator=torch.Generator().manual_seed(1))
    for step in (orthogonalize(matrices), orthogonalize(matrices.transpose(1, 2)).transpose(1, 2)):
        lengths = torch.linalg.svdvals(step)
        assert float(lengths.min()) > 0.6
        assert float(lengths.max()) < 1.25
        left, _, right = torch.linalg.svd(matrices, full_matrices=False)
        alignment = (step * (left @ right)).sum(dim=(1, 2)) / 8
        assert float(alignment.min()) > 0.8


def test_matrices_of_one_shape_are_updated_as_if_each_were_alone() -> None:
    def updated(together: bool) -> list[torch.Tensor]:
        rng = torch.Generator().manual_seed(2)
        weights = [torch.nn.Parameter(torch.randn(4, 4, generator=rng)) for _ in range(3)]
        for weight in weights:
            weight.grad = torch.randn(4, 4, generator=rng)
        for part in [weights] if together else [[weight] for weight in weights]:
            Muon(part, lr=0.1).step()
        return [weight.detach() for weight in weights]

    for one, other in zip(updated(True), updated(False), strict=True):
        torch.testing.assert_close(one, other)


def test_every_weight_has_one_optimizer_and_embeddings_stay_with_adamw() -> None:
    model = small_model()
    weights = dict(model.module.named_parameters())
    adamw, muon = make_optimizers(model.module, weights, recipe(model, optimizer="muon"))
    taken = [id(w) for made in (adamw, muon) for group in made.param_groups for w in group["params"]]
    assert sorted(taken) == sorted(id(weight) for weight in weights.values())
    matrices = {id(weight) for group in muon.param_groups for weight in group["params"]}
    names = {name for name, weight in weights.items() if id(weight) in matrices}
    assert "layers.0.attention.qkv.weight" in names
    assert not any("embed" in name or "places" in name or "norm" in name or name.endswith("bias") for name in names)
    (alone,) = make_optimizers(model.module, weights, recipe(model, optimizer="adamw"))
    assert isinstance(alone, torch.optim.AdamW)


def test_norms_and_biases_do_not_decay() -> None:
    model = small_model()
    weights = dict(model.module.named_parameters())
    (made,) = make_optimizers(model.module, weights, recipe(model, optimizer="adamw", weight_decay=0.5))
    decays = {id(w): group["weight_decay"] for group in made.param_groups for w in group["params"]}
    assert {decays[id(weight)] for name, weight in weights.items() if weight.dim() < 2} == {0.0}
    assert {decays[id(weight)] for name, weight in weights.items() if weight.dim() >= 2} == {0.5}
