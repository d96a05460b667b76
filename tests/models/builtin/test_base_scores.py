"""A pretrained base's own scores of labels join the built-in set model, and cost one look at each text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from terakoya.config import ModelConfig
from terakoya.decoding.base_weight import fit_base_weight
from terakoya.errors import ConfigError, CorruptError, IncompatibleError
from terakoya.models.builtin import base_evidence
from terakoya.models.builtin.model import build, load
from terakoya.models.builtin.numpy_model import load_without_torch
from terakoya.models.builtin.set_model import BuiltinSetModel
from terakoya.models.pretrained.build import build as build_pretrained
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.pretrained.prompted_base import LabelPrompt, PromptedBase
from terakoya.models.protocol import Pair, Query
from terakoya.models.user_cache import ScoreCache

LABELS = ("joy", "fun", "sad")
ROWS = tuple(
    Pair(Query(f"{where}は{mood}"), labels)
    for where in ("きょう", "あした", "いつも", "ここ", "そこ")
    for mood, labels in (("うれしい", "joy"), ("たのしい", "fun joy"), ("かなしい", "sad"), ("さびしい", "sad"))
)
TEXTS = ("きのうはうれしい", "さびしいなあ", "雨")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _config(folder: Path, **more: object) -> ModelConfig:
    named = {"base": "tiny", "base_scores": str(folder), "base_prompt": "文:{source}\n気分:", "base_shots": 2}
    return ModelConfig.model_validate({**named, "base_prompts": 2, **more})


def _model(folder: Path) -> BuiltinSetModel:
    model = build(_config(folder), ROWS, LABELS, seed=1)
    assert isinstance(model, BuiltinSetModel)
    model.module.eval()
    return model


def _logits(model: BuiltinSetModel) -> Tensor:
    model.module.eval()
    with torch.no_grad():
        return model.set_scores([Query(text) for text in TEXTS]).labels


@pytest.mark.parametrize("family", ["gemma3", "qwen2", "lfm2"])
@pytest.mark.parametrize("widest", [16, 1])
def test_a_label_is_scored_after_the_whole_prompt_token_by_token(
    base: Callable[[str], Path], family: str, widest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the cached prefix as without; where labels branch widely, later tokens are those after neutral texts."""
    from terakoya.models.pretrained import prompted_base

    monkeypatch.setattr(prompted_base, "_WIDEST", widest)
    wanted = ModelConfig(base=str(base(family)), head="sequence", vocabulary="full", new_tokens="none")
    model = build_pretrained(wanted, [], (), seed=0)
    assert isinstance(model, PretrainedModel)
    prompt = LabelPrompt("文:{source}\n気分:", (("うれしい", "joy"), ("かなしい", "sad")))
    scorer = PromptedBase(model, prompt, LABELS)
    found = scorer.log_probs(TEXTS)
    first, neutral = (_by_hand(model, prompt, texts, 1) for texts in (TEXTS, prompted_base.NEUTRAL))
    whole = _by_hand(model, prompt, prompted_base.NEUTRAL, 0)
    expected = first + (whole - neutral).mean(0) if widest == 1 else _by_hand(model, prompt, TEXTS, 0)
    assert torch.allclose(found, expected, atol=1e-3)
    assert torch.allclose(scorer.neutral(), whole.mean(0), atol=1e-3) or widest == 1


def _by_hand(model: PretrainedModel, prompt: LabelPrompt, texts: Sequence[str], depth: int) -> Tensor:
    """One row after the other through the whole model."""
    begin = model.tokenizer.hf_tokenizer.bos_token_id
    scores = torch.zeros(len(texts), len(LABELS), dtype=torch.float64)
    for row, text in enumerate(texts):
        ids = model.tokenizer.encode_prompt([(prompt(text), True)])
        ids = ids if begin is None else [begin, *ids]
        for column, label in enumerate(LABELS):
            target = model.target_ids(label)[:-1][: depth or None]
            with torch.inference_mode():
                logits = model.core(input_ids=torch.tensor([[*ids, *target]])).logits[0]
            tokens = torch.log_softmax(logits.double(), dim=1)[len(ids) - 1 : len(ids) + len(target) - 1]
            scores[row, column] = tokens.gather(1, torch.tensor(target)[:, None]).sum()
    return scores


def test_a_text_is_scored_once(tmp_path: Path) -> None:
    """Kept by its fingerprint, whatever the order; only new texts are computed, each once."""
    seen: list[str] = []

    def compute(texts: Sequence[str]) -> Tensor:
        seen.extend(texts)
        return torch.tensor([[float(len(text)), 1.0] for text in texts])

    first = ScoreCache(tmp_path / "kept", 2).get(["ab", "c", "ab"], compute)
    again = ScoreCache(tmp_path / "kept", 2).get(["c", "def", "ab"], compute)
    assert sorted(seen) == ["ab", "c", "def"]
    assert first[:, 0].tolist() == [2, 1, 2] and again[:, 0].tolist() == [1, 3, 2]


