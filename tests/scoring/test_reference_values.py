"""Statistics and baselines against values made another way: by hand, by brute force, by a formula written out again."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy.stats import t as student

from terakoya.records import Example, Signature
from terakoya.scoring.baselines.label_counts import count_labels
from terakoya.scoring.baselines.nearest_neighbour import k_nearest_rows
from terakoya.scoring.baselines.standard import make_baselines, name_lexicon
from terakoya.scoring.error_analysis.exact_tests import Counts
from terakoya.scoring.error_analysis.properties import _named
from terakoya.scoring.metrics import exact, jaccard
from terakoya.scoring.statistics import verdict as verdicts
from terakoya.scoring.statistics.clusters import effective_items, effective_pairs, group_index
from terakoya.scoring.statistics.intervals import make_score
from terakoya.scoring.statistics.paired import DRAWS, Effect, grouped_permutation_p, least_p, paired
from terakoya.scoring.statistics.promise import promise_threshold
from terakoya.scoring.statistics.recalibration import ProbabilityMap, fit_probability_map

SOURCES = ("赤い花が咲く", "赤い鳥が鳴く", "青い花が散る", "花", "鳥と花", "xyz xyz", "雨が降る", "雨の花")


def _grams(text: str) -> Counter[str]:
    text = text.replace(" ", "")
    return Counter(text[at : at + n] for n in (1, 2, 3) for at in range(len(text) - n + 1))


def _similarity(one: str, other: str) -> float:
    """Cosine of TF-IDF weighted character 1- to 3-grams, written out."""
    holding = Counter(gram for source in SOURCES for gram in _grams(source))
    idf = {gram: math.log((1 + len(SOURCES)) / (1 + count)) + 1 for gram, count in holding.items()}
    sides = [{g: n * idf[g] for g, n in _grams(text).items() if g in idf} for text in (one, other)]
    lengths = [math.sqrt(sum(value**2 for value in side.values())) for side in sides]
    product = sum(value * sides[1].get(gram, 0.0) for gram, value in sides[0].items())
    return product / (lengths[0] * lengths[1]) if all(lengths) else 0.0


def test_similarity_is_the_cosine_of_weighted_n_grams() -> None:
    train = [Example(source, source[-1]) for source in SOURCES]
    for query in ("赤い花", "花が", "雨が降る日", "yz", "鳥"):
        (rows,) = k_nearest_rows(train, len(SOURCES))([query])
        assert {row.source: row.similarity for row in rows} == {
            source: pytest.approx(_similarity(query, source), abs=1e-8)
            for source in SOURCES
            if _similarity(query, source) > 1e-9
        }


def test_rows_that_are_equally_near_stay_in_text_order() -> None:
    """On every machine and however many are wanted."""
    train = [Example(f"{letter}x", str(number)) for number, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVW")]
    for count in (1, 2, 5, 20):
        (rows,) = k_nearest_rows(list(reversed(train)), count)(["x"])
        assert [row.source[0] for row in rows] == list("ABCDEFGHIJKLMNOPQRSTUVW")[:count]


@pytest.mark.parametrize("seed", range(6))
def test_the_effective_number_of_items_is_the_ratio_of_variances(seed: int) -> None:
    """n over the design effect (Kish 1965), with Student's quantiles of groups and of items (Korn and Graubard 1998);
    groups whose items differ from each other on purpose count as no more than n."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, 14)
    names = [f"g{group}" for group, size in enumerate(sizes) for _ in range(size)]
    index, n = group_index(names, len(names)), len(names)
    assert index is not None
    alike = rng.random(14)[index] < 0.5
    row = np.where(rng.random(n) < (0.8 if seed % 2 else 0.1), alike, rng.random(n) < 0.5) * 1.0
    differences = row - (rng.random(n) < 0.3)
    for values, found in ((row, effective_items(row, index)), (differences, effective_pairs(differences, index))):
        mean = values.mean()
        sums = np.array([(values[index == group] - mean).sum() for group in range(14)])
        between = (sums**2).sum() * 14 / 13 / n**2
        quantiles = (student.ppf(0.975, n - 1) / student.ppf(0.975, 13)) ** 2
        assert found == pytest.approx(min(n, n * quantiles * (values.var() / n) / between), rel=1e-9)
    assert any(effective < n for effective in (effective_items(row, index), effective_pairs(differences, index)))


