"""How a model is spoken to: one function for training and use, and data that cannot speak as the template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from checkpoints import CAUSAL, FAMILIES

from terakoya.config import ModelConfig, TrainConfig
from terakoya.errors import DataError, IncompatibleError
from terakoya.models.pretrained import build
from terakoya.models.pretrained.chat_template import skeleton
from terakoya.models.pretrained.model import HubModel
from terakoya.models.protocol import Pair, Query
from terakoya.records import Turn

Base = Callable[[str], Path]
PAIRS = [Pair(Query("一万五千"), "(15000)"), Pair(Query("楽しい日"), "✨ 📚")]


@pytest.fixture(scope="module")
def models(base: Base) -> Callable[[str], HubModel]:
    made: dict[str, HubModel] = {}

    def model(family: str) -> HubModel:
        if family not in made:
            made[family] = build.build(
                ModelConfig(base=str(base(family)), head="sequence"), PAIRS, ("✨", "📚"), seed=0
            )
        return made[family]

    return model


def full_row(model: HubModel, pair: Pair) -> list[int]:
    """What the model is trained on, as ids, through collate alone."""
    model.settle(TrainConfig(loss_on="all", prefix_cache=False))
    batch = model.collate([pair])
    model.settle(TrainConfig())
    return [int(batch.tensors["ids"][0, 0]), *batch.tensors["targets"].tolist()]


@pytest.mark.parametrize("family", CAUSAL)
@pytest.mark.parametrize("source", ["一万五千", "  spaces ", "a\nb", "今日は。", "🎉✨"])
def test_training_and_use_hold_the_same_tokens(models: Callable[[str], HubModel], family: str, source: str) -> None:
    """26% against 57% was the price of a template that differed (LLaMA-Factory #2509)."""
    model = models(family)
    asked = model.question(Query(source))
    assert full_row(model, Pair(Query(source), "(15000)"))[: len(asked)] == asked


@pytest.mark.parametrize("family", CAUSAL)
@pytest.mark.parametrize("system", [False, True])
def test_prompts_are_those_of_the_tokenizers_own_template(
    models: Callable[[str], HubModel], family: str, system: bool
) -> None:
    """So that the taught model answers alike wherever it is asked."""
    model = models(family)
    turns = [Turn("system", "数字で")] if system else []
    turns += [Turn("user", "一"), Turn("assistant", "(1)"), Turn("user", " 二十 ")]
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    theirs = model.tokens.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    assert model.question(Query(" 二十 ", tuple(turns))) == theirs
    assert model.question(Query(" 二十 ", tuple(turns[:-1]))) == theirs


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_ends_with_the_token_that_decoding_waits_for(models: Callable[[str], HubModel], family: str) -> None:
    """An answer that was never taught to end goes on until the limit."""
    model = models(family)
    ids = model.answer("(15000)")
    assert ids[-1] == model.end and model.end not in ids[:-1]
    assert model.end in model.core.generation_config.eos_token_id
    ends = {"gemma3": "<end_of_turn>", "t5": "</s>"}
    assert model.tokens.tokenizer.convert_ids_to_tokens(model.end) == ends.get(family, "<|im_end|>")


@pytest.mark.parametrize("family", ["gemma3", "lfm2"])
@pytest.mark.parametrize("template", ["chat", "plain"])
def test_a_text_begins_once(base: Base, family: str, template: str) -> None:
    """Two BOS tokens are a text that the model has never seen."""
    model = build.build(ModelConfig(base=str(base(family)), template=template), PAIRS, seed=0)
    bos = model.tokens.tokenizer.bos_token_id
    ids = model.question(Query("一"))
    assert ids.count(bos) == (1 if template == "chat" or family == "lfm2" else ids.count(bos))
    assert ids.count(bos) <= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_data_cannot_speak_as_the_template(models: Callable[[str], HubModel], family: str) -> None:
    """`<end_of_turn>` in a row must be eleven characters and not the end of the turn: 400 fuzzed rows a family."""
    model = models(family)
    chance = Random(7)
    names = [*model.tokens.names.values(), "<0x0A>", "＜end_of_turn＞", "<|IM_END|>", "< / s >", "▁"]
    pieces = [*names, *(name[:-1] for name in names), *(name[1:] for name in names), "一", " ", "\n", "a", "<", ">"]
    own = [i for i in model.question(Query("一")) if i in model.tokens.controls]
    for _ in range(400):
        source = "".join(chance.choice(pieces) for _ in range(chance.randrange(1, 8))) + "x"
        found = [i for i in model.question(Query(source)) if i in model.tokens.controls]
        assert found == own, source
        try:
            answer = model.answer(source)
        except DataError:
            continue
        assert not set(answer[:-1]) & set(model.tokens.controls), source
        assert model.text(answer[:-1]) == source


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_come_back_as_they_were_written(models: Callable[[str], HubModel], family: str) -> None:
    """Scores are taken on text: what the tokenizer changes, the model is blamed for."""
    model = models(family)
    for written in ("(15000)", "✨ 📚", "✨本", "✨ 本", "📚✨", "今日は いい日", "今日は  いい日", " 前", "日\nは"):
        assert model.text(model.answer(written)[:-1]) == written
        assert "".join(model.pieces()[i] for i in model.answer("✨ (15)")[:-1]) == "✨ (15)"


def test_a_target_that_cannot_be_carried_is_refused_by_name(base: Base) -> None:
    """T5 has no token for most emoji, and an unknown token scores 8 of 8 against itself."""
    config = ModelConfig(base=str(base("t5")), new_tokens="none")
    model = build.build(config, PAIRS[:1], seed=0)
    with pytest.raises(DataError, match="cannot carry") as caught:
        model.collate([Pair(Query("楽しい"), "🎻", "moods.csv, row 7")])
    assert caught.value.where == "moods.csv, row 7"


def test_rows_that_do_not_fit_are_refused_and_never_cut(base: Base) -> None:
    """A label that lost its end teaches never to end."""
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
def test_a_hostile_template_ends_with_its_child(template: str) -> None:
    """A template is a program that came with a checkpoint."""
    with pytest.raises(IncompatibleError):
        skeleton(template, (), ("user",), begin=True)


def test_learnt_tokens_are_shown(models: Callable[[str], HubModel]) -> None:
    """Prompt tokens in the loss were the logs' silent mistake."""
    shown = models("gemma3").shown(PAIRS[0])
    assert "".join(text for text, learnt in shown if learnt) == "(15000)<end_of_turn>"
    assert shown[0] == ("<bos>", False)


def test_an_instruction_stands_before_every_source(base: Base) -> None:
    """A system message where the template takes one; else in the user's own message."""
    for family in ("gemma3", "qwen2", "t5"):
        model = build.build(ModelConfig(base=str(base(family)), instruction="数字で"), PAIRS, seed=0)
        text = model.text(model.question(Query("一")))
        assert text.index("数字で") < text.index("一")
