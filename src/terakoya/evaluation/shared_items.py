"""Two runs compared on the items that both exams hold: what is left to compare where rows left an exam."""

from __future__ import annotations

from dataclasses import replace

from terakoya.errors import IncompatibleError
from terakoya.evaluation.compare import Comparison, compare
from terakoya.evaluation.item_scores import ItemScores
from terakoya.i18n import _
from terakoya.records import fingerprint


def compare_shared(before: ItemScores, after: ItemScores, *, resamples: int = 2000) -> Comparison:
    """The first run against the second, paired on the items that both exams hold, each as often as both hold it.

    before     item scores of the older run
    after      item scores of the newer run
    resamples  of the bootstrap (2,000)
    Raises IncompatibleError where no item is shared, or scores were not made alike.
    """
    shared = before.keyed().keys() & after.keyed().keys()
    if not shared:
        one, other = before.name, after.name
        raise IncompatibleError(
            _("the exams of {one} and {other} share no item", one=one, other=other),
            do=_("Evaluate both on the same exam: terakoya evaluate RUN --data FILE."),
        )
    # The newer exam is the older one without what left it: what people said about the targets is that of the newer.
    arms = [_restricted(scores, shared) for scores in (replace(before, confirmed=after.confirmed), after)]
    (comparison,) = compare(arms, together=False, resamples=resamples)
    return comparison


def _restricted(scores: ItemScores, keys: set[tuple[str, int]]) -> ItemScores:
    """The scores of some items. Their signature names these items, and no label set: a corrected row may bring a label
    that the older run did not know, and each item is scored by its own targets all the same."""
    kept = scores.only(keys)
    exam = fingerprint(*sorted(f"{key}:{count}" for key, count in keys))
    return replace(scores, items=kept, signature=replace(scores.signature, exam=exam, labels=""))
