"""Lessons of the emoji log about paid data: each test keeps one of them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "generation"))

from faulty_server import PRICE, Running, ServerPlan, running, usual_response

from terakoya.config import Config, make_config
from terakoya.errors import BudgetError, ConfigError
from terakoya.generation.generate import DATA, REJECTED, generate, read_generated
from terakoya.generation.teacher.ledger_index import INDEX, costs
from terakoya.generation.teacher.rate_limits import RetryPolicy

HASTY = RetryPolicy(base_wait=0.01, max_wait=0.05)


def config_for(server: Running, **teacher: Any) -> Config:
    usual = {
        "kind": "api", "base_url": server.url, "model": "stub", "licence": "ours", "recipe": "emoji-v2", "samples": 30,
        "budget": 10.0, "price_in": 1.0, "price_out": 5.0, "key_variable": "", "max_concurrent": 16,
    }  # fmt: skip
    return make_config({"teacher": usual | teacher})


def in_love_with(label: str, share: int) -> Any:
    """A teacher that puts `label` into `share` of a hundred responses, whatever the prompt forbids."""

    def response(request: dict[str, Any]) -> str:
        usual = usual_response(request)
        prompt = request["messages"][0]["content"]
        liked = sum(prompt.encode()) % 100 < share and "書き換え" not in prompt
        return f"{label} {usual}" if liked and len(request["messages"]) == 1 else usual

    return response


def test_a_ban_holds_although_the_teacher_forgets_it(tmp_path: Path) -> None:
    """Lesson 13: ✨ was banned in the prompt, yet 4 of 20 responses contained it."""
    with running(ServerPlan(response=in_love_with("✨", 30))) as server:
        generated = generate(
            config_for(server, banned=["✨"]), tmp_path / "w", tmp_path / "d.jsonl", retry_policy=HASTY
        )
        assert server.requests() > 60
    assert generated.complete
    assert not any("✨" in example.target for example in read_generated(tmp_path / "d.jsonl"))


def test_the_skew_does_not_move_to_the_next_label(tmp_path: Path) -> None:
    """Lesson 14: after the ban the next favourite took its place; a quota sees every label while it grows."""
    with running(ServerPlan(response=in_love_with("📚", 50))) as server:
        config = config_for(server, banned=["✨"], quota=0.12, samples=60, max_rejected=1.0)
        generated = generate(config, tmp_path / "w", tmp_path / "d.jsonl", retry_policy=HASTY)
    assert generated.complete
    assert generated.top_share <= 0.12
    assert generated.rejected["quota"] > 0


def test_the_label_set_is_decided_before_anything_is_bought(tmp_path: Path) -> None:
    """Lesson 16: filtering to the top 50 labels afterwards threw away 93% of what was paid for."""
    wanted = ["🍎", "🍊", "🍋", "🍌", "🍉", "🍇", "🍓", "🍒"]

    def response(request: dict[str, Any]) -> str:
        # A teacher that keeps to the set at the second try: the reason names the label outside it.
        usual = usual_response(request)
        if "書き換え" in request["messages"][0]["content"] or len(request["messages"]) == 1:
            return usual
        return "🍎 🍓"

    with running(ServerPlan(response=response)) as server:
        generate(config_for(server, labels=wanted), tmp_path / "w", tmp_path / "d.jsonl", retry_policy=HASTY)
    counts = Counter(label for one in read_generated(tmp_path / "d.jsonl") for label in one.target.split(" "))
    assert set(counts) <= set(wanted)
    assert sum(1 for _ in read_generated(tmp_path / "d.jsonl")) == 30


def test_the_ledger_knows_what_was_paid_from_the_providers_own_costs(tmp_path: Path) -> None:
    """Lesson 17: the cost was written down by hand, $0.68 for 1,000 samples, and could not be checked."""
    sold = tmp_path / "sold.tsv"
    with running(ServerPlan(sold=sold)) as server:
        generated = generate(config_for(server), tmp_path / "w", tmp_path / "d.jsonl", retry_policy=HASTY)
    charged = sum(int(line.split("\t")[1]) for line in sold.read_text().splitlines())
    assert generated.cost == charged / 1e9 == generated.requests * PRICE / 1e9
    booked = costs(tmp_path / "w" / INDEX)
    assert {(row[1], row[2]) for row in booked} == {("reply", "provider")}
    assert sum(row[4] for row in booked) == pytest.approx(generated.cost)


def test_money_stops_before_the_budget_is_passed(tmp_path: Path) -> None:
    """Lesson 17: a budget that is noticed afterwards is no budget; what was bought goes on for free."""
    sold = tmp_path / "sold.tsv"
    usage = {"prompt_tokens": 100, "completion_tokens": 256}  # the longest response, every time
    with running(ServerPlan(sold=sold, cost=None, usage=usage)) as server:
        config = config_for(server, samples=200, budget=0.05)
        with pytest.raises(BudgetError, match="is left") as stop:
            generate(config, tmp_path / "w", tmp_path / "d.jsonl", retry_policy=HASTY)
        bought = len(sold.read_text().splitlines())
        assert 0.04 < bought * (100 + 5 * 256) / 1e6 <= 0.05
        assert "no response is paid for twice" in str(stop.value)
        assert f"{bought} responses are kept" in str(stop.value)
        more = config_for(server, samples=30, budget=0.5)
        assert generate(more, tmp_path / "w", tmp_path / "d.jsonl", retry_policy=HASTY).reused > 0
    marks = [line.split("-")[0] for line in sold.read_text().splitlines()]
    assert len(marks) == len(set(marks))


def test_a_teacher_that_may_not_be_learnt_from_is_refused_first(tmp_path: Path) -> None:
    """Lesson 18: the log found out late that its teacher's terms forbid distillation."""
    with running(ServerPlan()) as server:
        with pytest.raises(ConfigError, match="terms"):
            generate(config_for(server, licence=""), tmp_path / "w", tmp_path / "d.jsonl")
        assert server.requests() == 0
        config = config_for(server, licence="", samples=2)
        generate(config, tmp_path / "w", tmp_path / "d.jsonl", i_have_the_right=True)
    assert json.loads((tmp_path / "w" / "generation.json").read_text())["i_have_the_right"] is True


