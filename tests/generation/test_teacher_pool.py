"""Several teachers for one data set: shares, limits and budgets of each, and rows that stay with their teacher."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from batch_server import BatchPlan, running_batches
from faulty_server import ServerPlan, running

from benchmarks.faults.teacher_crash_tests import crash_test
from terakoya.config import Config, make_config, with_overrides
from terakoya.errors import BudgetError, ConfigError, IncompatibleError, ProviderError
from terakoya.generation.by_teacher import TEACHERS, TeacherSummary, notes_on_teachers
from terakoya.generation.generate import DATA, GenerationResult, generate
from terakoya.generation.merging import merge
from terakoya.generation.permission import spending_faults, teacher_findings
from terakoya.generation.shards import Shard, shard_config
from terakoya.generation.teacher.assignment import preferred_teachers
from terakoya.generation.teacher.batches import BatchPolicy
from terakoya.generation.teacher.ledger import JOURNAL
from terakoya.generation.teacher.rate_limits import RetryPolicy
from terakoya.pipeline.commands import doctor
from terakoya.records import fingerprint
from terakoya.runs import read_json, read_lines

HASTY = RetryPolicy(base_wait=0.01, max_wait=0.05, drain=2.0)
WAITS = BatchPolicy(poll=0.005, gather=0.02)
Tables = dict[str, dict[str, Any]]


def config_for(pool: Tables, **teacher: Any) -> Config:
    usual = {
        "licence": "ours", "recipe": "emoji-v1", "samples": 24, "budget": 10.0, "price_in": 1.0, "price_out": 5.0,
        "key_variable": "", "deadline": 600.0, "pool": pool,
    }  # fmt: skip
    return make_config({"teacher": usual | teacher})


def make(config: Config, place: Path, **more: Any) -> GenerationResult:
    more = {"retry_policy": HASTY, "batch_policy": WAITS} | more
    return generate(config, place / "work", place / "data.jsonl", **more)


def rows_in(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def by_original(path: Path) -> dict[str, str]:
    return {row["original"]: row["teacher"] for row in rows_in(path)}


def sold_in(path: Path) -> Counter[str]:
    """Prompts that were charged, each with how often."""
    return Counter(line.partition("-")[0] for line in path.read_text().splitlines()) if path.exists() else Counter()


@contextmanager
def two_servers(place: Path, first: ServerPlan | None = None, second: ServerPlan | None = None) -> Iterator[Tables]:
    """The tables of two teachers, each behind a server of its own."""
    with running(first or ServerPlan()) as a, running(second or ServerPlan()) as b:
        yield {"a": {"base_url": a.url, "model": "large"}, "b": {"base_url": b.url, "model": "small"}}


# -- who makes which row ------------------------------------------------------------------------------------------


def test_shares_are_those_of_the_weights_and_only_what_must_move_moves() -> None:
    """20,000 sentences; the difference of a share from its weight is chance: four standard errors."""
    sources = [fingerprint(str(number)) for number in range(20_000)]
    before = {source: preferred_teachers(source, {"a": 3.0, "b": 1.0})[0] for source in sources}
    assert abs(Counter(before.values())["a"] / 20_000 - 0.75) < 4 * (0.75 * 0.25 / 20_000) ** 0.5
    after = {source: preferred_teachers(source, {"a": 3.0, "b": 1.0, "c": 4.0})[0] for source in sources}
    assert all(after[source] in {before[source], "c"} for source in sources)
    assert abs(Counter(after.values())["c"] / 20_000 - 0.5) < 4 * (0.25 / 20_000) ** 0.5
    # Whoever stands in for a teacher that is down is drawn by the others' weights as well.
    left = Counter(
        preferred_teachers(source, {"a": 3.0, "b": 1.0, "c": 4.0})[1] for source in sources if after[source] == "c"
    )
    assert abs(left["a"] / left.total() - 0.75) < 4 * (0.75 * 0.25 / left.total()) ** 0.5
    assert preferred_teachers(sources[0], {"a": 0.0, "b": 1.0}) == ["b"]


def test_each_row_is_made_by_the_teacher_of_its_sentence_which_stands_in_the_table_and_the_ledger(
    tmp_path: Path,
) -> None:
    """Each with its own model; a second call buys nothing; the report counts rows, tokens and money of each."""
    with two_servers(tmp_path) as pool:
        pool["a"]["weight"] = 3.0
        config = config_for(pool, samples=60)
        made = make(config, tmp_path)
        again = make(config, tmp_path)
    assert made.complete and (again.requests, again.reused) == (made.requests, 120)
    rows = rows_in(tmp_path / "data.jsonl")
    assert len(rows) == 60 and {row["teacher"] for row in rows} == {"a", "b"}
    weights = {"a": 3.0, "b": 1.0}
    for row in rows:
        assert row["teacher"] == preferred_teachers(fingerprint(row["original"]), weights)[0]
        assert row["origin"].endswith("a=large" if row["teacher"] == "a" else "b=small")
    sent = {
        (one["source"], one["teacher"]) for one in read_lines(tmp_path / "work" / JOURNAL) if one["event"] == "intent"
    }
    assert sent == {(fingerprint(row["original"]), row["teacher"]) for row in rows}
    a, b = made.teachers
    assert (a.name, a.model, a.share, a.rows + b.rows) == ("a", "large", 0.75, 60)
    assert a.rows > b.rows and a.requests == a.responses == 2 * a.rows
    assert (a.tokens_in, a.tokens_out) == (30 * a.requests, 5 * a.requests)
    assert a.cost + b.cost == pytest.approx(made.cost) and a.cost == pytest.approx(a.requests * 0.0002)
    kept = read_json(tmp_path / "work" / TEACHERS)
    assert [one["tokens_in"] for one in kept["teachers"]] == [a.tokens_in, b.tokens_in]


def test_shards_assign_alike(tmp_path: Path) -> None:
    """A sentence has the same teacher in a shard as in one process, and the merged table names it."""
    with two_servers(tmp_path) as pool:
        config = config_for(pool, samples=30)
        make(config, tmp_path / "alone")
        for number in (1, 2):
            make(config, tmp_path, shard=Shard(number, 2))
    merged = merge(config, tmp_path / "work", tmp_path / "data.jsonl")
    alone, parts = by_original(tmp_path / "alone" / "data.jsonl"), by_original(tmp_path / "data.jsonl")
    assert merged.complete and len(parts.keys() & alone.keys()) > 10
    assert all(alone.get(original, name) == name for original, name in parts.items())
    assert sum(one.rows for one in merged.teachers) == 30
    assert sum(one.cost for one in merged.teachers) == pytest.approx(merged.cost)
    assert [one["rows"] for one in read_json(tmp_path / "work" / TEACHERS)["teachers"]] == [
        one.rows for one in merged.teachers
    ]


def test_a_shard_has_its_part_of_the_limits_of_each_teacher() -> None:
    pool: Tables = {"a": {"model": "m", "budget": 4.0, "requests": 40, "requests_per_minute": 20}, "b": {"model": "n"}}
    config = config_for(pool, requests_per_minute=10)
    part = shard_config(config, Shard(1, 4)).teacher
    assert (part.pool["a"].budget, part.pool["a"].requests, part.pool["a"].requests_per_minute) == (1.0, 10, 5)
    assert part.requests_per_minute == 3 and "requests_per_minute" not in part.pool["b"].model_fields_set
    with pytest.raises(ConfigError, match=r"teacher\.pool\.a\.requests_per_minute = 20"):
        shard_config(
            config.model_copy(update={"teacher": config.teacher.model_copy(update={"requests_per_minute": 0})}),
            Shard(1, 24),
        )


# -- limits of each -----------------------------------------------------------------------------------------------


def test_limits_are_kept_at_each_teacher(tmp_path: Path) -> None:
    """Never more in flight, and never more requests in any time, than that teacher's own limits."""
    seen = tmp_path / "seen.jsonl"
    with running(ServerPlan(delay=(0.02, 0.03))) as a, running(ServerPlan(delay=(0.02, 0.03), seen=seen)) as b:
        pool: Tables = {
            "a": {"base_url": a.url, "model": "m", "max_concurrent": 3},
            "b": {"base_url": b.url, "model": "n", "max_concurrent": 2, "requests_per_minute": 1500},
        }
        assert make(config_for(pool, samples=40), tmp_path).complete
        assert (a.most_pending(), b.most_pending() <= 2) == (3, True)
    times = sorted(json.loads(line)["time"] for line in seen.read_text().splitlines())
    assert len(times) > 10 and times[-1] - times[0] > (len(times) - 1) * 0.04 - 0.3  # the first one may be late


