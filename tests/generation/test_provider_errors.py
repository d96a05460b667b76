"""What providers' errors mean: by code and text before the status, stopped at once where every request will fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from faulty_server import ServerPlan, running, usual_response
from test_teacher_server import journal, make

from terakoya.errors import ProviderError
from terakoya.generation.generate import DATA, REJECTED
from terakoya.generation.teacher.protocol import RawResponse
from terakoya.generation.teacher.responses import ResponseFault, TeacherResponse, parse_response

ERRORS = [json.loads(line) for line in (Path(__file__).parent / "provider_errors.jsonl").read_text().splitlines()]
HOPELESS = {"key", "credit", "period", "permission", "model", "parameter", "address"}
KINDS = {"rate": "busy", "moderation": "refused", "length": "refused", "overload": "down", "page": "garbled"}


def text_of(error: dict[str, Any]) -> str:
    return error["body"] if isinstance(error["body"], str) else json.dumps(error["body"], ensure_ascii=False)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{error['source']}-{error['status']}-{error['reason']}")
def test_an_error_is_classified_by_its_text(error: dict[str, Any]) -> None:
    """insufficient_quota comes as 429, a wrong key as 400, no credit as 200: the text decides."""
    text = text_of(error)
    kind = "text/html" if text.startswith("<") else "application/json"
    fault = parse_response(RawResponse(error["status"], text, content_type=kind))
    assert isinstance(fault, ResponseFault)
    assert fault.reason == error["reason"]
    if fault.reason in HOPELESS:
        assert fault.kind == "hopeless"
        assert fault.do
    elif fault.reason in KINDS:
        assert fault.kind == KINDS[fault.reason]


@pytest.mark.parametrize(
    ("parameter", "message", "advice"),
    [
        ("max_tokens", "Use 'max_completion_tokens' instead.", 'max_tokens_name = "max_completion_tokens"'),
        ("max_tokens", "max_tokens is too large: 9000. At most 4096.", "Lower teacher.max_tokens"),
        ("max_completion_tokens", "Unknown parameter.", 'max_tokens_name = "max_tokens"'),
        ("temperature", "Only the default (1) value is supported.", 'temperature = "unset"'),
        ("reasoning_effort", "Unsupported value.", "'reasoning_effort' in teacher.extra"),
    ],
)
def test_a_parameter_that_is_not_taken_comes_with_its_remedy(parameter: str, message: str, advice: str) -> None:
    """28 requests failed and the advice was to look at a status page."""
    error = {"error": {"message": message, "param": parameter, "code": "unsupported_parameter"}}
    fault = parse_response(RawResponse(400, json.dumps(error)))
    assert isinstance(fault, ResponseFault)
    assert (fault.kind, fault.reason) == ("hopeless", "parameter")
    assert advice in fault.do


def test_a_wait_in_the_text_is_honoured() -> None:
    """Some providers name the seconds in words only."""
    for text, seconds in (("try again in 2.5s.", 2.5), ("Try again in 1m30s.", 90.0), ("retry in 900ms", 0.9)):
        fault = parse_response(RawResponse(429, json.dumps({"error": {"message": f"Limit. Please {text}"}})))
        assert isinstance(fault, ResponseFault)
        assert fault.wait == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            'raw:429:{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}',
            "no credit",
        ),
        ('raw:429:{"error": {"message": "Rate limit exceeded: free-models-per-day"}}', "per day or month"),
        ('raw:400:{"error": {"message": "API key not valid.", "code": 400}}', "key was rejected"),
        (
            'raw:400:{"error": {"message": "Unsupported parameter: \'max_tokens\'", "param": "max_tokens"}}',
            "'max_tokens'",
        ),
        ('raw:200:{"error": "Unexpected endpoint or method. (POST /chat/completions)"}', "no chat completions API"),
        ('raw:200:{"error": {"message": "Insufficient credits", "code": 402}}', "no credit"),
        ("raw:200:<html><title>Welcome to nginx!</title></html>", "no chat completions API"),
        ("raw:200:Ollama is running", "no chat completions API"),
        ('raw:200:{"object": "list", "data": []}', "no chat completions API"),
        ("raw:301:", "redirects"),
    ],
)
def test_what_will_fail_for_every_request_stops_at_once(error: str, message: str, tmp_path: Path) -> None:
    """T4 and T6: each row was tried to the end, and the advice was to take another model."""
    with running(ServerPlan(script=lambda number, request: error)) as server:
        with pytest.raises(ProviderError, match=message) as refusal:
            make(server, tmp_path, samples=200)
        assert server.requests() <= 16
    assert refusal.value.do
    assert not journal(tmp_path, "given up")
    assert not (tmp_path / "work" / REJECTED).read_text()


def test_settings_that_were_refused_may_be_corrected_in_the_same_folder(tmp_path: Path) -> None:
    """The advice must work when typed: nothing was answered yet, so there is nothing to mix."""
    error = 'raw:400:{"error": {"message": "Unsupported parameter", "param": "max_tokens"}}'

    def script(number: int, request: dict[str, Any]) -> str:
        return error if "max_tokens" in request or "temperature" in request else ""

    with running(ServerPlan(script=script)) as server:
        with pytest.raises(ProviderError, match="max_tokens"):
            make(server, tmp_path)
        corrected = {"max_tokens_name": "max_completion_tokens", "temperature": "unset", "extra": {"top_p": 0.9}}
        assert make(server, tmp_path, **corrected).complete


# -- pauses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        "status:429", "status:500", "status:503", "cut:before", "cut:middle", "html",
        'raw:429:{"error": {"code": "insufficient_quota"}}', 'raw:429:{"error": {"message": "5 requests per day"}}',
    ],
)  # fmt: skip
def test_an_outage_leaves_every_row_open(fault: str, tmp_path: Path) -> None:
    """Rows are set aside for what a response was, never for what the network did; the next call goes on."""
    with running(ServerPlan()) as server:
        make(server, tmp_path / "undisturbed", samples=30)
    down = tmp_path / "down"
    down.touch()

    def script(number: int, request: dict[str, Any]) -> str:
        return fault if number >= 20 and down.exists() else ""

    with running(ServerPlan(script=script)) as server:
        with pytest.raises(ProviderError) as pause:
            make(server, tmp_path, samples=30, attempts=3)
        assert "every row is still open" in pause.value.do
        assert not journal(tmp_path, "given up")
        assert not (tmp_path / "work" / REJECTED).read_text()
        down.unlink()
        generated = make(server, tmp_path, samples=30, attempts=3)
    assert generated.complete
    assert not generated.rejected
    assert (tmp_path / "data.jsonl").read_bytes() == (tmp_path / "undisturbed" / "data.jsonl").read_bytes()


def test_a_request_that_alone_fails_on_the_wire_pauses_too(tmp_path: Path) -> None:
    """Others are answered meanwhile, but what arrived for this one was no response."""
    broken = tmp_path / "broken"
    broken.touch()
    first: list[str] = []

    def script(number: int, request: dict[str, Any]) -> str:
        first[:] = first or [request["messages"][0]["content"]]
        return "cut:before" if broken.exists() and request["messages"][0]["content"] == first[0] else ""

    with running(ServerPlan(script=script, delay=(0.01, 0.02))) as server:
        with pytest.raises(ProviderError, match="pauses"):
            make(server, tmp_path, samples=60, attempts=2)
        assert not journal(tmp_path, "given up")
        broken.unlink()
        assert make(server, tmp_path, samples=60, attempts=2).complete


def test_a_request_that_alone_breaks_the_server_is_set_aside(tmp_path: Path) -> None:
    """Its responses say so, again and again, while all others are answered: it must not stop the rest for ever."""
    first: list[str] = []

    def script(number: int, request: dict[str, Any]) -> str:
        first[:] = first or [request["messages"][0]["content"]]
        return "status:500" if request["messages"][0]["content"] == first[0] else ""

    with running(ServerPlan(script=script, delay=(0.02, 0.04))) as server:
        generated = make(server, tmp_path, samples=120, attempts=2)
    assert generated.complete
    assert dict(generated.rejected) == {"unanswered": 1}


def test_a_provider_that_refuses_everything_has_set_nothing_aside(tmp_path: Path) -> None:
    """An unexplained 400 for every row may pass; the rows are asked for again."""
    plan = ServerPlan(script=lambda number, request: 'raw:400:{"error": {"message": "no"}}')
    with running(plan) as server, pytest.raises(ProviderError, match="HTTP 400"):
        make(server, tmp_path)
    assert not journal(tmp_path, "given up")
    with running(ServerPlan()) as server:
        assert make(server, tmp_path, base_url=server.url).complete


# -- all rejected -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words", "advice"),
    [
        ('changed:{"finish_reason": "length"}', "cut by the length limit", "Raise teacher.max_tokens"),
        ('changed:{"finish_reason": "weird"}', "finish_reason weird", "finish_reason"),
        ("response:<think>うーん</think>🍎 🍊", "<think>うーん</think>🍎 🍊", 'thinking = "strip"'),
        (
            'changed:{"message": {"content": null, "reasoning": "x"}}',
            "only thinking arrived",
            "Raise teacher.max_tokens",
        ),
    ],
)
def test_when_all_is_rejected_the_message_names_the_reason_and_an_example(
    change: str, words: str, advice: str, tmp_path: Path
) -> None:
    """40 of 40 rows rejected, 107 answers paid, and the message was "(answer 40)"."""
    with running(ServerPlan(script=lambda number, request: change)) as server:
        with pytest.raises(ProviderError, match=r"1\d of 1\d rows were rejected") as refusal:
            make(server, tmp_path, samples=200)
        assert server.requests() < 60
    assert words in str(refusal.value)
    assert advice in refusal.value.do
    assert not (tmp_path / "work" / DATA).read_text()


# -- what is sent ---------------------------------------------------------------------------------------------------


def test_the_body_and_the_headers_are_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T3: reasoning effort, template arguments, provider routing, headers, another length limit, no temperature."""
    monkeypatch.setenv("EXTRA_KEY", "secret-value-123")
    extra = {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}, "stop": ["\n"]}
    headers = {"X-Title": "terakoya", "api-key": "${EXTRA_KEY}"}
    settings = {"temperature": "unset", "max_tokens_name": "max_completion_tokens", "extra": extra, "headers": headers}
    with running(ServerPlan(seen=tmp_path / "seen.jsonl")) as server:
        make(server, tmp_path, samples=2, **settings)
        make(server, tmp_path / "usual", samples=2)
    lines = [json.loads(line) for line in (tmp_path / "seen.jsonl").read_text().splitlines()]
    changed, usual = lines[0], lines[-1]
    assert set(changed["body"]) == {"model", "messages", "max_completion_tokens", *extra}
    assert {name: changed["body"][name] for name in extra} == extra
    assert (changed["headers"]["x-title"], changed["headers"]["api-key"]) == ("terakoya", "secret-value-123")
    assert set(usual["body"]) == {"model", "messages", "max_tokens", "temperature"}
    for path in (tmp_path / "work").rglob("*"):
        assert b"secret-value-123" not in path.read_bytes()