@pytest.mark.parametrize(
    ("step", "response"),
    [
        ("rewrite", "申し訳ありませんが、この文は変換できません。"),
        ("rewrite", "今日は楽しかった🍎"),
        ("rewrite", "今日はとても楽しかったので、"),
        ("emoji", "🍎🍊🍋🍌🍉🍇🍓"),
        ("emoji", "りんごの絵文字が合います: 🍎"),
    ],
)
def test_an_unusable_response_is_kept_apart_with_its_reason(step: str, response: str, tmp_path: Path) -> None:
    """Lesson 19: refusals, prose, seven emoji, emoji left in 17.9% of inputs and 5.4% cut sentences became data."""

    def sometimes(request: dict[str, Any]) -> str:
        prompt = request["messages"][0]["content"]
        mine = ("書き換え" in prompt) == (step == "rewrite")
        return response if mine and sum(prompt.encode()) % 5 == 0 else usual_response(request)

    with running(ServerPlan(response=sometimes)) as server:
        generate(config_for(server), tmp_path / "w", tmp_path / "d.jsonl", retry_policy=HASTY)
    rejected = [json.loads(line) for line in (tmp_path / "w" / REJECTED).read_text().splitlines()]
    assert rejected
    assert all(row["raw"] == [response, response] and row["reason"] and row["step"] == step for row in rejected)
    text = (tmp_path / "d.jsonl").read_text()
    assert response not in text
    assert len(text.splitlines()) == 30


def test_resume_goes_by_what_a_thing_is_and_pays_nothing_again(tmp_path: Path) -> None:
    """Lesson 20: resuming by counting rows gave 88 rows of which 80 were distinct; a crash lost all that was paid."""
    sold = tmp_path / "sold.tsv"
    with running(ServerPlan(sold=sold)) as server:
        with pytest.raises(BudgetError):
            generate(config_for(server, requests=25), tmp_path / "w", tmp_path / "d.jsonl", retry_policy=HASTY)
        some = (tmp_path / "w" / DATA).read_text().splitlines()
        generated = generate(config_for(server), tmp_path / "w", tmp_path / "d.jsonl", retry_policy=HASTY)
        whole = (tmp_path / "d.jsonl").read_text().splitlines()
        assert generated.requests == server.requests() == 60
        # A data set whose files are lost is made again from the ledger, without a single request.
        for name in ("d.jsonl", f"w/{DATA}", f"w/{REJECTED}", f"w/{INDEX}"):
            (tmp_path / name).unlink()
        generate(config_for(server), tmp_path / "w", tmp_path / "d.jsonl", retry_policy=HASTY)
        assert server.requests() == 60
    assert whole[: len(some)] == some
    assert len({json.loads(line)["source"] for line in whole}) == len(whole) == 30
    assert (tmp_path / "d.jsonl").read_text().splitlines() == whole
    assert len(sold.read_text().splitlines()) == 60