def test_a_budget_of_one_teacher_leaves_the_others_their_rows(tmp_path: Path) -> None:
    """The error names its section; the rows that are open are made once it is raised, and nothing is bought twice."""
    sold = tmp_path / "sold.tsv"
    with two_servers(tmp_path, ServerPlan(sold=sold), ServerPlan(sold=sold)) as pool:
        pool["b"]["requests"] = 6
        with pytest.raises(BudgetError, match=r"all 6 requests are used") as error:
            make(config_for(pool), tmp_path)
        assert "[teacher.pool.b]" in str(error.value) or "b has left" in str(error.value)
        assert "teacher.pool.b.requests" in str(error.value) and "teacher.fallback" in str(error.value)
        made_by = Counter(row["teacher"] for row in rows_in(tmp_path / "work" / DATA))
        assert made_by["b"] <= 3 < made_by["a"]
        pool["b"]["requests"] = 100
        made = make(config_for(pool), tmp_path)
    assert made.complete and set(sold_in(sold).values()) == {1}


def test_the_budget_of_the_whole_ends_everything(tmp_path: Path) -> None:
    with two_servers(tmp_path) as pool, pytest.raises(BudgetError, match="all 8 requests are used") as error:
        make(config_for(pool, requests=8, fallback=True), tmp_path)
    assert "Raise teacher.budget" in str(error.value)
    assert sum(one["event"] == "intent" for one in read_lines(tmp_path / "work" / JOURNAL)) == 8


