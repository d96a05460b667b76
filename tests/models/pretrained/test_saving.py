"""A saved folder opens with plain `from_pretrained` and predicts what the model in memory predicted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from checkpoints import FAMILIES
from safetensors.torch import load_file

from terakoya.codec import TextCodec
from terakoya.config import DecodeConfig, ModelConfig, TrainConfig
from terakoya.decoding import generate
from terakoya.errors import ConfigError
from terakoya.models.pretrained import build
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.protocol import Pair, Query
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop

Base = Callable[[str], Path]
PAIRS = [
    Pair(Query(source), written)
    for source, written in (("一万五千", "(15000)"), ("二十", "(20)"), ("楽しい日", "✨ 📚"), ("三千", "(3000)"))
]
QUERIES = [pair.query for pair in PAIRS] + [Query("五千"), Query("冷蔵庫")]


def trained(base: Base, family: str, steps: int = 30, **changes: object) -> PretrainedModel:
    config = ModelConfig(base=str(base(family)), lora_rank=4, **changes)  # type: ignore[arg-type]
    model = build.build(config.model_copy(update={"head": "sequence"}), PAIRS, ("✨", "📚"), seed=0)
    how = TrainConfig(steps=steps, batch_size=4, learning_rate=8e-3, threads=1, select="last")
    run_loop(model, EpochBatches(PAIRS, 4, 0), resolve(how, model.info, len(PAIRS)), seed=0, device="cpu")
    return model


def predict(model: PretrainedModel, queries: Sequence[Query] = QUERIES) -> list[str]:
    return [one.raw for one in generate(model, queries, TextCodec(), DecodeConfig(constrained=False), max_tokens=12)]


def predict_plainly(folder: Path, model: PretrainedModel, queries: Sequence[Query]) -> list[str]:
    """As somebody without Terakoya would: from_pretrained and generate, one query at a time."""
    import transformers

    seq2seq = model.family == "encoder-decoder"
    maker = transformers.AutoModelForSeq2SeqLM if seq2seq else transformers.AutoModelForCausalLM
    module, tokenizer = maker.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)
    predictions = []
    for query in queries:
        if seq2seq:
            ids = tokenizer(query.source, return_tensors="pt").input_ids
        else:
            messages = [{"role": "user", "content": query.source}]
            ids = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=False
            )
        lead = len(model.tokenizer.target_prefix)
        out = module.generate(ids, max_new_tokens=12 + lead)[0]
        new = out[1 + lead :] if seq2seq else out[ids.shape[1] :]
        predictions.append(tokenizer.decode(new, skip_special_tokens=True))
    return predictions


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("adaptation", ["full", "lora"])
def test_a_saved_model_predicts_the_same_here_and_elsewhere(
    base: Base, tmp_path: Path, family: str, adaptation: str
) -> None:
    """New tokens, LoRA merged, saved, opened by us and by plain transformers: the same greedy predictions."""
    model = trained(base, family, adaptation=adaptation)
    before = predict(model)
    model.save(tmp_path / "out")
    assert predict(model) == before, "saving must not change the model"
    again = build.load(tmp_path / "out")
    assert predict(again) == before
    assert again.metadata.new_tokens == ("✨", "📚")
    plain = [text.strip() for text in predict_plainly(tmp_path / "out", model, QUERIES[:3])]
    assert plain == [text.strip() for text in before[:3]]
    again.save(tmp_path / "twice")
    assert predict(build.load(tmp_path / "twice")) == before


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_predicts_the_same_when_saved_loaded_and_merged(base: Base, tmp_path: Path, family: str) -> None:
    """New rows under LoRA get lost in the tools of today (peft #2898, LLaMA-Factory #7997)."""
    model = trained(base, family, adaptation="lora", merge=False)
    before = predict(model)
    model.save(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    loaded = build.load(tmp_path / "adapter")
    assert predict(loaded) == before
    loaded.metadata = loaded.metadata.__class__(**{**vars(loaded.metadata), "merge": True})
    loaded.save(tmp_path / "merged")
    assert predict(build.load(tmp_path / "merged")) == before


def test_an_adapter_without_new_tokens_opens_with_peft(base: Base, tmp_path: Path) -> None:
    """Plain peft on the plain base gives the same logits."""
    import peft
    import transformers

    config = ModelConfig(base=str(base("qwen2")), adaptation="lora", merge=False)
    model = build.build(config, PAIRS[:2], seed=0)
    with torch.no_grad():
        for name, weight in model.parameters_to_train():
            weight += 0.1 * torch.ones_like(weight) * ("lora_B" in name)
    model.save(tmp_path / "adapter")
    plain = transformers.AutoModelForCausalLM.from_pretrained(base("qwen2"))
    theirs = peft.PeftModel.from_pretrained(plain, tmp_path / "adapter")
    ids = torch.tensor([model.prompt_ids(Query("一"))])
    with torch.inference_mode():
        torch.testing.assert_close(theirs(ids).logits[:, -1], model.start([Query("一")]).logits)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("adaptation", ["full", "lora"])
def test_trimming_is_undone_to_the_bit(base: Base, tmp_path: Path, family: str, adaptation: str) -> None:
    """Rows that were not kept come back as they were, tied and untied; the trimmed predictions come back too."""
    model = trained(base, family, vocabulary="trimmed", adaptation=adaptation)
    before = predict(model)
    model.save(tmp_path / "out")
    old, new = load_file(base(family) / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert set(old) == set(new)
    kept = set(model.vocabulary.id_map.kept_ids or ())
    tables = [name for name in old if old[name].shape[0] > 900]
    assert len(tables) == (2 if family == "llama" else 1)
    for name in tables:
        untouched = [row for row in range(len(old[name])) if row not in kept]
        assert len(untouched) > 500
        assert torch.equal(old[name][untouched], new[name][untouched])
        if adaptation == "full":
            assert not torch.equal(
                old[name][sorted(kept & set(range(len(old[name]))))], new[name][sorted(kept)][: len(kept) - 2]
            )
    again = build.load(tmp_path / "out")
    assert again.info.vocabulary == model.info.vocabulary and predict(again) == before


def test_a_model_trained_with_trimming_predicts_its_rows_without_trimming_too(base: Base, tmp_path: Path) -> None:
    """After enough training the tokens that were left out do not interfere."""
    import transformers

    model = trained(base, "gemma3", steps=150, vocabulary="trimmed")
    model.save(tmp_path / "out")
    assert predict(model)[:4] == [pair.target for pair in PAIRS]
    (tmp_path / "out" / "terakoya-model.json").unlink()
    wide = build.load(tmp_path / "out")
    assert wide.info.vocabulary == transformers.AutoConfig.from_pretrained(tmp_path / "out").vocab_size > 900
    assert predict(wide)[:4] == [pair.target for pair in PAIRS]


def test_a_saved_folder_holds_no_path_of_this_machine(base: Base, tmp_path: Path) -> None:
    """transformers writes the folder that a tokenizer came from into what it saves."""
    model = build.build(ModelConfig(base=str(base("t5"))), PAIRS, seed=0)
    model.metadata = model.metadata.__class__(**{**vars(model.metadata), "base": "our/tiny"})
    model.save(tmp_path / "out")
    for file in (tmp_path / "out").iterdir():
        if file.suffix in (".json", ".jinja"):
            assert str(base("t5")) not in file.read_text() and "/tmp" not in file.read_text(), file


def test_vocabulary_files_that_transformers_drops_are_kept(base: Base, tmp_path: Path) -> None:
    """llama.cpp and CTranslate2 look for spiece.model; transformers 5 does not copy it."""
    home = Path(shutil.copytree(base("t5"), tmp_path / "base"))
    (home / "spiece.model").write_bytes(b"sentencepiece")
    build.build(ModelConfig(base=str(home)), PAIRS, seed=0).save(tmp_path / "out")
    assert (tmp_path / "out" / "spiece.model").read_bytes() == b"sentencepiece"


def test_a_model_is_not_written_over_its_base(base: Base) -> None:
    """Untouched rows are read from there."""
    model = build.build(ModelConfig(base=str(base("t5"))), PAIRS, seed=0)
    with pytest.raises(ConfigError):
        model.save(base("t5"))


def test_a_checkpoint_made_elsewhere_can_predict(base: Base) -> None:
    """`evaluate` scores what TRL has trained, without a run."""
    model = build.load(base("qwen2"))
    assert len(predict(model)) == len(QUERIES) and model.info.extra["template"] == "chat"


def test_the_folder_holds_its_metadata(base: Base, tmp_path: Path) -> None:
    """Base, revision, prompt and trimming: all that is needed to prompt it as in training."""
    build.build(
        ModelConfig(base=str(base("gemma3")), instruction="数字で", head="sequence"), PAIRS, ("✨", "📚"), seed=0
    ).save(tmp_path / "out")
    about = json.loads((tmp_path / "out" / "terakoya-model.json").read_text())
    assert about["template"] == "chat" and about["instruction"] == "数字で" and about["new_tokens"] == ["✨", "📚"]
    assert build.load(tmp_path / "out").prompt.instruction == "数字で"
