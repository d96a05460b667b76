"""Lessons 8 to 12: collapse, soft collapse, repeats, illegal answers, and losses that prefer what is frequent."""

from __future__ import annotations

from random import Random

from terakoya.codec.labels import labels_codec
from terakoya.records import Step
from terakoya.scoring.collapse import collapse_meter
from terakoya.training.guards.collapse import Collapse

CODEC = labels_codec(["✨ 📚 🎉 😊 ⚽"])


def test_lesson_08_an_answer_that_is_no_legal_answer_is_told_apart_from_a_wrong_one() -> None:
    """ "填" is not a wrong emoji."""
    assert CODEC.read("填") is None and CODEC.read("✨ よね") is None
    assert not CODEC.viable("填")


def test_lesson_09_hard_collapse_is_noticed_where_it_happens() -> None:
    """✨ for every input, at a loss that looks like success."""
    meter = collapse_meter(["✨"] * 100, [f"✨ {n}" for n in range(100)], loss=3.9, rotated=3.9)
    guard = Collapse()
    spoke = [bool(guard(Step(n, 4.0, 4.0, 0.1, 1.0, 1, 1.0, meter.figures()))) for n in range(4)]
    assert meter.collapsed and spoke == [False, False, True, False]


def test_lesson_11_a_label_cannot_stand_twice_in_an_answer() -> None:
    """😊😊😊: neither written by a sequence that is held to the language, nor kept when read."""
    assert not CODEC.viable("😊 😊") and CODEC.read("😊😊😊") == "😊"


def test_lesson_12_the_order_of_labels_is_noise_and_is_not_taught() -> None:
    """A set has one canonical form whatever order its teacher wrote."""
    orders = {CODEC.ordered("✨ 📚 🎉", "shuffled", Random(seed)) for seed in range(30)}
    assert len(orders) == 6 and len({CODEC.canonical(order) for order in orders}) == 1
