"""The dev loss between two steps."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch.nn.functional import cross_entropy

from terakoya.config import ModelConfig
from terakoya.errors import ConfigError
from terakoya.models.builtin.model import BuiltinModel, build
from terakoya.models.protocol import Batch, Outputs, Pair, Query
from terakoya.training.dev_evaluation import plain_loss

PAIRS = [Pair(Query("あいう" * (1 + n % 5)), "123"[: 1 + n % 3] * (1 + n % 4)) for n in range(23)]


@pytest.fixture
def model() -> BuiltinModel:
    made = build(ModelConfig(base="tiny", dropout=0.3), PAIRS, seed=1)
    assert isinstance(made, BuiltinModel)
    return made


def test_the_loss_is_the_mean_over_targets_however_the_rows_are_batched(model: BuiltinModel) -> None:
    """Long targets count for more; dropout is off during the evaluation and as it was afterwards."""
    model.module.eval()
    with torch.no_grad():
        outputs = [model.outputs(model.collate([pair])) for pair in PAIRS]
        wanted = float(
            cross_entropy(torch.cat([one.logits for one in outputs]), torch.cat([one.targets for one in outputs]))
        )
    model.module.train()
    assert plain_loss(model, PAIRS) == pytest.approx(wanted, rel=1e-5)
    assert plain_loss(model, PAIRS, 4) == pytest.approx(wanted, rel=1e-5)
    assert plain_loss(model, []) == 0.0
    assert model.module.training


def test_dev_that_does_not_fit_is_evaluated_in_smaller_batches(
    model: BuiltinModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits of 64 rows over 262,144 tokens may be the most that a training ever needs."""
    wanted, plain, limit, sizes = plain_loss(model, PAIRS), model.outputs, 5, list[int]()

    def tight(batch: Batch) -> Outputs:
        sizes.append(len(batch.keys))
        if len(batch.keys) > limit:
            raise torch.OutOfMemoryError("out of memory")
        return plain(batch)

    monkeypatch.setattr(model, "outputs", tight)
    assert plain_loss(model, PAIRS, 16) == pytest.approx(wanted, rel=1e-5)
    assert sizes[:3] == [16, 8, 4] and max(sizes[3:]) <= 4
    limit = 0
    with pytest.raises(ConfigError, match="out of memory"):
        plain_loss(model, PAIRS, 16)


def test_other_errors_are_raised_as_they_are(model: BuiltinModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(pairs: Sequence[Pair]) -> Batch:
        raise RuntimeError("index out of range")

    monkeypatch.setattr(model, "collate", broken)
    with pytest.raises(RuntimeError, match="index"):
        plain_loss(model, PAIRS)
