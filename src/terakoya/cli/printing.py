"""Everything that Terakoya prints: results on standard output; with --json, progress and prose on standard error.

Whatever is printed goes through `_out`, `_err` or a console of lines.py, where nothing can control the terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya.cli.lines import columns, new_console, print_finding, safe, safe_json, safe_lines
from terakoya.errors import TerakoyaError
from terakoya.i18n import _, in_language, language, spread

if TYPE_CHECKING:
    from rich.console import Console

    from terakoya.config.explain import Setting
    from terakoya.records import Finding, Score

_RIGHT, _WRONG = _("right"), _("wrong")


def _out(text: str = "") -> None:
    print(safe_lines(text), flush=True)


def _err(text: str) -> None:
    print(safe_lines(text), file=sys.stderr, flush=True)


def _json(value: Any, indent: int | None = 1) -> None:
    import json

    print(safe_json(json.dumps(value, ensure_ascii=False, indent=indent, default=_plain)), flush=True)


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return spread((field.name, getattr(value, field.name)) for field in fields(value))
    if isinstance(value, Mapping):
        return spread(value.items())
    return str(value)


def result(done: Any, *, json: bool, lang: str) -> int:
    """The scores, a few right and wrong predictions, and where the report is."""
    if json:
        _json(done.to_dict())
        return int(done.exit_code)
    console, reader = new_console(), language(lang)
    if done.summary:
        console.print(done.summary.get(reader, done.summary["en"]))
        console.print()
    if done.scores:
        _scores(console, [score for score in done.scores if _is_shown(score, done.scores[0].metric)], reader)
    for title, items in ((_RIGHT, done.right), (_WRONG, done.wrong)):
        for item in items:
            expected = "" if title is _RIGHT else f"   ({safe(item.target)})"
            console.print(f"  {in_language(title, reader):5}  {_pair(item, reader)}{expected}")
    console.print()
    console.print(done.words.get(reader, done.words["en"]))
    if done.scores:
        console.print(in_language(done.exam_words, reader))
    if done.overridden:
        console.print(in_language(_overridden(done.overridden), reader))
    if done.report:
        console.print(in_language(_("The record: {report}", report=done.report), reader))
    if not done.scores:
        command = f"terakoya run {done.folder}"
        console.print(in_language(_("Open the exam with: {command}", command=command), reader))
    return int(done.exit_code)


def _overridden(checks: Sequence[str]) -> str:
    listed = ", ".join(checks)
    return _("It was continued with --anyway, in spite of findings of level stop: {checks}.", checks=listed)


def _pair(item: Any, lang: str) -> str:
    unreadable = in_language(_("(unreadable) "), lang)
    predicted = unreadable + safe(item.raw) if item.prediction is None else safe(item.prediction)
    return f"{safe(item.source)} → {predicted}"


def _is_shown(score: Score, metric: str) -> bool:
    """On a terminal: all scores of the model, and those of the baselines by the deciding metric. The report has all."""
    return score.who in ("model", "hybrid") or (score.subset == "" and score.metric == metric)


def _scores(console: Console, scores: Sequence[Score], lang: str) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name, side in (
        ("who", "left"),
        ("subset", "left"),
        ("metric", "left"),
        ("value", "right"),
        ("95%", "left"),
        ("n", "right"),
    ):
        table.add_column(_term(name, lang), justify=side)  # type: ignore[arg-type]
    for score in scores:
        low_high = f"{score.low:.4f} – {score.high:.4f}"
        table.add_row(_term(score.who, lang), score.subset, score.metric, f"{score.value:.4f}", low_high, str(score.n))
    console.print(table)


def _term(name: str, lang: str) -> str:
    """A name as the reports of other languages translate it; in English the name itself, which is also in the files."""
    from terakoya.reporting.translations import known

    return name if lang == "en" else known(lang, name)


def serving(ready: Any, *, lang: str) -> None:
    """Where the skills are served, and what a client needs; a new token is shown here and nowhere else."""
    reader = language(lang)
    models = ", ".join(ready.models)
    _out(in_language(_("Serving {models} at {url}/v1 (Ctrl-C ends it)", models=models, url=ready.url), reader))
    if ready.mcp:
        _out(in_language(_("MCP tools: {url}/mcp", url=ready.url), reader))
    if ready.new:
        _out(in_language(_("Token (as API key, or Authorization: Bearer): {token}", token=ready.token), reader))
    if ready.open:
        _err(in_language(_("Other machines can reach this server, over an unencrypted connection."), reader))


def opened(link: str, *, home: Any, public: bool, lang: str) -> None:
    """Where the local page is; its link holds the token, which is shown here and nowhere else."""
    reader = language(lang)
    _out(in_language(_("The page for {home} is open at (Ctrl-C ends it; trainings go on):", home=home), reader))
    _out(f"  {link}")
    if public:
        _err(in_language(_("Other machines can reach this server, over an unencrypted connection."), reader))


def findings(found: Sequence[Finding], *, json: bool, lang: str = "", text: str = "") -> int:
    if json:
        _json({"findings": [_plain(finding) for finding in found], "tokens": text})
    else:
        console, reader = new_console(), language(lang)
        if text:
            console.print(text)
        for finding in sorted(found, key=lambda finding: ("stop", "warn", "note").index(finding.level)):
            print_finding(console, finding, reader)
        console.print(in_language(_counted(found), reader))
    return 1 if any(finding.level == "stop" for finding in found) else 0


def _counted(found: Sequence[Finding]) -> str:
    if not found:
        return _("Nothing found.")
    stop, warn, note = (sum(finding.level == level for finding in found) for level in ("stop", "warn", "note"))
    return _("{stop} stop, {warn} warn, {note} note", stop=stop, warn=warn, note=note)


_KINDS = {
    "experiments": _("experiments"),
    "series": _("series"),
    "tasks": _("tasks"),
    "models": _("models"),
    "metrics": _("metrics"),
    "codecs": _("codecs"),
    "losses": _("losses"),
    "baselines": _("baselines"),
}


def listing(found: Mapping[str, Sequence[tuple[str, str]]], *, json: bool, lang: str = "") -> int:
    """Names by kind, each with what it is for or with the package that brings it."""
    if json:
        _json({kind: dict(rows) for kind, rows in found.items()})
        return 0
    reader = language(lang)
    for kind, rows in found.items():
        _out(in_language(_KINDS.get(kind, kind), reader))
        width = max((columns(name) for name, _purpose in rows), default=0)
        for name, purpose in rows:
            _out(f"  {name}{' ' * (width - columns(name))}  {in_language(_(purpose), reader)}".rstrip())
    return 0


@dataclass(frozen=True)
class LabelChoice:
    """Which labels of a prediction are shown: the predicted ones, or the `top` most probable and those above."""

    top: int = 0
    threshold: float = 0.0


def predictions(
    predicted: Iterable[Mapping[str, Any]], *, output: str, choice: LabelChoice, form: str = "jsonl", lang: str = ""
) -> int:
    """One line for each input, as they come; with an output file, only how many were written."""
    count = 0
    for prediction in predicted:
        count += 1
        if output:
            continue
        if form == "jsonl":
            _json(_chosen(prediction, choice.top, choice.threshold), indent=None)
        else:
            for line in _as_lines(prediction, form, first=count == 1):
                print(safe(line) if sys.stdout.isatty() else line, flush=True)
    if output:
        written = _("{count} lines written to {output}", count=count, output=output)
        _err(in_language(written, language(lang)))
    return 0


_COLUMNS = ("source", "prediction", "probability", "withheld", "verified")


def _as_lines(prediction: Mapping[str, Any], form: str, *, first: bool) -> Iterator[str]:
    """The prediction alone, or a row of a table after its header; a line break inside a text is written as \\n."""
    if form == "text":
        yield str(prediction["prediction"] or "").replace("\n", "\\n")
        return
    import csv
    import io

    delimiter = "\t" if form == "tsv" else ","
    cells = ["" if prediction.get(name) is None else str(prediction[name]) for name in _COLUMNS]
    for row in ([_COLUMNS] if first else []) + [tuple(cells)]:
        written = io.StringIO()
        csv.writer(written, delimiter=delimiter, lineterminator="").writerow(row)
        yield written.getvalue()


def _chosen(prediction: Mapping[str, Any], top: int, threshold: float) -> dict[str, Any]:
    """Labels are many: by default only the predicted ones, else the `top` most probable or those above `threshold`."""
    chosen = dict(prediction)
    labels = chosen.pop("labels", None)
    if labels:
        given = str(prediction["prediction"] or "").split()
        if top or threshold:
            chosen["labels"] = {label: p for label, p in labels[: top or None] if p >= threshold}
        else:
            chosen["labels"] = {label: p for label, p in labels if label in given}
    return chosen


def generated(made: Any, *, json: bool, lang: str = "") -> int:
    """How many rows, at what cost, how many were rejected and why, and the most frequent labels."""
    if json:
        _json({**asdict(made), "top_share": made.top_share})
        return int(not made.complete and made.estimate is None)
    reader = language(lang)
    for line in _costs(made) if made.estimate is not None else _made(made):
        _out(in_language(line, reader))
    if made.labels and made.estimate is None:  # emoji are joined by marks that safe() would show
        _out(in_language(_label_counts(made), reader))
    for note in made.notes if made.estimate is None else ():
        _out(in_language(note, reader))
    return int(not made.complete and made.estimate is None)


def _costs(made: Any) -> Iterator[str]:
    estimate = made.estimate
    yield _(
        "{requests} requests, {expected:.4f} {currency} likely, {worst:.4f} at worst",
        requests=estimate.requests,
        expected=estimate.likely,
        currency=made.currency,
        worst=estimate.worst,
    )
    yield estimate.basis


def _made(made: Any) -> Iterator[str]:
    yield _("{rows} of {wanted} rows in {output}", rows=made.rows, wanted=made.wanted, output=made.output)
    cost = f"{made.cost:.4f} {made.currency}"
    yield _(
        "{requests} requests ({reused} responses reused), {cost}; ledger: {ledger}",
        requests=made.requests,
        reused=made.reused,
        cost=cost,
        ledger=made.ledger,
    )
    if made.cost:
        yield _(
            "  charged as reported {reported:.6f}, charged as estimated {estimated:.6f}, at risk {at_risk:.6f}",
            reported=made.reported,
            estimated=made.estimated,
            at_risk=made.unknown,
        )
    yield from (one.words(made.currency) for one in made.teachers)
    for reason, count in sorted(made.rejected.items(), key=lambda item: -item[1]):
        yield _("  rejected {count:5}  {reason}", count=count, reason=reason)


def _label_counts(made: Any) -> str:
    top, first = "  ".join(f"{label} {count}" for label, count in made.labels[:10]), f"{made.top_share:.1%}"
    return _("{kinds} labels, the first one {first}: {top}", kinds=made.kinds, first=first, top=top)


def counts(sizes: Mapping[str, Any], *, json: bool) -> int:
    if json:
        _json(sizes)
    else:
        for name, value in sizes.items():
            _out(f"{name:8} {value}")
    return 0


def comparisons(done: Sequence[Any], *, json: bool, lang: str) -> int:
    if json:
        _json([{**asdict(one), "words": one.words(language(lang))} for one in done])
    else:
        for one in done:
            _out(one.words(language(lang)))
    return 0


def exports(done: Sequence[Any], *, json: bool, lang: str) -> int:
    """Each export with its proof; 1 where one is refused."""
    if json:
        _json([one.to_dict() for one in done])
    else:
        for one in done:
            _out(f"{one.proof.target}: {in_language(one.proof.sentence(), language(lang))}")
            _out(f"  {one.artifact}")
            if one.advice:
                _out(f"  {in_language(one.advice, language(lang))}")
    return max((one.exit_code for one in done), default=0)


def calibrated(found: Any, *, json: bool, lang: str) -> int:
    """What was measured on dev, in sentences."""
    messages = [in_language(one, language(lang)) for one in found.messages()]
    if json:
        _json({**found.to_dict(), "words": messages})
    else:
        for message in messages:
            _out(message)
    return 0


def curve(found: Any, *, json: bool, lang: str) -> int:
    """Every size with its score on dev, then what twice the rows would bring."""
    from terakoya.evaluation.curve_messages import curve_messages

    messages = list(curve_messages(found))
    reader = language(lang)
    if json:
        _json({**found.to_dict(), "gap": found.gap, "words": [in_language(one, reader) for one in messages]})
        return 0
    head = _("{rows:>7} rows  {metric} {value:.4f}  [{low:.4f}, {high:.4f}]  on training rows {trained:.4f}")
    for point in found.points:
        values = asdict(point)
        _out(in_language(head, reader).format(metric=found.metric, **values))
    for message in messages:
        _out(in_language(message, reader))
    return 0


_RUNG_STATES = {
    "not worse": _("not worse"),
    "worse": _("worse"),
    "cannot be told": _("cannot be told"),
    "left out": _("left out"),
}


def ladder(found: Any, *, json: bool, lang: str) -> int:
    """Every rung with its scores, time, price and size; then the cheapest that is not worse."""
    from terakoya.evaluation.ladder import ladder_messages

    messages, reader = list(ladder_messages(found)), language(lang)
    if json:
        _json({**found.to_dict(), "words": [in_language(one, reader) for one in messages]})
        return 0
    from rich.table import Table

    console = new_console()
    table = Table(box=None, pad_edge=False)
    heads = (_("who"), _("dev"), _("exam [95%]"), _("ms"), _("price of 1,000"), _("weights"), _("against the best"))
    for at, head in enumerate(heads):
        table.add_column(in_language(head, reader), justify="left" if at in (0, 2, 6) else "right", no_wrap=at == 2)
    for rung in found.rungs:
        table.add_row(*map(safe, _rung_cells(rung, reader)))
    console.print(table)
    for message in messages:
        _out(in_language(message, reader))
    return 0


def _rung_cells(rung: Any, lang: str) -> list[str]:
    name, state = in_language(rung.name, lang), in_language(_RUNG_STATES[rung.state], lang)
    if rung.exam is None:
        return [name, "", "", "", "", "", f"{state}: {in_language(rung.note, lang)}"]
    interval = f"{rung.exam:.4f} [{rung.low:.4f}, {rung.high:.4f}]"
    size = f"{rung.weights:,}" if rung.weights else "–"
    return [name, f"{rung.dev:.4f}", interval, f"{rung.milliseconds:.2f}", f"{rung.price:.6f}", size, state]


def sweep(done: Any, *, json: bool, lang: str = "") -> int:
    """Every trial with its dev score, the best first; then where the report is."""
    if json:
        _json(done)
        return int(done.exit_code)
    reader = language(lang)
    ranked = sorted(done.trials, key=lambda result: -1.0 if result.dev is None else result.dev, reverse=True)
    for result in ranked:
        score = "        " if result.dev is None else f"{result.dev:8.4f}"
        reason, trial = in_language(result.reason, reader).partition("\n")[0], result.trial
        state = _term(result.state, reader)
        seed = in_language(_(", seed {seed}", seed=trial.seed), reader)
        _out(safe(f"{state:7} {score}  {trial.name}{seed}  {reason}".rstrip()))
    for note in done.notes:
        _out(in_language(note, reader))
    report_files(done.reports)
    return int(done.exit_code)


def report_files(paths: Sequence[Path]) -> int:
    for path in paths:
        _out(str(path))
    return 0


def scaffold(paths: Sequence[Path], *, lang: str = "") -> int:
    for path in paths:
        _out(str(path))
    command = f"terakoya run {next(path for path in paths if path.suffix == '.toml')}"
    _out(in_language(_("Next: {command}", command=command), language(lang)))
    return 0


def settings(found: Sequence[Setting], *, json: bool, lang: str) -> int:
    """Settings in full where few are shown, else one line each."""
    if json:
        _json(found)
        return 0
    reader = language(lang)
    for one in found:
        _out(f"{one.name} = {one.default}    {in_language(one.type, reader)}")
        _out(f"    {in_language(one.description, reader)}")
    return 0


def schema(document: Mapping[str, Any]) -> int:
    _json(document)
    return 0


def notice(message: str, *, lang: str = "") -> None:
    """One line on standard error beside the command's own output."""
    _err(in_language(message, language(lang)))


