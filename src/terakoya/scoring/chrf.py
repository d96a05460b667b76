"""Near misses of free text are seen: character n-gram F-score (chrF, Popović 2015).

For n = 1 … 6, the precision and recall of character n-grams (white space left out) are averaged over those n for
which both texts are long enough, and put together with recall weighing twice as much (beta 2). Values in [0, 1].
"""

from __future__ import annotations

from collections import Counter

ORDER = 6
BETA = 2.0


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def chrf_of(answer: str, target: str, *, order: int = ORDER, beta: float = BETA) -> float:
    """How much of the target's character n-grams the answer has, and how little else."""
    answer, target = "".join(answer.split()), "".join(target.split())
    if answer == target:
        return 1.0
    precision = recall = 0.0
    orders = min(order, len(answer), len(target))
    for n in range(1, orders + 1):
        given, wanted = _ngrams(answer, n), _ngrams(target, n)
        shared = (given & wanted).total()
        precision += shared / given.total() / orders
        recall += shared / wanted.total() / orders
    weight = beta**2 * precision + recall
    return (1 + beta**2) * precision * recall / weight if weight else 0.0
