"""Baselines and scores of predictions: ties, edges and exact values that a table of results rests on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from terakoya.codec import TextCodec
from terakoya.codec.number import NumberCodec
from terakoya.errors import ConfigError, DataError, PluginError
from terakoya.records import Example, Prediction, Signature, fingerprint, set_fingerprint
from terakoya.scoring.baselines import label_counts, nearest_neighbour, standard
from terakoya.scoring.baselines.label_counts import LabelCounts, count_labels, label_count_predictor
from terakoya.scoring.baselines.nearest_neighbour import NearestRow, k_nearest_rows, nearest_rows
from terakoya.scoring.baselines.ngrams import count_matrix, ngrams, separates_words, vocabulary, words
from terakoya.scoring.baselines.standard import (
    Baseline,
    baseline_title,
    best_constant,
    evenly_spaced,
    installed_baselines,
    make_baselines,
    name_lexicon,
)
from terakoya.scoring.chrf import chrf_score
from terakoya.scoring.metrics import (
    METRICS,
    Metric,
    as_metric,
    category,
    current_signature,
    exact,
    f1,
    jaccard,
    labels_of,
    metric,
    metric_with_signature,
    precision,
    recall,
)
from terakoya.scoring.score_predictions import (
    ScoredPrediction,
    ScoredPredictions,
    aggregate_scores,
    canonical_targets,
    make_signature,
    score_predictions,
)

TRAIN = [
    Example("red cat", "a b"), Example("red dog", "a"), Example("blue cat", "b"), Example("blue bird", "c"),
]  # fmt: skip


def test_words_are_counted_with_labels() -> None:
    """By hand: red occurs with a twice and with b once; each of a and b is half of the examples, c a quarter."""
    counts = count_labels([*TRAIN[:3], Example("blue blue bird", "c c")])
    assert counts.columns == {"blue": 0, "cat": 1, "red": 2, "bird": 3, "dog": 4}
    assert (counts.labels, counts.max_labels) == (("a", "b", "c"), 2)
    assert counts.joint.tolist() == [[0, 1, 1], [1, 2, 0], [2, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert counts.feature_count.tolist() == [2, 2, 2, 1, 1]
    assert counts.label_share.tolist() == [0.5, 0.5, 0.25]
    assert counts.features("Red  CAT") == ["red", "cat"]


def test_pieces_of_unspaced_texts_are_counted_from_two_texts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """One to four characters; of more pieces than there may be, the most frequent and then the first."""
    train = [Example("雨の日だ", "a"), Example("雪の日よ", "b"), Example("雨だ", "a")]
    assert list(count_labels(train).columns) == ["だ", "の", "の日", "日", "雨"]
    monkeypatch.setattr(label_counts, "_MAX_FEATURES", 2)
    assert list(count_labels(train).columns) == ["だ", "の"]


def test_the_largest_smoothed_share_of_a_word_counts() -> None:
    """(2 + .5 · prior) / (2 + prior) for a and red, never below the label's share; unknown words say nothing."""
    counts = count_labels(TRAIN)
    found = counts.probabilities(["red cat", "green", "bird"], 2.0)
    assert found.tolist() == [
        pytest.approx([(2 + 1) / 4, (2 + 1) / 4, 0.25]), pytest.approx([0.5, 0.5, 0.25]),
        pytest.approx([0.5, 0.5, (1 + 0.5) / 3]),
    ]  # fmt: skip
    assert counts.probabilities(["red"], 0.5).tolist() == [pytest.approx([2.25 / 2.5, 1.25 / 2.5, 0.25])]


