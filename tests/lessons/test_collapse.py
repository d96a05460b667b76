"""Lessons 8 to 12: collapse, soft collapse, repeats, illegal predictions, and losses that prefer the frequent."""

from __future__ import annotations

from random import Random

from terakoya.codec.labels import labels_codec
from terakoya.records import Step
from terakoya.scoring.collapse import collapse_onset
from terakoya.scoring.health import health
from terakoya.training.guards.collapse import CollapseGuard

CODEC = labels_codec(["✨ 📚 🎉 😊 ⚽"])


def test_lesson_08_an_illegal_prediction_is_distinguished_from_a_wrong_one() -> None:
    """ "填" is not a wrong emoji."""
    assert CODEC.read("填") is None and CODEC.read("✨ よね") is None
    assert not CODEC.viable("填")


def test_lesson_09_hard_collapse_is_reported_when_it_happens() -> None:
    """✨ for every input, at a loss that looks like success."""
    seen = health(["✨"] * 100)
    dev = {"loss": 3.9, "gain": 0.0, "top_share": seen.top_share, "distinct_share": seen.distinct / seen.n}
    guard = CollapseGuard()
    reported = [bool(guard(Step(n, 4.0, 4.0, 0.1, 1.0, 1, 1.0, dev))) for n in range(4)]
    assert collapse_onset([dev] * 4) == 0 and reported == [False, False, True, False]


def test_lesson_11_a_label_cannot_be_predicted_twice() -> None:
    """😊😊😊: neither written by constrained decoding, nor kept when read."""
    assert not CODEC.viable("😊 😊") and CODEC.read("😊😊😊") == "😊"


def test_lesson_12_the_order_of_labels_is_noise_and_is_not_trained_on() -> None:
    """A set has one canonical form whatever order its teacher wrote."""
    orders = {CODEC.reorder("✨ 📚 🎉", "shuffled", Random(seed)) for seed in range(30)}
    assert len(orders) == 6 and len({CODEC.canonical(order) for order in orders}) == 1
