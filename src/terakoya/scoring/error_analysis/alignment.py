"""The aligned difference of a prediction and its target.

    alignment("1月5日", "1月15日")         # (Segment("", "1", ...)): what was left out, added or replaced
    marked("1月5日", "1月15日")            # ("1月5日", "1月[1]5日")

Shortest edit scripts by dynamic programming (Wagner and Fischer 1974); of equally short ones the one with the longest
uninterrupted matches is not searched for: substitutions come before insertions and deletions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MOST_CELLS = 160_000  # of the dynamic program; longer texts are aligned by their longest common blocks
_EQUAL, _REPLACE, _DELETE, _INSERT = "=", "~", "-", "+"
OPEN, CLOSE = "[", "]"  # around differing characters, where a table has no colours


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of an alignment: equal where both texts are equal, else a difference.

    target      characters of the target; "": the prediction added something
    prediction  characters of the prediction; "": something of the target is missing
    position    of the first character in the target
    """

    target: str
    prediction: str
    position: int

    @property
    def equal(self) -> bool:
        """Whether target and prediction agree here."""
        return self.target == self.prediction


def alignment(prediction: str, target: str) -> tuple[Segment, ...]:
    """Equal and differing stretches of two texts, in order; neighbouring differences are one stretch.

    prediction  of the model
    target      that it should be
    """
    start = _common(prediction, target)
    rest = min(len(prediction), len(target)) - start
    end = min(rest, _common(prediction[::-1], target[::-1]))
    inner_prediction, inner_target = prediction[start : len(prediction) - end], target[start : len(target) - end]
    operations = _EQUAL * start + _operations(inner_prediction, inner_target) + _EQUAL * end
    return tuple(_segments(operations, prediction, target))


def differences(prediction: str, target: str) -> tuple[Segment, ...]:
    """The differing stretches alone.

    prediction  of the model
    target      that it should be
    """
    return tuple(segment for segment in alignment(prediction, target) if not segment.equal)


def single_edits(prediction: str, target: str) -> tuple[Segment, ...]:
    """The differences as edits of one character each: a replacement, an omission or an addition.

    prediction  of the model
    target      that it should be
    """
    edits = []
    for segment in differences(prediction, target):
        width = max(len(segment.target), len(segment.prediction))
        for at in range(width):
            edits.append(Segment(segment.target[at : at + 1], segment.prediction[at : at + 1], segment.position + at))
    return tuple(edits)


def marked(prediction: str, target: str) -> tuple[str, str]:
    """Prediction and target with their differing characters in brackets.

    prediction  of the model
    target      that it should be
    """
    shown_prediction: list[str] = []
    shown_target: list[str] = []
    for segment in alignment(prediction, target):
        for text, parts in ((segment.prediction, shown_prediction), (segment.target, shown_target)):
            parts.append(text if segment.equal or not text else f"{OPEN}{text}{CLOSE}")
    return "".join(shown_prediction), "".join(shown_target)


def edit_distance(prediction: str, target: str) -> int:
    """The number of single-character edits between two texts.

    prediction  of the model
    target      that it should be
    """
    return len(single_edits(prediction, target))


def _common(first: str, second: str) -> int:
    """Length of the common prefix."""
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length


def _operations(prediction: str, target: str) -> str:
    if not prediction or not target:
        return _DELETE * len(prediction) + _INSERT * len(target)
    if len(prediction) * len(target) > MOST_CELLS:
        return _by_blocks(prediction, target)
    rows = _distances(prediction, target)
    found, i, j = [], len(prediction), len(target)
    while i or j:
        diagonal = i and j and rows[i][j] == rows[i - 1][j - 1] + (prediction[i - 1] != target[j - 1])
        if diagonal:
            i, j = i - 1, j - 1
            found.append(_EQUAL if prediction[i] == target[j] else _REPLACE)
        elif i and rows[i][j] == rows[i - 1][j] + 1:
            i -= 1
            found.append(_DELETE)
        else:
            j -= 1
            found.append(_INSERT)
    return "".join(reversed(found))


def _distances(prediction: str, target: str) -> list[list[int]]:
    rows = [list(range(len(target) + 1))]
    for i, character in enumerate(prediction, start=1):
        above, row = rows[-1], [i]
        for j, wanted in enumerate(target, start=1):
            row.append(min(above[j - 1] + (character != wanted), above[j] + 1, row[-1] + 1))
        rows.append(row)
    return rows


def _by_blocks(prediction: str, target: str) -> str:
    found = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, prediction, target, autojunk=False).get_opcodes():
        both = min(i2 - i1, j2 - j1)
        found.append((_EQUAL if kind == "equal" else _REPLACE) * both)
        found.append(_DELETE * (i2 - i1 - both) + _INSERT * (j2 - j1 - both))
    return "".join(found)


def _segments(operations: Sequence[str], prediction: str, target: str) -> list[Segment]:
    found: list[Segment] = []
    i = j = at = 0
    while at < len(operations):
        end = at
        while end < len(operations) and (operations[end] == _EQUAL) == (operations[at] == _EQUAL):
            end += 1
        stretch = operations[at:end]
        ahead_i = sum(one != _INSERT for one in stretch)
        ahead_j = sum(one != _DELETE for one in stretch)
        found.append(Segment(target[j : j + ahead_j], prediction[i : i + ahead_i], j))
        i, j, at = i + ahead_i, j + ahead_j, end
    return found
