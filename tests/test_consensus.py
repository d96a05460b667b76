"""Minimum Bayes risk: the candidate that agrees best with the samples."""

from __future__ import annotations

from terakoya.codec.labels import labels_codec
from terakoya.decoding import Answer
from terakoya.decoding.mbr import most_agreed
from terakoya.scoring.metrics import METRICS

CODEC = labels_codec(["✨ 📚 🎉"])


def _answer(raw: str, finished: bool = True) -> Answer:
    return Answer(raw, 0.1, finished)


def test_the_answer_that_shares_most_with_all_samples_wins() -> None:
    """The most probable single answer is the safest one; the most agreed need not be."""
    samples = [_answer("✨ 📚"), _answer("📚 ✨"), _answer("📚 🎉"), _answer("✨")]
    best = most_agreed([_answer("✨"), *samples], samples, CODEC, METRICS["jaccard"])
    assert CODEC.read(best.raw) == CODEC.canonical("📚 ✨")
    assert best.probability == (1 + 1 + 1 / 3 + 1 / 2) / 4


def test_unreadable_samples_neither_win_nor_vote() -> None:
    """Prose is no candidate, but it lowers what may be expected."""
    samples = [_answer("填"), _answer("📚", finished=False), _answer("🎉")]
    best = most_agreed([_answer("填"), *samples], samples, CODEC, METRICS["jaccard"])
    assert best.raw == "🎉" and best.probability == 1 / 3
    first = _answer("填")
    assert most_agreed([first], [first], CODEC, METRICS["jaccard"]) is first
