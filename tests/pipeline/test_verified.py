"""Where the rule of a task abstains or disagrees, a prediction says so without being asked."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from terakoya.pipeline.predict import PredictInput, predict, predict_lines
from terakoya.registry import find_experiment, find_rule
from terakoya.saved_model import Skill, read_skill

RUN = Path(__file__).parent.parent / "fixtures" / "runs" / "format-2-full" / "text"


@pytest.fixture(scope="module")
def skill() -> Skill:
    """A hardly trained model of numerals, which answers 10 to everything."""
    return read_skill(RUN)


def _verified(skill: Skill, *sources: str) -> list[Any]:
    return [line.get("verified") for line in predict_lines(skill, [PredictInput(source) for source in sources])]


def test_a_prediction_says_whether_the_rule_confirms_it(skill: Skill) -> None:
    """24 malformed numerals were answered with p ≥ .99, and nothing in the line told them from the others."""
    assert _verified(skill, "十", "三万", "三五百", "二十五六") == [True, False, False, False]
    assert [prediction.verified for prediction in skill.predict(["十", "三千"])] == [True, False]


def test_no_rule_no_word(skill: Skill) -> None:
    """True or false is said only where a rule was asked, and only of an answer."""
    assert _verified(replace(skill, rule=None), "十") == [None]
    assert _verified(skill, "") == [None]
    told = predict_lines(replace(skill, rule=None), [PredictInput("十")])[0]
    assert "verified" not in told


def test_a_table_of_predictions_has_the_column(tmp_path: Path) -> None:
    """What is said on the terminal is said in the file."""
    out, run = tmp_path / "said.csv", tmp_path / "run"
    shutil.copytree(RUN, run)
    list(predict(run, ["十", "三万"], input="", output=str(out), overrides=()))
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [row["verified"] for row in rows] == ["True", "False"]


@pytest.mark.parametrize(
    ("experiment", "source", "answer"),
    [
        ("kannume", "弌", "1"),
        ("janum", "マイナス八分の五", "-0.625"),
        ("janum", "四六時中", None),
        ("recipe-scaling", "ねぎ 1本半 を2倍", "ねぎ 3本"),
        ("recipe-scaling", "鶏肉 2ばこ を2倍", None),
    ],
)
def test_the_rule_of_a_task_is_found_without_its_data(experiment: str, source: str, answer: str | None) -> None:
    """Making an exam takes a second; a prediction does not wait for it."""
    rule = find_rule(find_experiment(experiment).config)
    assert rule is not None and rule(source) == answer


def test_a_table_and_a_task_without_a_rule_have_none() -> None:
    """Emoji have no rule, and a user's own file is no code to be run for a word more."""
    config = find_experiment("kannume").config
    assert find_rule(find_experiment("emoji-v2").config) is None
    assert find_rule(config.model_copy(update={"task": config.task.model_copy(update={"use": "mine.py"})})) is None
