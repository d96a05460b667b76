"""Intervals, groups, learning curves, calibration and promises against values by hand or from scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import binom, binomtest, norm
from scipy.stats import t as student

from terakoya.errors import DataError
from terakoya.records import Signature
from terakoya.scoring.collapse import collapse_onset
from terakoya.scoring.health import health, repeated_labels, repeated_text
from terakoya.scoring.perplexity import (
    UNICODE,
    NegativeLogLikelihood,
    bits_per_character,
    character_frequency_nll,
    perplexity,
    unseen_probability,
    with_escape,
)
from terakoya.scoring.statistics import intervals, power_law, recalibration
from terakoya.scoring.statistics.calibration import Bin, calibration, spiegelhalter_p
from terakoya.scoring.statistics.clusters import (
    count_groups,
    effective_items,
    effective_pairs,
    group_index,
    group_sums,
    group_values,
)
from terakoya.scoring.statistics.intervals import (
    bca,
    bootstrap_means,
    make_score,
    max_unseen_share,
    mean_interval,
    score_array,
    t_interval,
    wilson,
)
from terakoya.scoring.statistics.power_law import Expectation, PowerLaw, extrapolate, fit_power_law
from terakoya.scoring.statistics.promise import highest_promise, items_for_promise, promise_threshold
from terakoya.scoring.statistics.recalibration import (
    ProbabilityMap,
    fit_probability_map,
    logit,
    out_of_fold_probabilities,
)

Z = 1.959963984540054


def _seen_share(seen: int, n: int) -> float:
    """The upper end of the exact 95% interval of a share."""
    return float(binomtest(seen, n).proportion_ci(method="exact").high)


def test_items_are_numbered_by_their_groups() -> None:
    """Each "" is an item alone; a name that looks like a position is a name."""
    assert group_index(None, 3) is None
    assert group_index(["a", "b", "c"], 3) is None and group_index(["", "", ""], 3) is None
    found = group_index(["b", "", "a", "b", "", "1", "a"], 7)
    assert found is not None and found.tolist() == [0, 1, 2, 0, 3, 4, 2]
    assert (count_groups(None, 7), count_groups(found, 7)) == (7, 5)
    with pytest.raises(DataError, match="4 groups for 3 items") as caught:
        group_index(["a"] * 4, 3)
    assert caught.value.do == "Give one group for each item, an empty one where it stands alone."


def test_sums_of_groups_of_one_row_and_of_several() -> None:
    index = np.array([0, 1, 0, 2])
    assert group_sums(np.array([1.0, 2.0, 4.0, -1.0]), index).tolist() == [5.0, 2.0, -1.0]
    table = np.array([[1.0, 2.0, 4.0, -1.0], [0.0, 0.5, 0.25, 1.0]])
    assert group_sums(table, index).tolist() == [[5.0, 2.0, -1.0], [0.25, 0.5, 1.0]]
    assert group_sums(table[:1], index).tolist() == [[5.0, 2.0, -1.0]]


def test_values_of_groups_have_the_mean_of_the_items() -> None:
    """By hand: the mean is 1.5; groups miss it by 2, .5 and -2.5 in sum, times 3 / 4."""
    found = group_values(np.array([1.0, 2.0, 4.0, -1.0]), np.array([0, 1, 0, 2]))
    assert found.tolist() == pytest.approx([1.5 + 2 * 0.75, 1.5 + 0.5 * 0.75, 1.5 - 2.5 * 0.75])


def test_too_few_groups_that_differ_count_as_items_of_one_kind() -> None:
    """Four groups of the ten differ from the usual answer: n² over the sum of squared sizes; the fifth is estimated."""
    index = np.repeat(np.arange(10), 3)
    four, five = (np.repeat([1.0] * right + [0.0] * (10 - right), 3) for right in (6, 5))
    assert effective_items(four, index) == pytest.approx(10.0)
    quantiles = (student.ppf(0.975, 29) / student.ppf(0.975, 9)) ** 2
    assert effective_items(five, index) == pytest.approx(30 * (0.25 / 30) / (0.25 * 10 / 9 / 10) * quantiles)
    uneven = np.array([0, 0, 0, 0, 1, 1, 2])
    assert effective_items(np.array([1.0, 1, 1, 1, 0, 0, 1]), uneven) == pytest.approx(49 / 21)
    assert effective_pairs(np.array([1.0, 1, 1, 1, 0, 0, -1]), uneven) == pytest.approx(49 / 21)
    assert effective_pairs(np.ones(30), index) == pytest.approx(10.0)


@pytest.mark.parametrize(("right", "n"), [(23, 40), (2, 9), (0.5, 3.5), (7.25, 8.5)])
def test_the_ends_of_wilsons_interval_are_just_not_rejected(right: float, n: float) -> None:
    """Each end lies 1.96 of its own standard errors from the share."""
    for end in wilson(right, n):
        assert abs(right / n - end) == pytest.approx(Z * math.sqrt(end * (1 - end) / n))
    assert wilson(0, n) == pytest.approx((0.0, Z**2 / (n + Z**2))) and wilson(n, n)[1] == 1.0
    with pytest.raises(DataError, match="a share of no items has no interval") as caught:
        wilson(0, 0)
    assert caught.value.do == "Give the exam at least one item."


def test_what_n_items_may_hide_is_the_exact_bound() -> None:
    for seen, n in ((0, 10), (1, 40), (4, 5)):
        assert max_unseen_share(seen, n) == pytest.approx(_seen_share(seen, n))
    assert max_unseen_share(3, 3) == max_unseen_share(4, 3) == 1.0


def test_scores_are_one_row_of_finite_numbers() -> None:
    assert score_array([1, 0.5]).tolist() == [1.0, 0.5]
    for values in ([], [[0.5]]):
        with pytest.raises(DataError, match=r"there are no marks") as caught:
            score_array(values, "marks")  # type: ignore[arg-type]
        assert caught.value.do == "Give the exam at least one item."
    with pytest.raises(DataError, match=r"marks: item 3 is -inf, which is not finite") as caught:
        score_array([0.0, 1.0, -math.inf, math.nan], "marks")
    assert caught.value.do == "Correct the metric: a score is a finite number."


def test_bounds_are_kept_and_named() -> None:
    for values, bounds, words in (
        ([0.5, 1.01], (0.0, 1.0), "outside 0 to 1"), ([-0.01], (0.0, 1.0), "outside 0 to 1"),
        ([3.0], (-2.5, 2.5), "outside -2.5 to 2.5"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=words) as caught:
            mean_interval(values, bounds=bounds)
        assert caught.value.do == "Correct the metric, or pass its bounds."
    assert mean_interval([1.0 + 1e-10, 0.0]).n == 2
    narrow = mean_interval([0.1, 0.9, 0.0, 1.0, 0.05])
    assert narrow.low == 0.0 and narrow.high <= 1.0


def test_each_kind_of_score_gets_its_interval() -> None:
    """Shares by Wilson, some dozen graded scores by Student, more by resampling, equal ones by what may be hidden."""
    assert mean_interval([1.0, 0.0, 1.0]).method == "wilson"
    assert mean_interval([1.0, 0.0, 1.0], bounds=(-1.0, 1.0)).method == "t"
    rng = np.random.default_rng(1)
    graded = rng.random(40)
    assert (mean_interval(graded[:39]).method, mean_interval(graded).method) == ("t", "bca")
    assert (mean_interval([0.5]).method, mean_interval([0.5, 0.5]).method) == ("hidden", "hidden")
    row = graded[:12]
    half = student.ppf(0.975, 11) * row.std(ddof=1) / math.sqrt(12)
    found = mean_interval(row)
    assert (found.low, found.value, found.high) == pytest.approx((row.mean() - half, row.mean(), row.mean() + half))
    assert (found.n, found.groups) == (12, 0) and t_interval(row) == pytest.approx((found.low, found.high))


@pytest.mark.parametrize("others", range(1, 6))
def test_rare_scores_widen_the_interval_by_what_may_be_hidden(others: int) -> None:
    """Fewer than five items differ from 39 or so that score .5: both ends lie at the exact bound or beyond."""
    row = [0.5] * (100 - others) + [0.6] * others
    found = mean_interval(row)
    share = _seen_share(others, 100)
    wide = (pytest.approx(0.5 - share * 0.5), pytest.approx(0.5 + share * 0.5))
    assert ((found.low, found.high) == wide) == (others < 5)
    assert mean_interval(row, bounds=(0.5, 0.75)).high == (
        pytest.approx(0.5 + share * 0.25) if others < 5 else pytest.approx(found.high)
    )


def test_rare_scores_of_groups_are_counted_in_groups() -> None:
    """Thirty items of ten groups, of which one differs: the bound of one in ten, not of three in thirty."""
    names = [f"g{item // 3}" for item in range(30)]
    found = mean_interval([0.5] * 27 + [0.6] * 3, groups=names)
    share = _seen_share(1, 10)
    assert (found.low, found.high) == pytest.approx((0.5 - share / 2, 0.5 + share / 2))
    assert (found.n, found.groups) == (30, 10)


def test_shares_of_groups_have_wilsons_interval_of_their_effective_number() -> None:
    names = [f"g{item // 3}" for item in range(30)]
    found = mean_interval([1.0] * 18 + [0.0] * 12, groups=names)
    assert (found.low, found.high) == pytest.approx(wilson(6, 10))
    assert (found.method, found.n, found.groups, found.value) == ("wilson", 30, 10, 0.6)


def test_graded_groups_of_alike_items_are_resampled_as_items() -> None:
    row = np.random.default_rng(3).random(60)
    names = [f"g{item // 2}" for item in range(120)]
    alone, grouped = mean_interval(row, seed=2), mean_interval(np.repeat(row, 2), seed=2, groups=names)
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high)) and grouped.method == "bca"


def test_means_of_resamples_scatter_as_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """By counts where values repeat, one by one elsewhere, in one batch or in several."""
    rng = np.random.default_rng(0)
    few, many = np.repeat([0.0, 0.25, 1.0], [30, 20, 10]), np.linspace(0, 1, 60) ** 2
    for row in (few, many):
        for cells in (4_000_000, 60 * 700):
            monkeypatch.setattr(intervals, "MAX_CELLS", cells)
            means = bootstrap_means(row, rng, 5000)
            assert means.shape == (5000,)
            assert means.mean() == pytest.approx(row.mean(), abs=0.004)
            assert means.std() == pytest.approx(row.std() / math.sqrt(60), rel=0.05)
    assert bca([0.25] * 50) == (0.25, 0.25)


def test_a_score_names_whose_it_is() -> None:
    signature = Signature("exam", "f1|v:1", "greedy", "text", "")
    values = [0.5, 0.25, 1.0, 0.0]
    made, found = make_score("copy", "f1", values, signature, subset="by hand", seed=3), mean_interval(values, seed=3)
    assert (made.value, made.low, made.high, made.n) == (found.value, found.low, found.high, 4)
    assert [made.signature, made.subset, made.groups] == [signature, "by hand", 0]
    assert "copy" in repr(made) and "f1" in repr(made)
    many = np.random.default_rng(2).random(50)
    plain, first = make_score("copy", "f1", many, signature), mean_interval(many, seed=0, resamples=2000)
    assert (plain.low, plain.high, plain.subset) == (first.low, first.high, "")


def test_a_power_law_is_fitted_by_least_squares_of_logarithms() -> None:
    rows, errors = [50, 100, 200, 800], [0.6, 0.5, 0.3, 0.0]
    slope, intercept = np.polyfit(np.log(rows), np.log([0.6, 0.5, 0.3, 0.01]), 1)
    law = fit_power_law(rows, errors, 0.01)
    assert (law.factor, law.exponent) == pytest.approx((math.exp(intercept), -slope))
    assert PowerLaw(2.0, 0.5).score(16) == 0.5
    assert (PowerLaw(2.0, 0.5).score(1), PowerLaw(-1.0, 0.5).score(4)) == (0.0, 1.0)


def test_what_lies_off_the_curve_scatters_as_a_regression_does() -> None:
    """The standard error of a new observation, by the matrix of the regression."""
    rows, errors, at = np.array([50.0, 100.0, 400.0, 800.0]), np.array([0.6, 0.5, 0.2, 0.0]), 1600
    x = np.stack([np.ones(4), np.log(rows)], axis=1)
    y = np.log(np.maximum(errors, 0.02))
    residual = y - x @ np.linalg.lstsq(x, y)[0]
    new = np.array([1.0, math.log(at)])
    variance = residual @ residual / 2 * (1 + new @ np.linalg.inv(x.T @ x) @ new)
    assert power_law._scatter(rows, errors, 0.02, at) == pytest.approx(math.sqrt(variance))
    assert power_law._scatter(rows[:2], errors[:2], 0.02, at) == 0.0
    assert power_law._scatter(rows[:3], np.array([0.4, 0.2, 0.05]), 0.02, at) == pytest.approx(0.0, abs=1e-9)


def test_scores_that_do_not_scatter_are_extrapolated_without_doubt() -> None:
    """Errors .5 and .25 at 100 and 200 rows: .125 at 400."""
    scores = np.stack([np.full((1, 30), 0.5), np.full((1, 30), 0.75)])
    found = extrapolate([100, 200], scores, 400)
    assert found.rows == 400 and (found.value, found.low, found.high) == pytest.approx((0.875, 0.875, 0.875))
    perfect = extrapolate([100, 200], np.ones((2, 1, 30)), 400)
    assert (perfect.value, perfect.low, perfect.high) == pytest.approx((1 - 0.5 / 30,) * 3)


def test_sizes_off_the_curve_widen_its_interval() -> None:
    """Items do not scatter, the curve does: the ends are those of a log-normal error."""
    rows, errors = [100, 200, 400], [0.5, 0.2, 0.2]
    scores = np.stack([np.full((1, 30), 1 - error) for error in errors])
    found = extrapolate(rows, scores, 800, resamples=20_000)
    law = fit_power_law(rows, errors, 1e-9)
    scatter = power_law._scatter(np.array(rows, dtype=float), np.array(errors), 1e-9, 800)
    error = law.factor * 800**-law.exponent
    assert found.value == pytest.approx(1 - error)
    assert (found.low, found.high) == pytest.approx(
        (max(0.0, 1 - error * math.exp(Z * scatter)), 1 - error * math.exp(-Z * scatter)), abs=0.02
    )


def test_seeds_that_scatter_move_each_size() -> None:
    """Two sizes: the logarithm at twice the larger one is 2·y₂ - y₁, and each y scatters by its seeds."""
    away = 0.005
    scores = np.stack([np.stack([np.full(30, mean - away), np.full(30, mean + away)]) for mean in (0.5, 0.75)])
    found = extrapolate([100, 200], scores, 400, resamples=20_000)
    spread = away * math.sqrt(2) / math.sqrt(2)
    logarithm = math.hypot(spread / 0.5, 2 * spread / 0.25)
    assert found.value == pytest.approx(0.875)
    assert (found.low, found.high) == pytest.approx(
        (1 - 0.125 * math.exp(Z * logarithm), 1 - 0.125 * math.exp(-Z * logarithm)), abs=0.0015
    )


def test_groups_of_alike_items_are_extrapolated_as_items() -> None:
    scores = np.random.default_rng(4).random((3, 2, 20)) * 0.5 + np.array([0.1, 0.2, 0.3])[:, None, None]
    names = [f"g{item // 3}" for item in range(60)]
    alone = extrapolate([50, 100, 200], scores, 400, seed=5, resamples=400)
    grouped = extrapolate([50, 100, 200], np.repeat(scores, 3, axis=2), 400, groups=names, seed=5, resamples=400)
    assert (grouped.value, grouped.low, grouped.high) == pytest.approx((alone.value, alone.low, alone.high))
    other = extrapolate([50, 100, 200], scores, 400, seed=6, resamples=400)
    assert isinstance(other, Expectation) and other.low != alone.low and other.low <= other.value <= other.high


def test_a_table_of_probabilities_and_shares_by_hand() -> None:
    """Two bins of five: .1, .1, .2, .2, .4 with one right, .5, .6, .8, .9, 1 with four."""
    said = [0.9, 0.1, 0.5, None, 0.2, 1.0, 0.1, 0.8, 0.4, 0.6, 0.2]
    right = [True, False, True, True, False, True, False, False, True, True, False]
    made = calibration(said, right)
    assert made is not None and made.n == 10
    assert made.table == (
        Bin(5, pytest.approx(0.2), 0.2, *wilson(1, 5)),
        Bin(5, pytest.approx(0.76), 0.8, *wilson(4, 5)),
    )
    assert made.error == pytest.approx(0.5 * 0.0 + 0.5 * 0.04)
    squares = [0.01, 0.01, 0.04, 0.04, 0.36, 0.25, 0.16, 0.64, 0.01, 0.0]
    assert made.brier == pytest.approx(sum(squares) / 10)
    one = calibration(said, right, bins=1)
    assert one is not None and one.table == (Bin(10, pytest.approx(0.48), 0.5, *wilson(5, 10)),)
    with pytest.raises(DataError, match=r"1\.5 is no probability") as caught:
        calibration([0.5, 1.5], [True, True])
    assert caught.value.do == "Probabilities lie between 0 and 1."
    with pytest.raises(DataError, match=r"-0\.1 is no probability"):
        calibration([-0.1], [True])


def test_equal_probabilities_stay_in_one_bin() -> None:
    made = calibration([0.1] * 3 + [0.5] * 9 + [0.9] * 8, [True] * 20, bins=4)
    assert made is not None and [(one.n, one.confidence) for one in made.table] == [
        (12, pytest.approx(0.4)), (8, pytest.approx(0.9)),
    ]  # fmt: skip
    whole = calibration([0.5] * 20, [True] * 20)
    assert whole is not None and [one.n for one in whole.table] == [20]


def test_spiegelhalters_test_by_hand() -> None:
    """The sum of (right - p)(1 - 2p) over the root of its variance."""
    said, right = [0.9, 0.8, 0.3, 0.6], [False, True, True, False]
    off = sum((r - p) * (1 - 2 * p) for p, r in zip(said, right, strict=True))
    variance = sum((1 - 2 * p) ** 2 * p * (1 - p) for p in said)
    assert spiegelhalter_p(said, right) == pytest.approx(2 * norm.sf(abs(off) / math.sqrt(variance)))
    assert spiegelhalter_p([0.0, 1.0, 0.5], [True, False, True]) == 1.0


def test_log_odds_are_clipped_alike_on_both_sides() -> None:
    assert logit(0.8) == pytest.approx(math.log(4)) and logit(0.5) == 0.0
    assert logit(1.0) == pytest.approx(14.0) and logit(0.0) == pytest.approx(-14.0)
    assert ProbabilityMap()(0.3) == pytest.approx(0.3) and ProbabilityMap(2.0)(0.8) == pytest.approx(16 / 17)


def test_a_map_is_the_minimum_of_its_loss() -> None:
    """Platt's smoothed targets and a small pull to the identity, minimised by another method."""
    rng = np.random.default_rng(6)
    said = rng.random(40)
    right = rng.random(40) < said**2
    hits = int(right.sum())
    targets = np.where(right, (hits + 1) / (hits + 2), 1 / (40 - hits + 2))
    odds = np.log(said / (1 - said))

    def loss(weights: np.ndarray) -> float:
        z = weights[0] * odds + weights[1]
        pull = 0.025 * ((weights[0] - 1) ** 2 + weights[1] ** 2)
        return float((np.logaddexp(0, z) - targets * z).sum() + pull)

    wanted = minimize(loss, [1.0, 0.0], tol=1e-10).x
    found = fit_probability_map([0.0, *said.tolist()], [True, *right.tolist()])
    assert (found.slope, found.intercept) == pytest.approx(tuple(wanted), abs=1e-4)