def test_groups_that_balance_each_other_say_no_more_than_their_items() -> None:
    """Ten groups of one right and one wrong item each: their means do not scatter at all."""
    row, index = np.array([1.0, 0.0] * 10), group_index([f"g{item // 2}" for item in range(20)], 20)
    assert index is not None
    assert effective_items(row, index) == 20.0


def test_two_groups_have_a_standard_error() -> None:
    """By hand: group means 1 and 0 of equal size scatter by their difference over 2."""
    effect = paired([1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0], groups=["a", "a", "b", "b"])
    assert (effect.value, effect.groups, effect.wins, effect.losses) == (0.5, 2, 2, 0)
    assert effect.standard_error == pytest.approx(0.5) and effect.degrees_of_freedom == 1.0
    assert effect.standard_deviation == pytest.approx(math.sqrt(0.5))


def test_groups_flipped_together_give_the_p_of_groups_flipped_one_by_one() -> None:
    """Many groups of few different sums: binomial counts and single flips are one test."""
    sums = np.repeat([2.0, -1.0, 1.0], [14, 10, 16])
    rng = np.random.default_rng(3)
    flips = rng.choice([-1.0, 1.0], (40_000, sums.size))
    wanted = float((np.abs(flips @ sums) >= abs(sums.sum()) - 1e-9).mean())
    assert grouped_permutation_p(sums, draws=40_000) == pytest.approx(wanted, abs=0.004)
    assert grouped_permutation_p(np.concatenate([sums, np.zeros(30)]), draws=40_000) == pytest.approx(wanted, abs=0.004)


def test_the_smallest_p_is_that_of_all_flips() -> None:
    """Of one comparison where no family is given; Holm's first step multiplies it."""
    binary = paired([1.0] * 6, [0.0] * 6)
    assert least_p(binary) == 2.0**-5 and least_p(binary, 3) == 3 * 2.0**-5
    few = paired([0.5] * 6, [0.0] * 6)
    assert least_p(few) == 2.0**-5
    many = paired([0.5] * 60, [0.0] * 60)
    assert least_p(many) == 1 / (DRAWS + 1) and least_p(many, 2) == 2 / (DRAWS + 1)


def test_a_score_of_grouped_items_has_their_interval_and_number() -> None:
    values = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0] * 10
    signature = Signature("exam", "exact|v:1", "greedy", "text", "")
    names = [f"g{item // 3}" for item in range(60)]
    alone, grouped = (make_score("model", "exact", values, signature, groups=one) for one in (None, names))
    assert (alone.groups, grouped.groups, grouped.n) == (0, 20, 60)
    assert grouped.high - grouped.low > 1.4 * (alone.high - alone.low)


