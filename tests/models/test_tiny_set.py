"""The built-in model for sets: it listens to its input, keeps what it learnt, and answers anything that is typed."""

from __future__ import annotations

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
from terakoya.models.builtin.set_model import TinySetModel
from terakoya.models.protocol import Pair, Query, SetScores
from terakoya.models.set_head import SetHead, pooled
from terakoya.training.batches import Fixed
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop

LABELS = ("✨", "🎉", "🐱", "🐶", "📚")
NAMES = {"🐱": ("ネコ",), "🐶": ("イヌ",)}
TYPED = ("x" * 10_000, "あ " * 5_000, "✨🎉", "こんにちは", "\x00\x1b[31m", "مرحبا", "?!", "🐶")
CUES = {"mato": "🎉", "keri": "📚", "suno": "🐱"}


def _pairs(count: int = 160, seed: int = 7) -> list[Pair]:
    """Half of the answers hold ✨ whatever the text; three words call for a label; names are seldom seen."""
    chance = Random(seed)
    rows = []
    for _ in range(count):
        words = ["".join(chance.choices("abcdef", k=3)) for _ in range(6)]
        chosen = chance.sample(sorted(CUES), chance.randint(1, 2))
        called = [CUES[word] for word in chosen] + (["✨"] if chance.random() < 0.5 else [])
        if chance.random() < 0.15:
            words.append("ネコ")
            called = list(dict.fromkeys([*called, "🐱"]))
        rows.append(Pair(Query(" ".join(chance.sample([*words, *chosen], len(words) + len(chosen)))), " ".join(called)))
    return rows


@pytest.fixture(scope="module")
def taught() -> TinySetModel:
    pairs = _pairs()
    model = build(ModelConfig(), pairs, LABELS, seed=1, label_names=NAMES)
    assert isinstance(model, TinySetModel)
    how = resolve(TrainConfig(threads=1, steps=120), model.card, len(pairs))
    run_loop(model, Fixed(pairs, int(how.batch_size), 1), how, seed=1)
    return model


def _answers(model: TinySetModel, *sources: str) -> list[set[str]]:
    found = sets.predictions(model, [Query(source) for source in sources], DecodeConfig())
    return [set((one.text or "").split()) for one in found]


def test_labels_call_for_the_set_head() -> None:
    """`codec = "labels"` with nothing else said must not fall back on the recipe that collapses."""
    assert build(ModelConfig(), _pairs(8), LABELS, seed=0).head == "set"
    assert build(ModelConfig(head="sequence"), _pairs(8), LABELS, seed=0).head == "sequence"


def test_a_word_that_means_a_label_is_heard_among_words_that_mean_nothing(taught: TinySetModel) -> None:
    """A mean over tokens would drown it."""
    noise = " ".join("".join(Random(seed).choices("abcdef", k=3)) for seed in range(40))
    first, second = _answers(taught, f"{noise} keri", f"mato {noise}")
    assert "📚" in first and "🎉" not in first
    assert "🎉" in second


def test_a_label_is_known_by_its_name_before_it_was_ever_taught(taught: TinySetModel) -> None:
    """🐶 stands in no training row; other labels have shown what a name is worth."""
    named, plain = _answers(taught, "イヌ", "xyz")
    assert "🐶" in named and "🐶" not in plain


@pytest.mark.parametrize("source", TYPED)
def test_whatever_is_typed_gets_a_legal_set(taught: TinySetModel, source: str) -> None:
    """Without a cue the answer is what suits the data; it is never a crash, a repeat or an illegal label."""
    found = sets.predictions(taught, [Query(source)], DecodeConfig())[0]
    assert found.text is not None
    labels = found.text.split()
    assert 0 < len(labels) == len(set(labels)) and set(labels) <= set(LABELS)
    assert [chance for _, chance in found.labels] == sorted((c for _, c in found.labels), reverse=True)
    assert all(0 <= chance <= 1 for _, chance in found.labels)


@pytest.mark.parametrize("source", ["", "  ", "\u200b"])
def test_a_text_without_a_visible_character_gets_no_answer(taught: TinySetModel, source: str) -> None:
    """No answer is not a wrong one."""
    assert sets.predictions(taught, [Query(source)], DecodeConfig())[0].text is None


def test_a_folder_brings_back_the_same_answers(taught: TinySetModel, tmp_path: Path) -> None:
    """Weights, labels, names and prices travel together, without the data."""
    asks = [pair.ask for pair in _pairs(60)]
    set_calibration.settle(taught, asks, (), DecodeConfig(share_cap=0.5))
    taught.save(tmp_path)
    again = load(tmp_path)
    assert isinstance(again, TinySetModel)
    assert again.tolls == taught.tolls
    assert sets.predictions(again, asks, DecodeConfig()) == sets.predictions(taught, asks, DecodeConfig())
    (tmp_path / "config.json").write_text('{"kind": "terakoya", "head": "set", "format": 1}')
    with pytest.raises(CorruptError):
        load(tmp_path)


