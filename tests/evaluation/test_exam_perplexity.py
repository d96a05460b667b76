"""Perplexity of the references in a run: of every item, with its unit, beside a baseline and beside samples."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from terakoya import reporting
from terakoya.config import ModelConfig
from terakoya.decoding.likelihood import is_character_level, negative_log_likelihoods
from terakoya.models.builtin.model import build
from terakoya.models.protocol import Pair, Query
from terakoya.pipeline import run as pipeline
from terakoya.reporting.result_sections import examples, metrics
from terakoya.runs import read_json

PAIRS = [Pair(Query(source), written) for source, written in (("あ", "いろは"), ("か", "きく"), ("さ", "しすせそ"))]


def test_an_untrained_model_scores_like_a_uniform_guess() -> None:
    """The model's own probabilities are used: before the first step they are nearly uniform."""
    model = build(ModelConfig(base="tiny", family="decoder"), PAIRS, seed=1)
    assert is_character_level(model)
    found = negative_log_likelihoods(model, PAIRS)
    even = math.log(sum(bool(piece) for piece in model.token_texts()) + 1)
    for pair, scored in zip(PAIRS, found, strict=True):
        assert scored is not None and scored.tokens == len(pair.target) + 1
        assert scored.nats / scored.tokens == pytest.approx(even, rel=0.25)


def test_an_unseen_character_is_improbable_and_leaves_no_item_out() -> None:
    """Half of a small exam holds one; without them the easy half would be measured."""
    model = build(ModelConfig(base="tiny"), PAIRS, seed=1)
    unseen = [Pair(Query("あ"), "いろ龘は")]
    assert negative_log_likelihoods(model, unseen) == [None]
    (scored,), (plain,) = negative_log_likelihoods(model, unseen, 0.02), negative_log_likelihoods(model, PAIRS[:1])
    assert scored is not None and plain is not None
    assert scored.characters == 4 and scored.nats > plain.nats + math.log(155_000)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped experiment, a few steps of it."""
    settings = ("model.base=tiny", "train.steps=20", "train.evaluate_every=20", "decode.max_tokens=12")
    return pipeline.run("martian", overrides=settings, run_dir=tmp_path_factory.mktemp("runs")).folder


def test_martian_is_a_causal_model_whose_perplexity_is_in_the_report(run: Path) -> None:
    """Unit named, all items counted, bits per character and a baseline beside it."""
    results = read_json(run / "scores.json")
    scores = {(score["who"], score["metric"]): score for score in results["scores"]}
    own, bits = scores["model", "perplexity"], scores["model", "bits_per_character"]
    assert own["n"] == bits["n"] == results["perplexity"]["items"] == scores["model", "chrf"]["n"]
    assert own["low"] < own["value"] < own["high"]
    assert "per character" in own["signature"]["decoding"]
    assert ("character frequencies", "bits_per_character") in scores
    record = reporting.read_record(run)
    assert record.manifest["model"]["family"] == "decoder"
    for lang, words in (("en", "another tokenizer"), ("ja", "トークナイザの異なる")):
        assert any(words in getattr(block, "text", "") for block in metrics(record, lang))


def test_samples_are_shown_beside_reference_and_baseline(run: Path) -> None:
    """A style is assessed by reading: people want to see samples, and not only what somebody picked."""
    record = reporting.read_record(run)
    _, table = examples(record, "ja")
    head, rows = getattr(table, "head", ()), getattr(table, "rows", ())
    assert head[:3] == ("入力", "参照文", "予測") and head[4] in ("定数", "最頻", "最近傍", "写し")
    assert len(rows) == 12 and all(row[1] and row[4] for row in rows)
    assert any("話者：" in row[0] for row in rows), "a later turn shows the conversation before it"
    assert "参照文" in (run / "report.md").read_text(encoding="utf-8") or "reference" in (run / "report.md").read_text()
