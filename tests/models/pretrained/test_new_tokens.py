"""New tokens: only those that are needed, initialised from their meaning."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from checkpoints import FAMILIES

from terakoya.config import ModelConfig
from terakoya.models.pretrained import build
from terakoya.models.pretrained.new_tokens import initial_rows, token_description
from terakoya.models.pretrained.vocabulary import TokenIdMap
from terakoya.models.protocol import Pair, Query

Base = Callable[[str], Path]
PAIRS = [
    Pair(Query("楽しい日"), "✨ 📚"),
    Pair(Query("雨の日"), "🌧️"),
    Pair(Query("家族の日"), "👨‍👩‍👧"),
    Pair(Query("数"), "(15)"),
]
LABELS = ("✨", "📚", "🌧️", "👨‍👩‍👧", "日")


def test_trimmed_ids_map_back_to_full_ids() -> None:
    """Kept tokens come first; the others still have an id."""
    id_map = TokenIdMap(10, [2, 5, 9])
    assert id_map.to_trimmed([5, 9, 0, 2]) == [1, 2, 3, 0]
    assert id_map.to_full(id_map.to_trimmed(range(10))) == list(range(10))


@pytest.mark.parametrize("family", FAMILIES)
def test_only_what_the_data_needs_is_added(base: Base, family: str) -> None:
    """The emoji log added 5,222 tokens where 296 occur."""
    model = build.build(ModelConfig(base=str(base(family)), head="sequence"), PAIRS, LABELS, seed=0)
    assert set(model.metadata.new_tokens) == {"✨", "📚", "🌧️", "👨‍👩‍👧"}
    assert [len(model.target_ids(pair.target)) for pair in PAIRS[1:3]] == [2, 2]
    none = build.build(ModelConfig(base=str(base(family)), new_tokens="none"), PAIRS[3:], seed=0)
    assert none.metadata.new_tokens == ()


def test_without_labels_a_tokenizer_that_falls_back_on_bytes_needs_nothing(base: Base) -> None:
    """Bytes encode every text; a new token would have to be learnt for nothing."""
    assert build.build(ModelConfig(base=str(base("qwen2"))), PAIRS, seed=0).metadata.new_tokens == ()
    assert len(build.build(ModelConfig(base=str(base("t5"))), PAIRS, seed=0).metadata.new_tokens) == 4


@pytest.mark.parametrize(("token", "word"), [("✨", "きらきら"), ("📚", "本"), ("１", "1"), ("ｱ", "ア"), ("☃", "雪")])
def test_a_token_is_described_by_its_name(token: str, word: str) -> None:
    """In Japanese where the name is known."""
    assert word in token_description(token, {}) or token_description(token, {}) == word


def test_given_names_come_first() -> None:
    """A task knows best what its labels mean."""
    assert token_description("✨", {"✨": ("輝き", "魔法")}) == "輝き 魔法"


@pytest.mark.parametrize("how", ["meaning", "mean", "random"])
def test_new_rows_have_the_median_norm(how: str) -> None:
    """The mean of many rows is short; at that length a token is hardly ever chosen, or its norm explodes later."""
    table = torch.randn(500, 64, generator=torch.Generator().manual_seed(0)) * 3
    rows = initial_rows(table, [[1, 2, 3], [], [4]], how, seed=0)
    usual = float(table.norm(dim=1).median())
    assert all(abs(float(length) / usual - 1) < 0.05 for length in rows.norm(dim=1))
    assert torch.equal(rows, initial_rows(table, [[1, 2, 3], [], [4]], how, seed=0))


def test_a_new_row_is_near_the_rows_of_its_name() -> None:
    """The row of ✨ starts beside the rows of its name."""
    table = torch.randn(500, 64, generator=torch.Generator().manual_seed(0))
    (row,) = initial_rows(table, [[7, 8]], "meaning", seed=0)
    near = F.cosine_similarity(row[None], table)
    assert set(near.topk(2).indices.tolist()) == {7, 8}


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_trains_new_rows_and_no_others(base: Base, family: str) -> None:
    """Frozen rows stay bit for bit; new ones move, in embeddings and head."""
    config = ModelConfig(base=str(base(family)), adaptation="lora", head="sequence")
    model = build.build(config, PAIRS, LABELS, seed=0)
    before, head_before = (table.clone() for table in model.vocabulary.full())
    optimizer = torch.optim.SGD([weight for _, weight in model.parameters_to_train()], lr=0.5)
    outputs = model.outputs(model.collate(PAIRS))
    F.cross_entropy(outputs.logits, outputs.targets).backward()
    optimizer.step()
    after, head_after = model.vocabulary.full()
    new = [model.tokenizer.added_tokens[token] for token in model.metadata.new_tokens]
    old = [row for row in range(len(before)) if row not in new]
    for one, other in ((before, after), (head_before, head_after)):
        assert torch.equal(one[old], other[old])
        assert not torch.equal(one[new], other[new])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_loss_is_not_above_that_of_a_uniform_prediction(base: Base, family: str) -> None:
    """15.8 was the log's first loss, ln 37,350 = 10.5 a uniform one: its embeddings were broken at step 0."""
    model = build.build(ModelConfig(base=str(base(family)), head="sequence"), PAIRS, LABELS, seed=0)
    outputs = model.outputs(model.collate(PAIRS))
    loss = float(F.cross_entropy(outputs.logits, outputs.targets).detach())
    # Random T5 weights alone are half a nat worse than uniform.
    assert loss < math.log(outputs.logits.shape[1]) * 1.15
