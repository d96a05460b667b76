"""Character n-gram F-score (chrF, Popović 2015): a graded similarity of free texts.

For n = 1 … 6, the precision and recall of character n-grams (white space left out) are averaged over those n for
which both texts are long enough, and combined with recall weighing twice as much (beta 2). Values in [0, 1].
"""

from __future__ import annotations

from collections import Counter

ORDER = 6
BETA = 2.0


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def chrf_score(prediction: str, target: str, *, order: int = ORDER, beta: float = BETA) -> float:
    """Similarity of one text to its reference, in [0, 1].

    prediction  the text to be scored
    target      the reference
    order       longest n-grams counted (6)
    beta        weight of recall against precision (2: recall counts twice)
    Source: Popović 2015, without word n-grams and on one sentence at a time.
    """
    prediction, target = "".join(prediction.split()), "".join(target.split())
    if prediction == target:
        return 1.0
    precision = recall = 0.0
    orders = min(order, len(prediction), len(target))
    for n in range(1, orders + 1):
        predicted, wanted = _ngrams(prediction, n), _ngrams(target, n)
        shared = (predicted & wanted).total()
        precision += shared / predicted.total() / orders
        recall += shared / wanted.total() / orders
    weight = beta**2 * precision + recall
    return (1 + beta**2) * precision * recall / weight if weight else 0.0