def test_labels_that_are_equally_probable_keep_their_order() -> None:
    """Forty labels, of which every second one is as probable as the next: the first ones are predicted."""
    labels = tuple(f"l{at:02}" for at in range(40))
    counts = LabelCounts(words, {}, labels, np.zeros((0, 40)), np.zeros(0), np.zeros(40), 4)
    table = np.array([[0.5 if at % 2 else 0.3 for at in range(40)], [0.2] * 40])
    assert counts.predict(table, 0.5) == ["l01 l03 l05 l07", "l00"]
    assert counts.predict(table, 0.1) == ["l01 l03 l05 l07", "l00 l01 l02 l03"]
    rows = np.tile(np.array([0.1, 0.9, 0.5, 0.9])[None, :], (2, 10))
    assert counts.predict(rows, 0.9) == ["l01 l03 l05 l07"] * 2


def test_prior_and_threshold_are_those_that_score_best_on_dev() -> None:
    """Chosen by the metric with the accepted targets; the first of equal ones; defaults without dev."""
    counts = count_labels(TRAIN)
    assert label_counts._choose(counts, (), jaccard) == (2.0, 0.45)
    asked: list[tuple[str | None, tuple[str, ...]]] = []

    def scored(prediction: str | None, targets: Sequence[str]) -> float:
        asked.append((prediction, tuple(targets)))
        return float(prediction == "a")

    dev = [Example("red", "x", accepted=("y",)), Example("red", "z")]
    # With the prior .5, b has 1.25 / 2.5 beside red: from .55 on only a is left.
    assert label_counts._choose(counts, dev, Metric("own", scored)) == (0.5, 0.55)
    assert asked[0][1] == ("x", "y") and asked[1][1] == ("z",) and len(asked) == 80
    assert label_counts._choose(counts, dev, Metric("none", lambda *_: 0.0)) == (0.5, 0.15)


def test_dev_is_counted_too_where_the_model_was_refitted() -> None:
    dev = [Example("green cow", "d"), Example("green hen", "d")]
    for refit, wanted in ((False, "a"), (True, "d")):
        assert label_count_predictor(TRAIN, dev, jaccard, refit=refit)(["green"])[0][:1] == wanted  # type: ignore[index]
    assert label_count_predictor(TRAIN, (), jaccard, refit=True)(["red dog"]) == ["a b"]


def test_features_that_are_few_or_rare_have_no_column() -> None:
    """The most frequent first, then in text order; each counts once a text."""
    texts = [["b", "a", "b"], ["c", "a"], ["b"], ["c"]]
    assert vocabulary(texts) == {"a": 0, "b": 1, "c": 2} and vocabulary(texts, least=3) == {}
    assert vocabulary([*texts, ["c"]], most=2) == {"c": 0, "a": 1}
    matrix = count_matrix([["b", "b", "x"], [], ["a", "b"]], {"a": 0, "b": 1})
    assert matrix.toarray().tolist() == [[0, 2], [0, 0], [1, 1]]
    assert count_matrix([["a"]], {}).shape == (1, 1)
    assert ngrams(1, 3)("Ａ bcd") == ["a", "b", "c", "d", "abc", "bcd"] and ngrams(4)("abc") == []
    assert words("  The　Cat\u200b ") == ["the", "cat"]


def test_whether_words_are_separated_is_decided_by_most_texts() -> None:
    """One space in twelve characters; a text without a space counts in scripts that separate words."""
    assert separates_words(["abcdefghijkl"]) and not separates_words(["abcdefghijklm"])
    assert separates_words(["文" * 12 + " " + "文" * 11]) and not separates_words(["文" * 12 + " " + "文" * 12])
    assert not separates_words([" " + "文" * 8]) and not separates_words([])
    assert not separates_words(["cat", "猫が鳴く"]) and separates_words(["cat", "dog", "猫が鳴く"])


