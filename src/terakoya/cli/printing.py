"""Everything that Terakoya prints: results on standard output; with --json, progress and prose on standard error."""

from __future__ import annotations

import json as json_module
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya.cli.lines import new_console, print_finding, safe, safe_lines
from terakoya.errors import TerakoyaError
from terakoya.i18n import both, in_language, language, spread
from terakoya.records import Finding, Score

if TYPE_CHECKING:
    from rich.console import Console

_RIGHT, _WRONG = both("right", "正解"), both("wrong", "不正解")


def _json(value: Any) -> None:
    print(json_module.dumps(value, ensure_ascii=False, indent=1, default=_plain))


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return spread((field.name, getattr(value, field.name)) for field in fields(value))
    if isinstance(value, Mapping):
        return spread(value.items())
    return str(value)


def result(done: Any, *, json: bool, lang: str) -> int:
    """The score table, a few right and wrong answers, and where the report lies."""
    if json:
        _json(done.document())
        return int(done.exit_code)
    console, spoken = new_console(), language(lang)
    if done.scores:
        _scores(console, [score for score in done.scores if _told(score, done.scores[0].metric)], spoken)
    for title, items in ((_RIGHT, done.right), (_WRONG, done.wrong)):
        for item in items:
            expected = "" if title is _RIGHT else f"   ({safe(item.target)})"
            console.print(f"  {in_language(title, spoken):5}  {_answer(item, spoken)}{expected}")
    console.print()
    console.print(done.words[spoken])
    if done.report:
        console.print(in_language(both(f"The record: {done.report}", f"記録：{done.report}"), spoken))
    if not done.scores:
        command = f"terakoya run {done.folder}"
        console.print(in_language(both(f"Open the exam with: {command}", f"試験を開くには：{command}"), spoken))
    return int(done.exit_code)


def _answer(item: Any, lang: str) -> str:
    unreadable = in_language(both("(unreadable) ", "（判読不能）"), lang)
    written = unreadable + safe(item.raw) if item.prediction is None else safe(item.prediction)
    return f"{safe(item.source)} → {written}"


def _told(score: Score, metric: str) -> bool:
    """On a terminal: everything of the model, and what the others got where it counts. The record holds all."""
    return score.who in ("model", "hybrid") or (score.part == "" and score.metric == metric)


def _scores(console: Console, scores: Sequence[Score], lang: str) -> None:
    from rich.table import Table

    from terakoya.report.translations import known

    table = Table(box=None, pad_edge=False)
    for name, side in (
        ("who", "left"),
        ("part", "left"),
        ("metric", "left"),
        ("value", "right"),
        ("95%", "left"),
        ("n", "right"),
    ):
        table.add_column(known(lang, name) if lang == "ja" else name, justify=side)  # type: ignore[arg-type]
    for score in scores:
        low_high = f"{score.low:.4f} – {score.high:.4f}"
        who = known(lang, score.who) if lang == "ja" else score.who
        table.add_row(who, score.part, score.metric, f"{score.value:.4f}", low_high, str(score.n))
    console.print(table)


def findings(found: Sequence[Finding], *, json: bool, lang: str = "", text: str = "") -> int:
    if json:
        _json({"findings": [_plain(finding) for finding in found], "tokens": text})
    else:
        console, spoken = new_console(), language(lang)
        if text:
            console.print(text)
        for finding in sorted(found, key=lambda finding: ("stop", "warn", "note").index(finding.level)):
            print_finding(console, finding, spoken)
        console.print(in_language(_counted(found), spoken))
    return 1 if any(finding.level == "stop" for finding in found) else 0


def _counted(found: Sequence[Finding]) -> str:
    if not found:
        return both("Nothing found.", "検出された事項はない。")
    stop, warn, note = (sum(finding.level == level for finding in found) for level in ("stop", "warn", "note"))
    return both(f"{stop} stop, {warn} warn, {note} note", f"停止{stop}件、警告{warn}件、メモ{note}件")


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


def predictions(
    answers: Iterable[Mapping[str, Any]], *, output: str, top: int, threshold: float, lang: str = ""
) -> int:
    """One JSON line an input, as they come; where they went to a file, how many."""
    count = 0
    for answer in answers:
        count += 1
        if not output:
            print(json_module.dumps(_chosen(answer, top, threshold), ensure_ascii=False), flush=True)
    if output:
        said = both(f"{count} lines written to {output}", f"{count}行を {output} に書いた")
        print(in_language(said, language(lang)), file=sys.stderr)
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


