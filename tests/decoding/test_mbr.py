"""Minimum Bayes risk: the candidate with the largest mean metric over the samples is selected."""

from __future__ import annotations

from terakoya.codec.labels import labels_codec
from terakoya.decoding import DecodedSequence
from terakoya.decoding.mbr import highest_expected_metric
from terakoya.scoring.metrics import METRICS

CODEC = labels_codec(["✨ 📚 🎉"])


def _sequence(raw: str, finished: bool = True) -> DecodedSequence:
    return DecodedSequence(raw, 0.1, finished)


def test_the_candidate_with_the_largest_mean_metric_wins() -> None:
    """The most probable single sequence is the safest one; the one with the largest expectation need not be."""
    samples = [_sequence("✨ 📚"), _sequence("📚 ✨"), _sequence("📚 🎉"), _sequence("✨")]
    best = highest_expected_metric([_sequence("✨"), *samples], samples, CODEC, METRICS["jaccard"])
    assert CODEC.read(best.raw) == CODEC.canonical("📚 ✨")
    assert best.probability == (1 + 1 + 1 / 3 + 1 / 2) / 4


def test_unreadable_samples_are_no_candidates_but_count() -> None:
    """Prose cannot be selected, but it lowers the expected metric."""
    samples = [_sequence("填"), _sequence("📚", finished=False), _sequence("🎉")]
    best = highest_expected_metric([_sequence("填"), *samples], samples, CODEC, METRICS["jaccard"])
    assert best.raw == "🎉" and best.probability == 1 / 3
    first = _sequence("填")
    assert highest_expected_metric([first], [first], CODEC, METRICS["jaccard"]) is first
