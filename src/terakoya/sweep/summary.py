"""What a series came to, as its pages tell it: the best on dev, what the exam says of the settings, what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from terakoya.errors import TerakoyaError
from terakoya.evaluation.compare import compare
from terakoya.evaluation.item_scores import read_run
from terakoya.i18n import both, in_language, japanese
from terakoya.report import Compared, SeriesRecord, language, read_record, series_markdown, series_page
from terakoya.runs import write_text
from terakoya.sweep.plan import Plan, Told, Trial


def chosen(told: Sequence[Told]) -> str:
    """The setting whose dev figure, over its seeds, is the best mean. The exam has no say."""
    figures: dict[str, list[float]] = {}
    for one in told:
        if one.dev is not None:
            figures.setdefault(one.trial.name, []).append(one.dev)
    return max(figures, key=lambda name: sum(figures[name]) / len(figures[name]), default="")


def written(
    plan: Plan, folder: Path, told: Sequence[Told], best: str, lang: str
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """report.md and report.html in the series' folder; gives the pages and the notes that stand on them."""
    spoken = language(lang)
    made = [one for one in told if one.run]
    compared, refused = _compared(folder, made, best)
    notes = (*_notes(plan, told, best), *refused)
    name = _names(made)
    record = SeriesRecord(
        name=plan.name,
        runs=tuple(replace(read_record(folder / one.run), name=name[one.run]) for one in made),
        keys=tuple(sorted({item.partition("=")[0] for one in told for item in one.trial.settings} | {"seed"})),
        notes=tuple(in_language(note, spoken) for note in notes),
        failed={
            in_language(named(one.trial), spoken): in_language(one.reason, spoken)
            for one in told
            if one.state == "failed"
        },
        lead=next((name[one.run] for one in made if one.trial.name == best), ""),
        titles={name[one.run]: in_language(named(one.trial), spoken) for one in made},
        links={
            name[one.run]: quote(f"{one.run}/report.html")
            for one in made
            if (folder / one.run / "report.html").is_file()
        },
        compared=compared,
    )
    pages = {"report.md": series_markdown(record, spoken), "report.html": series_page(record, spoken)}
    for page, text in pages.items():
        write_text(folder / page, text)
    return tuple(folder / page for page in pages), notes


def _names(made: Sequence[Told]) -> dict[str, str]:
    """Run → its folder's name; with its trial's key where several processes began in the same second."""
    count = Counter(Path(one.run).name for one in made)
    short = {one.run: Path(one.run).name for one in made}
    return {one.run: short[one.run] + (f" ({one.trial.key[:6]})" if count[short[one.run]] > 1 else "") for one in made}


def _compared(folder: Path, made: Sequence[Told], best: str) -> tuple[tuple[Compared, ...], tuple[str, ...]]:
    """The best on dev against every other setting whose exam was opened, as one family; or why that cannot be done."""
    done = sorted((one for one in made if one.state == "done"), key=lambda one: one.trial.name != best)
    if len({one.trial.name for one in done}) < 2:
        return (), ()
    # Where ways of decoding are what the series asks about, they may differ.
    asks = any(item.startswith("decode.") for one in done for item in one.trial.settings)
    across: tuple[Literal["decoding"], ...] = ("decoding",) if asks else ()
    try:
        outcomes = [replace(read_run(folder / one.run), name=one.trial.name) for one in done]
        found = compare(outcomes, pairs="first", across=across)
    except TerakoyaError as refusal:
        return (), (both(refusal.what, japanese(refusal.what)),)
    return tuple(
        Compared(c.first, c.second, both(c.words("en"), c.words("ja")), c.state != "cannot be told apart", c.needed)
        for c in found
    ), ()


def named(trial: Trial) -> str:
    """What a trial is called where people read."""
    return both(f"{trial.name}, seed {trial.seed}", f"{trial.name}、シード{trial.seed}")


def _notes(plan: Plan, told: Sequence[Told], best: str) -> Iterator[str]:
    yield (
        both(f"Best on dev: {best}.", f"検証での最良：{best}。")
        if best
        else both("No trial has a dev figure yet.", "検証の値がある試行はまだない。")
    )
    yield both(f"Exam declared beforehand to be opened: {plan.open}.", f"試験を開くと前もって決めたもの：{plan.open}。")
    if any(one.state == "failed" for one in told):
        yield both(
            "A failed trial is not tried again; to have it tried, remove its file in trials/.",
            "失敗した試行は再試行しない。もう一度試すには trials/ にあるそのファイルを消すこと。",
        )
    left = sum(one.state in ("open", "held") for one in told)
    if left:
        yield both(
            f"{left} trials are still to be done; the exam stays closed. Go on with the same command.",
            f"残りの試行は{left}件で、試験はまだ開かない。同じコマンドで続けること。",
        )
