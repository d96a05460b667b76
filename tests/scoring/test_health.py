"""Health: what an accuracy hides."""

from __future__ import annotations

import math

import pytest

from terakoya.scoring.health import health, repeated_text


def test_one_answer_for_everything_is_seen() -> None:
    """Lesson 9: ✨ for every input, and a Jaccard that looked like learning."""
    sick = health(["✨"] * 50, labels=True)
    assert (sick.top, sick.top_share, sick.distinct, sick.entropy) == ("✨", 1.0, 1, 0.0)
    well = health([str(i) for i in range(50)])
    assert well.distinct == 50
    assert well.entropy == pytest.approx(math.log(50))
    assert well.outside_top == pytest.approx(0.9)


def test_five_answers_for_everything_are_seen() -> None:
    """Lesson 10: soft collapse hides from a look at the single most frequent answer."""
    assert health([str(i % 5) for i in range(100)]).outside_top == 0.0


def test_repeated_and_illegal_labels_are_counted_in_what_was_written() -> None:
    """Lessons 8 and 11: reading a set drops what was repeated, so the raw answer is looked at."""
    seen = health(["😊", "✨ 😊"], raw=["😊 😊 😊", "✨ 填 😊"], labels=True, legal={"😊", "✨"})
    assert seen.repetition == pytest.approx((2 / 3 + 0) / 2)
    assert seen.illegal == pytest.approx(1 / 6)
    assert (seen.label_top, seen.label_top_share) == ("😊", pytest.approx(2 / 3))


def test_unreadable_is_not_wrong() -> None:
    """They need different cures."""
    seen = health(["1", None, None, "2"])
    assert (seen.unreadable, seen.distinct, seen.n) == (0.5, 2, 4)
    assert set(seen.values()) >= {"unreadable", "top_share", "entropy"}


def test_a_loop_in_text_is_seen_and_plain_text_is_not() -> None:
    """Repetition is what users of small causal models complain about first."""
    assert repeated_text("それはそれはそれはそれはそれは") > 0.7
    assert repeated_text("今日は天気がよいので散歩に行きました。") == 0.0


def test_no_answers_at_all_are_no_crash() -> None:
    """An empty part of an exam is not a fault of ours."""
    assert health([]).n == 0
    assert health([None]).unreadable == 1.0
