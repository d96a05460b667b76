"""Requests in batches: half the price, paid once, kept once, whatever the provider does and wherever it is killed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from batch_server import BatchPlan, running_batches
from faulty_server import PRICE, ServerPlan, running

from benchmarks.faults.batch_crash_tests import batch_crash_test
from terakoya.config import Config, make_config
from terakoya.errors import BudgetError, ConfigError, ProviderError
from terakoya.generation.generate import DATA, REJECTED, GenerationResult, generate
from terakoya.generation.teacher import batch_api
from terakoya.generation.teacher.batches import BatchPolicy
from terakoya.generation.teacher.ledger import JOURNAL
from terakoya.generation.teacher.ledger_journal import read_journal
from terakoya.generation.teacher.protocol import NoResponse
from terakoya.generation.teacher.rate_limits import RetryPolicy

QUICK = RetryPolicy(base_wait=0.001, max_wait=0.005, drain=0.5)
WAITS = BatchPolicy(poll=0.005, gather=0.02)


def config_for(url: str, **teacher: Any) -> Config:
    return make_config(
        {
            "teacher": {
                "kind": "api", "base_url": url, "model": "stub", "licence": "ours", "recipe": "emoji-v1",
                "samples": 20, "budget": 10.0, "price_in": 1.0, "price_out": 5.0, "key_variable": "", "batch": 12,
            } | teacher
        }
    )  # fmt: skip


def make(url: str, place: Path, **teacher: Any) -> GenerationResult:
    config = config_for(url, **teacher)
    return generate(config, place / "work", place / "data.jsonl", retry_policy=QUICK, batch_policy=WAITS)


def sold_in(path: Path) -> Counter[str]:
    return Counter(line.split("\t")[1] for line in path.read_text().splitlines()) if path.exists() else Counter()


def test_batches_make_the_rows_of_single_requests_at_half_the_price(tmp_path: Path) -> None:
    """The same data set to the byte; every response paid once."""
    sold = tmp_path / "sold.tsv"
    with running_batches(BatchPlan(sold=sold)) as server:
        made = make(server.url, tmp_path / "batches")
        calls = server.calls()
        assert make(server.url, tmp_path / "batches").reused == 40
        assert server.calls() == calls
    with running(ServerPlan()) as single:
        alone = make(single.url, tmp_path / "single", batch=0)
    assert (tmp_path / "batches" / "data.jsonl").read_bytes() == (tmp_path / "single" / "data.jsonl").read_bytes()
    assert set(sold_in(sold).values()) == {1}
    assert len(sold_in(sold)) == made.requests == alone.requests == 40
    assert made.cost == pytest.approx(alone.cost / 2)
    assert calls["create"] <= 6
    assert not list((tmp_path / "batches" / "work" / "batches").iterdir())  # input files are forgotten


def test_single_faults_of_every_call_cost_nothing_twice(tmp_path: Path) -> None:
    """Not answered, half answered, 429, 500: at each kind of call, also where a created batch was not answered."""
    sold = tmp_path / "sold.tsv"

    def fault(call: str, number: int) -> str:
        return ("cut", "500", "", "429", "half", "")[number % 6]

    with running_batches(BatchPlan(sold=sold, fault=fault)) as server:
        made = make(server.url, tmp_path)
        calls = server.calls()
    assert made.complete
    assert set(sold_in(sold).values()) == {1}
    assert calls["list"] > 0  # a batch whose creation was not answered was looked for


def test_odd_lines_neither_cost_nor_count(tmp_path: Path) -> None:
    """Doubled and unknown ids, lines out of order, requests that failed inside a batch: each row exactly once."""
    kinds = ("", "doubled", "500", "expired", "429", "", "doubled")
    sold = tmp_path / "sold.tsv"
    plan = BatchPlan(sold=sold, line=lambda batch, at: kinds[(3 * batch + at) % len(kinds)])
    with running_batches(plan) as server:
        made = make(server.url, tmp_path, attempts=20)
    assert made.complete
    assert set(sold_in(sold).values()) == {1}
    assert len(sold_in(sold)) == 40
    rows = [json.loads(line)["original"] for line in (tmp_path / "work" / DATA).read_text().splitlines()]
    assert len(rows) == len(set(rows)) == 20


def test_what_an_expired_batch_did_not_execute_goes_into_the_next_one(tmp_path: Path) -> None:
    """Partial output is kept; the rest costs nothing and is sent again."""
    sold = tmp_path / "sold.tsv"
    with running_batches(
        BatchPlan(sold=sold, outcome=lambda number: "completed" if number % 2 else "expired")
    ) as server:
        made = make(server.url, tmp_path, attempts=20)
    assert made.complete
    assert set(sold_in(sold).values()) == {1}
    assert made.unknown == 0


def test_a_cancelled_batch_stops_and_the_next_call_sends_the_rest(tmp_path: Path) -> None:
    """Somebody cancelled it: that is not undone without asking. What it had finished is kept."""
    sold = tmp_path / "sold.tsv"
    with running_batches(BatchPlan(sold=sold, outcome=lambda number: "completed" if number else "cancelled")) as server:
        with pytest.raises(ProviderError, match="cancelled at the provider"):
            make(server.url, tmp_path)
        assert len(sold_in(sold)) == 6
        assert make(server.url, tmp_path).complete
    assert set(sold_in(sold).values()) == {1}


def test_a_batch_that_the_provider_refuses_costs_nothing(tmp_path: Path) -> None:
    """Its reason is shown, and nothing counts as spent."""
    with (
        running_batches(BatchPlan(outcome=lambda number: "failed")) as server,
        pytest.raises(ProviderError, match="the model does not exist"),
    ):
        make(server.url, tmp_path)
    assert read_journal(tmp_path / "work" / JOURNAL).spending.total == 0


def test_outcomes_that_a_provider_has_and_does_not_show_count_as_spent(tmp_path: Path) -> None:
    """It says that twelve were completed and shows eleven: the twelfth may be charged."""
    plan = BatchPlan(line=lambda batch, at: "hidden" if batch == 0 and at == 3 else "", sold=tmp_path / "sold.tsv")
    with running_batches(plan) as server:
        made = make(server.url, tmp_path)
    assert made.complete
    assert made.unknown > 0
    assert made.cost * 1e9 >= len((tmp_path / "sold.tsv").read_text().splitlines()) * PRICE // 2


def test_responses_are_checked_as_those_of_single_requests(tmp_path: Path) -> None:
    """P8: a response that was cut is no label, and is kept with its reason."""

    def changes(request: dict[str, Any]) -> dict[str, Any]:
        cut = "書き換え" in request["messages"][0]["content"] and len(request["messages"][0]["content"]) % 5 == 0
        return {"finish_reason": "length"} if cut else {}

    with running_batches(BatchPlan(changes=changes)) as server:
        made = make(server.url, tmp_path, samples=15, max_rejected=1.0)
    assert made.complete
    assert made.rejected["answer"] > 0
    rejected = [json.loads(line) for line in (tmp_path / "work" / REJECTED).read_text().splitlines()]
    assert {row["reason"].partition(" (")[0] for row in rejected if row["check"] == "answer"} == {
        "cut by the length limit"
    }


def test_the_cap_is_hard_over_batches(tmp_path: Path) -> None:
    """P4: a batch takes as many requests as there is money for, and the ledger never knows less than was sold."""
    sold = tmp_path / "sold.tsv"
    with running_batches(BatchPlan(sold=sold)) as server, pytest.raises(BudgetError):
        make(server.url, tmp_path, budget=0.004)
    charged = len(sold.read_text().splitlines()) * PRICE // 2
    assert 0 < charged <= 4_000_000
    assert read_journal(tmp_path / "work" / JOURNAL).spending.total >= charged


def test_a_batch_that_lies_beyond_the_list_is_not_taken_for_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account with very many batches: not found is not the same as not there, and created again is paid again."""
    monkeypatch.setattr(batch_api, "_MOST_LISTS", 1)  # of three batches here

    async def look(url: str) -> tuple[str, bool, str]:
        api = batch_api.BatchApi("stub", url, "")
        try:
            for number in range(4):
                file = batch_api.id_in(await api.upload("a", api.lines_of([])))
                await api.create(file, f"key {number}")
            newest = batch_api.id_in(await api.find("key 3"))
            with pytest.raises(NoResponse, match="there are more"):
                await api.find("key 0")
            monkeypatch.setattr(batch_api, "_MOST_LISTS", 2)
            oldest = batch_api.id_in(await api.find("key 0"))
            return newest, bool(oldest), batch_api.id_in(await api.find("no such key"))
        finally:
            await api.close()

    with running_batches(BatchPlan()) as server:
        newest, has_oldest, missing = asyncio.run(look(server.url))
    assert newest and has_oldest and not missing


def test_an_open_batch_is_not_left_behind(tmp_path: Path) -> None:
    """Single requests would pay again for what an open batch brings."""
    with running_batches(BatchPlan(fault=lambda call, number: "401" if call == "poll" else "")) as server:
        with pytest.raises(ProviderError):
            make(server.url, tmp_path)
        with pytest.raises(ConfigError, match="not collected yet"):
            make(server.url, tmp_path, batch=0)


def test_settings_of_single_requests_are_refused(tmp_path: Path) -> None:
    """P18: what has no effect in batches is no setting there."""
    with pytest.raises(ConfigError, match=r"teacher\.hedge has no effect"):
        make("http://127.0.0.1:9/v1", tmp_path, hedge=True)


def test_a_generation_in_batches_killed_anywhere_pays_once_and_keeps_all(tmp_path: Path) -> None:
    """Kills at single steps and at random times; `python -m benchmarks.faults.batch_crash_tests` kills a thousand."""
    tally = batch_crash_test(kills=30, minutes=1.0, folder=tmp_path, seed=1)
    assert tally.kills >= 30
    assert tally.sold > 0
    assert tally.violations == 0, tally