def generated(made: Any, *, json: bool, lang: str = "") -> int:
    """How many rows, at what cost, what was turned away and why, and which labels lead."""
    if json:
        _json({**asdict(made), "top_share": made.top_share})
        return int(not made.complete and made.estimate is None)
    spoken = language(lang)
    for line in _costs(made) if made.estimate is not None else _made(made):
        print(safe(in_language(line, spoken)))
    if made.labels and made.estimate is None:  # emoji are joined by marks that safe() would show
        print(in_language(_led(made), spoken))
    for note in made.notes if made.estimate is None else ():
        print(safe(in_language(note, spoken)))
    return int(not made.complete and made.estimate is None)


def _costs(made: Any) -> Iterator[str]:
    told = made.estimate
    yield both(
        f"{told.requests} requests, {told.likely:.4f} {made.currency} likely, {told.worst:.4f} at worst",
        f"要求{told.requests}回、見込み {told.likely:.4f} {made.currency}、最大 {told.worst:.4f}",
    )
    yield told.basis


def _made(made: Any) -> Iterator[str]:
    yield both(f"{made.rows} of {made.wanted} rows in {made.output}", f"{made.wanted}行中{made.rows}行：{made.output}")
    cost = f"{made.cost:.4f} {made.currency}"
    yield both(
        f"{made.requests} requests ({made.reused} answers reused), {cost}; ledger: {made.ledger}",
        f"要求{made.requests}回（再利用した回答{made.reused}件）、{cost}、台帳：{made.ledger}",
    )
    for reason, count in sorted(made.rejected.items(), key=lambda item: -item[1]):
        yield both(f"  rejected {count:5}  {reason}", f"  不採用 {count:5}  {reason}")


def _led(made: Any) -> str:
    top, first = "  ".join(f"{label} {count}" for label, count in made.labels[:10]), f"{made.top_share:.1%}"
    return both(
        f"{made.kinds} labels, the first one {first}: {top}", f"ラベル{made.kinds}種類、最多のものが{first}：{top}"
    )


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


def series(done: Any, *, json: bool, lang: str = "") -> int:
    """Every trial with its dev figure, the best first; then where the page lies."""
    if json:
        _json(done)
        return int(done.exit_code)
    from terakoya.report.translations import known

    spoken = language(lang)
    ranked = sorted(done.trials, key=lambda told: -1.0 if told.dev is None else told.dev, reverse=True)
    for told in ranked:
        figure = "        " if told.dev is None else f"{told.dev:8.4f}"
        reason, state = in_language(told.reason, spoken).partition("\n")[0], told.state
        named = known(spoken, state) if spoken == "ja" else state
        seed = in_language(both(f", seed {told.trial.seed}", f"、シード{told.trial.seed}"), spoken)
        print(safe(f"{named:7} {figure}  {told.trial.name}{seed}  {reason}".rstrip()))
    for note in done.notes:
        print(safe(in_language(note, spoken)))
    pages(done.pages)
    return int(done.exit_code)


def pages(paths: Sequence[Path]) -> int:
    for path in paths:
        print(path)
    return 0


def made(paths: Sequence[Path], *, lang: str = "") -> int:
    for path in paths:
        print(path)
    command = f"terakoya run {next(path for path in paths if path.suffix == '.toml')}"
    print(in_language(both(f"Now: {command}", f"次は：{command}"), language(lang)))
    return 0


def refusal(error: TerakoyaError, *, lang: str = "") -> int:
    print(safe_lines(error.words(language(lang or error.lang))), file=sys.stderr)
    return error.exit_code


def interrupted(stop: KeyboardInterrupt, *, lang: str = "") -> int:
    nothing = both("Stopped. Nothing was begun that could be lost.", "停止した。失われたものはない。")
    said = stop.args[0] if stop.args and str(stop) else nothing
    print(safe_lines(in_language(said, language(lang))), file=sys.stderr)
    return 130


def misuse(error: Any) -> int:
    print(error.format_message(), file=sys.stderr)
    return 2


_OURS = both(
    "This is a fault of Terakoya, not yours. Please report it with the lines above, the command, and "
    "RUN/config.toml if there is a run; nothing that a run had written is lost.",
    "これは Terakoya の不具合であり、使い方の誤りではない。上の表示、実行したコマンド、実行フォルダがあれば "
    "RUN/config.toml を添えて報告してほしい。実行が書いたものは失われていない。",
)


def our_fault(error: Exception, *, lang: str = "") -> int:
    traceback.print_exception(error)
    print(f"\n{in_language(_OURS, language(lang))}", file=sys.stderr)
    return 70