def test_probabilities_that_say_the_opposite_become_the_share() -> None:
    """With the targets of Platt: 10 of 20 are right."""
    found = fit_probability_map([0.9] * 10 + [0.1] * 10, [False] * 10 + [True] * 10)
    assert found == ProbabilityMap(0.0, pytest.approx(0.0))
    more = fit_probability_map([0.9] * 10 + [0.1] * 10, [False] * 10 + [True] * 8 + [False] * 2)
    share = (8 * 9 / 10 + 12 * 1 / 14) / 20
    assert more == ProbabilityMap(0.0, pytest.approx(math.log(share / (1 - share))))
    assert fit_probability_map([0.9] * 9, [False] * 9) == ProbabilityMap()
    assert fit_probability_map([0.9] * 10, [False] * 10) != ProbabilityMap()
    assert recalibration.FEWEST == 10


def test_each_fold_is_mapped_by_the_others() -> None:
    said, right = [0.3 + 0.01 * at for at in range(30)], [at % 3 != 0 for at in range(30)]
    found = out_of_fold_probabilities(said, right)
    assert len(found) == 30
    for at in (0, 7, 29):
        kept = [other for other in range(30) if other % 5 != at % 5]
        fitted = fit_probability_map([said[other] for other in kept], [right[other] for other in kept])
        assert found[at] == fitted(said[at])


