"""Built-in models: their sizes, their folders, what they refuse, and that batching changes no output."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from terakoya.codec import TextCodec
from terakoya.config import DecodeConfig, ModelConfig
from terakoya.decoding import generate
from terakoya.errors import ConfigError, CorruptError, DataError, IncompatibleError
from terakoya.models.builtin.characters import END, CharacterVocabulary
from terakoya.models.builtin.model import BuiltinModel, build, load
from terakoya.models.builtin.shape import Shape
from terakoya.models.builtin.sizes import SIZES
from terakoya.models.protocol import Pair, Query
from terakoya.records import Turn
from terakoya.training.losses import plain

PAIRS = [
    Pair(Query("一万二千"), "(0001,2000)", "row 1"),
    Pair(Query("三"), "(0003)", "row 2"),
    Pair(Query("九十"), "(0090)"),
]
FAMILIES = ["encoder-decoder", "decoder"]


def _model(family: str = "encoder-decoder", base: str = "tiny", seed: int = 1, **more: object) -> BuiltinModel:
    return build(ModelConfig(base=base, family=family, **more), PAIRS, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize(("base", "low", "high"), [("tiny", 55e3, 110e3), ("small", 120e3, 450e3), ("base", 4e6, 10e6)])
@pytest.mark.parametrize("family", FAMILIES)
def test_named_sizes_span_about_60_thousand_to_10_million_weights(
    base: str, low: float, high: float, family: str
) -> None:
    info = _model(family, base).info
    assert low <= info.weights <= high
    assert info.family == family


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    one, same, other = (dict(_model(seed=seed).module.named_parameters()) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["embed.weight"], other["embed.weight"])


def test_few_rows_bring_dropout_unless_the_config_names_one() -> None:
    """160 rows are memorised in a minute; generated rows never repeat."""
    many = [Pair(Query(f"一{number}"), "3") for number in range(1000)]
    assert _model("encoder-decoder", "small").shape.dropout == 0.2
    assert _model("encoder-decoder", "small", dropout=0.0).shape.dropout == 0.0
    assert build(ModelConfig(base="small"), many, seed=1).info.extra["dropout"] == 0.0


def test_building_leaves_the_global_rng_alone() -> None:
    torch.manual_seed(4)
    before = torch.get_rng_state()
    _model()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("base", list(SIZES))
@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_loss_is_near_that_of_uniform_probabilities(family: str, base: str) -> None:
    """A first loss above the logarithm of the vocabulary means broken embeddings (15.8 instead of 10.5 in a log)."""
    model = _model(family, base)
    model.module.eval()
    loss = plain(model.outputs(model.collate(PAIRS))).item()
    assert loss < math.log(model.characters.outputs) + 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_of_a_row_do_not_depend_on_its_batch(family: str) -> None:
    """Padding must be masked: logits of a row alone and in a batch of other lengths are equal."""
    model = _model(family)
    model.module.eval()
    together = model.outputs(model.collate(PAIRS))
    alone = [model.outputs(model.collate([pair])) for pair in PAIRS]
    torch.testing.assert_close(together.logits, torch.cat([out.logits for out in alone]), rtol=1e-4, atol=1e-5)
    assert torch.equal(together.targets, torch.cat([out.targets for out in alone]))


@pytest.mark.parametrize("family", FAMILIES)
def test_later_target_tokens_are_not_seen(family: str) -> None:
    """A model that sees the target learns to copy it and fails in prediction."""
    model = _model(family)
    model.module.eval()
    first, second = (
        model.outputs(model.collate([Pair(Query("三"), target)])).logits for target in ("(0003)", "(0029)")
    )
    same = 4  # "(00" is shared: logits of its three tokens and the one after it must agree
    torch.testing.assert_close(first[: same - 1], second[: same - 1])
    assert not torch.allclose(first[same:], second[same:], atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_decoding_with_a_cache_gives_the_logits_of_the_whole_pass(family: str) -> None:
    model = _model(family)
    model.module.eval()
    batch = model.collate(PAIRS)
    whole = model.module(batch.tensors["source"], batch.tensors["decoder_input"], batch.tensors.get("mask"))
    with torch.inference_mode():
        state = model.start([pair.query for pair in PAIRS])
        for position in range(batch.tensors["decoder_input"].shape[1]):
            if position:
                state.advance(batch.tensors["decoder_input"][:, position])
            torch.testing.assert_close(state.logits, model.module.logits(whole[:, position]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_state_can_leave_and_be_repeated(family: str) -> None:
    model = _model(family)
    queries = [pair.query for pair in PAIRS]
    with torch.inference_mode():
        state = model.start(queries)
        state.advance(torch.tensor([1, 2, 3]))
        state.select(torch.tensor([2, 0, 2]))
        state.advance(torch.tensor([4, 5, 6]))
        alone = model.start([queries[0]])
        alone.advance(torch.tensor([1]))
        alone.advance(torch.tensor([5]))
    torch.testing.assert_close(state.logits[1:2], alone.logits, rtol=1e-4, atol=1e-4)
    assert len(state.logits) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_loads_and_predicts_the_same(family: str, tmp_path: Path) -> None:
    model = _model(family)
    model.save(tmp_path / "model")
    assert sorted(file.name for file in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
        "vocabulary.json",
    ]
    again = load(tmp_path / "model")
    assert again.info == model.info
    queries = [pair.query for pair in PAIRS]
    decode = DecodeConfig(constrained=False)
    assert generate(again, queries, TextCodec(), decode, 9) == generate(model, queries, TextCodec(), decode, 9)


class TestFolders:
    """What is truncated, changed or external is refused by name, and nothing in a folder can run."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        _model().save(tmp_path)
        return tmp_path

    @pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "model.safetensors"])
    @pytest.mark.parametrize("damage", ["missing", "empty", "half"])
    def test_a_damaged_file_is_named(self, folder: Path, name: str, damage: str) -> None:
        file = folder / name
        data = file.read_bytes()
        file.unlink() if damage == "missing" else file.write_bytes(data[: len(data) // 2] if damage == "half" else b"")
        with pytest.raises(CorruptError) as caught:
            load(folder)
        assert name in str(caught.value)

    def test_another_models_weights_are_refused(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        other = tmp_path_factory.mktemp("other")
        _model(width=24).save(other)
        (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
        with pytest.raises(CorruptError, match="belong to another model"):
            load(folder)

    def test_another_models_characters_are_refused(self, folder: Path) -> None:
        (folder / "vocabulary.json").write_text(json.dumps({"answered": "abc", "asked": "def"}))
        with pytest.raises(CorruptError, match="do not belong together"):
            load(folder)

    def test_a_newer_format_is_refused_with_what_to_do(self, folder: Path) -> None:
        self._change(folder, format=99)
        with pytest.raises(IncompatibleError, match="format 99"):
            load(folder)

    @pytest.mark.parametrize("shape", [{"width": 10**9}, {"width": -1}, {"heads": 7}, {"decoder": 0}, {"width": "48"}])
    def test_an_impossible_shape_is_refused_before_allocation(self, folder: Path, shape: dict[str, int]) -> None:
        about = json.loads((folder / "config.json").read_text())
        self._change(folder, shape=about["shape"] | shape)
        with pytest.raises(CorruptError):
            load(folder)

    def test_a_folder_of_another_kind_is_refused(self, folder: Path) -> None:
        (folder / "config.json").write_text('{"model_type": "t5"}')
        with pytest.raises(CorruptError, match="no built-in model"):
            load(folder)

    def _change(self, folder: Path, **values: object) -> None:
        about = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(about | values))


class TestRefusals:
    def test_a_source_or_target_that_does_not_fit_is_named_and_never_truncated(self) -> None:
        model = _model(max_source=4, max_target=11)
        with pytest.raises(DataError, match=r"(?s)row 7.*source has 5 characters"):
            model.collate([PAIRS[0], Pair(Query("一二三四五"), "(0003)", "row 7")])
        with pytest.raises(DataError, match=r"(?s)row 8.*target has 12 characters"):
            model.collate([Pair(Query("一"), "(0001,20000)", "row 8")])
        assert not model.fits(Query("一二三四五"))
        assert model.fits(Query("一二三四"))

    def test_a_target_with_an_unknown_character_is_named(self) -> None:
        with pytest.raises(DataError, match=r"(?s)row 9.*'x'"):
            _model().collate([PAIRS[0], Pair(Query("三"), "(00x3)", "row 9")])

    def test_an_empty_source_and_no_rows_are_refused(self) -> None:
        with pytest.raises(DataError, match="source is empty"):
            _model().collate([Pair(Query(""), "(0003)")])
        with pytest.raises(DataError, match="no row"):
            build(ModelConfig(), [], seed=1)

    def test_an_unknown_size_offers_the_nearest(self) -> None:
        with pytest.raises(ConfigError) as caught:
            build(ModelConfig(base="smal"), PAIRS, seed=1)
        assert "small" in str(caught.value)

    def test_heads_must_divide_the_width(self) -> None:
        with pytest.raises(ConfigError, match="divided among 5 heads"):
            _model(width=32, attention_heads=5)


def test_an_unknown_character_is_read_as_unknown_and_gets_an_output() -> None:
    """Users may enter anything; a lone surrogate must not crash either."""
    model = _model()
    outputs = generate(
        model, [Query("一𠮷☃"), Query("\ud800"), Query("\x00")], TextCodec(), DecodeConfig(constrained=False), 6
    )
    assert len(outputs) == 3
    assert model.characters.ids(["☃"], 1, left=True)[0, 0] == model.characters.unknown


def test_a_label_absent_from_training_has_a_loss() -> None:
    """One rare label in the dev split ended a training run at its first evaluation."""
    rows = [Pair(Query("本"), "📚"), Pair(Query("祝"), "🎉")]
    model = build(ModelConfig(base="tiny", head="sequence"), rows, ("📚", "🎉", "🐔"), seed=1)
    assert isinstance(model, BuiltinModel)
    loss = plain(model.outputs(model.collate([Pair(Query("鳥"), "🐔")]))).item()
    assert 0.0 < loss < 20.0


def test_characters_survive_encoding_and_saving() -> None:
    characters = CharacterVocabulary("(0123,)", "一二三0")
    ids = characters.ids(["(012,", "3)"], 5, left=False)
    assert "".join(characters.token_texts()[token] for token in ids[0]) == "(012,"
    assert list(ids[1, 2:]) == [characters.pad] * 3
    assert characters.token_texts()[END] == ""
    assert CharacterVocabulary.from_json(characters.to_json(), "").target_chars == characters.target_chars


def test_only_characters_of_targets_can_be_generated() -> None:
    model = _model()
    assert set(model.token_texts()) == {"", *"(0123,9)"}
    assert model.module.logits(torch.zeros(1, 48)).shape == (1, len(model.token_texts()))


def test_a_conversation_is_read_with_its_turns() -> None:
    turns = (Turn("user", "一"), Turn("assistant", "二"))
    model = build(ModelConfig(base="tiny"), [Pair(Query("三", turns), "(3)")], seed=1)
    assert model.length(Pair(Query("三", turns), "(3)")) == len("一\n二\n三") + 3


def test_the_shape_is_in_the_model_info() -> None:
    model = _model()
    assert Shape(**model.info.extra) == model.shape
