"""Generation in shards: parts that sum to the whole, one ledger each, and the one data set that they make."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from faulty_server import ServerPlan, running
from hypothesis import given, settings
from hypothesis import strategies as st

from terakoya.config import Config, make_config
from terakoya.errors import BudgetError, ConfigError, CorruptError, DataError, IncompatibleError
from terakoya.generation.generate import generate, read_generated
from terakoya.generation.merging import merge
from terakoya.generation.output import DATA
from terakoya.generation.shards import Shard, parse_shard, shard_config
from terakoya.generation.sources import source_sentences
from terakoya.generation.teacher.ledger import JOURNAL
from terakoya.generation.teacher.protocol import NANO
from terakoya.runs import read_lines


def offline(**teacher: Any) -> Config:
    return make_config({"teacher": {"kind": "lexicon", "recipe": "emoji-v1", "samples": 40} | teacher})


def make_shards(config: Config, place: Path, count: int, skip: tuple[int, ...] = ()) -> None:
    for number in range(1, count + 1):
        if number not in skip:
            generate(config, place / "work", place / "data.jsonl", shard=Shard(number, count))


def test_shards_make_the_data_set_in_the_order_of_the_sources(tmp_path: Path) -> None:
    """Every row once, from the shard that its sentence belongs to, in the order in which one process plans them."""
    config = offline(samples=41)
    make_shards(config, tmp_path, 3)
    assert not (tmp_path / "data.jsonl").exists()
    made = merge(config, tmp_path / "work", tmp_path / "data.jsonl")
    assert (made.rows, made.complete) == (41, True)
    places = {one.text: at for at, one in enumerate(islice(source_sentences(config, "ours", Path()), 500))}
    originals = [json.loads(line)["original"] for line in (tmp_path / "data.jsonl").read_text().splitlines()]
    assert [places[one] for one in originals] == sorted(places[one] for one in originals)
    assert len({example.source for example in read_generated(tmp_path / "data.jsonl")}) == 41
    alone = generate(config, tmp_path / "alone", tmp_path / "alone.jsonl")
    assert alone.output is not None
    one_process = {json.loads(line)["original"]: line for line in alone.output.read_text().splitlines()}
    same = (tmp_path / "data.jsonl").read_text().splitlines()
    # A row is the same whoever makes it; only which sentences come last may differ.
    assert all(one_process.get(json.loads(line)["original"], line) == line for line in same)
    assert sum(json.loads(line)["original"] in one_process for line in same) > 20


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(40, 10**6), st.floats(0.001, 10**5), st.integers(40, 10**6))
def test_the_parts_never_sum_to_more_than_the_whole(count: int, samples: int, budget: float, requests: int) -> None:
    """Rows, money, requests and rate limits."""
    config = make_config(
        {
            "teacher": {
                "samples": samples,
                "budget": budget,
                "requests": requests,
                "requests_per_minute": requests,
                "tokens_per_minute": samples,
            }
        }
    )
    parts = [shard_config(config, Shard(at, count)).teacher for at in range(1, count + 1)]
    assert sum(part.samples for part in parts) == samples
    assert sum(round(part.budget * NANO) for part in parts) == round(budget * NANO)
    assert sum(part.requests for part in parts) == requests
    assert sum(part.requests_per_minute for part in parts) == requests
    assert sum(part.tokens_per_minute for part in parts) == samples
    assert min(part.requests for part in parts) > 0  # 0 would mean that there is no limit


def test_every_sentence_belongs_to_one_shard() -> None:
    """By its content, so that the order of a file decides nothing."""
    texts = [one.text for one in source_sentences(offline(), "hand", Path())]
    for text in texts:
        assert sum(Shard(at, 5).holds(text) for at in range(1, 6)) == 1
    assert all(60 < sum(Shard(at, 5).holds(text) for text in texts) < 240 for at in range(1, 6))


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "1/4/2", "-1/4"])
def test_what_names_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="names no shard"):
        parse_shard(text)


def test_too_little_to_share_is_refused(tmp_path: Path) -> None:
    """A part of 0 requests would be no limit at all."""
    with pytest.raises(ConfigError, match=r"teacher\.samples = 2"):
        generate(offline(samples=2), tmp_path / "work", tmp_path / "data.jsonl", shard=Shard(1, 3))


def test_merging_says_which_shards_are_missing(tmp_path: Path) -> None:
    """With the command that makes them; nothing is written."""
    config = offline()
    make_shards(config, tmp_path, 4, skip=(2, 3))
    with pytest.raises(DataError, match="2 shards were not begun: 2/4, 3/4") as error:
        merge(config, tmp_path / "work", tmp_path / "data.jsonl")
    assert "--shard 2/4" in str(error.value.do)
    make_shards(config, tmp_path, 4)
    (tmp_path / "work" / "shard-3-of-4" / "shard.json").unlink()
    with pytest.raises(DataError, match="1 shards are not complete: 3/4"):
        merge(config, tmp_path / "work", tmp_path / "data.jsonl")
    assert not (tmp_path / "data.jsonl").exists()


def test_merging_refuses_other_configs_and_changed_rows(tmp_path: Path) -> None:
    """A prompt, a seed or a row changed by hand is noticed."""
    config = offline()
    make_shards(config, tmp_path, 2)
    with pytest.raises(IncompatibleError, match="seed"):
        merge(config.model_copy(update={"seed": 3}), tmp_path / "work", tmp_path / "data.jsonl")
    rows = tmp_path / "work" / "shard-1-of-2" / DATA
    rows.write_text(rows.read_text().replace("✨", "🍎"))
    with pytest.raises(CorruptError, match="shard 1/2"):
        merge(config, tmp_path / "work", tmp_path / "data.jsonl")


def test_a_generation_is_not_divided_twice(tmp_path: Path) -> None:
    """What one division has paid for, another would pay for again."""
    config = offline()
    make_shards(config, tmp_path, 2)
    for shard in (None, Shard(1, 3)):
        with pytest.raises(IncompatibleError, match="begun in 2 shards"):
            generate(config, tmp_path / "work", tmp_path / "data.jsonl", shard=shard)
    generate(config, tmp_path / "other", tmp_path / "other.jsonl")
    with pytest.raises(IncompatibleError, match="by one process"):
        generate(config, tmp_path / "other", tmp_path / "other.jsonl", shard=Shard(1, 2))


def test_texts_that_two_shards_made_are_left_out_and_counted(tmp_path: Path) -> None:
    """Doubles show only when the parts meet; more rows make up for them."""

    def response(request: dict[str, Any]) -> str:
        prompt = request["messages"][0]["content"]
        if "書き換え" not in prompt:
            return "🍎 🍊"
        text = prompt.rpartition("<文>")[2].partition("</文>")[0]
        return "今日はとても楽しい一日でした。" if len(text) % 9 == 0 else f"今日は{text.rstrip('。！')}って話！"

    with running(ServerPlan(response=response)) as server:
        config = paid(server.url, samples=40, budget=10.0)
        make_shards(config, tmp_path, 2)
        made = merge(config, tmp_path / "work", tmp_path / "data.jsonl")
        assert (made.rows, made.complete, made.rejected) == (39, False, {"duplicate": 1})
        assert "teacher.samples=42" in " ".join(made.notes)
        make_shards(paid(server.url, samples=42, budget=10.0), tmp_path, 2)
        made = merge(config, tmp_path / "work", tmp_path / "data.jsonl")
    assert (made.rows, made.complete) == (40, True)


def paid(url: str, **teacher: Any) -> Config:
    return make_config(
        {
            "teacher": {
                "kind": "api", "base_url": url, "model": "stub", "licence": "ours", "recipe": "emoji-v1",
                "price_in": 1.0, "price_out": 5.0, "key_variable": "", "max_concurrent": 4,
            } | teacher
        }
    )  # fmt: skip


def test_shards_pay_once_and_stay_within_the_budget_of_the_whole(tmp_path: Path) -> None:
    """One ledger each; a second start pays for nothing, and no request stands in two ledgers."""
    sold = tmp_path / "sold.tsv"
    with running(ServerPlan(sold=sold)) as server:
        config = paid(server.url, samples=30, budget=0.05)
        for _again in range(2):
            make_shards(config, tmp_path, 3)
        made = merge(config, tmp_path / "work", tmp_path / "data.jsonl")
        assert len(sold.read_text().splitlines()) == 60
        keys = [
            record["id"].partition(".")[0]
            for number in (1, 2, 3)
            for record in read_lines(tmp_path / "work" / f"shard-{number}-of-3" / JOURNAL)
            if record["event"] == "intent"
        ]
        assert len(keys) == len(set(keys)) == made.requests == 60
        assert made.cost == pytest.approx(60 * 0.0002)
        poor = paid(server.url, samples=30, budget=0.006)
        for number in (1, 2, 3):
            with pytest.raises(BudgetError):
                generate(poor, tmp_path / "poor", tmp_path / "poor.jsonl", shard=Shard(number, 3))
        assert (len(sold.read_text().splitlines()) - 60) * 0.0002 <= 0.006
