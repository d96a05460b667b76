"""Verdicts: learned, not learned, or cannot be told; and never a yes from noise."""

from __future__ import annotations

import numpy as np
import pytest

from terakoya.errors import ConfigError, DataError
from terakoya.scoring.statistics.verdict import verdict


def test_a_clear_gain_over_the_best_baseline_is_learned() -> None:
    """The best baseline counts, not the most convenient one."""
    model = [1.0] * 80 + [0.0] * 20
    given = verdict(model, {"constant": [0.0] * 100, "nearest neighbour": [1.0] * 50 + [0.0] * 50})
    assert (given.state, given.best) == ("learned", "nearest neighbour")
    assert given.low > 0
    assert given.needed is None
    assert "Learned" in given.words()
    assert "学習できた" in given.words("ja")


def test_an_exempt_baseline_is_not_to_be_beaten() -> None:
    """On pure numerals rules are perfect; the task may say that they are shown only."""
    model, rules = [1.0] * 80 + [0.0] * 20, [1.0] * 100
    assert verdict(model, {"constant": [0.0] * 100, "rule": rules}).state == "not learned"
    assert verdict(model, {"constant": [0.0] * 100, "rule": rules}, exempt=["rule"]).state == "learned"
    with pytest.raises(ConfigError, match="no baseline"):
        verdict(model, {"rule": rules}, exempt=["rule"])


def test_a_model_that_answers_the_constant_has_not_learned() -> None:
    """The emoji log after five trials; with few items even that cannot be told."""
    scores = np.random.default_rng(0).choice([0, 0.2, 0.5, 1], 400)
    assert verdict(scores, {"constant": scores}).state == "not learned"
    few = verdict(scores[:40], {"constant": scores[:40]})
    assert few.state == "cannot be told"
    assert few.needed is not None
    assert few.needed > 40
    assert "Cannot be told with 40 items; about" in few.words()
    assert "40問では判断できない" in few.words("ja")


def test_ten_items_do_not_make_a_school() -> None:
    """7 of 10 against 3 of 10 was a success in the log."""
    given = verdict([1] * 7 + [0] * 3, {"constant": [1] * 2 + [0] * 7 + [1]})
    assert given.state == "cannot be told"
    assert given.low <= 0 < given.high


def test_a_model_that_is_worse_has_not_learned() -> None:
    """Below a baseline is below."""
    given = verdict([0.1] * 200, {"constant": [0.4] * 100 + [0.2] * 100})
    assert given.state == "not learned"
    assert given.high < 0


def test_noise_is_called_learned_at_most_once_in_twenty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole road to the state, two-sided: 2.5% on the side that matters. What could be shown is left out: slow."""
    monkeypatch.setattr("terakoya.scoring.statistics.verdict.detectable_difference", lambda *_, **__: 1.0)
    monkeypatch.setattr("terakoya.scoring.statistics.verdict.items_needed", lambda *_, **__: None)
    rng = np.random.default_rng(1)
    states = []
    for _ in range(200):
        model, rival = rng.random((2, 50)) ** 2
        states.append(verdict(model, {"constant": rival}, resamples=200).state)
    assert states.count("learned") <= 11


def test_answers_to_other_items_are_refused() -> None:
    """A baseline asked other questions is no baseline."""
    with pytest.raises(DataError, match="cannot be paired"):
        verdict([1.0, 0.0], {"constant": [1.0]})


def test_an_exam_opened_often_needs_more_items() -> None:
    """The level of every opening is a share of the whole one."""
    scores = np.random.default_rng(0).choice([0.0, 1.0], 60)
    once, often = (verdict(scores, {"constant": scores[::-1].copy()}, openings=openings) for openings in (1, 8))
    assert once.needed is not None and often.needed is not None
    assert often.needed > once.needed * 1.2
