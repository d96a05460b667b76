"""Perplexity of right answers in a run: of every item, with its unit, beside a baseline and beside samples."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from terakoya import report
from terakoya.config import ModelConfig
from terakoya.decoding.likelihood import surprises, writes_characters
from terakoya.models.builtin.model import build
from terakoya.models.protocol import Pair, Query
from terakoya.pipeline import run as pipeline
from terakoya.report.results import examples, metrics
from terakoya.runs import read_json

PAIRS = [Pair(Query(source), written) for source, written in (("あ", "いろは"), ("か", "きく"), ("さ", "しすせそ"))]


def test_an_untaught_model_is_as_surprised_as_an_even_guess() -> None:
    """The figure is taken with the model's own chances: before the first step they are nearly even."""
    model = build(ModelConfig(base="tiny", family="decoder"), PAIRS, seed=1)
    assert writes_characters(model)
    found = surprises(model, PAIRS)
    even = math.log(sum(bool(piece) for piece in model.pieces()) + 1)
    for pair, told in zip(PAIRS, found, strict=True):
        assert told is not None and told.tokens == len(pair.written) + 1
        assert told.nats / told.tokens == pytest.approx(even, rel=0.25)


def test_a_character_never_taught_is_dear_and_leaves_no_item_out() -> None:
    """Half of a small exam holds one; without them the easy half would be measured."""
    model = build(ModelConfig(base="tiny"), PAIRS, seed=1)
    strange = [Pair(Query("あ"), "いろ龘は")]
    assert surprises(model, strange) == [None]
    (told,), (plain,) = surprises(model, strange, 0.02), surprises(model, PAIRS[:1])
    assert told is not None and plain is not None
    assert told.characters == 4 and told.nats > plain.nats + math.log(155_000)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped experiment, a few steps of it."""
    settings = ("model.base=tiny", "train.steps=20", "train.evaluate_every=20", "decode.max_tokens=12")
    return pipeline.run("martian", overrides=settings, run_dir=tmp_path_factory.mktemp("runs")).folder


def test_martian_is_a_causal_model_whose_perplexity_stands_in_the_record(run: Path) -> None:
    """What the issue asks: unit named, all items counted, bits per character and a baseline beside it."""
    told = read_json(run / "scores.json")
    figures = {(score["who"], score["metric"]): score for score in told["scores"]}
    own, bits = figures["model", "perplexity"], figures["model", "bits_per_character"]
    assert own["n"] == bits["n"] == told["foreseen"]["items"] == figures["model", "chrf"]["n"]
    assert own["low"] < own["value"] < own["high"]
    assert "per character" in own["signature"]["decoding"]
    assert ("character frequencies", "bits_per_character") in figures
    record = report.read_record(run)
    assert record.manifest["model"]["family"] == "decoder"
    for lang, words in (("en", "another tokenizer"), ("ja", "区切り方が異なる")):
        assert any(words in getattr(block, "text", "") for block in metrics(record, lang))


def test_samples_stand_beside_reference_and_baseline(run: Path) -> None:
    """A voice is judged by ear: people want to read, and not only what somebody picked."""
    record = report.read_record(run)
    _, table = examples(record, "ja")
    head, rows = getattr(table, "head", ()), getattr(table, "rows", ())
    assert head[:3] == ("入力", "お手本", "回答") and head[4] in ("定数", "最頻", "最近傍", "写し")
    assert len(rows) == 12 and all(row[1] and row[4] for row in rows)
    assert any("話者：" in row[0] for row in rows), "a later turn shows what was said before"
    assert "お手本" in (run / "report.md").read_text(encoding="utf-8") or "reference" in (run / "report.md").read_text()
