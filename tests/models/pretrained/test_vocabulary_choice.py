"""`model.vocabulary = "auto"`: trimmed where further targets need no other tokens, and told in either case."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoints import FAMILIES

from terakoya.config import ModelConfig
from terakoya.models.pretrained import build, vocabulary_trimming
from terakoya.models.protocol import Pair, Query

Base = Callable[[str], Path]
NUMBERS = [Pair(Query(source), target) for source, target in (("一万五千", "15000"), ("二十", "20"), ("一億", "1e8"))]
TEXTS = [Pair(Query("a"), "一万"), Pair(Query("b"), "一億"), Pair(Query("c"), "一億")]


@pytest.fixture
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary_trimming, "_MANY_WEIGHTS", 1)


@pytest.mark.usefixtures("any_size")
def test_targets_of_ascii_are_trimmed_and_the_finding_says_what_it_means(base: Base) -> None:
    model = build.build(ModelConfig(base=str(base("gemma3"))), NUMBERS, seed=0)
    assert model.info.extra["vocabulary"] == "trimmed"
    (finding,) = (one for one in model.findings if one.check == "vocabulary")
    assert "a source may hold anything" in finding.what
    assert "model.vocabulary = 'full'" in finding.do


@pytest.mark.usefixtures("any_size")
def test_targets_that_each_bring_their_own_tokens_keep_the_vocabulary_whole(base: Base) -> None:
    model = build.build(ModelConfig(base=str(base("gemma3"))), TEXTS, seed=0)
    assert model.info.extra["vocabulary"] == "full"
    (finding,) = (one for one in model.findings if one.check == "vocabulary")
    assert (finding.values["own"], finding.values["rows"]) == (1, 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_token_of_a_printable_character_is_found(base: Base, family: str) -> None:
    """By their forms, instead of by the texts of all tokens; an added token is one of them."""
    tokenizer = build.build(ModelConfig(base=str(base(family)), head="sequence"), NUMBERS, ("~", "9"), seed=0).tokenizer
    for char in string.printable:
        same = {i for i in range(tokenizer.size) if tokenizer.token_text(i) == char}
        assert tokenizer.ids_of_character(char) == same, char


@pytest.mark.usefixtures("any_size")
def test_what_is_set_stays(base: Base) -> None:
    full = build.build(ModelConfig(base=str(base("gemma3")), vocabulary="full"), NUMBERS, seed=0)
    trimmed = build.build(ModelConfig(base=str(base("gemma3")), vocabulary="trimmed"), TEXTS, seed=0)
    assert [model.info.extra["vocabulary"] for model in (full, trimmed)] == ["full", "trimmed"]
    assert not [one for model in (full, trimmed) for one in model.findings if one.check == "vocabulary"]


@pytest.mark.usefixtures("any_size")
def test_an_encoder_decoder_is_not_trimmed_unasked(base: Base) -> None:
    assert build.build(ModelConfig(base=str(base("t5"))), NUMBERS, seed=0).info.extra["vocabulary"] == "full"


def test_a_small_vocabulary_stays_whole(base: Base) -> None:
    assert build.build(ModelConfig(base=str(base("gemma3"))), NUMBERS, seed=0).info.extra["vocabulary"] == "full"
