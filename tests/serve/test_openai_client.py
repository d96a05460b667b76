"""`terakoya serve` as OpenAI's own client sees it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from serving import Running, chat, events, in_thread, service_of

from terakoya.saved_model import read_skill

TEXTS = ("妹が笑った", "猫が泣いた", "先生が笑った")


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def names(client: openai.OpenAI) -> list[str]:
    return [model.id for model in client.models.list()]


def test_the_models_are_the_skills(client: openai.OpenAI) -> None:
    assert names(client) == ["moods", "kannume-160"]
    assert client.models.retrieve("moods").id == "moods"
    with pytest.raises(openai.NotFoundError, match="no such model"):
        client.models.retrieve("other")
    with pytest.raises(openai.NotFoundError, match="moods"):
        client.chat.completions.create(model="other", messages=[{"role": "user", "content": "猫"}])


def test_responses_are_the_predictions_of_the_skill(client: openai.OpenAI, moods: Path, numerals: Path) -> None:
    """Text, raw text and probability, of both kinds of head; the same as without a server."""
    for name, run, texts in (("moods", moods, TEXTS), ("kannume-160", numerals, ("三万八千", "四百", "百億"))):
        expected = read_skill(run).predict(texts)
        for text, one in zip(texts, expected, strict=True):
            choice = client.chat.completions.create(model=name, messages=[{"role": "user", "content": text}]).choices[0]
            about = choice.terakoya  # type: ignore[attr-defined]
            assert choice.message.content == one.text == about["prediction"]
            assert about["raw"] == one.raw
            assert about["probability"] == pytest.approx(one.probability, abs=1e-5)
            assert choice.finish_reason == ("stop" if one.text is not None else choice.finish_reason)
        together = client.completions.create(model=name, prompt=list(texts))
        assert [choice.text for choice in together.choices] == [one.text or "" for one in expected]


def test_a_stream_holds_the_same(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="moods", messages=[{"role": "user", "content": TEXTS[0]}])
    stream = client.chat.completions.create(
        model="moods",
        messages=[{"role": "user", "content": TEXTS[0]}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices] == [None, None, "stop"]
    assert chunks[-1].usage == whole.usage
    pieces = client.completions.create(model="moods", prompt=list(TEXTS), stream=True)
    assert [piece.choices[0].text for piece in pieces if piece.choices] == ["うれしい", "かなしい", "うれしい"]


def test_log_probabilities_add_up_to_the_probability(client: openai.OpenAI) -> None:
    choice = client.chat.completions.create(
        model="kannume-160", messages=[{"role": "user", "content": "四百"}], logprobs=True, top_logprobs=3
    ).choices[0]
    assert choice.logprobs is not None and choice.logprobs.content is not None
    tokens, about = choice.logprobs.content, choice.terakoya  # type: ignore[attr-defined]
    assert "".join(token.token for token in tokens) == about["raw"]
    if choice.finish_reason != "length":
        total = math.exp(sum(token.logprob for token in tokens))
        under_the_model = about.get("uncalibrated", about["probability"])
        assert total == pytest.approx(under_the_model, rel=1e-3, abs=1e-6)
    assert all(len(token.top_logprobs) == 3 for token in tokens)
    assert all(token.logprob <= token.top_logprobs[0].logprob + 1e-6 for token in tokens)
    labels = client.chat.completions.create(
        model="moods", messages=[{"role": "user", "content": TEXTS[0]}], logprobs=True
    ).choices[0]
    assert labels.logprobs is not None and labels.logprobs.content is not None
    assert [token.token for token in labels.logprobs.content] == ["うれしい"]
    old = client.completions.create(model="kannume-160", prompt="四百", logprobs=2).choices[0].logprobs
    assert old is not None and old.tokens is not None
    assert "".join(old.tokens) == about["raw"]


def test_a_withheld_prediction_says_why(moods: Path) -> None:
    """No text, the reason in words and for programs, and what would have been the text as raw."""
    service = service_of(read_skill(moods, ("decode.abstain_below=1.0",), predict_only=True))
    with in_thread(service) as url:
        choice = chat(url, TEXTS[0]).json()["choices"][0]
        assert choice["message"]["content"] is None and choice["finish_reason"] == "content_filter"
        assert choice["message"]["refusal"].startswith("withheld: its probability")
        assert choice["terakoya"]["reason"] == "probability" and choice["terakoya"]["raw"] == "うれしい"
        streamed = events(chat(url, TEXTS[0], stream=True))
        assert [one["choices"][0]["finish_reason"] for one in streamed if one["choices"]] == [None, "content_filter"]
        assert all("うれしい" not in str(one["choices"][0]["delta"]) for one in streamed if one["choices"])
        body = {"model": "moods", "prompt": TEXTS[0]}
        older = httpx.post(f"{url}/v1/completions", json=body).json()["choices"][0]
        assert older["text"] == "" and older["finish_reason"] == "content_filter"
        assert 'outcome="probability"} 3' in httpx.get(f"{url}/metrics").text


def test_what_has_no_effect_is_named(server: Running) -> None:
    """A setting that changes nothing is reported, and earlier messages too where the skill knows no conversations."""
    body = {
        "model": "moods",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": TEXTS[0]}]},
        ],
        "temperature": 0.3,
        "max_tokens": 1,
        "user": "me",
    }
    said = httpx.post(f"{server.url}/v1/chat/completions", json=body).json()
    assert said["choices"][0]["message"]["content"] == "うれしい"
    assert said["terakoya"]["ignored"] == ["messages before the last one", "max_tokens", "temperature"]


def test_skills_of_one_experiment_have_different_names(moods: Path, tmp_path: Path) -> None:
    import shutil

    from terakoya.errors import ConfigError
    from terakoya.serving.skills import open_skills

    again = tmp_path / "moods-again"
    shutil.copytree(moods, again)
    assert list(open_skills([moods, again])) == [moods.name, "moods-again"]
    with pytest.raises(ConfigError, match="two of the skills have the name"):
        open_skills([moods, moods])