def test_a_damaged_file_of_scores_is_named_and_can_be_deleted(tmp_path: Path) -> None:
    """Never read as something else, never skipped in silence."""
    ScoreCache(tmp_path, 1).get(["a"], lambda texts: torch.ones(len(texts), 1))
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(CorruptError) as caught:
        ScoreCache(tmp_path, 1)
    assert str(file) in str(caught.value) and "Delete it" in str(caught.value)
    file.unlink()
    assert ScoreCache(tmp_path, 1).get(["a"], lambda texts: torch.zeros(len(texts), 1)).tolist() == [[0.0]]


def test_the_base_adds_what_it_says_beyond_its_prior(base: Callable[[str], Path]) -> None:
    """Logits are those of the ensemble plus weight times the scores less alpha times the prior."""
    model = _model(base("gemma3"))
    assert model.evidence is not None
    model.evidence.parameters = 0.0, 0.5
    alone = _logits(model)
    model.evidence.parameters = 0.7, 0.5
    adjusted = model.evidence.log_probs(TEXTS) - 0.5 * torch.tensor(model.evidence.scoring.prior)
    difference = _logits(model) - alone
    assert torch.allclose(difference, 0.7 * (adjusted - adjusted.mean(1, keepdim=True)), atol=1e-5)
    assert difference.abs().max() > 1e-3
    assert len(set(model.evidence.scoring.shots)) == 2  # each prompt has other examples


def test_a_saved_model_finds_its_base_and_predicts_the_same(
    base: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base is named by its path and known by its weights; a text that was never scored needs it, others do not."""
    place = shutil.copytree(base("gemma3"), tmp_path / "bases" / "gemma")
    model = _model(place)
    assert model.evidence is not None
    model.evidence.parameters = 0.7, 0.5
    model.inverse_temperature = 2.0
    expected = _logits(model)
    model.save(tmp_path / "run" / "model")
    about = json.loads((tmp_path / "run" / "model" / "config.json").read_text("utf-8"))
    assert about["base_scores"]["base"] == "../../bases/gemma"
    opened = load(tmp_path / "run" / "model")
    assert isinstance(opened, BuiltinSetModel)
    assert torch.allclose(_logits(opened), expected, atol=1e-5)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))  # now the base itself is needed
    opened = load(tmp_path / "run" / "model")
    assert isinstance(opened, BuiltinSetModel)
    assert torch.allclose(_logits(opened), expected, atol=1e-4)
    shutil.rmtree(tmp_path / "bases")
    moved = load(tmp_path / "run" / "model")
    assert isinstance(moved, BuiltinSetModel)
    with pytest.raises(ConfigError) as caught:
        moved.set_scores([Query("一度も見ていない")])
    assert "gemma" in str(caught.value) and "fingerprint" in str(caught.value)


def test_without_pytorch_it_is_refused_and_not_computed_without_the_base(
    base: Callable[[str], Path], tmp_path: Path
) -> None:
    """Half of a model would be another model."""
    _model(base("gemma3")).save(tmp_path)
    with pytest.raises(IncompatibleError, match="scores of its pretrained base"):
        load_without_torch(tmp_path)


def test_a_prompt_without_a_place_for_the_text_is_refused(base: Callable[[str], Path]) -> None:
    """Every text would get the same scores."""
    with pytest.raises(ConfigError, match="base_prompt"):
        build(_config(base("gemma3"), base_prompt="文:"), ROWS, LABELS, seed=1)


def test_an_encoder_decoder_is_refused(base: Callable[[str], Path]) -> None:
    """It was not pretrained to go on from a prompt."""
    with pytest.raises(ConfigError, match="encoder-decoder"):
        build(_config(base("t5")), ROWS, LABELS, seed=1)


@pytest.mark.parametrize("knows", [True, False])
def test_the_weight_is_what_dev_says(base: Callable[[str], Path], knows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that knows the labels counts, one whose scores are noise does not."""
    model = _model(base("gemma3"))
    assert model.evidence is not None
    rng = torch.Generator().manual_seed(1)
    target = torch.tensor([[float(label in row.target.split()) for label in LABELS] for row in ROWS])
    noise = torch.randn(target.shape, generator=rng)
    monkeypatch.setattr(
        base_evidence.BaseEvidence, "log_probs", lambda *_: 2.0 * target + noise if knows else 4.0 * noise
    )
    fit_base_weight(model, [row.query for row in ROWS], [row.target.split() for row in ROWS], 16)
    weight, _alpha = model.evidence.parameters
    assert weight > 0.5 if knows else weight < 0.2
