"""The teacher against a server of ours that stalls, cuts, lies and counts: money and rows come out right."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_server import PRICE, Running, ServerPlan, running, usual_response

from terakoya.config import Config, make_config
from terakoya.errors import BudgetError, Interrupted, ProviderError
from terakoya.generation.generate import DATA, REJECTED, GenerationResult, generate
from terakoya.generation.output import read_generated
from terakoya.generation.teacher.http_client import ApiTeacher
from terakoya.generation.teacher.ledger import JOURNAL
from terakoya.generation.teacher.protocol import NoResponse, TeacherRequest
from terakoya.generation.teacher.rate_limits import RetryPolicy
from terakoya.records import Turn
from terakoya.runs import read_lines

HASTY = RetryPolicy(base_wait=0.01, max_wait=0.05, drain=2.0)
CANARY = "sk-or-v1-canary-4f1d9c0a7b"


def config_for(server: Running, **teacher: Any) -> Config:
    usual = {
        "kind": "api", "base_url": server.url, "model": "stub", "licence": "ours", "recipe": "emoji-v1", "samples": 12,
        "budget": 10.0, "price_in": 1.0, "price_out": 5.0, "key_variable": "", "max_concurrent": 8, "deadline": 8.0,
    }  # fmt: skip
    return make_config({"teacher": usual | teacher})


def make(server: Running, place: Path, patience: RetryPolicy = HASTY, **teacher: Any) -> GenerationResult:
    return generate(config_for(server, **teacher), place / "work", place / "data.jsonl", retry_policy=patience)


def journal(place: Path, event: str) -> list[dict[str, Any]]:
    return [record for record in read_lines(place / "work" / JOURNAL) if record["event"] == event]


def now_and_then(fault: str) -> Callable[[int, dict[str, Any]], str]:
    return lambda number, request: fault if number % 5 == 2 else ""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The data set when nothing goes wrong."""
    place = tmp_path_factory.mktemp("undisturbed")
    with running(ServerPlan()) as server:
        make(server, place)
    return (place / "data.jsonl").read_bytes()


@pytest.mark.parametrize(
    "fault",
    [
        "status:429", "status:429:0", "status:429:soon", "status:500", "status:502", "status:503:0", "status:408",
        "html", 'body:{"error": {"message": "upstream", "code": 502}}', 'body:{"choices": null}', 'body:{"choices": [',
        "cut:before", "cut:headers", "cut:middle", "large", "large:gzip",
    ],
)  # fmt: skip
def test_a_fault_now_and_then_changes_no_row(fault: str, undisturbed: bytes, tmp_path: Path) -> None:
    """Providers fail all day long; the data set must not show it."""
    with running(ServerPlan(script=now_and_then(fault))) as server:
        generated = make(server, tmp_path)
        assert generated.requests == server.requests() > 24
    assert (tmp_path / "data.jsonl").read_bytes() == undisturbed
    charged_perhaps = not fault.startswith(("status:429", "status:408"))
    assert (generated.cost > 24 * PRICE / 1e9) == (charged_perhaps or fault == "status:408")


@pytest.mark.parametrize("fault", ["slow", "hang"])
def test_a_call_ends_at_its_deadline_however_slowly_bytes_drip(fault: str) -> None:
    """P7: a time-out for each read never fires while one byte comes now and then."""

    async def go(url: str) -> tuple[float, NoResponse]:
        teacher = ApiTeacher("m", url, "key", deadline=0.5)
        start = time.monotonic()
        try:
            await teacher.send(TeacherRequest("s", "", "", (Turn("user", "x"),), "m", 5, 0.0, 0))
        except NoResponse as lost:
            return time.monotonic() - start, lost
        finally:
            await teacher.close()
        raise AssertionError("a response")

    with running(ServerPlan(script=lambda number, request: fault)) as server:
        seconds, lost = asyncio.run(go(server.url))
    assert 0.5 <= seconds < 2.5
    assert lost.sent


def test_responses_out_of_order_make_the_same_data_set(undisturbed: bytes, tmp_path: Path) -> None:
    """Order of arrival is random; the data set is not."""
    with running(ServerPlan(delay=(0.0, 0.06), seed=5)) as server:
        make(server, tmp_path)
    assert (tmp_path / "data.jsonl").read_bytes() == undisturbed


@pytest.mark.parametrize(
    ("code", "message"),
    [("401", "the key was rejected"), ("402", "no credit"), ("403", "does not permit"), ("404", "not know")],
)
def test_hopeless_errors_stop_at_once(code: str, message: str, tmp_path: Path) -> None:
    """The log's generator tried a key without credit three times for every sentence and never stopped."""
    with running(ServerPlan(script=lambda number, request: f"status:{code}")) as server:
        start = time.monotonic()
        with pytest.raises(ProviderError, match=message) as refusal:
            make(server, tmp_path, samples=200)
        assert time.monotonic() - start < 5
        assert server.requests() <= 8
    assert "Spent 0.000000" in refusal.value.saved


