"""What a model writes in place of what: the most frequent edits, and how whole predictions relate to their targets."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from terakoya.i18n import _
from terakoya.scoring.error_analysis.alignment import single_edits
from terakoya.scoring.error_analysis.exact_tests import ALPHA, binomial_tail
from terakoya.scoring.error_analysis.items import ErrorItem, NamedError

_MOST_CHANGED = 0.34  # of a target's characters: a prediction of something else says nothing about single edits
_USUAL = 0.15  # share of errors that any one relation may have by accident
LEAST_ERRORS = 3


def count_edits(items: Sequence[ErrorItem]) -> Counter[tuple[str, str]]:
    """How many wrong items hold each edit: (characters of the target, what the prediction has instead).

    items  of the exam
    """
    return Counter({edit: len(rows) for edit, rows in _rows_by_edit(items).items()})


def named_substitutions(items: Sequence[ErrorItem], families: int = 1) -> list[NamedError]:
    """Edits that occur more often than if errors hit every character alike and wrote any other in its place.

    items     of the exam
    families  of tests that share the error rate of 5%
    Each wrong item counts once for each edit. A replacement is expected with the share of its character in the targets
    times 1 / (other characters), or the share of what is written where that is larger.
    """
    edits = _rows_by_edit(items)
    total = sum(len(rows) for rows in edits.values())
    if not total:
        return []
    frequency = _character_shares(items)
    kinds = Counter({"": 0, "omitted": 0, "added": 0})
    for (wanted, said), rows in edits.items():
        kinds[_kind(wanted, said)] += len(rows)
    tried = max(1, len(frequency)) * max(1, len(frequency) + 1)
    found = []
    for (wanted, said), rows in edits.items():
        share = _expected(wanted, said, frequency) * kinds[_kind(wanted, said)] / total
        p = min(1.0, binomial_tail(len(rows), total, share) * tried * families)
        if p <= ALPHA and len(rows) >= LEAST_ERRORS:
            found.append(_named_edit(wanted, said, rows, total, p))
    return sorted(found, key=lambda one: (one.p, -one.wrong, one.key))


def _rows_by_edit(items: Sequence[ErrorItem]) -> dict[tuple[str, str], tuple[int, ...]]:
    found: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        if not item.wrong or item.prediction is None:
            continue
        edits = single_edits(item.prediction, item.target)
        if len(edits) <= max(2, _MOST_CHANGED * len(item.target)):
            for edit in {(edit.target, edit.prediction) for edit in edits}:
                found[edit].append(row)
    return {edit: tuple(rows) for edit, rows in found.items()}


def _character_shares(items: Sequence[ErrorItem]) -> Mapping[str, float]:
    counts = Counter(character for item in items for character in item.target)
    return {character: count / counts.total() for character, count in counts.items()}


def _kind(wanted: str, said: str) -> str:
    return "" if wanted and said else "omitted" if wanted else "added"


def _expected(wanted: str, said: str, frequency: Mapping[str, float]) -> float:
    other = 1 / max(1, len(frequency) - 1)
    if not said:
        return frequency.get(wanted, 0.0)
    if not wanted:
        return max(frequency.get(said, 0.0), other)
    here = frequency.get(wanted, 0.0)
    return here * max(other, frequency.get(said, 0.0) / max(1e-9, 1 - here))


def _named_edit(wanted: str, said: str, rows: tuple[int, ...], total: int, p: float) -> NamedError:
    if wanted and said:
        what = _("'{said}' in place of '{wanted}'", said=said, wanted=wanted)
    elif wanted:
        what = _("'{wanted}' left out", wanted=wanted)
    else:
        what = _("'{said}' added", said=said)
    message = _("{what}: {wrong} of the {total} differences", what=what, wrong=len(rows), total=total)
    key = ("substitution", f"{wanted}→{said}")
    return NamedError("substitution", key, message, p, len(rows), total, total - len(rows), total, rows)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _without_marks(text: str) -> str:
    return "".join(character for character in text if unicodedata.category(character)[0] in "LNM")


def _scaled(said: str, wanted: str) -> bool:
    if not (said.isdigit() and wanted.isdigit()) or said == wanted:
        return False
    return said.rstrip("0") == wanted.rstrip("0") and said.strip("0") != ""


# Name → (how it is said, whether a wrong prediction relates to its item like that); the first that fits counts.
_RELATIONS: Mapping[str, tuple[str, Callable[[ErrorItem, str], bool]]] = {
    "empty": (_("the prediction is empty"), lambda item, said: not said.strip()),
    "width": (_("only full width and half width differ"), lambda item, said: _fold(said) == _fold(item.target)),
    "case": (_("only capitals differ"), lambda item, said: said.casefold() == item.target.casefold()),
    "marks": (
        _("only spaces or punctuation differ"),
        lambda item, said: _without_marks(said) == _without_marks(item.target) != "",
    ),
    "scale": (_("the number is right, its zeros are not"), lambda item, said: _scaled(said, item.target)),
    "nearest": (
        _("the prediction is the target of the most similar training row"),
        lambda item, said: item.nearest is not None and said == item.nearest[0],
    ),
    "copy": (_("the prediction is a copy of the source"), lambda item, said: said == item.source),
    "cut": (_("the end of the target is missing"), lambda item, said: item.target.startswith(said)),
    "longer": (_("the target is followed by something more"), lambda item, said: said.startswith(item.target)),
    "start": (_("the start of the target is missing"), lambda item, said: item.target.endswith(said)),
    "order": (
        _("the characters are right, their order is not"),
        lambda item, said: sorted(said) == sorted(item.target),
    ),
}


def relation(item: ErrorItem) -> str:
    """How a wrong prediction relates to its item, "" where it does in no known way.

    item  that is wrong
    """
    if item.prediction is None:
        return "unreadable"
    said = item.prediction
    return next((name for name, (_words, fits) in _RELATIONS.items() if fits(item, said)), "")


def relation_title(name: str) -> str:
    """A relation in words, as a message.

    name  as `relation` gives it
    """
    return _("the output cannot be read") if name == "unreadable" else _RELATIONS[name][0]


def named_relations(items: Sequence[ErrorItem], families: int = 1) -> list[NamedError]:
    """Relations that more wrong predictions have than any would have by accident (15% of them).

    items     of the exam
    families  of tests that share the error rate of 5%
    """
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        if item.wrong and (name := relation(item)):
            rows[name].append(row)
    total, tried = sum(item.wrong for item in items), len(_RELATIONS) + 1
    return sorted(_named_relations(rows, total, tried * families), key=lambda one: one.p)


def _named_relations(rows: Mapping[str, Sequence[int]], total: int, tried: int) -> Iterator[NamedError]:
    for name, found in rows.items():
        p = min(1.0, binomial_tail(len(found), total, _USUAL) * tried)
        if p <= ALPHA and len(found) >= LEAST_ERRORS:
            message = _("{what}: {wrong} of {total} errors", what=relation_title(name), wrong=len(found), total=total)
            key = ("relation", name)
            yield NamedError("relation", key, message, p, len(found), total, total - len(found), total, tuple(found))