@pytest.mark.parametrize(("wrong", "choices"), [(0, 1), (2, 1), (5, 1), (5, 3), (30, 1)])
def test_a_promise_is_the_largest_part_that_passes_its_test(wrong: int, choices: int) -> None:
    """The exact binomial test at .05 over the number of parts that are tried, each four fifths of the one before."""
    n, share = 300, 0.95
    scores = [1 - at / n for at in range(n)]
    right = [at < 200 or at >= 200 + wrong for at in range(n)]
    sizes, size = [], n
    while size >= items_for_promise(share, choices=choices):
        sizes.append(size)
        size = int(size * 0.8)
    found = promise_threshold(scores, right, share, choices=choices)
    level = 0.05 / (len(sizes) * choices)
    passing = [m for m in sizes if binom.cdf(m - sum(right[:m]), m, 1 - share) <= level]
    assert found.covered == passing[0] and found.right == sum(right[: passing[0]])
    assert found.threshold == (-math.inf if passing[0] == n else scores[passing[0]])
    assert found.kept and (found.n, found.share, found.choices) == (n, share, choices)


def test_so_many_right_predictions_are_enough_for_a_promise() -> None:
    """The fewest with share ** n at or below .05, divided by the choices."""
    for share, choices in ((0.99, 1), (0.9, 1), (0.9, 4), (0.5, 2)):
        least = items_for_promise(share, choices=choices)
        assert share**least <= 0.05 / choices + 1e-12 < share ** (least - 1)
    assert highest_promise([0.9] * 60, [True] * 60) == 0.95
    assert highest_promise([0.9] * 60, [True] * 60, choices=10) == 0.9
    assert highest_promise([0.9] * 60, [False] * 60) == 0.0


