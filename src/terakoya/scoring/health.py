"""What an accuracy hides: one answer for everything, loops, illegal and unreadable answers.

Whether the answers depend on the input at all is the collapse meter's question (training/guards).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """Answers seen together. Shares lie in [0, 1]; entropy is in nats.

    top           the most frequent answer ("" when none is readable) and `top_share`, its share of readable answers
    distinct      number of different readable answers; `entropy` of their distribution
    outside_top   share of readable answers that are none of the five most frequent ones
    label_top     for sets: the most frequent label, and its share of all labels answered
    repetition    mean share of an answer that repeats itself: labels given twice, or 4-grams of characters seen before
                  (seq-rep-4, Welleck et al. 2020, on characters)
    illegal       share of labels answered that are no legal label (0 where no label set is given)
    unreadable    share of all answers that could not be read
    """

    n: int
    top: str
    top_share: float
    distinct: int
    entropy: float
    outside_top: float
    label_top: str
    label_top_share: float
    repetition: float
    illegal: float
    unreadable: float

    def figures(self) -> Mapping[str, float]:
        """The numbers alone, for a Finding or a table."""
        return {name: float(value) for name, value in asdict(self).items() if not isinstance(value, str)}


def entropy(counts: Counter[str]) -> float:
    """In nats; 0 for one value alone and for none."""
    total = counts.total()
    return max(0.0, -sum(c / total * math.log(c / total) for c in counts.values() if c))


def repeated_labels(raw: str) -> float:
    """Share of the labels in an answer that stand there a second time."""
    pieces = raw.split()
    return 1 - len(set(pieces)) / len(pieces) if pieces else 0.0


def repeated_text(raw: str, n: int = 4) -> float:
    """Share of the character n-grams of an answer that stand there a second time."""
    grams = [raw[i : i + n] for i in range(len(raw) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _top(counts: Counter[str]) -> tuple[str, float]:
    if not counts:
        return "", 0.0
    name, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return name, count / counts.total()


def health(
    answers: Sequence[str | None],
    *,
    raw: Sequence[str] | None = None,
    labels: bool = False,
    legal: Collection[str] | None = None,
) -> Health:
    """How an exam's answers look together.

    answers  canonical, None where unreadable
    raw      as the model wrote them, labels parted by white space: a codec that reads sets drops what was repeated,
             so repetition and illegal labels are looked for here (the canonical answers where `raw` is not given)
    labels   answers are sets of labels; `legal` are the labels that may be answered
    """
    readable = Counter(answer for answer in answers if answer is not None)
    written = list(raw) if raw is not None else [answer or "" for answer in answers]
    pieces = Counter(label for text in written for label in text.split()) if labels else Counter[str]()
    answered = Counter(label for answer in answers for label in (answer or "").split()) if labels else Counter[str]()
    illegal = sum(count for label, count in pieces.items() if legal is not None and label not in legal)
    five = sum(sorted(readable.values(), reverse=True)[:5])
    total = readable.total()
    top, top_share = _top(readable)
    label_top, label_top_share = _top(answered)
    repeats = [repeated_labels(text) if labels else repeated_text(text) for text in written]
    return Health(
        n=len(answers),
        top=top,
        top_share=top_share,
        distinct=len(readable),
        entropy=entropy(readable),
        outside_top=(total - five) / total if total else 0.0,
        label_top=label_top,
        label_top_share=label_top_share,
        repetition=sum(repeats) / len(repeats) if repeats else 0.0,
        illegal=illegal / pieces.total() if pieces else 0.0,
        unreadable=(len(answers) - total) / len(answers) if answers else 0.0,
    )
