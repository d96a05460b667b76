"""The faults of the two logs that concern pretrained models, once each (docs/lessons.md, nos. 2, 6, 7, 24, 31, 32)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from checkpoints import checkpoint

from terakoya.config import ModelConfig
from terakoya.models.pretrained import build
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.protocol import Pair, Query

PAIRS = [Pair(Query("楽しい日だった"), "✨ 🎉"), Pair(Query("雨"), "🌧️"), Pair(Query("本を読んだ日の夜のこと"), "📚")]
LABELS = ("✨", "🎉", "🌧️", "📚")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("t5"), "t5")


def model(folder: Path, **changes: str) -> PretrainedModel:
    return build.build(ModelConfig(base=str(folder), head="sequence", **changes), PAIRS, LABELS, seed=0)  # type: ignore[arg-type]


def loss(trained: PretrainedModel, pairs: list[Pair]) -> float:
    outputs = trained.outputs(trained.collate(pairs))
    return float(F.cross_entropy(outputs.logits, outputs.targets).detach())


def test_padding_is_never_counted_in_the_loss(folder: Path) -> None:
    """No. 2: a batch of unlike lengths has the loss of its rows, weighted by their numbers of targets."""
    trained = model(folder)
    sizes = [len(trained.target_ids(pair.target)) for pair in PAIRS]
    alone = sum(loss(trained, [pair]) * size for pair, size in zip(PAIRS, sizes, strict=True)) / sum(sizes)
    assert loss(trained, PAIRS) == pytest.approx(alone, rel=1e-5)


def test_new_tokens_start_from_their_meaning_and_below_the_broken_loss(folder: Path) -> None:
    """No. 6: 15.8 at the first step where a uniform prediction has 10.5."""
    trained = model(folder)
    uniform = math.log(trained.info.vocabulary)
    # Eight targets of an untrained model: ln V, half a nat for logits of unit variance, and the noise of few targets.
    assert loss(trained, PAIRS) < 1.4 * uniform < 15.8 / 10.5 * uniform
    table = trained.vocabulary.tables.inputs[0].weight.detach()
    new = table[[trained.tokenizer.added_tokens[token] for token in LABELS]]
    assert torch.allclose(new.norm(dim=1), table.norm(dim=1).median(), rtol=0.05)


def test_only_the_emoji_that_occur_are_added(folder: Path) -> None:
    """No. 7: 5,222 tokens were added where 296 occur."""
    assert set(model(folder).metadata.new_tokens) == set(LABELS)


def test_prompt_tokens_are_masked_and_the_loss_mask_is_shown(tmp_path: Path) -> None:
    """No. 31: the logs' scripts trained on the prompt too, and nobody noticed."""
    trained = build.build(ModelConfig(base=str(checkpoint(tmp_path, "gemma3")), head="sequence"), PAIRS, LABELS, seed=0)
    trained_on = [text for text, included in trained.show_tokens(PAIRS[0]) if included]
    assert trained_on == ["✨", " ", "🎉", "<end_of_turn>"]
    assert trained.collate(PAIRS[:1]).targets == len(trained_on)


def test_a_source_with_unknown_tokens_is_reported(folder: Path) -> None:
    """No. 32: an emoji in a source is <unk> to T5, and the model cannot see it."""
    found = build.build(
        ModelConfig(base=str(folder), head="sequence"), [Pair(Query("楽しい🎻"), "✨", "row 7")], ("✨",), seed=0
    )
    (finding,) = [one for one in found.findings if one.check == "unknown-tokens"]
    assert finding.level == "warn" and finding.where == "row 7"


def test_a_saved_model_decodes_greedily_by_default(folder: Path, tmp_path: Path) -> None:
    """No. 24: 推論のたびに微妙に結果が変わる."""
    import transformers

    trained = model(folder)
    trained.save(tmp_path / "out")
    settings = transformers.GenerationConfig.from_pretrained(tmp_path / "out")
    assert not settings.do_sample and trained.end in settings.eos_token_id