# -- a teacher that dies ------------------------------------------------------------------------------------------


def dying(flag: Path, code: str = "401", after: int = 6) -> ServerPlan:
    """Refuses every request while the file is there, but the first ones."""
    return ServerPlan(script=lambda number, request: f"status:{code}" if flag.exists() and number >= after else "")


@pytest.mark.parametrize("code", ["401", "402", "404", "500"])
def test_what_a_dead_teacher_leaves_over_stays_open_and_comes_out_as_if_nothing_had_happened(
    code: str, tmp_path: Path
) -> None:
    """The others make their own rows; the next command makes the open ones: the same table, byte for byte."""
    flag = tmp_path / "down"
    flag.touch()
    with two_servers(tmp_path, None, dying(flag, code)) as pool:
        config = config_for(pool)
        with pytest.raises(ProviderError, match=r"b has left \d+ rows open") as error:
            make(config, tmp_path)
        assert "[teacher.pool" in str(error.value)
        partial = by_original(tmp_path / "work" / DATA)
        flag.unlink()
        assert make(config, tmp_path).complete
        make(config, tmp_path / "undisturbed")
    assert (tmp_path / "data.jsonl").read_bytes() == (tmp_path / "undisturbed" / "data.jsonl").read_bytes()
    whole = by_original(tmp_path / "data.jsonl")
    assert partial.items() <= whole.items()
    assert {one for one, name in whole.items() if name == "a"} == {one for one, name in partial.items() if name == "a"}


