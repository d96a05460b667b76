"""The report of a sweep: the best on dev, what the exam says of the settings, what is left to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from terakoya.errors import TerakoyaError
from terakoya.evaluation.compare import compare, comparison_message
from terakoya.evaluation.item_scores import read_run_scores
from terakoya.i18n import _, in_language
from terakoya.reporting import ComparedSettings, SweepRecord, language, read_record, sweep_html, sweep_markdown
from terakoya.runs import write_text
from terakoya.sweeps.plan import Trial, TrialResult
from terakoya.sweeps.schema import SweepConfig


def best_on_dev(results: Sequence[TrialResult]) -> str:
    """The settings with the best mean dev value over their seeds; the exam is not used. "" where none has one.

    results  of all trials
    """
    values: dict[str, list[float]] = {}
    for result in results:
        if result.dev is not None:
            values.setdefault(result.trial.name, []).append(result.dev)
    return max(values, key=lambda name: sum(values[name]) / len(values[name]), default="")


def write_summary(
    config: SweepConfig, folder: Path, results: Sequence[TrialResult], best: str, lang: str
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Write report.md and report.html into the sweep's folder.

    config   the sweep
    folder   where it lies
    results  of all trials
    best     settings that are best on dev
    lang     "en" or "ja", "" for the locale's
    Returns the files and the notes at their top.
    """
    chosen = language(lang)
    with_runs = [result for result in results if result.run]
    compared, refused = _compare_settings(folder, with_runs, best)
    notes = (*_notes(config, results, best), *refused)
    name = _names(with_runs)
    record = SweepRecord(
        name=config.name,
        runs=tuple(replace(read_record(folder / result.run), name=name[result.run]) for result in with_runs),
        keys=tuple(sorted({item.partition("=")[0] for result in results for item in result.trial.settings} | {"seed"})),
        notes=tuple(in_language(note, chosen) for note in notes),
        failed={
            in_language(trial_label(result.trial), chosen): in_language(result.reason, chosen)
            for result in results
            if result.state == "failed"
        },
        lead=next((name[result.run] for result in with_runs if result.trial.name == best), ""),
        titles={name[result.run]: in_language(trial_label(result.trial), chosen) for result in with_runs},
        links={
            name[result.run]: quote(f"{result.run}/report.html")
            for result in with_runs
            if (folder / result.run / "report.html").is_file()
        },
        compared=compared,
    )
    reports = {"report.md": sweep_markdown(record, chosen), "report.html": sweep_html(record, chosen)}
    for file, text in reports.items():
        write_text(folder / file, text)
    return tuple(folder / file for file in reports), notes


def _names(results: Sequence[TrialResult]) -> dict[str, str]:
    """Run → its folder's name; with its trial's key where several processes started in the same second."""
    count = Counter(Path(result.run).name for result in results)
    short = {result.run: Path(result.run).name for result in results}
    return {
        result.run: short[result.run] + (f" ({result.trial.key[:6]})" if count[short[result.run]] > 1 else "")
        for result in results
    }


def _compare_settings(
    folder: Path, results: Sequence[TrialResult], best: str
) -> tuple[tuple[ComparedSettings, ...], tuple[str, ...]]:
    """The best on dev against every other setting whose exam was opened, as one family; or why that cannot be done."""
    done = sorted((result for result in results if result.state == "done"), key=lambda one: one.trial.name != best)
    if len({result.trial.name for result in done}) < 2:
        return (), ()
    # Where the sweep varies the decoding, it may differ.
    varies = any(item.startswith("decode.") for result in done for item in result.trial.settings)
    across: tuple[Literal["decoding"], ...] = ("decoding",) if varies else ()
    try:
        scores = [replace(read_run_scores(folder / result.run), name=result.trial.name) for result in done]
        found = compare(scores, pairs="first", across=across)
    except TerakoyaError as refusal:
        return (), (refusal.what,)
    return tuple(ComparedSettings(c.first, c.second, comparison_message(c), c.decided, c.needed) for c in found), ()


def trial_label(trial: Trial) -> str:
    """What a trial is called in messages and reports.

    trial  its settings and seed
    """
    name, seed = trial.name, trial.seed
    return _("{name}, seed {seed}", name=name, seed=seed)


def _notes(config: SweepConfig, results: Sequence[TrialResult], best: str) -> Iterator[str]:
    yield (_("Best on dev: {best}.", best=best) if best else _("No trial has a dev value yet."))
    opened = config.open
    yield _("Exam declared beforehand to be opened: {opened}.", opened=opened)
    if any(result.state == "failed" for result in results):
        yield _("A failed trial is not run again; to have it run, remove its file in trials/.")
    left = sum(result.state in ("open", "held") for result in results)
    if left:
        yield _("{left} trials are still to be done; the exam stays closed. Continue with the same command.", left=left)