def test_the_nearest_row_of_a_text_that_was_trained_on_is_itself() -> None:
    train = [Example("abc", "1"), Example("abd", "2"), Example("xyz", "3")]
    found = nearest_rows(train)(["abc", "xyz", "?", ""])
    assert found == [NearestRow("abc", "1", pytest.approx(1.0)), NearestRow("xyz", "3", pytest.approx(1.0)), None, None]
    assert k_nearest_rows(train, 2)([]) == [] and len(k_nearest_rows(train, 3)(["abc"])[0]) == 2
    double = [Example("abc", "2"), Example("abc", "1")]
    assert nearest_rows(double)(["abc"]) == [NearestRow("abc", "1", pytest.approx(1.0))]


def test_many_rows_and_sources_are_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evenly spaced rows in text order, and as many sources at once as memory allows."""
    train = [Example(f"{letter}{letter}x", letter) for letter in "gfedcba"]
    monkeypatch.setattr(nearest_neighbour, "_MAX_ROWS", 3)
    known = [found.target for found in nearest_rows(train)(["aa", "cc", "ee"]) if found]
    assert known == ["a", "c", "e"] and nearest_rows(train)(["bb", "ff", "gg"]) == [None] * 3
    monkeypatch.setattr(nearest_neighbour, "_MAX_ROWS", 10_000)
    monkeypatch.setattr(nearest_neighbour, "_MAX_CELLS", 14)
    assert [found.target for found in nearest_rows(train)(["aa", "cc", "ee", "bb", "gg"]) if found] == list("acebg")
    monkeypatch.setattr(nearest_neighbour, "_MAX_CELLS", 1)
    assert [found.target for found in nearest_rows(train)(["aa", "cc"]) if found] == ["a", "c"]


def test_a_lexicon_without_training_rows_predicts_five_labels() -> None:
    """Each once, in the order of the source; names in any width and case; labels of a shared name by their order."""
    names = {letter: (letter.upper() * 2,) for letter in "abcdefg"}
    find = name_lexicon(names)
    assert find("ｇｇ ff, ee gg dd cc bb aa") == "g f e d c" and find("ab") is None
    assert name_lexicon({"b": ("cat",), "a": ("cat",)})("a cat") == "a"
    assert name_lexicon(names, [Example("x", "a b"), Example("y", "c")])("aabbcc") == "a b"
    assert name_lexicon({"long": ("aab",), "short": ("a",)})("aaab") == "short long"


@pytest.mark.parametrize("rows", [3, 4, 5])
def test_a_sample_is_evenly_spaced_in_the_order_of_fingerprints(rows: int) -> None:
    examples = [Example(str(at), "t") for at in range(rows)]
    ordered = sorted(examples, key=lambda example: example.fingerprint)
    wanted = ordered if rows <= 4 else [ordered[at * rows // 4] for at in range(4)]
    assert evenly_spaced(random.Random(1).sample(examples, rows), 4) == wanted


def test_the_best_constant_is_tried_among_the_most_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The more frequent one wins a tie, then the first in text order; accepted targets count."""
    train = [Example(str(at), target) for at, target in enumerate("bbaac")]
    assert best_constant(train, exact) == "a"
    assert best_constant(train, Metric("own", lambda prediction, targets: float(prediction == "c"))) == "c"
    monkeypatch.setattr(standard, "_MAX_CANDIDATES", 2)
    assert best_constant(train, Metric("own", lambda prediction, targets: float(prediction == "c"))) == "a"
    accepted = [Example("1", "x", accepted=("z",)), Example("2", "y", accepted=("z",)), Example("3", "z"), *train[:2]]
    assert best_constant(accepted, exact) == "b"
    monkeypatch.setattr(standard, "_MAX_CANDIDATES", 30)
    assert best_constant(accepted, exact) == "z"


def test_a_constant_set_grows_as_long_as_a_label_helps() -> None:
    train = [Example(str(at), target) for at, target in enumerate(["a b", "a b", "a", "c"])]
    # a alone: (1/2 + 1/2 + 1) / 4; a and b: (1 + 1 + 1/2) / 4; all three: (2/3 + 2/3 + 1/3 + 1/3) / 4.
    assert best_constant(train, jaccard, labels=True) == "a b"
    assert best_constant(train, recall, labels=True) == "a b c"
    assert best_constant(train, precision, labels=True) == "a"
    # a alone: (2/3 + 2/3 + 1) / 4; a and b: (1 + 1 + 2/3) / 4.
    assert best_constant(train, f1, labels=True) == "a b"


