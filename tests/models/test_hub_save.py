"""What is left behind: a folder that plain `from_pretrained` opens, and that answers as the model in memory did."""

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
from terakoya.decoding import answers
from terakoya.errors import ConfigError
from terakoya.models.pretrained import build
from terakoya.models.pretrained.model import HubModel
from terakoya.models.protocol import Pair, Query
from terakoya.training.batches import Fixed
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop

Base = Callable[[str], Path]
PAIRS = [
    Pair(Query(source), written)
    for source, written in (("一万五千", "(15000)"), ("二十", "(20)"), ("楽しい日", "✨ 📚"), ("三千", "(3000)"))
]
ASKS = [pair.ask for pair in PAIRS] + [Query("五千"), Query("冷蔵庫")]


def taught(base: Base, family: str, steps: int = 30, **changes: object) -> HubModel:
    config = ModelConfig(base=str(base(family)), lora_rank=4, **changes)  # type: ignore[arg-type]
    model = build.build(config.model_copy(update={"head": "sequence"}), PAIRS, ("✨", "📚"), seed=0)
    how = TrainConfig(steps=steps, batch_size=4, learning_rate=8e-3, threads=1, select="last")
    run_loop(model, Fixed(PAIRS, 4, 0), resolve(how, model.card, len(PAIRS)), seed=0, device="cpu")
    return model


def asked(model: HubModel, asks: Sequence[Query] = ASKS) -> list[str]:
    return [one.raw for one in answers(model, asks, TextCodec(), DecodeConfig(constrained=False), max_tokens=12)]


