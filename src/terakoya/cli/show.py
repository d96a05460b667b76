"""Everything that Terakoya prints: results on standard output; with --json, progress and prose on standard error."""

from __future__ import annotations

import json as json_module
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya.errors import TerakoyaError
from terakoya.listener import Listener
from terakoya.records import Finding, Score, Step

if TYPE_CHECKING:
    from rich.console import Console

_MARKS = {"note": "·", "warn": "!", "stop": "✕"}
_STYLES = {"note": "dim", "warn": "yellow", "stop": "bold red"}
PLAIN_EVERY = 10.0  # seconds between progress lines where there is no terminal


def language(lang: str) -> str:
    from terakoya.report.words import language as spoken

    return spoken(lang)


def safe(text: str) -> str:
    """Text from data or answers, with control and direction marks made visible: a terminal obeys none of them."""
    return "".join(char if char.isprintable() or char == " " else f"\\u{ord(char):04x}" for char in text)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False)


def _json(value: Any) -> None:
    print(json_module.dumps(value, ensure_ascii=False, indent=1, default=_plain))


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


class Telling:
    """A live line on a terminal; a plain line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.began = time.monotonic()
        self.told = 0.0
        self.first: tuple[float, int] | None = None
        self.dev = ""
        self.live: Any = None

    def stage(self, name: str, detail: str = "") -> None:
        self._end_live()
        self.first = None
        self.console.print(f"[{time.monotonic() - self.began:6.1f} s] {name}" + (f": {detail}" if detail else ""))

    def step(self, step: Step, total: int) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = (now, step.step)
        if step.dev:
            self.dev = "  dev " + "  ".join(f"{key} {value:.4f}" for key, value in list(step.dev.items())[:3])
        done = step.step - self.first[1]
        left = (now - self.first[0]) / done * (total - step.step) if done else 0.0
        line = f"step {step.step}/{total}  loss {step.plain:.4f}{self.dev}  {_clock(left)} left"
        if self.console.is_terminal:
            self._live(line)
        elif now - self.told >= PLAIN_EVERY or step.dev or step.step == total:
            self.told = now
            self.console.print("  " + line)

    def finding(self, finding: Finding) -> None:
        self._end_live()
        _print_finding(self.console, finding)

    def note(self, text: str) -> None:
        self._end_live()
        self.console.print("  " + safe(text))

    def _live(self, line: str) -> None:
        if self.live is None:
            from rich.live import Live

            self.live = Live(line, console=self.console, refresh_per_second=8, transient=True)
            self.live.start()
        self.live.update(line)

    def _end_live(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

    close = _end_live


@contextmanager
def listening(*, json: bool, lang: str = "") -> Iterator[Listener]:
    telling = Telling(_console(stderr=json))
    try:
        yield telling
    finally:
        telling.close()


def result(done: Any, *, json: bool, lang: str) -> int:
    """The score table, a few right and wrong answers, and where the report lies."""
    if json:
        _json(done.document())
        return int(done.exit_code)
    console = _console()
    if done.scores:
        _scores(console, [score for score in done.scores if _told(score, done.scores[0].metric)])
    for title, items in (("right", done.right), ("wrong", done.wrong)):
        for item in items:
            written = "(unreadable) " + safe(item.raw) if item.prediction is None else safe(item.prediction)
            console.print(
                f"  {title:5}  {safe(item.source)} → {written}"
                + ("" if title == "right" else f"   ({safe(item.target)})")
            )
    console.print()
    console.print(done.words[language(lang)])
    if done.report:
        console.print(f"The record: {done.report}")
    if not done.scores:
        console.print(f"Open the exam with: terakoya run {done.folder}")
    return int(done.exit_code)


def _told(score: Score, metric: str) -> bool:
    """On a terminal: everything of the model, and what the others got where it counts. The record holds all."""
    return score.who in ("model", "hybrid") or (score.part == "" and score.metric == metric)


def _scores(console: Console, scores: Sequence[Score]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name, side in (
        ("who", "left"),
        ("part", "left"),
        ("metric", "left"),
        ("value", "right"),
        ("95%", "left"),
        ("n", "right"),
    ):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for score in scores:
        low_high = f"{score.low:.4f} – {score.high:.4f}"
        table.add_row(score.who, score.part, score.metric, f"{score.value:.4f}", low_high, str(score.n))
    console.print(table)


def findings(found: Sequence[Finding], *, json: bool, lang: str = "", text: str = "") -> int:
    if json:
        _json({"findings": [_plain(finding) for finding in found], "tokens": text})
    else:
        console = _console()
        if text:
            console.print(text)
        for finding in sorted(found, key=lambda finding: ("stop", "warn", "note").index(finding.level)):
            _print_finding(console, finding)
        counts = {level: sum(finding.level == level for finding in found) for level in ("stop", "warn", "note")}
        console.print(
            "Nothing found." if not found else ", ".join(f"{count} {level}" for level, count in counts.items())
        )
    return 1 if any(finding.level == "stop" for finding in found) else 0


def _print_finding(console: Console, finding: Finding) -> None:
    where = f" ({safe(finding.where)})" if finding.where else ""
    rows = (
        f" rows {', '.join(map(str, finding.rows[:8]))}{' …' if len(finding.rows) > 8 else ''}" if finding.rows else ""
    )
    console.print(
        f"  {_MARKS[finding.level]} {finding.check}{where}: {safe(finding.what)}{rows}", style=_STYLES[finding.level]
    )
    if finding.do and finding.level != "note":
        console.print(f"      → {safe(finding.do)}")


def listing(found: Mapping[str, Sequence[tuple[str, str]]], *, json: bool) -> int:
    if json:
        _json({kind: dict(rows) for kind, rows in found.items()})
        return 0
    for kind, rows in found.items():
        print(kind)
        width = max((len(name) for name, _ in rows), default=0)
        for name, says in rows:
            print(f"  {name:<{width}}  {says}".rstrip())
    return 0


def predictions(answers: Iterable[Mapping[str, Any]], *, output: str, top: int, threshold: float) -> int:
    """One JSON line an input, as they come; where they went to a file, how many."""
    count = 0
    for answer in answers:
        count += 1
        if not output:
            print(json_module.dumps(_chosen(answer, top, threshold), ensure_ascii=False), flush=True)
    if output:
        print(f"{count} lines written to {output}", file=sys.stderr)
    return 0


def _chosen(answer: Mapping[str, Any], top: int, threshold: float) -> dict[str, Any]:
    """Labels are many: by default only those of the answer are shown, with `top` or `threshold` those asked for."""
    chosen = dict(answer)
    labels = chosen.pop("labels", None)
    if labels:
        given = str(answer["prediction"] or "").split()
        if top or threshold:
            chosen["labels"] = {label: p for label, p in labels[: top or None] if p >= threshold}
        else:
            chosen["labels"] = {label: p for label, p in labels if label in given}
    return chosen


def generated(made: Any, *, json: bool) -> int:
    """How many rows, at what cost, what was turned away and why, and which labels lead."""
    if json:
        _json({**asdict(made), "top_share": made.top_share})
        return int(not made.complete and made.estimate is None)
    if made.estimate is not None:
        told = made.estimate
        print(safe(f"{told.requests} requests, {told.likely:.4f} {made.currency} likely, {told.worst:.4f} at worst"))
        print(safe(told.basis))
        return 0
    print(f"{made.rows} of {made.wanted} rows in {made.output}")
    asked = f"{made.requests} requests ({made.reused} answers reused)"
    print(f"{asked}, {made.cost:.4f} {made.currency}; ledger: {made.ledger}")
    for reason, count in sorted(made.rejected.items(), key=lambda item: -item[1]):
        print(safe(f"  rejected {count:5}  {reason}"))
    if made.labels:
        top = "  ".join(f"{label} {count}" for label, count in made.labels[:10])
        print(safe(f"{made.kinds} labels, the first one {made.top_share:.1%}: ") + top)
    for note in made.notes:
        print(safe(note))
    return int(not made.complete)


def counts(sizes: Mapping[str, Any], *, json: bool) -> int:
    if json:
        _json(sizes)
    else:
        for name, value in sizes.items():
            print(f"{name:8} {value}")
    return 0


def comparisons(done: Sequence[Any], *, json: bool, lang: str) -> int:
    if json:
        _json([{**asdict(one), "words": one.words(language(lang))} for one in done])
    else:
        for one in done:
            print(safe_lines(one.words(language(lang))))
    return 0


def series(done: Any, *, json: bool) -> int:
    """Every trial with its dev figure, the best first; then where the page lies."""
    if json:
        _json(done)
        return int(done.exit_code)
    ranked = sorted(done.trials, key=lambda told: -1.0 if told.dev is None else told.dev, reverse=True)
    for told in ranked:
        figure = "        " if told.dev is None else f"{told.dev:8.4f}"
        reason = told.reason.partition("\n")[0]
        print(safe(f"{told.state:7} {figure}  {told.trial.name}, seed {told.trial.seed}  {reason}".rstrip()))
    for note in done.notes:
        print(safe(note))
    pages(done.pages)
    return int(done.exit_code)


def pages(paths: Sequence[Path]) -> int:
    for path in paths:
        print(path)
    return 0


def made(paths: Sequence[Path]) -> int:
    for path in paths:
        print(path)
    print(f"Now: terakoya run {next(path for path in paths if path.suffix == '.toml')}")
    return 0


def refusal(error: TerakoyaError) -> int:
    print(safe_lines(str(error)), file=sys.stderr)
    return error.exit_code


def safe_lines(text: str) -> str:
    return "\n".join(safe(line) for line in text.splitlines())


def interrupted(stop: KeyboardInterrupt) -> int:
    print(safe_lines(str(stop)) or "Stopped. Nothing was begun that could be lost.", file=sys.stderr)
    return 130


def misuse(error: Any) -> int:
    print(error.format_message(), file=sys.stderr)
    return 2


def our_fault(error: Exception) -> int:
    traceback.print_exception(error)
    print(
        "\nThis is a fault of Terakoya, not yours. Please report it with the lines above, the command, and "
        "RUN/config.toml if there is a run; nothing that a run had written is lost.",
        file=sys.stderr,
    )
    return 70


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
