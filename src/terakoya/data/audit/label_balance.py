"""Whether one label dominates the data: skew, density, and the score of a constant prediction."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import (
    AuditContext,
    AuditRow,
    HashSample,
    bars,
    format_percent,
    hash64,
    share,
    shorten,
)
from terakoya.i18n import _, joined
from terakoya.records import Example, Finding, Level
from terakoya.scoring.baselines.standard import best_constant

if TYPE_CHECKING:
    from terakoya.data.audit.known_targets import KnownTargets
    from terakoya.data.audit.row_blocks import RowBlock


class LabelBalance:
    """Counts labels, or whole targets where the codec has no labels.

    subject  what the data is for
    """

    def __init__(self, subject: AuditContext) -> None:
        self.subject = subject
        self.counts: Counter[str] = Counter()
        self.rare = 0  # uses of labels that came after LABELS_KEPT others
        self.rows = 0
        self.sample: HashSample[Example] = HashSample(1000)
        self._pending: tuple[KnownTargets | None, Any] = (None, ())  # targets of blocks, and how often each occurred

    def add(self, row: AuditRow) -> None:
        """Counts the labels of the row.

        row  in the order of the file
        """
        target = row.canonical if row.canonical is not None else row.example.target
        self.rows += 1
        for label in target.split() if self.subject.labels else (_name(target),):
            self._count(label, 1)
        if row.canonical is not None and self.sample.wants(row.key):
            self.sample.add(row.key, replace(row.example, target=target, accepted=()))

    def add_block(self, block: RowBlock) -> None:
        """Counts the labels of all rows of `block`."""
        import numpy as np

        self.rows += len(block)
        if block.targets is not self._pending[0]:
            self._count_pending()
            self._pending = (block.targets, np.zeros(0, dtype=np.int64))
        targets, uses = self._pending
        new = np.bincount(block.numbers, minlength=len(block.targets.facts))
        new[: len(uses)] += uses
        self._pending = (targets, new)
        written = block.of_targets("written", lambda facts: facts.canonical is not None)
        for row in block.rows(self.sample.choose(block.keys, written)):
            if row.canonical is not None:
                self.sample.add(row.key, replace(row.example, target=row.canonical, accepted=()))

    def _count_pending(self) -> None:
        """Count the labels of targets whose uses are known: in the order in which the targets first occurred."""
        targets, uses = self._pending
        if targets is not None:
            for facts, count in zip(targets.facts, uses.tolist(), strict=False):
                for label in facts.name.split() if self.subject.labels else (_name(facts.name),):
                    self._count(label, count)
        self._pending = (None, ())

    def _count(self, label: str, uses: int) -> None:
        if label in self.counts or len(self.counts) < line.LABELS_KEPT:
            self.counts[label] += uses
        else:
            self.rare += uses

    @property
    def categorical(self) -> bool:
        """Whether targets are labels at all: a codec of labels, or few texts that occur again and again."""
        few = len(self.counts) + self.rare <= self.rows / 5
        return self.subject.labels or (few and self.subject.kind == "text")  # numbers are read, not chosen

    def findings(self) -> Iterator[Finding]:
        """Findings on skew, density and the best constant prediction."""
        self._count_pending()
        if self.rows < 2 or not self.counts:
            return
        if len(self.counts) == 1:
            text, count = shorten(next(iter(self.counts))), self.rows
            yield Finding(
                "one-answer",
                "stop",
                _("all {count} targets are {text}: there is nothing to learn", count=count, text=text),
                do=_("Check task.target; bring rows with different targets."),
                values={"rows": float(self.rows)},
            )
            return
        level, values = self._skew()
        if self.categorical or level == "warn":
            yield self._skew_finding(level, values)
            yield from self._constant(level)
        if self.categorical:
            if self.subject.labels:
                yield from self._density()
            top = self.counts.most_common(12)
            histogram = bars(top)
            yield Finding(
                "label-counts",
                "note",
                joined("", [histogram]),
                values={name: float(count) for name, count in top},
            )

    def _skew(self) -> tuple[Level, Mapping[str, float]]:
        total = self.counts.total() + self.rare
        (_first, first), (_second, second) = self.counts.most_common(2)
        entropy = -sum(count / total * math.log(count / total) for count in self.counts.values())
        entropy += share(self.rare, total) * math.log(total)
        values = {
            "top_share": first / total,
            "ratio": first / second,
            "labels": float(len(self.counts)),
            "effective": math.exp(entropy),
            "top_rows": min(1.0, first / self.rows),
            "uses": float(total),
        }
        leading = values["top_share"] >= line.TOP_SHARE and values["ratio"] >= line.TOP_RATIO
        return ("warn" if leading or values["top_share"] >= line.TOP_MAJORITY else "note"), values

    def _skew_finding(self, level: Level, values: Mapping[str, float]) -> Finding:
        (first, count), (second, _count) = self.counts.most_common(2)
        kind = _("labels") if self.subject.labels else _("targets")
        top, runner_up = shorten(first), shorten(second)
        uses, ratio, labels, effective = (values[name] for name in ("uses", "ratio", "labels", "effective"))
        top_share, top_rows = format_percent(values["top_share"]), format_percent(values["top_rows"])
        what: str = _(
            "{top} is {count} of {uses:.0f} {kind} ({top_share}), {ratio:.1f} times the second, {runner_up}, and "
            "occurs in {top_rows} of the rows; {labels:.0f} labels have the entropy of {effective:.0f} equally "
            "frequent ones",
            top=top,
            count=count,
            uses=uses,
            kind=kind,
            top_share=top_share,
            ratio=ratio,
            runner_up=runner_up,
            top_rows=top_rows,
            labels=labels,
            effective=effective,
        )
        if level == "warn":
            warning = _("A model is likely to collapse to {top} for every input", top=top)
            what = joined(_(". "), (what, warning))
        return Finding("label-skew", level, what, do=_REMEDY if level == "warn" else "", values=values)

    def _constant(self, level: Level) -> Iterator[Finding]:
        rows = self.sample.kept()
        if not rows:
            return
        metric = self.subject.metric
        constant = best_constant(rows, metric, labels=self.subject.labels)
        value = sum(metric.score(constant, (row.target,)) for row in rows) / len(rows)
        text, name = shorten(constant), metric.name
        yield Finding(
            "constant-answer",
            "warn" if level == "warn" and value >= line.CONSTANT_SCORE else "note",
            _(
                "the constant prediction {text} scores {name} {value:.3f} on this data: a model below that has learnt "
                "nothing",
                text=text,
                name=name,
                value=value,
            ),
            do=_("Compare every score with this value; a report does so by itself."),
            values={metric.name: value},
        )

    def _density(self) -> Iterator[Finding]:
        counts = list(self.counts.values())
        middle = float(median(counts))
        few = sum(count < line.USES_PER_LABEL for count in counts)
        lacking = sum(max(0, line.USES_WANTED - count) for count in counts)
        size = (self.counts.total() + self.rare) / self.rows
        more = math.ceil(lacking / size)
        enough = middle >= line.USES_PER_LABEL
        rows, labels, per_label, least = self.rows, len(counts), self.rows / len(counts), line.USES_PER_LABEL
        what: str = _(
            "{rows} rows for {labels} labels: {per_label:.1f} rows per label; half of the labels are used {middle:g} "
            "times or less, {few} fewer than {least} times",
            rows=rows,
            labels=labels,
            per_label=per_label,
            middle=middle,
            few=few,
            least=least,
        )
        if lacking:
            wanted = line.USES_WANTED
            need = _(
                "{lacking} more uses (about {more} rows) would bring each to {wanted}",
                lacking=lacking,
                more=more,
                wanted=wanted,
            )
            what = joined(_(". "), (what, need))
        yield Finding(
            "label-density",
            "note" if enough else "warn",
            what,
            do="" if enough else _DENSER,
            values={
                "median_uses": middle,
                "rare_labels": float(few),
                "uses_needed": float(lacking),
                "rows_needed": more,
            }
            | {"rows_per_label": self.rows / len(counts)},
        )


_REMEDY = _(
    "Ban the label or set a quota while generating (teacher.banned, teacher.quota), and train a head for sets "
    '(model.head = "set"). Smoothing, focal loss, learning rate, more epochs and sampling did not help in the log.'
)
_DENSER = _(
    "Decide the label set before generating (teacher.labels) and stop at a density (teacher.density); or leave rare "
    "labels out."
)


def _name(target: str) -> str:
    """The target itself; a long one as its prefix and a hash."""
    return target if len(target) <= line.LONG_TEXT else f"{target[:100]}… {hash64(target):x}"
