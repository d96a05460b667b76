"""The built-in set model: its input matters, it saves what it learnt, and it predicts a set for any text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
import torch

from terakoya import decoding
from terakoya.codec.labels import labels_codec
from terakoya.config import DecodeConfig, ModelConfig, TrainConfig
from terakoya.decoding import mbr, set_calibration, sets
from terakoya.errors import ConfigError, CorruptError, DataError
from terakoya.models.builtin.model import build, load
from terakoya.models.builtin.set_model import BuiltinSetModel
from terakoya.models.protocol import Pair, Query, SetScores
from terakoya.models.set_head import SetHead, pool_evidence
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop

LABELS = ("✨", "🎉", "🐱", "🐶", "📚")
NAMES = {"🐱": ("ネコ",), "🐶": ("イヌ",)}
INPUTS = ("x" * 10_000, "あ " * 5_000, "✨🎉", "こんにちは", "\x00\x1b[31m", "مرحبا", "?!", "🐶")
CUES = {"mato": "🎉", "keri": "📚", "suno": "🐱"}


def _pairs(count: int = 160, seed: int = 7) -> list[Pair]:
    """Half of the sets hold ✨ whatever the text; three words indicate a label; names occur rarely."""
    rng = Random(seed)
    rows = []
    for _ in range(count):
        words = ["".join(rng.choices("abcdef", k=3)) for _ in range(6)]
        cues = rng.sample(sorted(CUES), rng.randint(1, 2))
        labels = [CUES[word] for word in cues] + (["✨"] if rng.random() < 0.5 else [])
        if rng.random() < 0.15:
            words.append("ネコ")
            labels = list(dict.fromkeys([*labels, "🐱"]))
        rows.append(Pair(Query(" ".join(rng.sample([*words, *cues], len(words) + len(cues)))), " ".join(labels)))
    return rows


@pytest.fixture(scope="module")
def trained() -> BuiltinSetModel:
    pairs = _pairs()
    model = build(ModelConfig(), pairs, LABELS, seed=1, label_names=NAMES)
    assert isinstance(model, BuiltinSetModel)
    train = resolve(TrainConfig(threads=1, steps=120), model.info, len(pairs))
    run_loop(model, EpochBatches(pairs, int(train.batch_size), 1), train, seed=1)
    return model


def _predicted(model: BuiltinSetModel, *sources: str) -> list[set[str]]:
    predictions = sets.predict_sets(model, [Query(source) for source in sources], DecodeConfig())
    return [set((one.text or "").split()) for one in predictions]


def test_labels_bring_a_set_head() -> None:
    """`codec = "labels"` without further settings must not fall back on the configuration that collapses."""
    assert build(ModelConfig(), _pairs(8), LABELS, seed=0).head == "set"
    assert build(ModelConfig(head="sequence"), _pairs(8), LABELS, seed=0).head == "sequence"


def test_one_informative_word_counts_among_uninformative_ones(trained: BuiltinSetModel) -> None:
    """A mean over tokens would dilute it."""
    noise = " ".join("".join(Random(seed).choices("abcdef", k=3)) for seed in range(40))
    first, second = _predicted(trained, f"{noise} keri", f"mato {noise}")
    assert "📚" in first and "🎉" not in first
    assert "🎉" in second


def test_a_label_absent_from_training_is_recognised_by_its_name(trained: BuiltinSetModel) -> None:
    """🐶 stands in no training row; the weight of a name is learnt from other labels."""
    named, plain = _predicted(trained, "イヌ", "xyz")
    assert "🐶" in named and "🐶" not in plain


@pytest.mark.parametrize("source", INPUTS)
def test_any_text_gets_a_valid_set(trained: BuiltinSetModel, source: str) -> None:
    """Without a cue the prediction follows the prior; it is never a crash, a repetition or an unknown label."""
    found = sets.predict_sets(trained, [Query(source)], DecodeConfig())[0]
    assert found.text is not None
    labels = found.text.split()
    assert 0 < len(labels) == len(set(labels)) and set(labels) <= set(LABELS)
    assert [p for _, p in found.labels] == sorted((p for _, p in found.labels), reverse=True)
    assert all(0 <= p <= 1 for _, p in found.labels)


@pytest.mark.parametrize("source", ["", "  ", "\u200b"])
def test_a_text_without_a_visible_character_gets_no_prediction(trained: BuiltinSetModel, source: str) -> None:
    """No prediction is not a wrong one."""
    assert sets.predict_sets(trained, [Query(source)], DecodeConfig())[0].text is None


def test_a_saved_model_predicts_the_same_under_the_keys_of_format_1(trained: BuiltinSetModel, tmp_path: Path) -> None:
    """Weights, labels, names and penalties are saved together, without the data."""
    queries = [pair.query for pair in _pairs(60)]
    set_calibration.calibrate(trained, queries, (), DecodeConfig(share_cap=0.5))
    trained.save(tmp_path)
    about = json.loads((tmp_path / "config.json").read_text())
    assert {"blend", "scale", "tolls"} <= set(about)
    assert all(set(one) == {"label", "price", "share"} for one in about["tolls"]) and about["tolls"]
    again = load(tmp_path)
    assert isinstance(again, BuiltinSetModel)
    assert again.penalties == trained.penalties
    assert sets.predict_sets(again, queries, DecodeConfig()) == sets.predict_sets(trained, queries, DecodeConfig())
    (tmp_path / "config.json").write_text('{"kind": "terakoya", "head": "set", "format": 1}')
    with pytest.raises(CorruptError):
        load(tmp_path)


def test_no_frequent_label_takes_more_than_its_share(trained: BuiltinSetModel) -> None:
    """✨ is the safest guess in every set; its penalty keeps it near its share in training."""
    queries = [pair.query for pair in _pairs(120)]
    for cap in (1.1, 1.4):
        decode = DecodeConfig(share_cap=cap)
        set_calibration.calibrate(trained, queries, (), decode)
        predicted = [label for one in sets.predict_sets(trained, queries, decode) for label in (one.text or "").split()]
        share = trained.counts[0] / trained.counts.sum()
        assert predicted.count("✨") / len(predicted) <= cap * share + 1e-6
    set_calibration.calibrate(trained, queries, (), DecodeConfig(share_cap=0.0))
    assert trained.penalties == ()


def test_rows_with_unknown_labels_or_none_are_refused_by_name() -> None:
    """A label the model does not have would be silently left out of the loss."""
    model = build(ModelConfig(), _pairs(8), LABELS, seed=0)
    for target in ("🍣", ""):
        with pytest.raises(DataError):
            model.collate([Pair(Query("mato"), target, "row 3")])


def test_the_same_seed_gives_the_same_weights() -> None:
    """The global rng is neither used nor advanced."""
    state = torch.random.get_rng_state()
    first, second, other = (build(ModelConfig(), _pairs(20), LABELS, seed=seed) for seed in (3, 3, 4))
    weights = [torch.cat([one.flatten() for one in model.module.parameters()]) for model in (first, second, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_set_head_pools_one_token_and_no_padding() -> None:
    """On the hidden states of any encoder: padding is masked, and names give initial vectors."""
    head = SetHead(8, 3, 2)
    head.initialise(1, torch.tensor([9.0, 1.0, 0.0]), 10, torch.tensor([5.0, 5.0]), {2: torch.ones(8)})
    hidden = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    logits, sizes = head(hidden, mask)
    changed = hidden.clone()
    changed[0, 2:] = 99.0
    assert torch.equal(head(changed, mask)[0], logits)
    assert logits.shape == (2, 3) and sizes.shape == (2, 2)
    assert torch.allclose(head.label[2], torch.full((8,), 8**-0.5))
    evidence = torch.full((1, 5, 2), -9.0)
    evidence[0, 3, 1] = 4.0
    found = pool_evidence(evidence, torch.ones(1, 5, dtype=torch.bool), torch.tensor([-2.0, -2.0]))
    assert found[0, 1] == pytest.approx(4.0, abs=0.01) and found[0, 0] == pytest.approx(-2.0, abs=0.01)


def test_the_temperature_is_calibrated_on_dev(trained: BuiltinSetModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding depends on confidence; logits twice as large get half the inverse temperature."""
    rows, plain = _pairs(200, seed=8), trained.set_scores
    queries, target_sets = [row.query for row in rows], [row.target.split() for row in rows]

    def calibrated(factor: float) -> float:
        def scaled(queries: Sequence[Query]) -> SetScores:
            scores = plain(queries)
            return SetScores(scores.labels * factor, scores.sizes, scores.penalties)

        monkeypatch.setattr(trained, "set_scores", scaled)
        set_calibration.calibrate(trained, queries, target_sets, DecodeConfig())
        return trained.inverse_temperature

    assert calibrated(12.0) == pytest.approx(calibrated(6.0) / 2, rel=0.1)
    set_calibration.calibrate(trained, queries, (), DecodeConfig())
    assert trained.inverse_temperature == 1.0