def test_perplexity_has_the_interval_of_a_ratio() -> None:
    """The linearised ratio of nats to tokens, by Student's t."""
    references = [NegativeLogLikelihood(3.0, 2, 4), NegativeLogLikelihood(5.0, 4, 3), NegativeLogLikelihood(1.0, 3, 5)]
    for found, costs, sizes in (
        (perplexity(references), [3.0, 5.0, 1.0], [2, 4, 3]),
        (bits_per_character(references), [nats / math.log(2) for nats in (3.0, 5.0, 1.0)], [4, 3, 5]),
    ):
        value = sum(costs) / sum(sizes)
        square = sum((cost - value * size) ** 2 for cost, size in zip(costs, sizes, strict=True))
        half = student.ppf(0.975, 2) * math.sqrt(3 / 2 * square) / sum(sizes)
        ends = (value, max(0.0, value - half), value + half)
        wanted = tuple(map(math.exp, ends)) if found.value == pytest.approx(math.exp(value)) else ends
        assert (found.value, found.low, found.high) == pytest.approx(wanted)
        assert (found.n, found.method) == (3, "t")
    huge = perplexity([NegativeLogLikelihood(1e9, 1, 1)] * 2)
    assert huge.value == pytest.approx(math.exp(700))


def test_characters_that_were_never_seen_have_a_price() -> None:
    """By hand: aab and abc hold a three times, b twice and c once; with two ends that is 8, and 13 after smoothing."""
    assert unseen_probability(["ab", "c"]) == 0.5 and unseen_probability(["aabb"]) == 0.0
    (found,) = character_frequency_nll(["aab", "abc"], ["acx"])
    assert (found.tokens, found.characters) == (4, 3)
    counts = math.log(13 / 4) + math.log(13 / 2) + math.log(13 / 3)
    assert found.nats == pytest.approx(counts + math.log(13 * UNICODE))
    known = NegativeLogLikelihood(2.0, 5, 4)
    assert with_escape(known, 0, 0.1) == NegativeLogLikelihood(pytest.approx(2.0 - 5 * math.log(0.9)), 5, 4)
    paid = 2.0 - 5 * math.log(0.9) + 3 * math.log(UNICODE / 0.1)
    assert with_escape(known, 3, 0.1) == NegativeLogLikelihood(pytest.approx(paid), 8, 7)
    assert with_escape(known, 0, 0.0) == known


