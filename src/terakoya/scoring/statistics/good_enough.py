"""What a record says first: how many predictions are right, and whether that is good enough for their purpose."""

from __future__ import annotations

from dataclasses import dataclass

from terakoya.i18n import _


@dataclass(frozen=True, slots=True)
class ExamSummary:
    """An exam in plain numbers.

    right        predictions that are fully right
    n            items
    value        mean score, with its 95% interval `low` to `high`
    good_enough  the mean score that is good enough; 0 where the user has set none
    partly       predictions that are neither fully right nor fully wrong, by a graded metric
    """

    right: int
    n: int
    value: float
    low: float
    high: float
    good_enough: float = 0.0
    partly: int = 0


def summary_message(summary: ExamSummary) -> str:
    """The two sentences as a message.

    summary  of the exam's main subset
    """
    n, right, partly = summary.n, summary.right, summary.partly
    wrong = n - right - partly
    counted: str
    plain: str
    if partly:
        counted = _(
            "{right} of {n} predictions are fully right, {partly} are partly right, {wrong} are wrong.",
            n=n,
            right=right,
            partly=partly,
            wrong=wrong,
        )
        plain = _("On average a prediction scores {value:.2f}, where 1 is fully right.", value=summary.value)
    else:
        counted = _("{right} of {n} predictions are right, {wrong} are wrong.", n=n, right=right, wrong=wrong)
        plain = _share_wrong(wrong, n)
    return _("{counted} {judged}", counted=counted, judged=_bar(summary) if summary.good_enough else plain)


def _share_wrong(wrong: int, n: int) -> str:
    tenths = round(10 * wrong / n)
    if not wrong:
        return _("None is wrong here.")
    if not tenths:
        return _("Less than a tenth is wrong.")
    return _("About {tenths} of 10 are wrong.", tenths=tenths) if wrong < n else _("All are wrong.")


def _bar(summary: ExamSummary) -> str:
    value, bar, low, high = summary.value, summary.good_enough, summary.low, summary.high
    if low >= bar:
        return _(
            "Good enough: {value:.3f} [{low:.3f}, {high:.3f}], and {bar:g} is required.",
            value=value,
            low=low,
            high=high,
            bar=bar,
        )
    if high < bar:
        return _(
            "Not good enough: {value:.3f} [{low:.3f}, {high:.3f}], and {bar:g} is required.",
            value=value,
            low=low,
            high=high,
            bar=bar,
        )
    return _(
        "Whether it is good enough is not certain: {value:.3f} [{low:.3f}, {high:.3f}], and {bar:g} is required.",
        value=value,
        low=low,
        high=high,
        bar=bar,
    )
