"""Collapse: the guard reports in time where a model ignores its input, and only there."""

from __future__ import annotations

import pytest

from terakoya.models.protocol import Pair, Query
from terakoya.records import Step
from terakoya.scoring.collapse import collapse_onset
from terakoya.training.dev_evaluation import rotate_queries
from terakoya.training.guards.collapse import CollapseGuard

POOR = {"distinct_share": 0.01, "gain": 0.0005, "top_share": 0.98}
GOOD = {"distinct_share": 0.6, "gain": 0.8, "top_share": 0.05}


def _reported(guard: CollapseGuard, evaluations: list[dict[str, float]]) -> list[int]:
    """Evaluations at which the guard reported."""
    return [n for n, dev in enumerate(evaluations) if guard(Step(n, 1.0, 1.0, 0.1, 1.0, 10, 1.0, dev))]


def test_the_guard_reports_at_the_third_poor_evaluation_and_once() -> None:
    """Within three evaluations of the onset, or hours are lost."""
    evaluations = [GOOD, GOOD, POOR, POOR, POOR, POOR, POOR]
    onset = collapse_onset(evaluations)
    assert onset == 2
    assert _reported(CollapseGuard(), evaluations) == [onset + 2]


@pytest.mark.parametrize(
    "evaluations",
    [
        [POOR, POOR, GOOD, POOR, POOR, GOOD],  # every training starts poorly; one alone is luck
        [{**POOR, "gain": 0.3}] * 6,  # few distinct predictions, but the input is used: still learning to write
        [{**POOR, "distinct_share": 0.4}] * 6,
        [{"loss": 1.0}] * 6,
    ],
)
def test_the_guard_is_silent_where_the_input_is_used(evaluations: list[dict[str, float]]) -> None:
    """After a few false alarms nobody reads the true one."""
    assert collapse_onset(evaluations if "gain" in evaluations[0] else [GOOD]) is None
    assert _reported(CollapseGuard(), evaluations) == []


def test_the_guard_continues_from_a_checkpoint_and_stops_where_configured() -> None:
    """A resumed run must be warned at the same step."""
    first, second = CollapseGuard(), CollapseGuard("stop")
    _reported(first, [POOR, POOR])
    second.restore(first.state())
    found = second(Step(9, 1.0, 1.0, 0.1, 1.0, 10, 1.0, POOR))
    assert [one.level for one in found] == ["stop"]


def test_unreadable_predictions_are_not_called_one_prediction() -> None:
    """The emoji log's run wrote nothing legal for its first 340 steps; "0.0% of them differ" says something else."""
    unreadable = {"distinct_share": 0.0, "gain": 0.0, "top_share": 0.0, "unreadable": 1.0}
    guards = [CollapseGuard(), CollapseGuard()]
    for guard, dev in zip(guards, (unreadable, POOR), strict=True):
        _reported(guard, [dev, dev])
    found = [
        guard(Step(9, 1.0, 1.0, 0.1, 1.0, 10, 1.0, dev)) for guard, dev in zip(guards, (unreadable, POOR), strict=True)
    ]
    assert ["none of them can be read" in one.what for (one,) in found] == [True, False]
    assert "1.0% of them differ" in found[1][0].what


def test_rotation_gives_every_target_another_query() -> None:
    """The gain from the right input is the loss that this costs."""
    pairs = [Pair(Query(str(n)), f"target {n}") for n in range(3)]
    assert [(one.query.source, one.target) for one in rotate_queries(pairs)] == [
        ("2", "target 0"), ("0", "target 1"), ("1", "target 2"),
    ]  # fmt: skip