def asked_plainly(folder: Path, model: HubModel, asks: Sequence[Query]) -> list[str]:
    """As somebody without Terakoya would: from_pretrained and generate, one by one."""
    import transformers

    seq2seq = model.family == "encoder-decoder"
    maker = transformers.AutoModelForSeq2SeqLM if seq2seq else transformers.AutoModelForCausalLM
    module, tokenizer = maker.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)
    told = []
    for ask in asks:
        if seq2seq:
            ids = tokenizer(ask.source, return_tensors="pt").input_ids
        else:
            messages = [{"role": "user", "content": ask.source}]
            ids = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=False
            )
        lead = len(model.tokens.lead)
        out = module.generate(ids, max_new_tokens=12 + lead)[0]
        new = out[1 + lead :] if seq2seq else out[ids.shape[1] :]
        told.append(tokenizer.decode(new, skip_special_tokens=True))
    return told


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("adaptation", ["full", "lora"])
def test_a_saved_model_answers_the_same_here_and_elsewhere(
    base: Base, tmp_path: Path, family: str, adaptation: str
) -> None:
    """New tokens, LoRA folded in, saved, opened by us and by plain transformers: the same greedy answers."""
    model = taught(base, family, adaptation=adaptation)
    before = asked(model)
    model.save(tmp_path / "out")
    assert asked(model) == before, "saving must not change the model"
    again = build.load(tmp_path / "out")
    assert asked(again) == before
    assert again.about.new_tokens == ("✨", "📚")
    plain = [text.strip() for text in asked_plainly(tmp_path / "out", model, ASKS[:3])]
    assert plain == [text.strip() for text in before[:3]]
    again.save(tmp_path / "twice")
    assert asked(build.load(tmp_path / "twice")) == before


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_is_saved_loaded_and_merged_to_the_same_answers(base: Base, tmp_path: Path, family: str) -> None:
    """New rows under LoRA get lost in the tools of today (peft #2898, LLaMA-Factory #7997)."""
    model = taught(base, family, adaptation="lora", merge=False)
    before = asked(model)
    model.save(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    loaded = build.load(tmp_path / "adapter")
    assert asked(loaded) == before
    loaded.about = loaded.about.__class__(**{**vars(loaded.about), "merge": True})
    loaded.save(tmp_path / "merged")
    assert asked(build.load(tmp_path / "merged")) == before


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
    ids = torch.tensor([model.question(Query("一"))])
    with torch.inference_mode():
        torch.testing.assert_close(theirs(ids).logits[:, -1], model.start([Query("一")]).logits)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("adaptation", ["full", "lora"])
def test_trimming_is_undone_to_the_bit(base: Base, tmp_path: Path, family: str, adaptation: str) -> None:
    """Rows that were not kept come back as they were, tied and untied; the trimmed answers come back too."""
    model = taught(base, family, vocabulary="trimmed", adaptation=adaptation)
    before = asked(model)
    model.save(tmp_path / "out")
    old, new = load_file(base(family) / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert set(old) == set(new)
    kept = set(model.words.numbering.kept or ())
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
    assert again.card.vocabulary == model.card.vocabulary and asked(again) == before


def test_a_trained_and_trimmed_model_answers_its_rows_without_trimming_too(base: Base, tmp_path: Path) -> None:
    """Taught long enough, the words that were left out do not come between."""
    import transformers

    model = taught(base, "gemma3", steps=150, vocabulary="trimmed")
    model.save(tmp_path / "out")
    assert asked(model)[:4] == [pair.written for pair in PAIRS]
    (tmp_path / "out" / "terakoya-model.json").unlink()
    wide = build.load(tmp_path / "out")
    assert wide.card.vocabulary == transformers.AutoConfig.from_pretrained(tmp_path / "out").vocab_size > 900
    assert asked(wide)[:4] == [pair.written for pair in PAIRS]


def test_a_saved_folder_tells_no_path_of_this_machine(base: Base, tmp_path: Path) -> None:
    """transformers writes the folder that a tokenizer came from into what it saves."""
    model = build.build(ModelConfig(base=str(base("t5"))), PAIRS, seed=0)
    model.about = model.about.__class__(**{**vars(model.about), "base": "our/tiny"})
    model.save(tmp_path / "out")
    for file in (tmp_path / "out").iterdir():
        if file.suffix in (".json", ".jinja"):
            assert str(base("t5")) not in file.read_text() and "/tmp" not in file.read_text(), file


def test_vocabulary_files_that_transformers_drops_are_kept(base: Base, tmp_path: Path) -> None:
    """llama.cpp and CTranslate2 ask for spiece.model; transformers 5 leaves it behind."""
    home = Path(shutil.copytree(base("t5"), tmp_path / "base"))
    (home / "spiece.model").write_bytes(b"sentencepiece")
    build.build(ModelConfig(base=str(home)), PAIRS, seed=0).save(tmp_path / "out")
    assert (tmp_path / "out" / "spiece.model").read_bytes() == b"sentencepiece"


def test_a_model_is_not_written_over_its_base(base: Base) -> None:
    """Untouched rows are read from there."""
    model = build.build(ModelConfig(base=str(base("t5"))), PAIRS, seed=0)
    with pytest.raises(ConfigError):
        model.save(base("t5"))


def test_a_checkpoint_made_elsewhere_can_be_asked(base: Base) -> None:
    """`evaluate` scores what TRL has taught, without a run."""
    model = build.load(base("qwen2"))
    assert len(asked(model)) == len(ASKS) and model.card.extra["template"] == "chat"


def test_the_folder_says_what_it_is(base: Base, tmp_path: Path) -> None:
    """Base, revision, prompt and trimming: all that is needed to ask it as it was taught."""
    build.build(
        ModelConfig(base=str(base("gemma3")), instruction="数字で", head="sequence"), PAIRS, ("✨", "📚"), seed=0
    ).save(tmp_path / "out")
    about = json.loads((tmp_path / "out" / "terakoya-model.json").read_text())
    assert about["template"] == "chat" and about["instruction"] == "数字で" and about["new_tokens"] == ["✨", "📚"]
    assert build.load(tmp_path / "out").prompt.instruction == "数字で"