def test_with_fallback_the_others_take_over_and_a_resumed_generation_keeps_who_made_what(tmp_path: Path) -> None:
    """A row that the dead one has begun is gone on with, not bought again."""
    flag, sold = tmp_path / "down", tmp_path / "sold.tsv"
    flag.touch()
    plan = dying(flag)
    with two_servers(tmp_path, ServerPlan(sold=sold), ServerPlan(script=plan.script, sold=sold)) as pool:
        config = config_for(pool, fallback=True)
        made = make(config, tmp_path)
        before = by_original(tmp_path / "data.jsonl")
        flag.unlink()
        again = make(config, tmp_path)
    assert made.complete and again.requests == made.requests
    assert by_original(tmp_path / "data.jsonl") == before
    assert set(sold_in(sold).values()) == {1}
    assert any("b got no further requests" in note for note in map(str, made.notes))
    moved = [original for original, name in before.items() if name != "b" and _home(original) == "b"]
    assert moved and {before[original] for original in moved} <= {"a", "b+a"}


def _home(original: str) -> str:
    return preferred_teachers(fingerprint(original), {"a": 1.0, "b": 1.0})[0]


def test_a_teacher_whose_rows_are_mostly_rejected_is_not_hidden_by_a_good_one(tmp_path: Path) -> None:
    bad = ServerPlan(response=lambda request: "申し訳ありませんが、お手伝いできません。")
    with two_servers(tmp_path, None, bad) as pool:
        pool["b"]["weight"] = 0.6
        made = make(config_for(pool, samples=150, fallback=True), tmp_path)
    worse = made.teachers[1]
    assert made.complete and worse.rows == 0 and "were rejected" in worse.stopped
    assert 40 <= worse.rejected["no-refusal"] <= 200
    assert any("the teacher b is worse" in str(note) for note in made.notes)


def test_with_a_quota_a_dead_teacher_pauses_the_generation(tmp_path: Path) -> None:
    """What is planned next depends on every row before it: whoever went on would buy rows in vain."""
    flag, sold = tmp_path / "down", tmp_path / "sold.tsv"
    flag.touch()
    plan = dying(flag)
    with two_servers(tmp_path, ServerPlan(sold=sold), ServerPlan(script=plan.script, sold=sold)) as pool:
        config = config_for(pool, quota=0.2)
        with pytest.raises(ProviderError, match=r"teacher\.pool\.b"):
            make(config, tmp_path)
        flag.unlink()
        assert make(config, tmp_path).complete
        make(config, tmp_path / "undisturbed")
    assert (tmp_path / "data.jsonl").read_bytes() == (tmp_path / "undisturbed" / "data.jsonl").read_bytes()


# -- what was begun otherwise -------------------------------------------------------------------------------------


def test_a_ledger_begun_with_one_teacher_goes_on_where_others_are_added(tmp_path: Path) -> None:
    """Nothing is bought again, its rows stay its own; a third one, and a weight of 0, change nothing about that."""
    sold = tmp_path / "sold.tsv"
    with two_servers(tmp_path, ServerPlan(sold=sold), ServerPlan(sold=sold)) as pool:
        make(config_for({}, samples=12, **pool["a"]), tmp_path)
        first = [row["original"] for row in rows_in(tmp_path / "data.jsonl")]
        made = make(config_for(pool, samples=30), tmp_path)
        now = by_original(tmp_path / "data.jsonl")
        assert {now[one] for one in first} == {"a"} and "b" in now.values()
        assert sum(one.requests for one in made.teachers) == made.requests and made.teachers[0].rows > 12
        third = {**pool, "b": {**pool["b"], "weight": 0.0}, "c": {**pool["b"], "model": "new"}}
        make(config_for(third, samples=40), tmp_path)
    later = by_original(tmp_path / "data.jsonl")
    assert now.items() <= later.items() and "c" in later.values()
    assert set(sold_in(sold).values()) == {1}


