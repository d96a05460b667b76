"""Decisions and verdicts: which baseline decides, by which bound, and the very sentences that are said of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student

from terakoya.errors import DataError
from terakoya.scoring.statistics import decision as decisions
from terakoya.scoring.statistics import verdict as verdicts
from terakoya.scoring.statistics.decision import decide, max_type_stretch, seed_table
from terakoya.scoring.statistics.good_enough import ExamSummary, summary_message
from terakoya.scoring.statistics.paired import Effect, paired, paired_seeds, tango
from terakoya.scoring.statistics.verdict import Verdict, verdict, verdict_message
from terakoya.scoring.statistics.wording import items_text, p_text


def _row(wins: int, n: int) -> np.ndarray:
    return np.r_[np.ones(wins), np.zeros(n - wins)]


def _effect(value: float = 0.1, **changes: Any) -> Effect:
    whole = Effect(value, value - 0.05, value + 0.05, 0.01, 50, "permutation", 20, 9, 0.2, 0.025, 10.0)
    return replace(whole, **changes)


def test_dev_decides_by_the_best_score_and_then_by_the_name() -> None:
    model, others = _row(60, 60), {"b": _row(10, 60), "a": _row(20, 60), "c": _row(0, 60)}
    made = decide(model, others, dev={"a": 0.3, "b": 0.3, "c": 0.1})
    assert (made.against, made.chosen, made.state, made.close) == ("a", "dev", "learned", "")
    assert made.effect == paired(model, others["a"])
    assert decide(model, others, dev={"a": 0.3, "b": 0.4, "c": 0.1, "not compared": 0.9}).against == "b"


def test_without_a_dev_score_of_every_baseline_the_exam_chooses() -> None:
    """The one with the least gain; of equal gains the one with the lower bound, then the name."""
    model, others = _row(60, 60), {"b": _row(10, 60), "a": _row(20, 60), "c": _row(0, 60)}
    for dev in (None, {"a": 0.1, "b": 0.9}):
        made = decide(model, others, dev=dev)
        assert (made.against, made.chosen, made.close) == ("a", "exam", "")
    equal = {"b": _row(20, 60), "a": _row(20, 60)}
    assert decide(model, equal).against == "a"
    spread = np.r_[np.zeros(50), np.ones(10)]
    graded = np.r_[np.full(20, 0.5), np.zeros(40)]
    model = np.full(60, 0.5)
    assert decide(model, {"narrow": graded, "wide": spread}).against == "wide"


def test_the_upper_bound_is_stretched_for_the_choice_among_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the stretch of these differences with this seed, to the least bound of all baselines."""
    rng = np.random.default_rng(2)
    model, others = rng.random(50) * 0.5 + 0.02, {name: rng.random(50) * 0.5 for name in "abc"}
    stretches = {seed: max_type_stretch([model - row for row in others.values()], seed=seed) for seed in (0, 7)}
    assert stretches[0] != stretches[7] and 1.1 < stretches[7] < 1.4
    for seed, stretch in stretches.items():
        effects = [paired(model, row, seed=seed) for row in others.values()]
        wanted = min(one.value + (one.high - one.value) * stretch for one in effects)
        least = min(effects, key=lambda one: one.value)
        made = decide(model, others, seed=seed)
        assert made.effect.high == pytest.approx(max(wanted, least.high))
        assert replace(made.effect, high=0.0) == replace(least, high=0.0)
    monkeypatch.setattr(decisions, "max_type_stretch", lambda units, *, seed: 1000.0)
    assert decide(model, others).effect.high == 1.0
    assert decide(model, {"a": others["a"]}).effect == paired(model, others["a"])


def test_several_baselines_of_groups_are_stretched_by_what_is_flipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two seeds by the differences of their mean."""
    asked: list[list[list[float]]] = []

    def seen(units: list[np.ndarray], *, seed: int) -> float:
        asked.append([row.tolist() for row in units])
        return 1.0

    monkeypatch.setattr(decisions, "max_type_stretch", seen)
    model = np.array([[1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]])
    others = {"a": np.zeros(4), "b": np.array([0.0, 1.0, 0.0, 0.0])}
    decide(model, others, groups=["x", "x", "y", "z"])
    assert asked == [[pytest.approx([1.5 * 3 / 4, 0.0, 3 / 4]), pytest.approx([0.5 * 3 / 4, 0.0, 3 / 4])]]


def test_every_option_reaches_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mid-p belongs to a baseline that the exam chose among several."""
    asked: list[dict[str, Any]] = []

    def seen(first: np.ndarray, second: np.ndarray, **options: Any) -> Effect:
        asked.append(options)
        return _effect()

    monkeypatch.setattr(decisions, "paired_seeds", seen)
    options: dict[str, Any] = {"seed": 3, "resamples": 40, "draws": 50, "groups": None}
    two = {"a": np.zeros(5), "b": np.zeros(5)}
    decide(np.ones(5), two, **options)
    decide(np.ones(5), two, dev={"a": 0.1, "b": 0.2}, **options)
    decide(np.ones(5), {"a": np.zeros(5)}, **options)
    assert asked == [options | {"mid_p": mid} for mid in (True, True, False, False, False)]


