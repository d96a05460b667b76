"""The rival is chosen without looking at the exam, or the verdict pays for the look."""

from __future__ import annotations

import numpy as np
import pytest

from terakoya.scoring.statistics.decision import decide, max_type_stretch
from terakoya.scoring.statistics.good_enough import ExamSummary, summary_message
from terakoya.scoring.statistics.paired import flipped_units
from terakoya.scoring.statistics.verdict import verdict
from terakoya.scoring.statistics.wording import p_text


def _scores(seed: int, n: int, *shares: float) -> np.ndarray:
    return (np.random.default_rng(seed).random((len(shares), n)) < np.array(shares)[:, None]) * 1.0


def _ruled_out(dev: bool) -> int:
    """Wrong "ruled out" in 200 exams: the model is better by exactly the smallest gain, six baselines are equal."""
    wrong = 0
    for seed in range(200):
        model, *others = _scores(seed, 200, 0.5, *[0.4] * 6)
        baselines = {f"b{number}": scores for number, scores in enumerate(others)}
        made = decide(model, baselines, smallest_gain=0.1, dev=dict.fromkeys(baselines, 0.4) if dev else None)
        wrong += made.state == "not learned"
    return wrong


@pytest.mark.parametrize("dev", [True, False])
def test_a_gain_that_is_there_is_not_ruled_out_however_many_baselines(dev: bool) -> None:
    """The best of six on the exam itself ruled out a true gain in 11 of 100 cases."""
    assert _ruled_out(dev) <= 12  # 2.5% of 200 and three standard errors


def test_dev_chooses_the_rival() -> None:
    model, first, second = _scores(0, 300, 0.9, 0.4, 0.4)
    made = verdict(model, {"first": first, "second": second}, dev={"first": 0.3, "second": 0.5})
    assert (made.best, made.chosen, made.state) == ("second", "dev", "learned")
    assert "chosen on dev" in made.words()
    assert verdict(model, {"first": first, "second": second}).chosen == "exam"


def test_a_rival_that_dev_chose_badly_does_not_make_a_model_learned() -> None:
    """The model equals the best baseline; dev was so small that it named a worse one."""
    model, worse = _scores(4, 300, 0.6, 0.3)
    made = verdict(model, {"worse": worse, "equal": model}, dev={"worse": 0.9, "equal": 0.1})
    assert (made.state, made.close) == ("cannot be told", "equal")
    assert "did about as well" in made.words()


def test_the_correction_grows_with_the_number_of_different_baselines() -> None:
    differences = list(np.random.default_rng(2).normal(size=(6, 200)))
    assert max_type_stretch(differences[:1]) == 1
    assert max_type_stretch([differences[0]] * 6) == pytest.approx(1, abs=0.03)
    two, six = max_type_stretch(differences[:2]), max_type_stretch(differences)
    assert two == pytest.approx(2.24 / 1.96, abs=0.04)  # Šidák's quantile for two independent ones
    assert six == pytest.approx(2.64 / 1.96, abs=0.04)


def test_learned_says_where_the_gain_is_too_small_to_be_worth_having() -> None:
    model = np.ones(60_000)
    baseline = model.copy()
    baseline[:120] = 0
    made = verdict(model, {"constant": baseline})
    assert made.state == "learned"
    assert made.words().startswith("Learned, but less than is worth having: a gain of 0.02 or more is ruled out.")
    assert "p < .0001" in made.words()


def test_no_p_value_is_written_as_zero() -> None:
    assert str(p_text(0.0)) == "p < .0001"
    assert str(p_text(0.034)) == "p = 0.034"


def test_flipped_units_keep_the_mean() -> None:
    row = np.array([1.0, 0.0, 1.0, -1.0, 1.0])
    assert flipped_units(row, ["a", "a", "b", "c", "c"]).mean() == pytest.approx(row.mean())