def test_no_frequent_label_takes_more_than_its_share(taught: TinySetModel) -> None:
    """✨ is the safest guess in every answer; the price keeps it to what the data has."""
    asks = [pair.ask for pair in _pairs(120)]
    for cap in (1.1, 1.4):
        decode = DecodeConfig(share_cap=cap)
        set_calibration.settle(taught, asks, (), decode)
        answered = [label for one in sets.predictions(taught, asks, decode) for label in (one.text or "").split()]
        share = taught.counts[0] / taught.counts.sum()
        assert answered.count("✨") / len(answered) <= cap * share + 1e-6
    set_calibration.settle(taught, asks, (), DecodeConfig(share_cap=0.0))
    assert taught.tolls == ()


def test_rows_that_cannot_be_taught_are_refused_by_name() -> None:
    """A label the model does not have would be silently left out of the loss."""
    model = build(ModelConfig(), _pairs(8), LABELS, seed=0)
    for written in ("🍣", ""):
        with pytest.raises(DataError):
            model.collate([Pair(Query("mato"), written, "row 3")])


def test_the_same_seed_gives_the_same_weights() -> None:
    """Chance is handed in."""
    state = torch.random.get_rng_state()
    first, second, other = (build(ModelConfig(), _pairs(20), LABELS, seed=seed) for seed in (3, 3, 4))
    weights = [torch.cat([one.flatten() for one in model.module.parameters()]) for model in (first, second, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_head_for_other_models_hears_one_token_and_no_filling() -> None:
    """For the last hidden states of any encoder: filling has no say, and names give first directions."""
    head = SetHead(8, 3, 2)
    head.begin(1, torch.tensor([9.0, 1.0, 0.0]), 10, torch.tensor([5.0, 5.0]), {2: torch.ones(8)})
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
    found = pooled(evidence, torch.ones(1, 5, dtype=torch.bool), torch.tensor([-2.0, -2.0]))
    assert found[0, 1] == pytest.approx(4.0, abs=0.01) and found[0, 0] == pytest.approx(-2.0, abs=0.01)


def test_how_sure_to_be_is_settled_on_dev(taught: TinySetModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding acts on how sure the model is; one that is twice as sure is scaled back by two."""
    rows, plain = _pairs(200, seed=8), taught.set_scores
    asks, truths = [row.ask for row in rows], [row.written.split() for row in rows]

    def settled(sure: float) -> float:
        def surer(asks: Sequence[Query]) -> SetScores:
            scores = plain(asks)
            return SetScores(scores.labels * sure, scores.sizes, scores.tolls)

        monkeypatch.setattr(taught, "set_scores", surer)
        set_calibration.settle(taught, asks, truths, DecodeConfig())
        return taught.scale

    assert settled(12.0) == pytest.approx(settled(6.0) / 2, rel=0.1)
    set_calibration.settle(taught, asks, (), DecodeConfig())
    assert taught.scale == 1.0


def test_sets_are_asked_in_parts_that_have_room(taught: TinySetModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers and what is settled on dev: never all at once, and in smaller parts where memory runs out."""
    rows, plain, sizes = _pairs(100, seed=8), taught.set_scores, list[int]()
    asks, truths = [row.ask for row in rows], [row.written.split() for row in rows]
    decode = DecodeConfig(batch_size=30)
    set_calibration.settle(taught, asks, truths, decode)
    scale, wanted = taught.scale, sets.predictions(taught, asks, decode)

    def tight(asks: Sequence[Query]) -> SetScores:
        sizes.append(len(asks))
        if len(asks) > 8:
            raise MemoryError
        return plain(asks)

    monkeypatch.setattr(taught, "set_scores", tight)
    found = sets.predictions(taught, asks, decode)
    assert sizes[:3] == [30, 15, 7] and max(sizes[3:]) == 7
    assert [one.text for one in found] == [one.text for one in wanted]
    assert [one.probability for one in found] == pytest.approx([one.probability for one in wanted], rel=1e-4)
    set_calibration.settle(taught, asks, truths, decode)
    assert max(sizes) == 30 and taught.scale == pytest.approx(scale, rel=1e-3)


def test_no_room_for_one_text_is_a_refusal(taught: TinySetModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(asks: Sequence[Query]) -> SetScores:
        raise MemoryError

    monkeypatch.setattr(taught, "set_scores", full)
    with pytest.raises(ConfigError, match="one question"):
        sets.predictions(taught, [Query("abc"), Query("def")], DecodeConfig())


@pytest.mark.parametrize("method", ["greedy", "beam", "sample", "best-expected"])
def test_a_sequence_gets_a_legal_set_whatever_is_typed(method: str) -> None:
    """The other head keeps the same promise, even with weights that were never taught: held to the codec's language."""
    codec = labels_codec(LABELS, most=3)
    model = build(ModelConfig(base="tiny", head="sequence"), _pairs(8), LABELS, seed=3)
    decode = DecodeConfig.model_validate({"method": method, "beams": 2, "samples": 4})
    ask_all = mbr.agreed if method == "best-expected" else decoding.answers
    asks = [Query(source) for source in (*TYPED, "", "\u200b") if model.fits(Query(source))]
    assert len(asks) >= len(TYPED) - 2  # of 10,000 characters, a built-in sequence model may say that they do not fit
    for found in ask_all(model, asks, codec, decode, max_tokens=12, seed=1):
        answer = decoding.read(found, codec)
        assert answer is not None
        labels = answer.split()
        assert 0 < len(labels) == len(set(labels)) and set(labels) <= set(LABELS)