def test_a_constant_is_scored_on_a_sample_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[str, ...]] = set()

    def score(prediction: str | None, targets: Sequence[str]) -> float:
        seen.add(tuple(targets))
        return 0.0

    monkeypatch.setattr(standard, "_MAX_ROWS", 3)
    best_constant([Example(str(at), str(at)) for at in range(9)], Metric("own", score))
    assert len(seen) == 3


def test_baselines_are_named_in_words_and_a_tasks_own_by_its_name() -> None:
    assert [str(baseline_title(name)) for name in ("constant", "annotators", "hybrid", "mine")] == [
        "constant", "annotators (ceiling)", "hybrid", "mine",
    ]  # fmt: skip
    assert [str(info.title) for info in standard.BASELINES.values()][1:4] == [
        "most frequent",
        "nearest neighbour",
        "copy",
    ]


def test_baselines_of_a_refitted_model_see_dev_as_well() -> None:
    """Targets in canonical form; a task's own baseline gets the rows as they are."""
    train = [Example("a", "01"), Example("b", "2", accepted=("02",))]
    dev = [Example("c", "03"), Example("d", "3")]
    given: list[tuple[Example, ...]] = []

    def own(rows: tuple[Example, ...]) -> Callable[[str], str | None]:
        given.append(rows)
        return lambda source: None

    codec = NumberCodec()
    for refit, constant, near in ((False, "1", None), (True, "3", "3")):
        made = make_baselines(
            train, dev, metric=exact, canonical=codec.canonical, more={"own": own}, refit=refit
        )  # fmt: skip
        assert made["constant"]("x") == made["most frequent"]("x") == constant
        assert made["nearest neighbour"]("c") == near and made["copy"]("007") == "7" and made["copy"]("x") is None
        assert (made["own"].name, made["own"]("x")) == ("own", None)
    assert given == [tuple(train), (*train, *dev)]
    with pytest.raises(DataError, match="'x' is no number"):
        make_baselines([Example("a", "x")], [], metric=exact, canonical=codec.canonical)
    with pytest.raises(DataError, match="baselines need training examples") as caught:
        make_baselines([], dev, metric=exact)
    assert caught.value.do == "Draw some where a task makes its examples by rule."


def test_a_rule_that_gives_no_text_is_refused() -> None:
    made = make_baselines(TRAIN, [], metric=exact, rule=lambda source: 7)  # type: ignore[arg-type, return-value]
    with pytest.raises(PluginError, match="a rule must give text or None, and gave 7"):
        made["rule"]("x")
    assert Baseline("b", lambda sources: [source * 2 for source in sources])("x") == "xx"


def test_what_is_always_computed_is_no_installed_baseline() -> None:
    with pytest.raises(ConfigError, match="there is no installed baseline 'copy'") as caught:
        installed_baselines(["copy"])
    assert (caught.value.where, caught.value.do) == ("score.baselines", "'copy' is always computed: leave it out.")
    with pytest.raises(ConfigError, match="there is no installed baseline 'nowhere'") as caught:
        installed_baselines(["nowhere"])
    assert caught.value.where == "score.baselines" and installed_baselines([]) == {}