def test_predictions_seen_together_by_hand() -> None:
    """Of ten: b three times, a twice (first by name of equals), five others once, none unreadable but one."""
    seen = health(["b", "b", "a", "a", "c", "d", "e", "f", None, "b"])
    assert (seen.n, seen.top, seen.distinct) == (10, "b", 6)
    assert seen.top_share == pytest.approx(3 / 9) and seen.outside_top == pytest.approx(1 / 9)
    assert seen.unreadable == pytest.approx(0.1)
    shares = [3 / 9, 2 / 9, *[1 / 9] * 4]
    assert seen.entropy == pytest.approx(-sum(share * math.log(share) for share in shares))
    assert (seen.label_top, seen.label_top_share, seen.illegal, seen.repetition) == ("", 0.0, 0.0, 0.0)
    tied = health(["y z", "z y", None], labels=True, legal={"y"})
    assert (tied.top, tied.label_top, tied.label_top_share) == ("y z", "y", 0.5)
    assert (tied.illegal, tied.repetition) == (0.5, 0.0)
    none = health([None, None], labels=True)
    assert (none.top, none.top_share, none.outside_top, none.entropy, none.illegal) == ("", 0.0, 0.0, 0.0, 0.0)
    assert "top" not in none.values() and none.values()["unreadable"] == 1.0
    assert health([]).repetition == 0.0


def test_shares_that_repeat_by_hand() -> None:
    assert (repeated_labels("a b a a"), repeated_labels(""), repeated_labels("a b")) == (0.5, 0.0, 0.0)
    assert (repeated_text("abcdabcd"), repeated_text("abc"), repeated_text("aaaaa")) == (pytest.approx(0.2), 0.0, 0.5)
    assert repeated_text("abab", 2) == pytest.approx(1 / 3)
    assert health(["abcdabcd", "ab"]).repetition == pytest.approx(0.1)


def test_a_collapse_begins_at_the_first_of_three_low_evaluations() -> None:
    low, well, blind = (
        {"distinct_share": share, "gain": gain} for share, gain in ((0.04, 0.002), (0.05, 0.0), (0.01, 0.0021))
    )
    assert collapse_onset([]) is None and collapse_onset([low, low]) is None
    assert collapse_onset([low, low, low]) == 0 and collapse_onset([low, well, low, low, low, low]) == 2
    assert collapse_onset([low, low, well, low, low, blind]) is None
