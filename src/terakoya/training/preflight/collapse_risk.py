"""Whether a training is likely to end with one answer for everything (docs/lessons.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.models.protocol import Model
from terakoya.records import Finding
from terakoya.training.prepare import TrainingSetup

# The emoji log's data: the first label in half of all rows, 4.5 times the second, 2.7 rows a label. Data of its
# second version, without the ban broken, lies below both lines and did not collapse to one label.
TOP_ROWS = 0.2  # of the rows hold the most frequent label
TOP_RATIO = 2.0  # times the second


def collapse_findings(lesson: TrainingSetup, model: Model) -> Iterator[Finding]:
    """Skewed labels, written one token after another, judged by loss: the lowest loss is the prior's own."""
    if not lesson.task.codec.name.startswith("labels") or model.head == "set" or lesson.task.draw is not None:
        return
    rows = [_labels(lesson, example.target) for example in lesson.split.train]
    counts = Counter(label for row in rows for label in row)
    if len(counts) < 2:
        return
    (top, first), (_, second) = counts.most_common(2)
    figures = {
        "top_rows": first / len(rows),
        "ratio": first / second,
        "labels": float(len(counts)),
        "rows_per_label": len(rows) / len(counts),
    }
    if figures["top_rows"] < TOP_ROWS or figures["ratio"] < TOP_RATIO:
        return
    by_loss = lesson.config.train.select == "loss"
    what = both(
        f"{top} stands in {figures['top_rows']:.0%} of the rows, {figures['ratio']:.1f} times as often as the second "
        f"of {len(counts)} labels, and a sequence head learns how frequent labels are before it learns to listen",
        f"{top} が{figures['top_rows']:.0%}の行に現れ、{len(counts)}種類のラベルの二番目の"
        f"{figures['ratio']:.1f}倍ある。系列ヘッドは、入力に応じることより先にラベルの頻度を"
        "覚える",
    )
    if by_loss:
        what += both(
            f". The checkpoint with the lowest loss knows the prior alone: it is likely to answer {top} to everything",
            f"。損失が最小のチェックポイントは頻度だけを知っている：何にでも {top} と答えるおそれがある",
        )
    yield Finding(
        "likely-collapse",
        "warn" if by_loss else "note",
        what,
        where="train.select" if by_loss else "model.head",
        do=both(
            "Set model.head = 'set', or train.select = 'metric'; smoothing, rates and more epochs "
            "did not help in the log.",
            "model.head = 'set' か train.select = 'metric' とすること。"
            "平滑化、学習率、エポック数の増加は、記録された実験では役に立たなかった。",
        ),
        values=figures,
    )


def _labels(lesson: TrainingSetup, target: str) -> list[str]:
    try:
        return lesson.task.codec.canonical(target).split()
    except DataError:
        return []