def test_the_key_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P22: a provider quotes the key in its refusal, and refusals are kept."""
    monkeypatch.setenv("TEACHER_KEY", CANARY)
    quoted = json.dumps({"error": {"message": f"bad key {CANARY}", "code": 401}})
    responses = iter(range(10**6))

    def script(number: int, request: dict[str, Any]) -> str:
        return f"response:鍵は{CANARY}です。" if next(responses) < 8 else f"body:{quoted}"

    with running(ServerPlan(script=script)) as server, pytest.raises(ProviderError) as refusal:
        make(server, tmp_path, key_variable="TEACHER_KEY")
    assert CANARY not in str(refusal.value)
    assert "[TEACHER_KEY]" in (tmp_path / "work" / JOURNAL).read_text()
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes(), path
    assert (tmp_path / "work" / JOURNAL).stat().st_mode & 0o077 == 0


def test_moderation_costs_one_row_and_not_the_generation(tmp_path: Path) -> None:
    """A 403 can mean the key or the sentence; only the body says which."""

    def script(number: int, request: dict[str, Any]) -> str:
        return "status:403::flagged by moderation" if number == 3 else ""

    with running(ServerPlan(script=script)) as server:
        generated = make(server, tmp_path)
    assert generated.complete
    assert dict(generated.rejected) == {"unanswered": 1}


def test_retry_after_is_honoured(tmp_path: Path) -> None:
    """A client that retries too early is banned."""
    begun = time.monotonic()
    with running(ServerPlan(script=lambda number, request: "status:429:1" if number == 0 else "")) as server:
        assert make(server, tmp_path, samples=2, max_concurrent=1).complete
    assert time.monotonic() - begun >= 1.0


@pytest.mark.parametrize("fault", ["status:429", "status:500"])
def test_a_provider_that_never_recovers_is_left(fault: str, tmp_path: Path) -> None:
    """A storm must end in a sentence, not in a bill or a hang."""
    with running(ServerPlan(script=lambda number, request: fault)) as server:
        with pytest.raises(ProviderError, match=r"fails repeatedly|rejected"):
            make(server, tmp_path, samples=300, attempts=3)
        assert server.requests() <= 3 * 60
    if fault == "status:429":
        assert not sum(record["cost"] for record in journal(tmp_path, "cost"))


def test_no_network_costs_nothing_and_says_so(tmp_path: Path) -> None:
    """A cable that is out is the commonest fault of all."""
    nowhere = Running("http://127.0.0.1:9/v1", 9, None)
    with pytest.raises(ProviderError, match="no connection") as refusal:
        make(nowhere, tmp_path, samples=100, attempts=2)
    assert "Spent 0.000000" in refusal.value.saved


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ('changed:{"finish_reason": "length"}', "cut by the length limit"),
        ('changed:{"message": {"content": null}}', "no text in the answer"),
        ("response:<think>うーん</think>🍎", "thinking left inside"),
        ("response:申し訳ありませんが、お手伝いできません。", "断りや謝りの文である"),
        ("response:Here is your post about the weather today!", "前置きや記号がある"),
        ("response:今日はいい天気だったから散歩した🍎。", "文の中に絵文字がある(🍎)"),
        ("response:今日は「いい天気だった。", "括弧が閉じていない"),
        ("response:今日はいい天気で、", "文が途中で終わっている"),
    ],
)
def test_what_is_no_post_is_requested_once_more_and_then_rejected(change: str, reason: str, tmp_path: Path) -> None:
    """Refusals, prose and half sentences were stored as data in the log; here they are kept as what they are."""

    def script(number: int, request: dict[str, Any]) -> str:
        return change if "書き換え" in request["messages"][0]["content"] else ""

    with running(ServerPlan(script=script)) as server, pytest.raises(ProviderError, match="rejected"):
        make(server, tmp_path, samples=60)
    rejected = [json.loads(line) for line in (tmp_path / "work" / REJECTED).read_text().splitlines()]
    assert {row["reason"] for row in rejected} == {reason}
    assert all(len(row["raw"]) == 2 for row in rejected)
    assert not (tmp_path / "work" / DATA).read_text()


@pytest.mark.parametrize(
    "response", ["🍎🍊🍋🍌🍉🍇🍓", "🍎 りんご", "🍎 🍎", "りんご", "apple 🍎", "🍎\n理由: りんごだから", "1 2 3"]
)
def test_what_is_no_set_of_one_to_five_emoji_is_no_target(response: str, tmp_path: Path) -> None:
    """Seven emoji, emoji with prose, one emoji three times."""

    def script(number: int, request: dict[str, Any]) -> str:
        return "" if "書き換え" in request["messages"][0]["content"] else f"response:{response}"

    with running(ServerPlan(script=script)) as server, pytest.raises(ProviderError, match="labels"):
        make(server, tmp_path, samples=60)
    assert not (tmp_path / "work" / DATA).read_text()


def test_emoji_of_several_code_points_stay_whole(tmp_path: Path) -> None:
    """👩‍🚀 is one emoji, 👍🏽 is 👍 in a colour, ❤ is ❤️ without its selector."""

    def response(request: dict[str, Any]) -> str:
        return usual_response(request) if "書き換え" in request["messages"][0]["content"] else "👩‍🚀、👍🏽 ❤ 🇯🇵"

    with running(ServerPlan(response=response)) as server:
        make(server, tmp_path, samples=3)
    assert {example.target for example in read_generated(tmp_path / "data.jsonl")} == {"👩‍🚀 👍 ❤️ 🇯🇵"}


def test_the_second_try_names_the_reason(tmp_path: Path) -> None:
    """A teacher that receives the reason usually corrects the response; the row is then accepted."""

    def response(request: dict[str, Any]) -> str:
        if "書き換え" in request["messages"][0]["content"]:
            return usual_response(request)
        last = request["messages"][-1]["content"]
        return "🍎 🍊" if "7個ある(1個から5個まで)" in last else "🍎🍊🍋🍌🍉🍇🍓"

    with running(ServerPlan(response=response)) as server:
        generated = make(server, tmp_path)
    assert (generated.rows, generated.requests) == (12, 36)


def test_duplicate_responses_make_one_row(tmp_path: Path) -> None:
    """A teacher that says the same for every sentence sells nothing new."""

    def response(request: dict[str, Any]) -> str:
        return "今日はいい日だった。" if "書き換え" in request["messages"][0]["content"] else "🍎"

    with running(ServerPlan(response=response)) as server, pytest.raises(BudgetError):
        make(server, tmp_path, samples=5, requests=40)
    rejected = (tmp_path / "work" / REJECTED).read_text().splitlines()
    assert len((tmp_path / "work" / DATA).read_text().splitlines()) == 1
    assert {json.loads(row)["check"] for row in rejected} == {"duplicate"}


def test_a_slow_response_is_hedged_only_when_configured(tmp_path: Path) -> None:
    """Off, nothing is sent twice; on, the second request is booked like the first."""

    def script(number: int, request: dict[str, Any]) -> str:
        return "hang" if number == 50 else ""

    lost: dict[bool, list[str]] = {}
    for hedge in (False, True):
        with running(ServerPlan(script=script, delay=(0.01, 0.02))) as server:
            make(server, tmp_path / str(hedge), samples=40, hedge=hedge, deadline=5.0, max_concurrent=4)
        lost[hedge] = [record["fault"] for record in journal(tmp_path / str(hedge), "lost")]
        assert len(journal(tmp_path / str(hedge), "reply")) == 80
        assert len(journal(tmp_path / str(hedge), "intent")) == 80 + len(lost[hedge])
    assert lost[False] == ["no complete response within 5 s"]
    # One that lost the race while its intent was on its way to the disk was never sent.
    assert "cancelled while pending" in lost[True]
    assert set(lost[True]) <= {"cancelled while pending", "not sent"}


def _ctrl_c_when(begun: Callable[[], bool]) -> None:
    """Once requests are under way, not after so many seconds: before that, Ctrl-C would end the tests themselves."""
    deadline = time.monotonic() + 60
    while not begun() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_takes_in_what_is_under_way(tmp_path: Path) -> None:
    """Responses that are paid for and pending are not discarded; and Ctrl-C is as it was afterwards."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs us may have ignored it
    with running(ServerPlan(delay=(0.25, 0.3))) as server:
        timer = threading.Thread(target=_ctrl_c_when, args=(lambda: server.requests() >= 8,))
        timer.start()
        with pytest.raises(Interrupted) as end:
            make(server, tmp_path, samples=400, deadline=5.0)
        timer.join()
        assert server.requests() == len(journal(tmp_path, "intent")) == len(journal(tmp_path, "reply")) > 0
        assert end.value.exit_code == 130
        assert "responses are kept" in end.value.saved
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_a_response_that_costs_more_than_was_reserved_stops_everything(tmp_path: Path) -> None:
    """Prices change, models reason beyond their limit: a budget computed with old prices is no budget."""
    with running(ServerPlan(cost=0.5)) as server:
        with pytest.raises(ProviderError, match="cost more than"):
            make(server, tmp_path, samples=100)
        assert server.requests() <= 8
    assert sum(record["cost"] for record in journal(tmp_path, "cost")) >= 500_000_000


def test_without_a_price_the_number_of_requests_bounds_and_the_cost_is_reported(tmp_path: Path) -> None:
    """Who does not know the price may still say: at most so many; the provider's own costs are recorded."""
    with running(ServerPlan()) as server:
        generated = make(server, tmp_path, budget=0.0, requests=24, price_in=-1.0, price_out=-1.0)
    assert generated.complete
    assert generated.cost == pytest.approx(24 * PRICE / 1e9)


def test_requests_a_minute_are_obeyed(tmp_path: Path) -> None:
    """600 a minute is one every tenth of a second, however many could be in flight."""
    begun = time.monotonic()
    with running(ServerPlan()) as server:
        make(server, tmp_path, samples=5, requests_per_minute=600)
    assert time.monotonic() - begun >= 0.9