def test_a_teacher_that_was_changed_or_taken_away_is_refused_by_name(tmp_path: Path) -> None:
    with two_servers(tmp_path) as pool:
        make(config_for(pool, samples=6), tmp_path)
        for changed, message in (
            ({"a": pool["a"], "b": {**pool["b"], "model": "other"}}, r"teacher\.pool\.b\.model \(small → other\)"),
            ({"a": pool["a"]}, r"teacher\.pool\.b \(small → missing; weight = 0 keeps it\)"),
        ):
            with pytest.raises(IncompatibleError, match=message):
                make(config_for(changed, samples=6), tmp_path)
        make(config_for({}, samples=6, **pool["a"]), tmp_path / "one")
        with pytest.raises(IncompatibleError, match=r"teacher \(large → none of b\)"):
            make(config_for({"b": pool["b"]}, samples=6), tmp_path / "one")


def test_generations_of_several_teachers_killed_at_random_moments_pay_once(tmp_path: Path) -> None:
    """As for one teacher: nothing lost, nothing bought twice, the same table."""
    pool: Tables = {"a": {"max_concurrent": 4}, "b": {"model": "other", "max_concurrent": 3, "weight": 2.0}}
    tally = crash_test(kills=10, minutes=1.0, folder=tmp_path, seed=3, pool=pool)
    assert tally.kills >= 10 and tally.recorded > 0
    assert tally.violations == 0, tally


def test_one_teacher_may_send_batches_and_the_other_not(tmp_path: Path) -> None:
    """The same rows as without batches, at the price of each; both interfaces share one ledger."""
    with running_batches(BatchPlan()) as batches, running(ServerPlan()) as single:
        pool: Tables = {
            "a": {"base_url": batches.url, "model": "large", "batch": 10},
            "b": {"base_url": single.url, "model": "small", "requests_per_minute": 60_000},
        }
        made = make(config_for(pool), tmp_path)
    assert made.complete
    with two_servers(tmp_path) as alone:
        make(config_for(alone), tmp_path / "single")
    cells = [(row["source"], row["target"], row["teacher"]) for row in rows_in(tmp_path / "data.jsonl")]
    assert cells == [
        (row["source"], row["target"], row["teacher"]) for row in rows_in(tmp_path / "single" / "data.jsonl")
    ]
    journal = list(read_lines(tmp_path / "work" / JOURNAL))
    assert {one["teacher"] for one in journal if "batch" in one} == {"a"}


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"model": ""}, r"\[teacher\.pool\.b\]: no model is named"),
        ({"model": "m", "price_in": -1.0}, r"\[teacher\.pool\.b\]: the model's price is not known"),
        ({"model": "m", "licence": ""}, r"\[teacher\.pool\.b\]: the terms for training"),
        ({"model": "m", "base_url": "ftp://x"}, r"\[teacher\.pool\.b\] base_url: 'ftp://x' is no address"),
        (
            {"model": "m", "key_variable": "NO_SUCH_KEY", "base_url": "https://b.example.org/v1"},
            "NO_SUCH_KEY is not set",
        ),
        ({"model": "m", "batch": 5, "hedge": True}, r"teacher\.pool\.b\.hedge has no effect"),
    ],
)
def test_faults_name_the_teacher_and_the_key(table: dict[str, Any], message: str) -> None:
    config = config_for({"a": {"model": "m", "base_url": "http://127.0.0.1:9/v1"}, "b": table})
    (fault,) = spending_faults(config)
    assert re.search(message, fault.message)
    assert [one.where for one in teacher_findings(config)] == [fault.where]


