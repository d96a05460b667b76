"""Which scores may be compared: the same items, predicted in the same way and scored alike."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from terakoya.errors import ConfigError, IncompatibleError
from terakoya.evaluation.item_scores import IMPORTED, ItemScores
from terakoya.i18n import both, japanese, joined
from terakoya.scoring.statistics.paired import fisher

_FIELDS = (
    ("exam", both("the exam", "試験")),
    ("metric", both("the metric or its version", "指標またはその版")),
    ("labels", both("the label set", "ラベルの集合")),
    ("normal", both("the normal form of predictions", "予測の正規形")),
    ("decoding", both("the decoding", "デコード")),
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
            faults.append(both(f"{name} ({one} / {other})", f"{japanese(name)}（{one} / {other}）"))
    keys, others = first.keyed().keys(), second.keyed().keys()
    if keys != others:
        shared, size, other_size = len(keys & others), len(keys), len(others)
        faults.append(
            both(
                f"the items ({shared} in common of {size} / {other_size})",
                f"問題（{size} / {other_size} のうち共通は{shared}）",
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
            both(f"{wrong} may not differ in a comparison", f"比較では {wrong} が異なってはならない"),
            do=both("Only 'decoding' may.", "異なってよいのは 'decoding' だけである。"),
        )
    if differing := incomparable(first, second, across):
        one, other, faults, unpaired = first.name, second.name, joined("; ", differing), _unpaired(first, second)
        raise IncompatibleError(
            both(
                f"{one} and {other} cannot be compared. These differ: {faults}",
                f"{one} と {other} は比較できない。異なるもの：{japanese(faults)}",
            ),
            do=both(
                f"Evaluate both on the same exam: terakoya evaluate RUN --data FILE.{unpaired}",
                f"両方を同じ試験で評価すること：terakoya evaluate RUN --data FILE。{japanese(unpaired)}",
            ),
        )


def _unpaired(first: ItemScores, second: ItemScores) -> str:
    """The unpaired test if both exams were samples of one population, which nobody can promise: so it only informs."""
    scores = [[item.value for item in arm.items] for arm in (first, second)]
    if first.signature.metric != second.signature.metric or any(v not in (0, 1) for arm in scores for v in arm):
        return ""
    (right, other_right), (size, other_size) = [round(sum(arm)) for arm in scores], [len(arm) for arm in scores]
    p = fisher(right, size, other_right, other_size)
    return both(
        f" (Even if both exams were alike: {right}/{size} and {other_right}/{other_size}, Fisher p = {p:.2g}.)",
        f"（仮に試験が同等だとしても：{right}/{size} と {other_right}/{other_size}、Fisher の p = {p:.2g}。）",
    )