def test_the_first_sentences_are_plain_numbers() -> None:
    plain = ExamSummary(14, 35, 0.4, 0.256, 0.564)
    assert str(summary_message(plain)) == "14 of 35 predictions are right, 21 are wrong. About 6 of 10 are wrong."
    asked = ExamSummary(14, 35, 0.4, 0.256, 0.564, 0.9)
    assert str(summary_message(asked)).endswith("Not good enough: 0.400 [0.256, 0.564], and 0.9 is required.")
    assert "not certain" in str(summary_message(ExamSummary(14, 35, 0.4, 0.256, 0.564, 0.5)))
    assert "Good enough" in str(summary_message(ExamSummary(35, 35, 1.0, 0.9, 1.0, 0.9)))
    graded = ExamSummary(2, 10, 0.41, 0.3, 0.5, partly=5)
    assert "2 of 10 predictions are fully right, 5 are partly right, 3 are wrong. On average" in str(
        summary_message(graded)
    )


def test_a_small_dev_that_chose_badly_does_not_make_a_model_learned_more_often() -> None:
    """One baseline is as good as the model, five are worse, dev has 50 items: it was learned in 8 of 100 cases."""
    rng, learned = np.random.default_rng(5), 0
    for seed in range(300):
        model, *others = (rng.random((7, 200)) < np.array([0.5, 0.5, *[0.4] * 5])[:, None]) * 1.0
        baselines = {f"b{number}": row for number, row in enumerate(others)}
        shares = (0.5, *[0.4] * 5)
        dev = {name: float((rng.random(50) < share).mean()) for name, share in zip(baselines, shares, strict=True)}
        learned += decide(model, baselines, dev=dev, seed=seed, resamples=50, draws=50).state == "learned"
    assert learned <= 15  # 2.5% of 300 and three standard errors


def test_on_a_small_exam_six_equal_baselines_do_not_hide_a_large_gain() -> None:
    """Ten items and no dev: the exact test against each of six finds it in 6 of 100 cases."""
    rng, learned = np.random.default_rng(6), 0
    for seed in range(100):
        model, *others = (rng.random((7, 10)) < np.array([1.0, *[0.4] * 6])[:, None]) * 1.0
        baselines = {f"b{number}": row for number, row in enumerate(others)}
        learned += decide(model, baselines, seed=seed, resamples=50, draws=50).state == "learned"
    assert learned >= 20


def test_the_verdict_pays_for_the_settings_that_were_tried_on_the_exam() -> None:
    model, baseline = np.zeros(100), np.zeros(100)
    model[:62], baseline[22:70] = 1, 1  # 22 wins, 8 losses
    once = verdict(model, {"constant": baseline})
    assert once.state == "learned"
    assert 0.05 / 5 < once.p < 0.05
    fifth = verdict(model, {"constant": baseline}, openings=5)
    assert fifth.state == "cannot be told"
    assert "opened with 5 different settings: the verdict is corrected for that" in fifth.words()
    ruled_out = verdict(baseline, {"constant": model})
    assert ruled_out.state == "not learned"
    assert verdict(baseline, {"constant": model}, openings=10**6).state == "cannot be told"


def test_a_recipe_with_several_seeds_is_judged_on_both_levels() -> None:
    """Two seeds far apart: the items alone show a gain, the recipe does not."""
    first, second, baseline = _scores(8, 400, 0.9, 0.55, 0.5)
    assert verdict((first + second) / 2, {"constant": baseline}).state == "learned"
    recipe = verdict(np.stack([first, second]), {"constant": baseline}, trained=True)
    assert recipe.state == "cannot be told"
    assert recipe.seeds == (first.mean(), second.mean())
    assert "Over 2 seeds" in recipe.words()
    one = verdict(first, {"constant": baseline}, trained=True)
    assert "This is one model: another seed may differ" in one.words()
    assert "seed" not in verdict(first, {"constant": baseline}).words()


def test_one_baseline_is_tested_by_the_exact_p() -> None:
    """The mid-p is for a baseline that the exam chose among several; with one it would be too small."""
    model, other = np.ones(12), np.array([0.0] * 6 + [1.0] * 6)
    assert decide(model, {"only": other}).effect.p == pytest.approx(2 * 0.5**6)
    assert decide(model, {"only": other, "other": other}).effect.p == pytest.approx(0.5**6)