def test_the_key_of_one_provider_is_not_sent_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that was forgotten is a fault before anything is sent."""
    monkeypatch.setenv("FIRST_KEY", "k" * 20)
    pool: Tables = {"a": {"model": "m"}, "b": {"model": "n", "base_url": "https://b.example.org/v1"}}
    shared = {
        "key_variable": "FIRST_KEY",
        "base_url": "https://a.example.org/v1",
        "headers": {"X-Team": "${FIRST_KEY}"},
    }
    faults = [fault.message for fault in spending_faults(config_for(pool, **shared))]
    assert len(faults) == 2 and all("[teacher.pool.b]" in one and "b.example.org" in one for one in faults)
    pool["b"] |= {"key_variable": "", "headers": {}}
    assert not [fault for fault in spending_faults(config_for(pool, **shared)) if "another provider" in fault.message]


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost:8080", True), ("127.0.0.1", True), ("[::1]:9", True), ("LOCALHOST", True),
        ("localhost.example.org", False), ("127.0.0.1.example.org", False), ("localhost@b.example.org", False),
    ],
)  # fmt: skip
def test_a_host_that_only_begins_like_this_machine_is_another_provider(
    host: str, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST_KEY", "k" * 20)
    pool: Tables = {"a": {"model": "m"}, "b": {"model": "n", "base_url": f"http://{host}/v1"}}
    try:
        config = config_for(pool, key_variable="FIRST_KEY", base_url="https://a.example.org/v1")
    except ConfigError:  # an address with a user name is refused when it is read
        assert "@" in host
        return
    assert local is not any("another provider" in fault.message for fault in spending_faults(config))


def test_the_main_fault_of_a_teacher_is_one_of_those_counted_against_it() -> None:
    """Full quotas and duplicates are not its fault, however many there are."""
    rejected = {"quota": 90, "duplicate": 40, "no-refusal": 30, "length": 10}
    found = (
        TeacherSummary("a", "m", 0.5, rows=100, rejected={"quota": 80}),
        TeacherSummary("b", "m", 0.5, rows=60, rejected=rejected),
    )
    (note,) = notes_on_teachers(found)
    assert "b is worse: 40 of its 100 rows" in str(note) and "mostly no-refusal" in str(note)


def test_settings_of_several_teachers_that_mean_nothing_are_refused() -> None:
    assert "no teacher has a weight" in spending_faults(config_for({"a": {"model": "m", "weight": 0.0}}))[0].message
    assert "teacher.fallback has no effect" in spending_faults(config_for({}, model="m", fallback=True))[0].message
    with pytest.raises(ConfigError, match=r"\[teacher\.pool\.a\]: unknown key 'modle'\nDid you mean 'model'"):
        config_for({"a": {"modle": "m"}})
    assert with_overrides(config_for({"a": {}}), ["teacher.pool.a.model=007"]).teacher.pool["a"].model == "007"


def test_the_doctor_looks_at_every_teacher_before_there_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text(
        '[task]\ndata = "rows.jsonl"\n[teacher]\nrecipe = "emoji-v1"\nlicence = "ours"\nbudget = 1.0\n'
        'key_variable = ""\n[teacher.pool.a]\nmodel = "m"\nprice_in = 1.0\nprice_out = 1.0\n'
        '[teacher.pool.b]\nmodel = "n"\n'
    )
    report = doctor(str(tmp_path / "e.toml"))
    assert [one.where for one in report.findings if one.check == "teacher"] == ["[teacher.pool.b]"]
    assert any(one.level == "stop" for one in report.findings) and not report.complete


def test_an_estimate_weighs_the_prices_of_all(tmp_path: Path) -> None:
    pool: Tables = {"a": {"model": "m", "weight": 3.0}, "b": {"model": "n", "price_in": 0.0, "price_out": 0.0}}
    both = make(config_for(pool), tmp_path, estimate=True).estimate
    alone = make(config_for({"a": pool["a"]}), tmp_path, estimate=True).estimate
    assert both is not None and alone is not None and both.likely == pytest.approx(0.75 * alone.likely)