def test_batches_of_sets_shrink_to_fit_into_memory(trained: BuiltinSetModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions and calibration: never all at once, and in smaller batches where memory runs out."""
    rows, plain, sizes = _pairs(100, seed=8), trained.set_scores, list[int]()
    queries, target_sets = [row.query for row in rows], [row.target.split() for row in rows]
    decode = DecodeConfig(batch_size=30)
    set_calibration.calibrate(trained, queries, target_sets, decode)
    inverse_temperature, expected = trained.inverse_temperature, sets.predict_sets(trained, queries, decode)

    def limited(queries: Sequence[Query]) -> SetScores:
        sizes.append(len(queries))
        if len(queries) > 8:
            raise MemoryError
        return plain(queries)

    monkeypatch.setattr(trained, "set_scores", limited)
    found = sets.predict_sets(trained, queries, decode)
    assert sizes[:3] == [30, 15, 7] and max(sizes[3:]) == 7
    assert [one.text for one in found] == [one.text for one in expected]
    assert [one.probability for one in found] == pytest.approx([one.probability for one in expected], rel=1e-4)
    set_calibration.calibrate(trained, queries, target_sets, decode)
    assert max(sizes) == 30 and trained.inverse_temperature == pytest.approx(inverse_temperature, rel=1e-3)


def test_too_little_memory_for_one_query_is_an_error(trained: BuiltinSetModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(queries: Sequence[Query]) -> SetScores:
        raise MemoryError

    monkeypatch.setattr(trained, "set_scores", out_of_memory)
    with pytest.raises(ConfigError, match="one query"):
        sets.predict_sets(trained, [Query("abc"), Query("def")], DecodeConfig())


@pytest.mark.parametrize("method", ["greedy", "beam", "sample", "expected-metric"])
def test_a_sequence_head_too_gives_a_valid_set_for_any_text(method: str) -> None:
    """Even with untrained weights: decoding is constrained by the codec's grammar."""
    codec = labels_codec(LABELS, most=3)
    model = build(ModelConfig(base="tiny", head="sequence"), _pairs(8), LABELS, seed=3)
    decode = DecodeConfig.model_validate({"method": method, "beams": 2, "samples": 4})
    decode_all = mbr.decode_mbr if method == "expected-metric" else decoding.generate
    queries = [Query(source) for source in (*INPUTS, "", "\u200b") if model.fits(Query(source))]
    assert (
        len(queries) >= len(INPUTS) - 2
    )  # of 10,000 characters, a built-in sequence model may say that they do not fit
    for found in decode_all(model, queries, codec, decode, max_tokens=12, seed=1):
        text = decoding.read(found, codec)
        assert text is not None
        labels = text.split()
        assert 0 < len(labels) == len(set(labels)) and set(labels) <= set(LABELS)
