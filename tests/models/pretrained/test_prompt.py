"""One prompt for training and prediction, and data that cannot write control tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from checkpoints import CAUSAL, FAMILIES

from terakoya.config import ModelConfig, TrainConfig
from terakoya.errors import DataError, IncompatibleError
from terakoya.models.pretrained import build
from terakoya.models.pretrained.chat_template import template_segments
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.protocol import Pair, Query
from terakoya.records import Turn

Base = Callable[[str], Path]
PAIRS = [Pair(Query("一万五千"), "(15000)"), Pair(Query("楽しい日"), "✨ 📚")]


@pytest.fixture(scope="module")
def models(base: Base) -> Callable[[str], PretrainedModel]:
    made: dict[str, PretrainedModel] = {}

    def model(family: str) -> PretrainedModel:
        if family not in made:
            made[family] = build.build(
                ModelConfig(base=str(base(family)), head="sequence"), PAIRS, ("✨", "📚"), seed=0
            )
        return made[family]

    return model


def full_row(model: PretrainedModel, pair: Pair) -> list[int]:
    """What the model is trained on, as ids, through collate alone."""
    model.configure(TrainConfig(loss_on="all", prefix_cache=False))
    batch = model.collate([pair])
    model.configure(TrainConfig())
    return [int(batch.tensors["input_ids"][0, 0]), *batch.tensors["targets"].tolist()]


@pytest.mark.parametrize("family", CAUSAL)
@pytest.mark.parametrize("source", ["一万五千", "  spaces ", "a\nb", "今日は。", "🎉✨"])
def test_training_and_prediction_have_the_same_prompt_tokens(
    models: Callable[[str], PretrainedModel], family: str, source: str
) -> None:
    """A template that differed cost 57% against 26% (LLaMA-Factory #2509)."""
    model = models(family)
    prompt = model.prompt_ids(Query(source))
    assert full_row(model, Pair(Query(source), "(15000)"))[: len(prompt)] == prompt


@pytest.mark.parametrize("family", CAUSAL)
@pytest.mark.parametrize("system", [False, True])
def test_prompts_are_those_of_the_tokenizers_own_template(
    models: Callable[[str], PretrainedModel], family: str, system: bool
) -> None:
    """So that the trained model predicts the same wherever it is used."""
    model = models(family)
    turns = [Turn("system", "数字で")] if system else []
    turns += [Turn("user", "一"), Turn("assistant", "(1)"), Turn("user", " 二十 ")]
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    theirs = model.tokenizer.hf_tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    assert model.prompt_ids(Query(" 二十 ", tuple(turns))) == theirs
    assert model.prompt_ids(Query(" 二十 ", tuple(turns[:-1]))) == theirs


@pytest.mark.parametrize("family", FAMILIES)
def test_a_target_ends_with_the_token_that_ends_decoding(models: Callable[[str], PretrainedModel], family: str) -> None:
    """A model that was never trained to end a sequence goes on until the limit."""
    model = models(family)
    ids = model.target_ids("(15000)")
    assert ids[-1] == model.end and model.end not in ids[:-1]
    assert model.end in model.core.generation_config.eos_token_id
    ends = {"gemma3": "<end_of_turn>", "t5": "</s>"}
    assert model.tokenizer.hf_tokenizer.convert_ids_to_tokens(model.end) == ends.get(family, "<|im_end|>")


@pytest.mark.parametrize("family", ["gemma3", "lfm2"])
@pytest.mark.parametrize("template", ["chat", "plain"])
def test_a_prompt_has_at_most_one_bos_token(base: Base, family: str, template: str) -> None:
    """The model has never seen a text with two."""
    model = build.build(ModelConfig(base=str(base(family)), template=template), PAIRS, seed=0)
    bos = model.tokenizer.hf_tokenizer.bos_token_id
    ids = model.prompt_ids(Query("一"))
    assert ids.count(bos) == (1 if template == "chat" or family == "lfm2" else ids.count(bos))
    assert ids.count(bos) <= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_data_cannot_write_control_tokens(models: Callable[[str], PretrainedModel], family: str) -> None:
    """`<end_of_turn>` in a row must be eleven characters and not the end of the turn: 400 fuzzed rows a family."""
    model = models(family)
    rng = Random(7)
    names = [*model.tokenizer.reserved_tokens.values(), "<0x0A>", "＜end_of_turn＞", "<|IM_END|>", "< / s >", "▁"]
    pieces = [*names, *(name[:-1] for name in names), *(name[1:] for name in names), "一", " ", "\n", "a", "<", ">"]
    own = [i for i in model.prompt_ids(Query("一")) if i in model.tokenizer.control_tokens]
    for _ in range(400):
        source = "".join(rng.choice(pieces) for _ in range(rng.randrange(1, 8))) + "x"
        found = [i for i in model.prompt_ids(Query(source)) if i in model.tokenizer.control_tokens]
        assert found == own, source
        try:
            target = model.target_ids(source)
        except DataError:
            continue
        assert not set(target[:-1]) & set(model.tokenizer.control_tokens), source
        assert model.text(target[:-1]) == source


@pytest.mark.parametrize("family", FAMILIES)
def test_targets_decode_to_themselves(models: Callable[[str], PretrainedModel], family: str) -> None:
    """Metrics compare text: what the tokenizer changes would count as the model's mistake."""
    model = models(family)
    for written in ("(15000)", "✨ 📚", "✨本", "✨ 本", "📚✨", "今日は いい日", "今日は  いい日", " 前", "日\nは"):
        assert model.text(model.target_ids(written)[:-1]) == written
        assert "".join(model.token_texts()[i] for i in model.target_ids("✨ (15)")[:-1]) == "✨ (15)"


def test_a_target_that_cannot_be_encoded_is_refused_by_name(base: Base) -> None:
    """T5 has no token for most emoji, and an unknown token scores 8 of 8 against itself."""
    config = ModelConfig(base=str(base("t5")), new_tokens="none")
    model = build.build(config, PAIRS[:1], seed=0)
    with pytest.raises(DataError, match="loses part") as caught:
        model.collate([Pair(Query("楽しい"), "🎻", "moods.csv, row 7")])
    assert caught.value.where == "moods.csv, row 7"


def test_rows_that_do_not_fit_are_refused_and_never_cut(base: Base) -> None:
    """A target without its end token trains a model never to end."""
    model = build.build(ModelConfig(base=str(base("llama")), max_source=30, max_target=6), PAIRS[:1], seed=0)
    for pair in (
        Pair(Query("長" * 40), "(1)", "row 3"),
        Pair(Query("一"), "(123456789)", "row 3"),
        Pair(Query("一"), "", "row 3"),
    ):
        with pytest.raises(DataError) as caught:
            model.collate([pair])
        assert caught.value.where == "row 3"
    assert model.fits(Query("一")) and not model.fits(Query("長" * 40))


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 99999999999 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ messages[0]['content'] }}",
        "{{ messages[0]['content'] }}{{ messages[0]['content'] }}",
        "no message at all",
        "{% if %}",
        "{{ raise_exception('no') }}",
    ],
)
def test_a_hostile_template_ends_with_its_child_process(template: str) -> None:
    """A template is a program that came with a checkpoint."""
    with pytest.raises(IncompatibleError):
        template_segments(template, (), ("user",), add_generation_prompt=True)


def test_the_loss_mask_is_shown(models: Callable[[str], PretrainedModel]) -> None:
    """Prompt tokens in the loss were the logs' silent mistake."""
    shown = models("gemma3").show_tokens(PAIRS[0])
    assert "".join(text for text, trained_on in shown if trained_on) == "(15000)<end_of_turn>"
    assert shown[0] == ("<bos>", False)


def test_an_instruction_stands_before_every_source(base: Base) -> None:
    """A system message where the template takes one; else in the user's own message."""
    for family in ("gemma3", "qwen2", "t5"):
        model = build.build(ModelConfig(base=str(base(family)), instruction="数字で"), PAIRS, seed=0)
        text = model.text(model.prompt_ids(Query("一")))
        assert text.index("数字で") < text.index("一")
