"""The text of a response: finish reasons, content in parts, thinking in its many clothes.

The first rows of each table are from public reports: vibrantlabsai/ragas#1548, openai/openai-dotnet#267,
huggingface/text-generation-inference#2344, xorbitsai/inference#3647, langgenius/dify#19051, QwenLM/Qwen3#1575.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from terakoya.generation.teacher.content import Thinking
from terakoya.generation.teacher.protocol import RawResponse
from terakoya.generation.teacher.responses import TeacherResponse, parse_response

ANSWER = "✨ 📚"


def parse(
    content: Any = ANSWER, finish: Any = "stop", tokens: Any = 4, thinking: Thinking = "reject", **message: Any
) -> TeacherResponse:
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 10, "completion_tokens": tokens}
    response = parse_response(RawResponse(200, json.dumps({"choices": [choice], "usage": usage})), 256, thinking)
    assert isinstance(response, TeacherResponse)
    return response


@pytest.mark.parametrize(
    "finish",
    [
        "eos", "eos_token", "end_turn", "stop_sequence", "stop", "STOP", "Stop", "EOS_TOKEN", "END_TURN", "COMPLETE",
        "FINISH_REASON_STOP", "stop_token", "endoftext", "end-of-text", "completed", "Finished", "eos token",
        "eos_found",
    ],
)  # fmt: skip
def test_a_finished_answer_is_taken_for_finished(finish: str) -> None:
    """T1: 40 of 40 rows rejected and 107 answers paid, because the server says "eos"."""
    assert (parse(finish=finish).text, parse(finish=finish).defect) == (ANSWER, "")


@pytest.mark.parametrize("finish", ["length", "LENGTH", "max_tokens", "MAX_TOKENS", "model_length", "max_new_tokens"])
def test_a_cut_answer_is_never_taken(finish: str) -> None:
    """P8, in every spelling."""
    assert parse(finish=finish).defect == "cut by the length limit"


@pytest.mark.parametrize("finish", ["content_filter", "SAFETY", "RECITATION", "refusal", "guardrail_intervened"])
def test_a_filtered_answer_is_a_refusal(finish: str) -> None:
    """What a filter has touched is no label."""
    assert parse(finish=finish).defect == "refused by the provider"


@pytest.mark.parametrize(
    "finish", ["error", "tool_calls", "abort", "cancelled", "weird", "insufficient_system_resource"]
)
def test_another_ending_is_no_end(finish: str) -> None:
    """Unknown words are not taken for an end."""
    assert parse(finish=finish).defect == "not finished"


@pytest.mark.parametrize("finish", [None, "", "null", "unknown"])
def test_without_a_reason_the_number_of_tokens_decides(finish: Any) -> None:
    """A response with fewer tokens than were asked for was not cut."""
    assert parse(finish=finish, tokens=4).defect == ""
    for tokens in (256, 300, None, 0, "many"):
        assert parse(finish=finish, tokens=tokens).defect == "not finished"


TEXT, THOUGHT = {"type": "text", "text": ANSWER}, {"type": "thinking", "thinking": [{"type": "text", "text": "x"}]}


@pytest.mark.parametrize(
    "content",
    [
        [TEXT], [THOUGHT, TEXT], TEXT, [ANSWER], [{"type": "output_text", "text": ANSWER}], [{"text": ANSWER}],
        [{"type": "text", "text": "✨"}, {"type": "text", "text": " 📚"}],
        [{"text": "hm", "thought": True}, {"text": ANSWER}],
        [{"type": "reasoning", "text": "hm"}, TEXT], [{"type": "redacted_thinking", "data": "…"}, TEXT],
        [{"type": "text", "text": {"value": ANSWER}}],
    ],
)  # fmt: skip
def test_content_in_parts_is_joined_without_its_thinking(content: Any) -> None:
    """T2: several servers send a list; Mistral's reasoning models put thinking parts beside the text."""
    assert (parse(content).text, parse(content).defect) == (ANSWER, "")


@pytest.mark.parametrize(
    "content",
    [[], [THOUGHT], [TEXT, {"type": "image_url", "image_url": {}}], [7], {"text": ANSWER}, [{"type": []}], [None]],
)
def test_other_parts_are_no_text(content: Any) -> None:
    """Half of an answer is none."""
    assert parse(content).defect == "no text in the answer"


