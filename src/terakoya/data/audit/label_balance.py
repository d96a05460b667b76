"""Whether one answer fills the data: skew, density, and what a constant would get."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import median

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import COLUMNS, Fair, Seen, Subject, Tally, bars, number_of, percent, share, shown
from terakoya.i18n import both
from terakoya.records import Example, Finding, Level
from terakoya.scoring.baselines.standard import best_constant


class Balance:
    """Counts labels, or whole targets where the codec knows no labels."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.counts: Counter[str] = Counter()
        self.rare = 0  # uses of labels that came after LABELS_KEPT others
        self.rows = 0
        self.sample: Fair[Example] = Fair(1000)

    def see(self, seen: Seen) -> None:
        target = seen.canonical if seen.canonical is not None else seen.example.target
        self.rows += 1
        for label in target.split() if self.subject.labels else (_name(target),):
            if label in self.counts or len(self.counts) < line.LABELS_KEPT:
                self.counts[label] += 1
            else:
                self.rare += 1
        if seen.canonical is not None and self.sample.wants(seen.key):
            self.sample.add(seen.key, replace(seen.example, target=target, accepted=()))

    @property
    def alike(self) -> bool:
        """Whether targets are labels at all: a codec of labels, or few texts that come again and again."""
        few = len(self.counts) + self.rare <= self.rows / 5
        return self.subject.labels or (few and self.subject.kind == "text")  # numbers are read, not chosen

    def findings(self) -> Iterator[Finding]:
        if self.rows < 2 or not self.counts:
            return
        if len(self.counts) == 1:
            only = next(iter(self.counts))
            yield Finding(
                "one-answer",
                "stop",
                both(
                    f"all {self.rows} targets are {shown(only)}: there is nothing to learn",
                    f"正解{self.rows}件がすべて {shown(only)} である：学ぶことがない",
                ),
                do=both(
                    "Check task.target; bring rows with different targets.",
                    "task.target を確かめ、正解の異なる行を用意すること。",
                ),
                values={"rows": float(self.rows)},
            )
            return
        level, figures = self._skew()
        if self.alike or level == "warn":
            yield self._skew_finding(level, figures)
            yield from self._constant(level)
        if self.alike:
            yield from self._density()
            top = self.counts.most_common(12)
            drawn = bars(top)
            yield Finding(
                "label-counts", "note", both(drawn, drawn), values={name: float(count) for name, count in top}
            )

    def _skew(self) -> tuple[Level, Mapping[str, float]]:
        total = self.counts.total() + self.rare
        (_, first), (_, second) = self.counts.most_common(2)
        entropy = -sum(count / total * math.log(count / total) for count in self.counts.values())
        entropy += share(self.rare, total) * math.log(total)
        figures = {
            "top_share": first / total,
            "ratio": first / second,
            "labels": float(len(self.counts)),
            "effective": math.exp(entropy),
            "top_rows": min(1.0, first / self.rows),
            "uses": float(total),
        }
        leading = figures["top_share"] >= line.TOP_SHARE and figures["ratio"] >= line.TOP_RATIO
        return ("warn" if leading or figures["top_share"] >= line.TOP_MAJORITY else "note"), figures

    def _skew_finding(self, level: Level, figures: Mapping[str, float]) -> Finding:
        (first, count), (second, _) = self.counts.most_common(2)
        kind = "ラベル" if self.subject.labels else "正解"
        what = both(
            f"{shown(first)} is {count} of {figures['uses']:.0f} {'labels' if self.subject.labels else 'targets'} "
            f"({percent(figures['top_share'])}), {figures['ratio']:.1f} times the second, {shown(second)}, and stands "
            f"in {percent(figures['top_rows'])} of the rows; {figures['labels']:.0f} labels are worth "
            f"{figures['effective']:.0f} even ones",
            f"{shown(first)} が{kind}{figures['uses']:.0f}件中{count}件（"
            f"{percent(figures['top_share'])}）で、二位の {shown(second)} の"
            f"{figures['ratio']:.1f}倍。{percent(figures['top_rows'])}の行に現れる。"
            f"{figures['labels']:.0f}種類の{kind}は、均等な{figures['effective']:.0f}種類分にあたる",
        )
        if level == "warn":
            what += both(
                f". A model is likely to collapse to {shown(first)} whatever it is asked",
                f"。何を問われても {shown(first)} と答えるように崩壊するおそれがある",
            )
        return Finding("label-skew", level, what, do=_CURE if level == "warn" else "", values=figures)

    def _constant(self, level: Level) -> Iterator[Finding]:
        rows = self.sample.kept()
        if not rows:
            return
        metric = self.subject.metric
        answer = best_constant(rows, metric, labels=self.subject.labels)
        value = sum(metric.judge(answer, (row.target,)) for row in rows) / len(rows)
        yield Finding(
            "constant-answer",
            "warn" if level == "warn" and value >= line.CONSTANT_SCORE else "note",
            both(
                f"always answering {shown(answer)} scores {metric.name} {value:.3f} on this data: below that, nothing "
                "was learnt",
                f"常に {shown(answer)} と答えるだけで、このデータでは {metric.name} {value:.3f} に"
                "なる：これを下回るなら何も学習していない",
            ),
            do=both(
                "Hold every score against this figure; a report does so by itself.",
                "すべてのスコアをこの値と比べること。記録では自動で比べている。",
            ),
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
        yield Finding(
            "label-density",
            "note" if enough else "warn",
            both(
                f"{self.rows} rows for {len(counts)} labels: {self.rows / len(counts):.1f} rows a label; half of the "
                f"labels are used {middle:g} times or less, {few} fewer than {line.USES_PER_LABEL} times. ",
                f"ラベル{len(counts)}種類に対して{self.rows}行：一種類あたり"
                f"{self.rows / len(counts):.1f}行。半数のラベルは{middle:g}回以下、{few}種類は"
                f"{line.USES_PER_LABEL}回未満しか使われていない。",
            )
            + (
                both(
                    f"{lacking} more uses (about {more} rows) would bring each to {line.USES_WANTED}",
                    f"あと{lacking}回（約{more}行）で、それぞれ{line.USES_WANTED}回に届く",
                )
                if lacking
                else ""
            ),
            do="" if enough else _DENSER,
            values={
                "median_uses": middle,
                "rare_labels": float(few),
                "uses_needed": float(lacking),
                "rows_needed": more,
            }
            | {"rows_per_label": self.rows / len(counts)},
        )


_CURE = both(
    "Ban the label or set a quota while generating (teacher.banned, teacher.quota), and teach sets as sets "
    '(model.head = "set"). Smoothing, focal loss, learning rate, more epochs and sampling did not help in the log.',
    "生成時にそのラベルを禁じるか上限を設け（teacher.banned、teacher.quota）、集合は"
    '集合として学習すること（model.head = "set"）。平滑化、focal損失、学習率、エポッ'
    "ク数の増加、サンプリングは、記録された実験では役に立たなかった。",
)
_DENSER = both(
    "Decide the label set before generating (teacher.labels) and stop at a density (teacher.density); or leave rare "
    "labels out.",
    "生成の前にラベルの集合を決め（teacher.labels）、十分な密度になるまで作ること（te"
    "acher.density）。または、まれなラベルを外すこと。",
)


def _name(target: str) -> str:
    """A target as its own name; a long one by its beginning and what stands for the rest."""
    return target if len(target) <= line.LONG_TEXT else f"{target[:100]}… {number_of(target):x}"


class Lengths:
    """How long sources and targets are, and answers that are far longer than the rest."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.sources: Counter[int] = Counter()
        self.targets: Counter[int] = Counter()
        self.longest: list[tuple[int, int, str]] = []  # the longest targets: length, row, text
        self.many = Tally()

    def see(self, seen: Seen) -> None:
        target = seen.example.target
        self.sources[min(len(seen.example.source), 100_000)] += 1
        size = min(len(target), 100_000)
        self.targets[size] += 1
        if len(self.longest) < line.ROWS_NAMED or size > self.longest[-1][0]:
            self.longest.append((size, seen.example.row, target[:60]))
            self.longest.sort(key=lambda item: (-item[0], item[1]))
            del self.longest[line.ROWS_NAMED :]
        if self.subject.labels and len((seen.canonical or target).split()) > line.MANY_LABELS:
            self.many.add(seen.example.row, target)

    def findings(self) -> Iterator[Finding]:
        if not self.targets:
            return
        for name, counts in (("source", self.sources), ("target", self.targets)):
            yield _lengths(name, counts)
        if self.many.count and share(self.many.count, self.targets.total()) < line.MANY_LABELS_USUAL:
            yield self.many.finding(
                "many-labels",
                "warn",
                both(
                    f"{self.many.count} targets hold more than {line.MANY_LABELS} labels",
                    f"正解{self.many.count}件に{line.MANY_LABELS}個を超えるラベルがある",
                ),
                do=both(
                    "Was the teacher asked for fewer? Cut or drop those rows.",
                    "教師モデルにはもっと少なく求めていなかったか。それらの行を削るか外すこと。",
                ),
            )
        if not self.subject.labels:
            yield from self._long()

    def _long(self) -> Iterator[Finding]:
        middle, high = _quantile(self.targets, 0.5), _quantile(self.targets, 0.99)
        far = max(line.LONG_ANSWER * middle, float(high), float(line.LONG_ANSWER_CHARACTERS))
        found = Tally()
        for size, row, text in self.longest:
            if size > far:
                found.add(row, text)
        found.count = sum(count for size, count in self.targets.items() if size > far)
        extreme = bool(self.longest) and self.longest[0][0] > max(line.LONG_ANSWER * high, far)
        if found.count:
            yield found.finding(
                "long-answers",
                "warn" if extreme else "note",
                both(
                    f"{found.count} targets are more than {line.LONG_ANSWER:g} times as long as the median ({middle} "
                    f"characters); the longest has {self.longest[0][0]}",
                    f"正解{found.count}件が、中央値（{middle}文字）の{line.LONG_ANSWER:g}倍より長い。"
                    f"最長は{self.longest[0][0]}文字",
                ),
                do=both(
                    "Look at them: prose where an answer was asked for, or an unclosed quote.",
                    "見て確かめること：答えが文章になっていないか、引用符が閉じているか。",
                ),
            )


def _quantile(counts: Counter[int], at: float) -> int:
    left = at * counts.total()
    for size in sorted(counts):
        left -= counts[size]
        if left <= 0:
            return size
    return max(counts)


def _lengths(name: str, counts: Counter[int]) -> Finding:
    """A picture of lengths: characters, in ten bins of doubling width."""
    bins: Counter[int] = Counter()
    for size, count in counts.items():
        bins[size.bit_length()] += count
    named = [(f"<{2**power}", float(bins[power])) for power in sorted(bins)]
    middle, high, most = _quantile(counts, 0.5), _quantile(counts, 0.99), max(counts)
    return Finding(
        "lengths",
        "note",
        both(
            f"{name}s have {middle} characters in the middle, {high} at 99%, {most} at most: {bars(named)}",
            f"{COLUMNS[name]}の文字数は中央値{middle}、99%点{high}、最大{most}：{bars(named)}",
        ),
        values={"median": float(middle), "high": float(high), "most": float(most)} | dict(named),
    )
