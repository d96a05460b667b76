"""Metrics, held against values worked by hand."""

from __future__ import annotations

import pytest

from terakoya.errors import ConfigError
from terakoya.scoring.chrf import chrf_score
from terakoya.scoring.metrics import METRICS, category, current_signature, metric


@pytest.mark.parametrize(
    ("name", "value"), [("jaccard", 0.25), ("precision", 1 / 3), ("recall", 0.5), ("f1", 0.4), ("set_exact", 0.0)]
)
def test_one_shared_label_of_three_and_two_scores_as_by_hand(name: str, value: float) -> None:
    """Every figure about sets rests on these five."""
    assert metric(name).score("a b c", ["c d"]) == pytest.approx(value)


@pytest.mark.parametrize("name", ["jaccard", "precision", "recall", "f1", "set_exact"])
def test_order_and_repetition_of_labels_carry_no_meaning(name: str) -> None:
    """A set is not a sentence: that mistake is how the emoji log collapsed."""
    assert metric(name).score("✨ 🐈 ✨", ["🐈 ✨"]) == 1.0


@pytest.mark.parametrize("name", list(METRICS))
def test_an_unreadable_answer_scores_nothing_and_the_best_target_counts(name: str) -> None:
    """Several answers may be right; none is no answer."""
    assert metric(name).score(None, ["x"]) == 0.0
    assert metric(name).score("x y", ["p q", "x y"]) == 1.0
    assert metric(name).score("x y", []) == 0.0


def test_chrf_agrees_with_values_worked_by_hand() -> None:
    """Our own implementation must be the published measure, not something like it."""
    # "abc" and "abd": 1-grams 2/3 right, 2-grams 1/2, 3-grams 0; precision and recall alike: mean 7/18.
    assert chrf_score("abc", "abd") == pytest.approx(7 / 18)
    # "ab" for "abcd": precision 1 (both orders), recall (2/4 + 1/3) / 2 = 5/12; F2 = 5 P R / (4 P + R).
    assert chrf_score("ab", "abcd") == pytest.approx(5 * (5 / 12) / (4 + 5 / 12))
    # A repeated character is matched only as often as it stands in the target: "aaa" for "a": 1-grams P 1/3, R 1.
    assert chrf_score("aaa", "a") == pytest.approx(5 / 3 / (4 / 3 + 1))
    assert chrf_score("a b c", "abc") == 1.0
    assert chrf_score("", "abc") == chrf_score("xyz", "abc") == 0.0


def test_a_category_match_sees_what_labels_miss() -> None:
    """Another cat is nearer to a cat than a bus is."""
    kind = category({"🐈": "animal", "🐕": "animal", "🚌": "vehicle"})
    assert kind.score("🐕", ["🐈"]) == 1.0
    assert kind.score("🐕 🚌", ["🐈"]) == 0.5
    assert kind.score("★", ["🐈"]) == 0.0


def test_an_unknown_metric_is_refused_with_its_nearest_neighbour() -> None:
    """A typing error costs a second, not a night."""
    with pytest.raises(ConfigError, match="unknown metric 'jacard'") as refusal:
        metric("jacard")
    assert "jaccard" in refusal.value.do


def test_a_signature_says_how_a_score_is_made() -> None:
    """Parameters that change a score are in it, so that scores made in different ways are never compared."""
    assert METRICS["jaccard"].signature == "jaccard|v:1"
    assert METRICS["chrf"].signature == "chrf-sentence|nc:6|beta:2|space:no|v:1"
    signatures = [metric.signature for metric in METRICS.values()]
    assert len(set(signatures)) == len(signatures)


@pytest.mark.parametrize(
    ("old", "current"),
    [
        ("jaccard/1", "jaccard|v:1"),
        ("chrf/1", "chrf-sentence|nc:6|beta:2|space:no|v:1"),
        ("chrf/9", "chrf|v:9"),
        ("digit_accuracy/1", "digit_accuracy|v:1"),
        ("jaccard|v:1", "jaccard|v:1"),
        ("own|ratio:1/2|v:1", "own|ratio:1/2|v:1"),
    ],
)
def test_signatures_of_older_runs_name_the_same_metric(old: str, current: str) -> None:
    """A run folder of last month can still be compared with one of today."""
    assert current_signature(old) == current