def error_message(error: TerakoyaError, *, lang: str = "") -> int:
    _err(error.words(language(lang or error.lang)))
    return error.exit_code


def pipe_closed() -> int:
    """The exit code where nobody reads the output any more, as `head` does after its lines; nothing is said of it."""
    with suppress(OSError, ValueError):  # a stream without a file, or a closed one
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # Python flushes it when it ends
        os.close(nowhere)
    return 128 + 13  # as if ended by SIGPIPE, which is what other programs do


def escape_unprintable() -> None:
    """Make standard output and error write what their encoding lacks as an escape, in place of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def usage_error(message: str, *, lang: str = "") -> int:
    _err(in_language(message, language(lang)))
    return 2


_INTERNAL_ERROR = _(
    "This is an error in Terakoya, not yours. Please report it with the lines above, the command, and "
    "RUN/config.toml if there is a run; nothing that a run had written is lost."
)


def internal_error(error: Exception, *, lang: str = "") -> int:
    import traceback

    _err("".join(traceback.format_exception(error)))
    _err(in_language(_INTERNAL_ERROR, language(lang)))
    return 70


def corrections(found: Any, *, json: bool, lang: str) -> int:
    """What was decided about each row, then what people disagree on."""
    if json:
        _json({"decisions": list(found.decisions.values()), "conflicts": found.conflicts, "changed": found.changed})
        return 0
    reader = language(lang)
    for one in found.decisions.values():
        accepted = "".join(f" / {safe(text)}" for text in one.accepted)
        _out(f"{safe(one.source)}  {safe(one.given)} → {safe(one.target)}{accepted}")
    for one in found.conflicts:
        targets = ", ".join(f"{who or '–'}: {target}" for who, target in one.targets.items())
        _out(
            in_language(_("not decided: {source} ({targets})", source=safe(one.source), targets=safe(targets)), reader)
        )
    _out(in_language(_("{count} rows are corrected.", count=found.changed), reader))
    return 0


def confirmed(done: Any, *, json: bool, lang: str) -> int:
    """What people said about the targets of an exam, and the sample that was written."""
    if json:
        _json(done.to_dict())
        return 0
    reader = language(lang)
    _out(done.words(reader))
    if done.file:
        words = _(
            "Fill in the column judgement of {file} (right, wrong or unclear; for wrong the right target beside it), "
            "then: terakoya confirm {run} --read {file}",
            file=done.file,
            run=done.run,
        )
        _out(in_language(words, reader))
    return 0


def retrained(done: Any, *, json: bool, lang: str) -> int:
    """Better, same or worse; 1 for worse."""
    if json:
        _json({**done.to_dict(), "words": done.words(language(lang))})
    else:
        _out(done.words(language(lang)))
        if done.state != "worse" and done.in_use != done.run:
            words = _("Put the new run in use with: terakoya use {run}", run=done.run)
            _out(in_language(words, language(lang)))
    return int(done.state == "worse")


def in_use(run: Path, *, json: bool, lang: str) -> int:
    if json:
        _json({"in_use": str(run)})
    else:
        _out(in_language(_("In use: {name}.", name=run.name), language(lang)))
    return 0