def test_an_undecided_verdict_says_how_many_items_the_gain_seen_would_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the larger of the gain seen and what it lacks to the smallest worth having, at the level that the settings
    tried leave; always more items than there are."""
    effect = paired([1.0] * 6 + [0.0] * 14, [0.0] * 4 + [1.0] * 3 + [0.0] * 13)
    asked: list[tuple[float, float]] = []

    def needed(_effect: Effect, gain: float, alpha: float, *, differences: np.ndarray) -> int | None:
        asked.append((round(gain, 9), alpha))
        return {0: 500, 1: 7, 2: None}[len(asked) - 1]

    monkeypatch.setattr(verdicts, "items_needed", needed)
    differences = np.zeros(20)
    assert effect.value == pytest.approx(0.15)
    assert verdicts._more_items(effect, 0.02, differences, 1) == 500
    assert verdicts._more_items(effect, 0.4, differences, 5) == 21
    assert verdicts._more_items(effect, 0.4, differences, 1) is None
    assert asked == [(0.15, 0.05), (0.25, 0.01), (0.25, 0.05)]


def test_a_promise_counts_what_it_was_made_with() -> None:
    scores = [item / 400 for item in range(400)]
    kept = promise_threshold(scores, [True] * 400, 0.98, choices=2)
    assert (kept.n, kept.choices, kept.share, kept.right) == (400, 2, 0.98, kept.covered) and kept.covered == 400
    refused = promise_threshold(scores, [False] * 400, 0.98)
    assert (refused.n, refused.choices, refused.threshold) == (400, 1, None)


def test_a_map_stretches_and_shifts_log_odds() -> None:
    """p / (1 - p) = 4: with slope 0.5 its root 2, with an intercept of log 3 then 6."""
    assert ProbabilityMap(0.5, math.log(3))(0.8) == pytest.approx(6 / 7)
    assert ProbabilityMap(0.5, -math.log(3))(0.8) == pytest.approx((2 / 3) / (5 / 3))
    assert ProbabilityMap(0.5, 1.0)(0.0) == 0.0
    # A model that says .9 and is right in half of the cases is drawn to .5.
    assert fit_probability_map([0.9] * 40, [True, False] * 20)(0.9) == pytest.approx(0.5, abs=0.05)


def test_a_length_is_named_as_a_length() -> None:
    counts = Counts(5, 6, 1, 20)
    for key, words in (
        (("source length", "10-12"), "sources of 10-12 characters: 5 of 6 wrong, elsewhere 1 of 20"),
        (("target length", "3"), "targets of 3 characters: 5 of 6 wrong, elsewhere 1 of 20"),
        (("tag topic", "rain"), "topic = rain: 5 of 6 wrong, elsewhere 1 of 20"),
        (("nearest", "0.4"), "sources unlike any training row (similarity below 0.4): 5 of 6 wrong, elsewhere 1 of 20"),
        (("text", "雨"), "sources with '雨': 5 of 6 wrong, elsewhere 1 of 20"),
    ):
        found = _named(key, counts, 0.001, (2, 3))
        assert found.message == words and found.key == key
        assert (found.family, found.wrong, found.n, found.wrong_elsewhere, found.n_elsewhere) == (
            "property",
            5,
            6,
            1,
            20,
        )
        assert (found.p, found.rows) == (0.001, (2, 3))


def test_every_baseline_stands_under_its_name() -> None:
    """Names are what a verdict, a table and `compare` know a baseline by."""
    train = [Example(f"文{number}", "b" if number % 3 else "a") for number in range(12)]
    made = make_baselines(train, (), metric=exact, canonical=str, labels=False, rule=str.upper)
    assert set(made) == {"constant", "most frequent", "nearest neighbour", "copy", "rule"}
    assert made["most frequent"]("x") == made["constant"]("x") == "b" and made["nearest neighbour"]("文3") == "a"
    assert made["copy"]("x") == "x" and made["rule"]("x") == "X"
    words = make_baselines(train, (), metric=jaccard, canonical=str, labels=True, names={"a": ("ア",)})
    assert set(words) == {"constant", "most frequent", "nearest neighbour", "copy", "word table", "name lexicon"}


def test_a_name_of_two_labels_is_the_more_frequent_one() -> None:
    """With as many labels as the largest training target has."""
    train = [Example("1", "cat"), Example("2", "lion"), Example("3", "lion"), Example("4", "lion dog")]
    lexicon = name_lexicon({"cat": ("ねこ",), "lion": ("ねこ",), "dog": ("いぬ",), "bird": ("とり",)}, train)
    assert lexicon("ねこ") == "lion" and lexicon("虫") is None
    assert lexicon("ねこといぬととり") == "lion dog"


def test_words_that_occur_once_are_counted_where_spaces_separate_them() -> None:
    """Rare words of a spaced language mean something; single character n-grams of an unspaced one do not."""
    spaced = count_labels([Example("rain today again", "a"), Example("sun today again", "b")])
    assert set(spaced.columns) == {"rain", "sun", "today", "again"}
    unspaced = count_labels([Example("雨の日曜日に出かける", "a"), Example("雪の日曜日に出かける", "b")])
    assert "日曜" in unspaced.columns and not {"雨", "雪"} & set(unspaced.columns)
