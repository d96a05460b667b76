"""Time to the same exam value: when a value counts as reached, and what the ratio leaves open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checkpoints import checkpoint

from benchmarks.speed.time_to_value import (
    AS_LOGGED,
    OURS,
    Curve,
    Evaluation,
    curve_of,
    first_confirmed,
    page,
    ratio,
    read_record,
)
from benchmarks.speed.time_to_value_peers import Record, evaluation_steps, plain_prompt
from terakoya.config import ModelConfig
from terakoya.models.pretrained import build
from terakoya.models.protocol import Pair, Query


def curve(*correct: int, seconds: float = 10.0, finished: bool = True) -> Curve:
    evaluations = [Evaluation(10 * n, seconds * n, 2 * seconds * n, one) for n, one in enumerate(correct, 1)]
    return Curve(evaluations, finished)


def test_a_value_that_is_lost_again_is_not_reached() -> None:
    assert first_confirmed(curve(3, 9, 4, 8, 9, 2), 8) == 3
    assert first_confirmed(curve(8, 7, 8, 7), 8) is None


def test_the_last_evaluation_needs_no_other() -> None:
    assert first_confirmed(curve(1, 2, 8), 8) == 2
    assert first_confirmed(curve(1, 2, 7), 8) is None
    assert first_confirmed(Curve([]), 1) is None
    assert first_confirmed(curve(1, 2, 8, finished=False), 8) is None
    assert first_confirmed(curve(1, 8, 8, finished=False), 8) == 1


def test_the_ratio_is_of_the_first_confirmed_evaluations() -> None:
    """20 s are ours; the peer's 300 s may have been anything beyond 200 s, as it was not asked between."""
    found = ratio(curve(0, 5, 8, seconds=100.0), curve(1, 8, 8, 9), 8)
    assert found == pytest.approx((300 / 20, 200 / 20))
    assert ratio(curve(8, 8, seconds=100.0), curve(8, 8), 8) == pytest.approx((10.0, 0.0))


def test_a_value_that_one_of_them_never_reaches_has_no_ratio() -> None:
    assert ratio(curve(0, 5, 7), curve(1, 8, 8), 8) is None
    assert ratio(curve(0, 5, 8), curve(1, 7, 7), 8) is None


def test_an_interrupted_peer_keeps_its_lines_and_a_never_is_told(tmp_path: Path) -> None:
    settings = {"steps": 30, "dtype": "float32", "threads": 1, "items": 2}
    records = {}
    for peer, answers, ends in ((AS_LOGGED, ("1", "2"), True), (OURS, ("1", "3"), False)):
        record = Record(tmp_path / f"{peer}.jsonl", settings, (10, 30), lambda given=answers: given, ("1", "2"))
        record.start()
        record.after_step(5)
        record.after_step(10)
        if ends:
            record.finish(30)
        records[peer] = read_record(tmp_path / f"{peer}.jsonl")
    records["trl-tuned"] = read_record(tmp_path / "none.jsonl")
    assert [one.step for one in curve_of(records[OURS]).evaluations] == [10]
    text = page({0: records}, "base", "command")
    assert "at step 10, then interrupted" in text and "never" in text and "No seed" in text


def test_evaluations_are_no_part_of_the_training(tmp_path: Path) -> None:
    def decode() -> list[str]:
        sum(range(3_000_000))
        return ["1"]

    record = Record(tmp_path / "one.jsonl", {}, (1, 2), decode, ["1"])
    record.start()
    record.after_step(1)
    record.after_step(2)
    record.finish(2)
    lines = [json.loads(line) for line in (tmp_path / "one.jsonl").read_text(encoding="utf-8").splitlines()]
    spent = sum(line["evaluation_cpu"] for line in lines if "step" in line)
    assert spent > 0.02 and lines[-1]["finished"]["cpu"] < spent / 4


def test_the_exam_is_taken_at_equal_distances_and_at_the_end() -> None:
    assert evaluation_steps(100, 10) == list(range(10, 101, 10))
    assert evaluation_steps(200, 3) == [67, 134, 200]
    assert evaluation_steps(2, 10) == [1, 2]


def test_all_peers_read_the_same_text(tmp_path: Path) -> None:
    """A base without chat template: what the peers' tokenizers get is what ours makes of a query."""
    base = checkpoint(tmp_path / "base", "gemma3")
    config = ModelConfig(base=str(base), template="plain", instruction="数字で書く。")
    query = Query("三万")
    model = build.build(config, [Pair(query, "( 3e4 )")], seed=0)
    assert model.prompt.text(query) == plain_prompt("数字で書く。", "三万")
