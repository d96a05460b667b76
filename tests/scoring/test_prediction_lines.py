"""The lines of predictions.jsonl: what of an item is written, and under which key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from terakoya.records import Example, Prediction, Turn
from terakoya.scoring.baselines.nearest_neighbour import NearestRow
from terakoya.scoring.error_analysis.items import read_items
from terakoya.scoring.score_predictions import ScoredPrediction, ScoredPredictions, prediction_lines

EXAMPLE = Example(
    "三", "3", accepted=("3.0",), subset="by hand", tags=(("form", "kanji"),), turns=(Turn("user", "何個"),)
)
PLAIN = Example("四", "4")


def _scored(example: Example, prediction: Prediction, score: float, system: str = "model") -> ScoredPredictions:
    item = ScoredPrediction(example, prediction, {"exact": score}, "g", (example.target,))
    return ScoredPredictions(system, (item,))


def _line(example: Example, prediction: Prediction, score: float = 1.0, **more: Any) -> Mapping[str, Any]:
    error_kind = more.pop("error_kind", None)
    return prediction_lines(_scored(example, prediction, score), "exact", error_kind, **more)[0]


def test_a_plain_line_has_these_keys_and_no_others() -> None:
    assert _line(PLAIN, Prediction("四", "4", "4", 0.5)) == {
        "source": "四", "target": "4", "raw": "4", "prediction": "4", "verdict": 1.0, "subset": "", "tags": {},
        "probability": 0.5, "fingerprint": PLAIN.fingerprint, "group": "g",
    }  # fmt: skip


def test_what_an_item_has_more_of_is_written() -> None:
    near = NearestRow("二", "2", 0.25)
    prediction = Prediction("三", "2", None, 0.5, withheld="novelty", unknown="三", uncalibrated=0.4, novel=True)
    line = _line(EXAMPLE, prediction, 0.0, nearest=[near])
    assert line["accepted"] == ["3.0"]
    assert line["turns"] == [["user", "何個"]]
    assert (line["subset"], line["tags"]) == ("by hand", {"form": "kanji"})
    assert line["nearest"] == {"source": "二", "target": "2", "similarity": 0.25}
    assert (line["withheld"], line["unknown"], line["uncalibrated"], line["novel"]) == ("novelty", "三", 0.4, True)
    assert "canonical" not in line


def test_the_canonical_target_is_written_where_it_is_another() -> None:
    item = ScoredPrediction(Example("三", "3.0"), Prediction("三", "3", "3"), {"exact": 1.0}, "", ("3",))
    line = prediction_lines(ScoredPredictions("model", (item,)), "exact", None)[0]
    assert (line["target"], line["canonical"]) == ("3.0", "3")


def test_a_baseline_stands_beside_the_model() -> None:
    other = _scored(PLAIN, Prediction("四", "5", "5"), 0.25, "constant")
    line = _line(PLAIN, Prediction("四", "4", "4"), baseline=other)
    assert line["beside"] == {"who": "constant", "prediction": "5", "verdict": 0.25}


@pytest.mark.parametrize(
    ("prediction", "error"),
    [
        (Prediction("四", "5", "5"), "off by 1"),
        (Prediction("四", "?", None), "unreadable"),
        (Prediction("四", "4", None, withheld="probability"), "withheld: probability"),
    ],
)
def test_the_error_is_named(prediction: Prediction, error: str) -> None:
    line = _line(PLAIN, prediction, 0.0, error_kind=lambda example, given: f"off by {int(given.text) - 4}")
    assert line["error"] == error
    assert "error" not in _line(PLAIN, prediction, 1.0)


def test_without_names_of_errors_it_is_wrong() -> None:
    assert _line(PLAIN, Prediction("四", "5", "5"), 0.5)["error"] == "wrong"


def test_a_wrong_answer_is_compared_with_the_accepted_target_it_comes_closest_to() -> None:
    line = {"source": "a", "target": "abcdef", "accepted": ["xyz"], "prediction": "xyw", "verdict": 0.0, "tags": {}}
    items, _halves = read_items([line])
    assert items[0].target == "xyz"