@pytest.mark.parametrize(
    ("changes", "openings", "state"),
    [
        ({}, 1, "learned"), ({"p": 0.01}, 5, "learned"), ({"p": 0.011}, 5, "cannot be told"),
        ({"low": 0.0, "p": 0.05}, 1, "cannot be told"), ({"low": 0.001, "p": 0.05}, 1, "learned"),
        ({"low": 0.001, "p": 0.051}, 1, "cannot be told"),
        ({"value": -0.1, "low": -0.2, "high": 0.019, "p": 0.5}, 1, "not learned"),
        ({"value": -0.1, "low": -0.2, "high": 0.02, "p": 0.5}, 1, "cannot be told"),
    ],
)  # fmt: skip
def test_a_state_follows_from_bounds_and_p(
    changes: dict[str, float], openings: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "paired_seeds", lambda *_arms, **_options: _effect(**changes))
    assert decide(np.ones(50), {"a": np.zeros(50)}, openings=openings).state == state


def test_a_bound_is_stretched_for_the_number_of_openings(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the quotient of Student's quantiles: -0.1 + 0.1 · t(1 - .025/4) / t(1 - .025) for four openings."""
    effect = _effect(-0.1, low=-0.2, high=0.0, p=0.5)
    monkeypatch.setattr(decisions, "paired_seeds", lambda *_arms, **_options: effect)
    high = -0.1 + 0.1 * student.ppf(1 - 0.025 / 4, 10) / student.ppf(0.975, 10)
    for smallest, state in ((high + 1e-9, "not learned"), (high - 1e-9, "cannot be told")):
        assert decide(np.ones(5), {"a": np.zeros(5)}, openings=4, smallest_gain=smallest).state == state
    assert decisions._opening_stretch(_effect(degrees_of_freedom=0.5), 3) == pytest.approx(
        student.ppf(1 - 0.025 / 3, 1) / student.ppf(0.975, 1)
    )
    assert decisions._opening_stretch(effect, 1) == 1.0


def test_another_baseline_is_close_where_its_gain_is_not_clear_of_zero() -> None:
    """1.96 standard errors of .025 are .049; the closest one is named, of equal ones the first name."""
    gains = {"dev": 0.3, "far": 0.1, "near": 0.0489, "worse": 0.02}
    effects = {name: _effect(gain) for name, gain in gains.items()}
    assert decisions._close(effects, "dev") == "worse"
    assert decisions._close(effects, "worse") == "near"
    assert decisions._close({name: effects[name] for name in ("dev", "far")}, "dev") == ""
    assert decisions._close({"dev": _effect(0.3), "a": _effect(0.0491)}, "dev") == ""
    assert decisions._close({"dev": effects["dev"]}, "dev") == ""
    assert decisions._close({"b": _effect(0.01), "a": _effect(0.01), "dev": _effect()}, "dev") == "a"


def test_a_close_baseline_only_stands_where_something_would_have_been_learned() -> None:
    model = _row(40, 60)
    close = decide(model, {"worse": np.zeros(60), "equal": model.copy()}, dev={"worse": 1.0, "equal": 0.0})
    assert (close.state, close.close, close.against) == ("cannot be told", "equal", "worse")
    ruled_out = decide(np.zeros(400), {"a": np.ones(400), "b": np.zeros(400)}, dev={"a": 1.0, "b": 0.0})
    assert (ruled_out.state, ruled_out.close) == ("not learned", "b")


def test_scores_of_one_model_are_one_row_of_a_table() -> None:
    assert seed_table([0.5, 1.0]).tolist() == [[0.5, 1.0]]
    assert seed_table([[0.5, 1.0], [0.0, 0.25]]).tolist() == [[0.5, 1.0], [0.0, 0.25]]
    with pytest.raises(DataError, match="scores: item 2 is inf, which is not finite"):
        seed_table([[0.5, 1.0], [0.0, math.inf]])


def test_alike_or_few_differences_need_no_correction() -> None:
    rng = np.random.default_rng(1)
    row = rng.normal(size=40)
    assert max_type_stretch([row, np.full(40, 0.3)]) == 1.0
    assert max_type_stretch([row[:2], rng.normal(size=2)]) == 1.0
    assert max_type_stretch([row[:3], rng.normal(size=3)], seed=1) > 1.0
    opposite = max_type_stretch([row, -row])
    assert opposite == pytest.approx(student.ppf(1 - 0.025 / 2, 39) / student.ppf(0.975, 39), abs=0.03)


def test_a_correction_of_few_items_uses_their_degrees_of_freedom() -> None:
    """Against a simulation of the largest of two t values that share nothing but their scale."""
    table = np.array([[1.0, -1.0, 1.0, -1.0, 0.0], [1.0, 1.0, -1.0, -1.0, 0.0]])
    rng = np.random.default_rng(9)
    scale = np.sqrt(rng.chisquare(4, 200_000) / 4)
    largest = rng.standard_normal((200_000, 2)).max(axis=1) / scale
    expected = np.quantile(largest, 0.975) / student.ppf(0.975, 4)
    assert max_type_stretch(list(table)) == pytest.approx(expected, abs=0.03)


def _decided(**changes: Any) -> Verdict:
    """Wins on 15 of 20 items against 5."""
    whole = Verdict(
        "learned", "constant", 0.75, 0.25, 0.5, 0.2, 0.7, 0.001, 20, 0.3, None, 0.02, 0, "exam", "", (), 1,
    )  # fmt: skip
    return replace(whole, **changes)


VALUES = (
    "0.750 against 0.250 of the baseline 'constant' (chosen on the exam): gain +0.500 [+0.200, +0.700], 20 items, "
    "p = 0.001."
)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({}, f"Learned. {VALUES}"),
        ({"high": 0.02}, f"Learned. {VALUES.replace('0.700', '0.020')}"),
        (
            {"high": 0.0199, "smallest_gain": 0.02},
            "Learned, but less than is worth having: a gain of 0.02 or more is ruled out. "
            + VALUES.replace("0.700", "0.020"),
        ),
        ({"state": "not learned", "smallest_gain": 0.125},
         f"Not learned: a gain of 0.125 or more is ruled out. {VALUES}"),
        ({"state": "cannot be told", "close": "copy"},
         f"Cannot be told with 20 items: the baseline 'copy' did about as well on the exam. {VALUES}"),
        ({"state": "cannot be told"},
         f"Cannot be told with 20 items. {VALUES} This exam shows a gain from about 0.30 upwards."),
        ({"state": "cannot be told", "needed": 388},
         f"Cannot be told with 20 items; about 390 would be needed. {VALUES} "
         "This exam shows a gain from about 0.30 upwards."),
        ({"openings": 3, "seeds": (0.75,)},
         f"Learned. {VALUES} This exam was opened with 3 different settings: the verdict is corrected for that. "
         "This is one model: another seed may differ, and --set train.seeds=3 tells."),
        ({"openings": 2},
         f"Learned. {VALUES} This exam was opened with 2 different settings: the verdict is corrected for that."),
        ({"seeds": (0.7, 0.8, 0.75)},
         f"Learned. {VALUES} Over 3 seeds: 0.700 to 0.800, standard deviation 0.050; the interval holds for other "
         "seeds too."),
        ({"seeds": (0.6, 0.9)},
         f"Learned. {VALUES} Over 2 seeds: 0.600 to 0.900, standard deviation 0.212; the interval holds for other "
         "seeds too."),
        ({"chosen": "dev", "groups": 7, "p": 0.00001},
         "Learned. " + VALUES.replace("on the exam", "on dev").replace("20 items", "20 items in 7 groups").replace(
             "p = 0.001", "p < .0001")),
        ({"gain": -0.5, "low": -0.7, "high": -0.2, "state": "not learned", "best": "my own"},
         "Not learned: a gain of 0.02 or more is ruled out. " + VALUES.replace("+0.500 [+0.200, +0.700]",
         "-0.500 [-0.700, -0.200]").replace("constant", "my own")),
    ],
)  # fmt: skip
def test_a_verdict_is_said_in_these_sentences(changes: dict[str, Any], sentences: str) -> None:
    made = _decided(**changes)
    assert str(verdict_message(made)) == made.words() == sentences
    assert made.words("ja") != sentences


