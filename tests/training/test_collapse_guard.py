"""Collapse: the meter tells a model that listens from one that does not, and the guard speaks in time."""

from __future__ import annotations

import math

import pytest

from terakoya.models.protocol import Pair, Query
from terakoya.records import Step
from terakoya.scoring.collapse import collapse_meter, label_information, onset
from terakoya.training.guards.collapse import Collapse, rotated

POOR = {"distinct_share": 0.01, "gain": 0.0005, "top_share": 0.98}
GOOD = {"distinct_share": 0.6, "gain": 0.8, "top_share": 0.05}


def _told(guard: Collapse, figures: list[dict[str, float]]) -> list[int]:
    """Evaluations at which the guard spoke."""
    return [n for n, dev in enumerate(figures) if guard(Step(n, 1.0, 1.0, 0.1, 1.0, 10, 1.0, dev))]


def test_the_guard_speaks_at_the_third_poor_evaluation_and_once() -> None:
    """Within three evaluations of the onset, or the night is lost."""
    figures = [GOOD, GOOD, POOR, POOR, POOR, POOR, POOR]
    began = onset(figures)
    assert began == 2
    assert _told(Collapse(), figures) == [began + 2]


@pytest.mark.parametrize(
    "figures",
    [
        [POOR, POOR, GOOD, POOR, POOR, GOOD],  # every training begins poorly; one alone is luck
        [{**POOR, "gain": 0.3}] * 6,  # few answers, but the input is heard: it is still learning to answer
        [{**POOR, "distinct_share": 0.4}] * 6,
        [{"loss": 1.0}] * 6,
    ],
)
def test_the_guard_is_silent_where_the_model_listens(figures: list[dict[str, float]]) -> None:
    """A false alarm teaches people to look away."""
    assert onset(figures if "gain" in figures[0] else [GOOD]) is None
    assert _told(Collapse(), figures) == []


def test_the_guard_remembers_over_a_checkpoint_and_stops_where_asked() -> None:
    """A resumed run must be warned at the same step."""
    first, second = Collapse(), Collapse("stop")
    _told(first, [POOR, POOR])
    second.restore(first.state())
    found = second(Step(9, 1.0, 1.0, 0.1, 1.0, 10, 1.0, POOR))
    assert [one.level for one in found] == ["stop"]


def test_answers_that_cannot_be_read_are_not_called_one_answer() -> None:
    """The emoji log's run wrote nothing legal for its first 340 steps; "0.0% of them differ" says something else."""
    unread = {"distinct_share": 0.0, "gain": 0.0, "top_share": 0.0, "unreadable": 1.0}
    guards = [Collapse(), Collapse()]
    for guard, dev in zip(guards, (unread, POOR), strict=True):
        _told(guard, [dev, dev])
    found = [
        guard(Step(9, 1.0, 1.0, 0.1, 1.0, 10, 1.0, dev)) for guard, dev in zip(guards, (unread, POOR), strict=True)
    ]
    assert ["none of them can be read" in one.what for (one,) in found] == [True, False]
    assert "1.0% of them differ" in found[1][0].what


def test_rotation_gives_every_answer_another_question() -> None:
    """The gain from the right input is the loss that this costs."""
    pairs = [Pair(Query(str(n)), f"answer {n}") for n in range(3)]
    assert [(one.ask.source, one.written) for one in rotated(pairs)] == [
        ("2", "answer 0"), ("0", "answer 1"), ("1", "answer 2"),
    ]  # fmt: skip


def test_the_meter_knows_a_constant_from_a_listener() -> None:
    """Same loss, same score: the meter tells them apart."""
    targets = ["a", "b", "c", "d"] * 10
    constant = collapse_meter(["a"] * 40, targets, loss=1.386, rotated=1.386, score=0.25, constant=0.25)
    listener = collapse_meter(targets, targets, loss=0.1, rotated=3.0, score=1.0, constant=0.25)
    assert constant.collapsed and not listener.collapsed
    assert constant.entropy == 0.0 and listener.entropy == pytest.approx(math.log(4)) == listener.data_entropy
    assert (constant.top_share, constant.over_constant) == (1.0, 0.0)
    assert listener.gain == pytest.approx(2.9)


def test_information_is_what_the_inputs_tell_of_the_labels() -> None:
    """Probabilities that do not move with the input tell nothing, however unsure they are."""
    assert label_information([[("a", 0.5)], [("a", 0.5)]]) == pytest.approx(0.0)
    assert label_information([[("a", 1.0)], [("a", 0.0)]]) == pytest.approx(math.log(2))
