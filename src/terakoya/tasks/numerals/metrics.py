"""How close a predicted number is, and what is wrong with a wrong one."""

from __future__ import annotations

from collections.abc import Sequence

from terakoya.records import Example, Prediction
from terakoya.scoring.metrics import Metric

ERROR_KINDS = ("unreadable", "unit misread", "zeros lost", "zeros added", "place skipped", "digit wrong", "other")


def edit_distance(one: str, other: str) -> int:
    """Fewest insertions, deletions and replacements that turn one text into the other (Levenshtein, 1966).

    one, other  in either order; the distance is symmetric
    """
    above = list(range(len(other) + 1))
    for row, char in enumerate(one, 1):
        here = [row]
        for column, wanted in enumerate(other, 1):
            here.append(min(above[column] + 1, here[-1] + 1, above[column - 1] + (char != wanted)))
        above = here
    return above[-1]


def _digits_right(text: str | None, targets: Sequence[str]) -> float:
    if text is None:
        return 0.0
    return max(1 - edit_distance(text, target) / max(len(text), len(target), 1) for target in targets)


# 1 − edit distance of the digits over the longer of both: 72000 for 7200 is nearly right here and wrong by `exact`.
digit_accuracy = Metric("digit_accuracy", _digits_right, graded=True)


def error_kind(example: Example, prediction: Prediction) -> str:
    """What is wrong with a wrong whole number, for the table of errors.

    unit misread    too large or small by 10^4, 10^8 or 10^12: 万 read as 億
    zeros lost      the digits are right and zeros are missing at the end (zeros added: too many)
    place skipped   the digits are right and zeros are missing, added or moved between them: 7020 as 720
    digit wrong     as many digits as the target, some of them others

    example     with the target
    prediction  the model's; without a text it is "unreadable"
    Returns one of ERROR_KINDS.
    """
    if prediction.text is None:
        return "unreadable"
    wanted, given = example.target, prediction.text
    if not given.isdecimal() or not wanted.isdecimal():
        return "other"
    if given.strip("0") and given.rstrip("0") == wanted.rstrip("0"):
        if (len(given) - len(wanted)) % 4 == 0:
            return "unit misread"
        return "zeros lost" if len(given) < len(wanted) else "zeros added"
    if given.strip("0") and given.replace("0", "") == wanted.replace("0", ""):
        return "place skipped"
    return "digit wrong" if len(given) == len(wanted) else "other"
