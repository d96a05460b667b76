"""Which scores may be compared: the same items, predicted in the same way and scored alike."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from terakoya.errors import ConfigError, IncompatibleError
from terakoya.evaluation.item_scores import IMPORTED, ItemScores
from terakoya.i18n import _, joined
from terakoya.scoring.statistics.paired import fisher

_FIELDS = (
    ("exam", _("the exam")),
    ("metric", _("the metric or its version")),
    ("labels", _("the label set")),
    ("normal", _("the normal form of predictions")),
    ("decoding", _("the decoding")),
)


def incomparable(first: ItemScores, second: ItemScores, across: Collection[str] = ()) -> tuple[str, ...]:
    """All that forbids a comparison, one message each; () when there is nothing.

    first, second  what would be compared
    across         fields of the signature that may differ
    """
    a, b = first.signature, second.signature
    if IMPORTED in (a.decoding, b.decoding):
        a, b = replace(a, decoding=""), replace(b, decoding="")
    faults = []
    for field, name in _FIELDS:
        one, other = getattr(a, field) or "none", getattr(b, field) or "none"
        if field not in across and one != other:
            faults.append(_("{name} ({one} / {other})", name=name, one=one, other=other))
    keys, others = first.keyed().keys(), second.keyed().keys()
    if keys != others:
        shared, size, other_size = len(keys & others), len(keys), len(others)
        faults.append(
            _(
                "the items ({shared} in common of {size} / {other_size})",
                shared=shared,
                size=size,
                other_size=other_size,
            )
        )
    return tuple(faults)


def refuse_incomparable(first: ItemScores, second: ItemScores, across: Collection[str]) -> None:
    """Refuse a comparison of scores that were not made alike, naming all that differs.

    first, second  what would be compared
    across         fields of the signature that may differ: "decoding"
    Raises IncompatibleError; ConfigError where another field is named in `across`.
    """
    if wrong := ", ".join(sorted(set(across) - {"decoding"})):
        raise ConfigError(
            _("{wrong} may not differ in a comparison", wrong=wrong),
            do=_("Only 'decoding' may."),
        )
    if differing := incomparable(first, second, across):
        one, other, faults, unpaired = first.name, second.name, joined("; ", differing), _unpaired(first, second)
        raise IncompatibleError(
            _("{one} and {other} cannot be compared. These differ: {faults}", one=one, other=other, faults=faults),
            do=_("Evaluate both on the same exam: terakoya evaluate RUN --data FILE.{unpaired}", unpaired=unpaired),
        )


def _unpaired(first: ItemScores, second: ItemScores) -> str:
    """The unpaired test if both exams were samples of one population, which nobody can promise: so it only informs."""
    scores = [[item.value for item in arm.items] for arm in (first, second)]
    if first.signature.metric != second.signature.metric or any(v not in (0, 1) for arm in scores for v in arm):
        return ""
    (right, other_right), (size, other_size) = [round(sum(arm)) for arm in scores], [len(arm) for arm in scores]
    p = fisher(right, size, other_right, other_size)
    return _(
        " (Even if both exams were alike: {right}/{size} and {other_right}/{other_size}, Fisher p = {p:.2g}.)",
        right=right,
        size=size,
        other_right=other_right,
        other_size=other_size,
        p=p,
    )