def test_a_signature_holds_what_makes_scores_comparable() -> None:
    """Labels in any order, the codec by its kind, the exam by its items."""
    labels = ["b", "a", "c"]
    made = make_signature(TRAIN, METRICS["chrf"], decoding="greedy", codec=NumberCodec("groups"), labels=labels)
    assert made == Signature(
        exam=set_fingerprint(TRAIN), metric="chrf-sentence|nc:6|beta:2|space:no|v:1", decoding="greedy",
        normal="number", labels=fingerprint("a", "b", "c"),
    )  # fmt: skip
    turned = make_signature(
        TRAIN[::-1], METRICS["chrf"], decoding="greedy", codec=NumberCodec("plain"), labels=sorted(labels)
    )  # fmt: skip
    assert turned == made
    plain = make_signature(TRAIN, exact, decoding="beam", codec=TextCodec())
    assert (plain.labels, plain.normal, plain.decoding, plain.metric) == ("", "text", "beam", "exact|v:1")
    assert make_signature(TRAIN, exact, decoding="beam", codec=TextCodec(), labels=["a"]).labels == fingerprint("a")


class _Lower(TextCodec):
    def canonical(self, target: str) -> str:
        if target == "?":
            raise DataError("unreadable")
        return target.lower()


class _Counting(TextCodec):
    def canonical(self, target: str) -> Any:  # type: ignore[override]
        return len(target)


def test_every_prediction_is_scored_against_all_targets_in_canonical_form() -> None:
    examples = [
        Example("1", "A", accepted=("B", "a"), group="g"), Example("2", "C", subset="recall"), Example("3", "D"),
    ]  # fmt: skip
    predictions = [Prediction("1", "b", "b"), Prediction("2", "x", "x"), Prediction("3", "?", None)]
    scored = score_predictions("model", examples, predictions, _Lower(), {"exact": exact, "f1": f1})
    assert scored.system == "model" and scored.groups == ["g", "", ""]
    assert [item.targets for item in scored.items] == [("a", "b", "a"), ("c",), ("d",)]
    assert scored.item_scores("exact") == [1.0, 0.0, 0.0] == scored.item_scores("f1")
    assert scored.subsets() == ["", "recall"] and scored.subset("recall").items == scored.items[1:2]
    assert scored.subset("recall").system == "model" and scored.subset("").items == (scored.items[0], scored.items[2])
    grouped = score_predictions("m", examples, predictions, _Lower(), {}, group_of=lambda example: example.source)
    assert grouped.groups == ["1", "2", "3"]
    with pytest.raises(DataError, match="2 predictions for 3 exam items") as caught:
        score_predictions("m", examples, predictions[:2], _Lower(), {})
    assert caught.value.do == "Predict every item once."
    with pytest.raises(PluginError, match="a codec's canonical form must be text, and is 1"):
        score_predictions("m", examples, predictions, _Counting(), {})


def test_the_main_subset_comes_first_and_the_others_as_they_occur() -> None:
    items = tuple(
        ScoredPrediction(
            Example(name, "t", subset=name), Prediction(name, "t", "t"), {"exact": float(at % 2)}, f"g{at}"
        )
        for at, name in enumerate(["z", "a", "", "z", "z", "z"])
    )
    scored = ScoredPredictions("copy", items)
    assert scored.subsets() == ["", "z", "a"]
    marked = {metric: Signature("e", metric, "greedy") for metric in ("exact", "twice")}
    made = aggregate_scores(
        scored, {"exact": exact, "exact too": exact}, lambda metric: marked[metric.name], resamples=50, seed=1
    )  # fmt: skip
    assert [(one.subset, one.metric, one.n, one.value) for one in made][::2] == [
        ("", "exact", 1, 0.0), ("z", "exact", 4, 0.5), ("a", "exact", 1, 1.0),
    ]  # fmt: skip
    assert len(made) == 6 and {one.signature for one in made} == {marked["exact"]}


def test_targets_that_cannot_be_read_are_left_out() -> None:
    assert canonical_targets(_Lower(), ["A", "?", "b"]) == ["a", "b"] and canonical_targets(_Lower(), []) == []