def test_a_verdict_holds_the_values_of_its_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("terakoya.scoring.statistics.power.MAX_ITEMS", 5000)
    model, other = np.r_[np.ones(15), np.zeros(5)], np.r_[np.zeros(12), np.ones(5), np.zeros(3)]
    made = verdict(model, {"constant": other, "copy": np.zeros(20)}, exempt=["copy"], smallest_gain=0.125, openings=4)
    assert (made.state, made.best, made.chosen, made.close) == ("cannot be told", "constant", "exam", "")
    assert (made.value, made.baseline, made.gain) == pytest.approx((0.75, 0.25, 0.5))
    assert made.p == pytest.approx(binomtest(12, 14).pvalue)
    assert (made.low, made.high) == pytest.approx(tango(12, 2, 20))
    assert (made.n, made.groups, made.smallest_gain, made.openings, made.seeds) == (20, 0, 0.125, 4, ())
    assert made.needed is not None and made.needed > 20
    learned = verdict(model, {"constant": other}, trained=True)
    assert (learned.state, learned.needed, learned.seeds) == ("learned", None, (0.75,))


def test_what_an_undecided_verdict_asks_for_depends_on_its_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the mean over seeds, in groups where there are groups: what the test flips."""
    asked: list[tuple[Any, ...]] = []

    def needed(effect: Effect, gain: float, alpha: float, *, differences: np.ndarray) -> int:
        asked.append((gain, alpha, differences.tolist()))
        return 500

    def detectable(effect: Effect, *, differences: np.ndarray) -> float:
        asked.append((differences.tolist(),))
        return 0.25

    monkeypatch.setattr(verdicts, "items_needed", needed)
    monkeypatch.setattr(verdicts, "detectable_difference", detectable)
    model = np.array([[1.0, 0.5, 0.0, 1.0], [1.0, 0.0, 0.5, 0.0]])
    made = verdict(model, {"a": [0.5, 0.0, 0.0, 0.5]}, groups=["x", "x", "y", "z"], openings=2)
    flipped = [0.75 * 3 / 4, 0.25 * 3 / 4, 0.0]
    assert asked == [(pytest.approx(flipped),), (pytest.approx(0.25), 0.025, pytest.approx(flipped))]
    assert (made.needed, made.detectable, made.groups) == (500, 0.25, 3)
    effect = paired_seeds(model, np.array([[0.5, 0.0, 0.0, 0.5]]), groups=["x", "x", "y", "z"])
    assert (made.gain, made.low, made.high, made.p) == (effect.value, effect.low, effect.high, effect.p)


@pytest.mark.parametrize(
    ("summary", "sentences"),
    [
        (ExamSummary(0, 4, 0.0, 0, 0.6), "0 of 4 predictions are right, 4 are wrong. All are wrong."),
        (ExamSummary(4, 4, 1.0, 0.4, 1), "4 of 4 predictions are right, 0 are wrong. None is wrong here."),
        (ExamSummary(96, 100, 0.96, 0.9, 1),
         "96 of 100 predictions are right, 4 are wrong. Less than a tenth is wrong."),
        (ExamSummary(94, 100, 0.94, 0.9, 1), "94 of 100 predictions are right, 6 are wrong. About 1 of 10 are wrong."),
        (ExamSummary(1, 100, 0.01, 0, 0.1),
         "1 of 100 predictions are right, 99 are wrong. About 10 of 10 are wrong."),
        (ExamSummary(2, 10, 0.415, 0.3, 0.5, partly=5),
         "2 of 10 predictions are fully right, 5 are partly right, 3 are wrong. On average a prediction scores 0.41, "
         "where 1 is fully right."),
        (ExamSummary(9, 10, 0.9, 0.6, 0.98, 0.6),
         "9 of 10 predictions are right, 1 are wrong. Good enough: 0.900 [0.600, 0.980], and 0.6 is required."),
        (ExamSummary(9, 10, 0.9, 0.6, 0.98, 0.98),
         "9 of 10 predictions are right, 1 are wrong. Whether it is good enough is not certain: 0.900 "
         "[0.600, 0.980], and 0.98 is required."),
        (ExamSummary(9, 10, 0.9, 0.6, 0.98, 0.99, partly=1),
         "9 of 10 predictions are fully right, 1 are partly right, 0 are wrong. Not good enough: 0.900 "
         "[0.600, 0.980], and 0.99 is required."),
    ],
)  # fmt: skip
def test_an_exam_is_summed_up_in_these_sentences(summary: ExamSummary, sentences: str) -> None:
    assert str(summary_message(summary)) == sentences


def test_numbers_are_written_like_this() -> None:
    assert [str(p_text(p)) for p in (1.0, 0.0123, 0.0001, 0.000099)] == [
        "p = 1",
        "p = 0.012",
        "p = 0.0001",
        "p < .0001",
    ]
    assert [str(items_text(*one)) for one in ((7,), (7, 0), (7, 7), (7, 3))] == [
        "7 items", "7 items", "7 items", "7 items in 3 groups",
    ]  # fmt: skip
