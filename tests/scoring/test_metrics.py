"""Metrics, held against values worked by hand."""

from __future__ import annotations

import pytest

from terakoya.errors import ConfigError
from terakoya.scoring.chrf import chrf_of
from terakoya.scoring.metrics import METRICS, category, label_figures, lengths, metric


@pytest.mark.parametrize(
    ("name", "value"), [("jaccard", 0.25), ("precision", 1 / 3), ("recall", 0.5), ("f1", 0.4), ("set_exact", 0.0)]
)
def test_one_shared_label_of_three_and_two_scores_as_by_hand(name: str, value: float) -> None:
    """Every figure about sets rests on these five."""
    assert metric(name).judge("a b c", ["c d"]) == pytest.approx(value)


@pytest.mark.parametrize("name", ["jaccard", "precision", "recall", "f1", "set_exact"])
def test_order_and_repetition_of_labels_carry_no_meaning(name: str) -> None:
    """A set is not a sentence: that mistake is how the emoji log collapsed."""
    assert metric(name).judge("✨ 🐈 ✨", ["🐈 ✨"]) == 1.0


@pytest.mark.parametrize("name", list(METRICS))
def test_an_unreadable_answer_scores_nothing_and_the_best_target_counts(name: str) -> None:
    """Several answers may be right; none is no answer."""
    assert metric(name).judge(None, ["x"]) == 0.0
    assert metric(name).judge("x y", ["p q", "x y"]) == 1.0
    assert metric(name).judge("x y", []) == 0.0


def test_chrf_agrees_with_values_worked_by_hand() -> None:
    """Our own implementation must be the published measure, not something like it."""
    # "abc" and "abd": 1-grams 2/3 right, 2-grams 1/2, 3-grams 0; precision and recall alike: mean 7/18.
    assert chrf_of("abc", "abd") == pytest.approx(7 / 18)
    # "ab" for "abcd": precision 1 (both orders), recall (2/4 + 1/3) / 2 = 5/12; F2 = 5 P R / (4 P + R).
    assert chrf_of("ab", "abcd") == pytest.approx(5 * (5 / 12) / (4 + 5 / 12))
    # A repeated character is matched only as often as it stands in the target: "aaa" for "a": 1-grams P 1/3, R 1.
    assert chrf_of("aaa", "a") == pytest.approx(5 / 3 / (4 / 3 + 1))
    assert chrf_of("a b c", "abc") == 1.0
    assert chrf_of("", "abc") == chrf_of("xyz", "abc") == 0.0


def test_a_category_match_sees_what_labels_miss() -> None:
    """Another cat is nearer to a cat than a bus is."""
    kind = category({"🐈": "animal", "🐕": "animal", "🚌": "vehicle"})
    assert kind.judge("🐕", ["🐈"]) == 1.0
    assert kind.judge("🐕 🚌", ["🐈"]) == 0.5
    assert kind.judge("★", ["🐈"]) == 0.0


def test_micro_counts_labels_and_macro_counts_kinds() -> None:
    """A model that knows only the frequent label must look good in one and bad in the other."""
    answers: list[str | None] = ["✨", "✨", "✨", None]
    figures = label_figures(answers, [["✨"], ["✨"], ["✨ 🐈"], ["🚌"]])
    assert figures["precision_micro"] == 1.0
    assert figures["recall_micro"] == pytest.approx(3 / 5)
    assert figures["f1_micro"] == pytest.approx(6 / 8)
    assert figures["recall_macro"] == figures["f1_macro"] == pytest.approx(1 / 3)


def test_lengths_are_shares_of_readable_answers() -> None:
    """Sets that are always of one size are a symptom."""
    assert lengths(["a", "a b", "b", None]) == {1: pytest.approx(2 / 3), 2: pytest.approx(1 / 3)}
    assert lengths(["a b"], characters=True) == {3: 1.0}


def test_an_unknown_metric_is_refused_with_its_nearest_neighbour() -> None:
    """A typing error costs a second, not a night."""
    with pytest.raises(ConfigError, match="unknown metric 'jacard'") as refusal:
        metric("jacard")
    assert "jaccard" in refusal.value.do
