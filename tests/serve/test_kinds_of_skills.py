"""Every kind of model behind the same interface: pretrained ones, sets of labels, conversations, abstention."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from serving import chat, in_thread, service_of

from terakoya.decoding.token_log_probs import token_log_probs
from terakoya.models.protocol import Query
from terakoya.records import Turn
from terakoya.saved_model import read_skill

FIXTURES = Path(__file__).parent.parent / "fixtures" / "runs" / "format-2-full"


def choice_of(url: str, text: str, **more: Any) -> Any:
    response = chat(url, text, **more)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


@pytest.mark.parametrize("kind", ["full", "lora", "text"])
def test_a_saved_checkpoint_predicts_as_without_a_server(kind: str) -> None:
    """Fine-tuned as a whole, by LoRA, and built in; tokens are counted, and each has a log-probability."""
    skill = read_skill(FIXTURES / kind, predict_only=True)
    with in_thread(service_of(skill)) as url:
        for text in ("十", "三万八千"):
            expected = skill.predict([text])[0]
            choice = choice_of(url, text, logprobs=True, top_logprobs=2)
            assert choice["message"]["content"] == expected.text
            assert choice["terakoya"]["raw"] == expected.raw
            assert choice["finish_reason"] == ("stop" if expected.text is not None else "length")
            tokens = choice["logprobs"]["content"]
            assert "".join(token["token"] for token in tokens) == expected.raw
            assert all(len(token["top_logprobs"]) == 2 for token in tokens)
        usage = chat(url, "三万八千").json()["usage"]
        assert usage["prompt_tokens"] > 0 and usage["completion_tokens"] > 0


def test_numpy_and_torch_have_the_same_token_log_probabilities() -> None:
    """And their sum is the log of the prediction's own probability, where the output ended."""
    light, heavy = read_skill(FIXTURES / "text", predict_only=True), read_skill(FIXTURES / "text")
    prediction = light.predict(["十"])[0]
    found = [token_log_probs(skill.model, Query("十"), prediction, top=3) for skill in (light, heavy)]
    for mine, theirs in zip(*found, strict=True):
        assert mine.token == theirs.token
        assert mine.log_prob == pytest.approx(theirs.log_prob, abs=1e-4)
        assert [text for text, _log_prob in mine.top] == [text for text, _log_prob in theirs.top]
    total = sum(one.log_prob for one in found[0])
    assert prediction.probability is not None
    assert total == pytest.approx(math.log(prediction.probability), abs=1e-3)


def test_a_set_of_labels_has_the_probability_of_each(moods: Path) -> None:
    with in_thread(service_of(read_skill(moods, predict_only=True))) as url:
        choice = choice_of(url, "妹が笑った", logprobs=True, top_logprobs=2)
    labels = dict(choice["terakoya"]["labels"])
    assert set(labels) == {"うれしい", "かなしい"}
    (token,) = choice["logprobs"]["content"]
    assert token["token"] == "うれしい" and math.exp(token["logprob"]) == pytest.approx(labels["うれしい"], abs=1e-5)
    assert {one["token"] for one in token["top_logprobs"]} == set(labels)


def test_earlier_messages_count_for_a_skill_of_conversations(chatting: Path) -> None:
    """The prediction is that for the whole conversation, and nothing is said to be ignored."""
    skill = read_skill(chatting, predict_only=True)
    assert skill.converses
    before = [{"role": "user", "content": "寒い夜だ。"}, {"role": "assistant", "content": "しゅんしゅん。"}]
    messages = [*before, {"role": "user", "content": "茶をくれ。"}]
    with in_thread(service_of(skill)) as url:
        alone = chat(url, "茶をくれ。").json()
        whole = chat(url, "", messages=messages).json()
    assert whole["terakoya"]["ignored"] == []
    turns = tuple(Turn(one["role"], one["content"]) for one in before)
    expected = skill.predict(["茶をくれ。"], [turns])[0]
    assert whole["choices"][0]["terakoya"]["raw"] == expected.raw
    longer = sum(len(turn.content) + 1 for turn in turns)
    assert whole["usage"]["prompt_tokens"] == alone["usage"]["prompt_tokens"] + longer


@pytest.mark.parametrize(
    ("settings", "text", "reason"),
    [
        ((), "妹", "characters"),
        (("decode.abstain_below=0.999",), "十", "probability"),
        (("decode.verify=true",), "三万", "verification"),
    ],
)
def test_every_reason_to_withhold_reaches_the_client(settings: tuple[str, ...], text: str, reason: str) -> None:
    with in_thread(service_of(read_skill(FIXTURES / "text", settings, predict_only=True))) as url:
        choice = choice_of(url, text)
    assert choice["terakoya"]["reason"] == reason and choice["finish_reason"] == "content_filter"
    assert choice["message"]["content"] is None and choice["message"]["refusal"].startswith("withheld")
    assert choice["terakoya"].get("unknown", "") == ("妹" if reason == "characters" else "")