def test_metrics_of_empty_sets_and_texts() -> None:
    values = {name: (one.score("", [""]), one.score("a", [""]), one.score("", ["a"])) for name, one in METRICS.items()}
    assert values == {
        "exact": (1.0, 0.0, 0.0), "jaccard": (1.0, 0.0, 0.0), "precision": (1.0, 0.0, 0.0),
        "recall": (1.0, 0.0, 0.0), "f1": (1.0, 0.0, 0.0), "set_exact": (1.0, 0.0, 0.0), "chrf": (1.0, 0.0, 0.0),
    }  # fmt: skip
    assert labels_of(" b a  b ") == {"a", "b"}
    assert [METRICS[name].graded for name in METRICS] == [False, True, True, True, True, False, True]
    assert category({"a": "x"}).signature == "category|v:1" and category({}).graded


def test_chrf_by_hand_with_other_orders_and_weights() -> None:
    """abcd and abxd: 1-grams 3/4, 2-grams 1/3; ab and abab with beta 1."""
    assert chrf_score("abcd", "abxd", order=2) == pytest.approx((3 / 4 + 1 / 3) / 2)
    assert chrf_score("abcd", "abxd", order=1) == pytest.approx(3 / 4)
    mean_recall = (2 / 4 + 1 / 3) / 2
    assert chrf_score("ab", "abab", beta=1) == pytest.approx(2 * mean_recall / (1 + mean_recall))
    assert chrf_score("abab", "ab") == pytest.approx(5 * (5 / 12) / (4 * 5 / 12 + 1))
    assert chrf_score("abcdefghij", "abcdefghik") == pytest.approx(sum((10 - n) / (11 - n) for n in range(1, 7)) / 6)


def _half(prediction: str | None, targets: Sequence[str]) -> Any:
    return {"a": 0.5, "b": 1.5, "c": "no", "d": np.float64(0.25), "e": float("nan"), "f": -0.1}[prediction or "c"]


@pytest.mark.parametrize(("given", "words"), [("b", "1.5"), ("c", "'no'"), ("e", "nan"), ("f", "-0.1")])
def test_a_metric_that_leaves_its_range_is_refused_with_its_value(given: str, words: str) -> None:
    made = as_metric("own", _half)
    with pytest.raises(PluginError) as caught:
        made.score(given, [])
    assert caught.value.what == f"the metric 'own' must give a number in [0, 1], and gave {words}"
    assert "test_baseline_values.py" in caught.value.where
    assert (made.score("a", []), made.score("d", [])) == (0.5, 0.25) and isinstance(made.score("d", []), float)


def test_a_function_becomes_a_metric_whose_signature_names_it() -> None:
    import inspect

    made = as_metric("own", _half)
    source = fingerprint(inspect.getsource(_half))[:8]
    assert (made.name, made.graded, made.version) == ("own", True, 1)
    assert made.signature == f"own|function:test_baseline_values._half|source:{source}|v:1"
    assert as_metric("own", made.score).score is made.score
    theirs = Metric("theirs", _half, version=3, parameters=(("x", "1"),))
    assert as_metric("theirs", theirs).signature == "theirs|x:1|v:3"
    assert as_metric("ours", theirs).signature == "theirs|x:1|v:3" and as_metric("ours", theirs).name == "ours"
    assert as_metric("exact", exact).score is exact.score
    with pytest.raises(PluginError, match=r"the metric 'own' is called with \(prediction, targets\)"):
        as_metric("own", lambda prediction: 0.0)
    with pytest.raises(PluginError, match=r"the metric 'own' must be a function of \(prediction, targets\), and is of"):
        as_metric("own", 7)


def test_a_signature_of_today_finds_its_metric() -> None:
    for one in METRICS.values():
        assert metric_with_signature(one.signature) is one
    for signature in ("exact|v:2", "chrf|v:1", "nobodys|v:1", ""):
        assert metric_with_signature(signature) is None
    assert current_signature("a/b/1") == "a/b|v:1" and current_signature("exact/x") == "exact/x"
    assert current_signature("exact") == "exact" and metric("f1") is f1
