"""The claims of the two logs, judged again: counts as docs/lessons.md gives them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from terakoya.errors import IncompatibleError
from terakoya.evaluation.compare import compare
from terakoya.evaluation.item_scores import ItemScore, ItemScores
from terakoya.records import Example, Signature, set_fingerprint
from terakoya.scoring.statistics.paired import fisher, mcnemar, paired
from terakoya.scoring.statistics.power import items_needed


def answered(name: str, right: Sequence[bool], first_item: int = 0) -> ItemScores:
    examples = [Example(f"数{i}", str(i)) for i in range(first_item, first_item + len(right))]
    items = tuple(ItemScore(e.source, e.target, float(r), e.fingerprint) for e, r in zip(examples, right, strict=True))
    return ItemScores(name, Signature(set_fingerprint(examples), "exact|v:1", "greedy"), items)


def discordant(wins: int, losses: int, n: int = 40, both: int = 0) -> tuple[ItemScores, ItemScores]:
    """Two outcomes of n items that differ as counted; `both` further items are right on both sides."""
    neither = [False] * (n - wins - losses - both)
    first = [True] * wins + [False] * losses + [True] * both + neither
    second = [False] * wins + [True] * losses + [True] * both + neither
    return answered("first", first), answered("second", second)


def test_pds_worse_than_plain_digits_cannot_be_told() -> None:
    """23 against 16 of 40, 13 against 6 discordant: the log gave up a notation for p = .17."""
    (made,) = compare(discordant(13, 6, both=10))
    assert (made.first_value, made.second_value) == (0.575, 0.4)
    assert made.effect.p == pytest.approx(0.167, abs=0.001)
    assert made.state == "cannot be told apart"
    assert made.needed is not None
    assert 100 < made.needed < 160


def test_exponent_as_good_as_plain_cannot_be_told() -> None:
    """23 against 20 of 40, 6 against 3 discordant: "as good as" is as unproven as "worse"."""
    (made,) = compare(discordant(6, 3, both=17))
    assert (made.first_value, made.second_value) == (0.575, 0.5)
    assert made.effect.p == pytest.approx(0.508, abs=0.001)
    assert made.state == "cannot be told apart"
    assert made.detectable > 0.15


def test_a_bigger_model_neither_helps_nor_fails_to() -> None:
    """7 against 7 discordant items: equal figures from different answers."""
    (made,) = compare(discordant(7, 7, both=16))
    assert made.first_value == made.second_value == 0.575
    assert made.effect.p == 1.0
    assert made.state == "cannot be told apart"


def test_smollm_fails_is_the_one_claim_that_holds() -> None:
    """.15 of 40 (6 right) against .575 (23): however the right answers overlap, p is at most .0023."""
    ps = [mcnemar(23 - both, 6 - both) for both in range(7)]
    assert max(ps) == pytest.approx(0.0023, abs=0.0001)
    for both in range(7):
        (made,) = compare(discordant(23 - both, 6 - both, both=both))
        assert made.state == "first is better"
        assert made.effect.low > 0


def test_janum_tail_against_shuffled_is_refused() -> None:
    """.3 → .7 "by shuffling": two exams of ten items each, so no comparison at all; unpaired, Fisher p = .18."""
    tail, shuffled = answered("tail", [True] * 3 + [False] * 7), answered("shuffled", [True] * 7 + [False] * 3, 5)
    with pytest.raises(IncompatibleError, match="the exam") as refusal:
        compare([tail, shuffled])
    assert "5 in common of 10 / 10" in refusal.value.what
    assert "Fisher p = 0.18" in refusal.value.do
    assert fisher(3, 10, 7, 10) == pytest.approx(0.179, abs=0.001)


def test_a_gain_of_seventeen_thousandths_needs_hundreds_of_items() -> None:
    """Jaccard .165 → .182 on 20 items was called progress; nobody could have seen it in that scatter."""
    low, high = (0.0, 0.2, 0.25, 0.0, 0.4), (0.0, 0.0, 0.25, 0.5, 0.185)
    effect = paired(high * 4, low * 4)
    assert effect.value == pytest.approx(0.017)
    assert effect.p > 0.05
    count = items_needed(effect, effect.value)
    assert count is not None
    assert count > 600


def test_reduced_loss_is_no_metric_shared_by_two_recipes() -> None:
    """ "Eval loss −26% with focal loss": scores of different making are refused, whatever their figures."""
    first, second = discordant(5, 5)
    focal = ItemScores("focal", Signature(second.signature.exam, "focal-loss|v:1", "greedy"), second.items)
    with pytest.raises(IncompatibleError, match="metric"):
        compare([first, focal])