# (opening, closing) of thinking: Qwen and DeepSeek, Kimi, Mistral, Seed, Cohere, OpenThinker, Gemma, MedGemma
CLOTHES = [
    ("<think>", "</think>"), ("<Think>", "</THINK>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"), ("<reflection>", "</reflection>"), ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"), ("[THINK]", "[/THINK]"), ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"), ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"), ("<unused94>thought", "<unused95>"), ("<think >", "</think >"),
    ("<|think|>", "<|/think|>"),
]  # fmt: skip


@pytest.mark.parametrize(("opening", "closing"), CLOTHES)
def test_thinking_is_dropped_where_empty_and_else_rejected_or_stripped_by_choice(opening: str, closing: str) -> None:
    """/no_think still leaves an empty block in front of the answer: every row was rejected."""
    for thinking in ("reject", "strip"):
        empty = parse(f"{opening}\n\n{closing}\n\n{ANSWER}", thinking=thinking)  # type: ignore[arg-type]
        assert (empty.text, empty.defect) == (ANSWER, "")
    thought = f"{opening}\nりんごかな\n{closing}\n\n{ANSWER}"
    assert parse(thought).defect == "thinking left inside"
    assert (parse(thought, thinking="strip").text, parse(thought, thinking="strip").defect) == (ANSWER, "")
    without_opening = parse(f"りんごかな\n{closing}\n{ANSWER}", thinking="strip")  # the template had opened it
    assert (without_opening.text, without_opening.defect) == (ANSWER, "")
    for thinking in ("reject", "strip"):
        unclosed = parse(f"{opening}\nりんごかな {ANSWER}", thinking=thinking)  # type: ignore[arg-type]
        assert unclosed.defect == "thinking left inside"
        behind = parse(f"{ANSWER}{opening}りんごかな", thinking=thinking)  # type: ignore[arg-type]
        assert behind.defect == "thinking left inside"


@pytest.mark.parametrize(
    "content",
    [
        f"<|channel|>analysis<|message|>Fruit.<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
        f"<|channel|>analysis<|message|>Fruit.<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
        f"analysisThe user wants emoji.assistantfinal{ANSWER}",
        f"analysisThe user wants emoji.assistant<|channel|>final<|message|>{ANSWER}",
        f"<think>x</think><answer>{ANSWER}</answer>",
        f"<|START_THINKING|>x<|END_THINKING|><|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>",
        f"<|begin_of_thought|>x<|end_of_thought|><|begin_of_solution|>{ANSWER}<|end_of_solution|>",
    ],
)
def test_answers_with_marks_of_their_own_are_rejected_or_found(content: str) -> None:
    """Harmony with and without its control tokens, and answers in tags."""
    assert parse(content).defect == "thinking left inside"
    found = parse(content, thinking="strip")
    assert (found.text, found.defect) == (ANSWER, "")


@pytest.mark.parametrize(
    "content", ["analysisWe need emoji for this.", "Thinking Process:\n1. x", "思考過程：果物だ。✨"]
)
def test_thinking_without_an_answer_is_rejected_in_any_case(content: str) -> None:
    """There is nothing to strip it from."""
    for thinking in ("reject", "strip"):
        assert parse(content, thinking=thinking).defect == "thinking left inside"  # type: ignore[arg-type]


def test_thinking_in_a_field_of_its_own_leaves_the_answer_clean() -> None:
    """And where only the field is filled, the report says so."""
    for field in ("reasoning", "reasoning_content"):
        assert parse(**{field: "hm"}).defect == ""
        alone = parse(None, **{field: "hm"})
        assert (alone.defect, alone.detail) == ("no text in the answer", "only thinking arrived")


@pytest.mark.parametrize(
    "text", ["思考する時間だった。", "analysisという単語を覚えた", "Thinkingという本を読んだ", "1 < 2 と書いた"]
)
def test_words_about_thinking_are_no_thinking(text: str) -> None:
    """Posts may be about anything."""
    assert parse(text).defect == ""