def test_an_answer_of_another_model_family_is_taken(tmp_path: Path) -> None:
    """T1 and T2 from end to end: content in parts, and another word for the end."""

    def script(number: int, request: dict[str, Any]) -> str:
        text = "今日は公園で遊んだ" + "よ" * (number % 100) if "書き換え" in request["messages"][0]["content"] else "🍎"
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": "x"}]}
        message = {"role": "assistant", "content": [thought, {"type": "text", "text": text}]}
        return "changed:" + json.dumps({"message": message, "finish_reason": "eos_token"}, ensure_ascii=False)

    with running(ServerPlan(script=script)) as server:
        assert make(server, tmp_path, samples=5).complete


def test_a_response_with_an_error_beside_it_is_still_read() -> None:
    """Else the tests above could pass by refusing everything."""
    body = {"choices": [{"message": {"content": "🍎"}, "finish_reason": "stop"}], "message": None, "detail": ""}
    assert isinstance(parse_response(RawResponse(200, json.dumps(body))), TeacherResponse)


def test_stripping_the_thinking_later_pays_for_nothing_again(tmp_path: Path) -> None:
    """The advice must be true: responses that were paid for are read anew by the other choice."""

    def response(request: dict[str, Any]) -> str:
        return f"<think>うーん</think>{usual_response(request)}"

    with running(ServerPlan(response=response)) as server:
        with pytest.raises(ProviderError, match="thinking"):
            make(server, tmp_path, samples=20)
        paid = {record["id"].split(".")[0] for record in journal(tmp_path, "reply")}
        generated = make(server, tmp_path, samples=20, thinking="strip")
        assert generated.complete
        assert generated.reused >= 10
    replies = [record["id"].split(".")[0] for record in journal(tmp_path, "reply")]
    assert paid
    assert len(replies) == len(set(replies))
