"""Whether a training is likely to end with one prediction for everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from terakoya.errors import DataError
from terakoya.i18n import Message, _
from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.training.prepare import TrainingSetup

# The emoji log's data: the first label in half of all rows, 4.5 times the second, 2.7 rows a label. Data of its
# second version, without the ban broken, lies below both limits and did not collapse to one label.
MAX_TOP_SHARE = 0.2  # of the rows that hold the most frequent label
MAX_TOP_RATIO = 2.0  # of the most frequent label to the second


def collapse_findings(setup: TrainingSetup, model: Model) -> Iterator[Finding]:
    """Skewed labels, predicted as a sequence, chosen by loss: the lowest loss is that of the prior alone.

    setup  its train split is counted
    model  a set head is not at risk
    """
    if not setup.task.codec.name.startswith("labels") or model.head == "set" or setup.task.draw is not None:
        return
    rows = [_labels(setup, example.target) for example in setup.split.train]
    counts = Counter(label for row in rows for label in row)
    if len(counts) < 2:
        return
    (top, first), (_label, second) = counts.most_common(2)
    share, ratio, labels = first / len(rows), first / second, len(counts)
    if share < MAX_TOP_SHARE or ratio < MAX_TOP_RATIO:
        return
    by_loss = setup.config.train.select == "loss"
    what: Message = _(
        "{top} stands in {share:.0%} of the rows, {ratio:.1f} times as often as the second of {labels} labels, and a "
        "sequence head learns the frequencies of labels before it learns to use its input",
        top=top,
        share=share,
        ratio=ratio,
        labels=labels,
    )
    if by_loss:
        what += _(
            ". The checkpoint with the lowest loss knows the prior alone: it is likely to predict {top} always", top=top
        )
    yield Finding(
        "likely-collapse",
        "warn" if by_loss else "note",
        what,
        where="train.select" if by_loss else "model.head",
        do=_("Set model.head = 'set', or train.select = 'metric'; smoothing, rates and more epochs "
            "did not help in the log."),
        values={
            "top_rows": share, "ratio": ratio, "labels": float(labels), "rows_per_label": len(rows) / labels,
        },
    )  # fmt: skip


def _labels(setup: TrainingSetup, target: str) -> list[str]:
    try:
        return setup.task.codec.canonical(target).split()
    except DataError:
        return []
