"""The commands that people correct with: targets of a table, the targets of an exam, a training with corrections."""

from pathlib import Path
from typing import Annotated

import typer

from terakoya.cli.options import Anyway, Json, Lang, Overrides, command
from terakoya.i18n import _

A_RUN = _("a run folder whose exam was opened")
By = Annotated[str, typer.Option("--by", help=_("your name, so that the work of two people can be merged"))]


@command(
    _("Correct the target of a row, or list what was corrected: the table stays as it is, the correction lies beside."),
    "terakoya correct runs/RUN --source 三万八千 --target 38000",
)
def correct(
    run: Annotated[Path, typer.Argument(help=A_RUN)],
    source: Annotated[str, typer.Option("--source", help=_("input text of the row, whole"))] = "",
    target: Annotated[str, typer.Option("--target", help=_("its right target"))] = "",
    accept: Annotated[str, typer.Option("--accept", help=_("a further right target of it"))] = "",
    undo: Annotated[bool, typer.Option("--undo", help=_("take back your last correction"))] = False,
    merge: Annotated[
        Path | None, typer.Option("--merge", help=_("add the corrections of another person's file"))
    ] = None,
    by: By = "",
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import correct as correcting

    if merge is not None:
        correcting.correction_log(run).merge(merge)
    if undo:
        correcting.correction_log(run).undo(who=by)
    if source or target or accept:
        for row in correcting.rows_with_source(run, source):
            correcting.correct_any(run, row, "accept" if accept else "edit", accept or target, who=by)
    return printing.corrections(correcting.read_run_corrections(run), json=json, lang=lang)


@command(
    _("Judge a sample of an exam's targets in a spreadsheet: write it, fill it in, read it back."),
    "terakoya confirm runs/RUN --write sample.csv",
)
def confirm(
    run: Annotated[Path, typer.Argument(help=A_RUN)],
    write: Annotated[Path | None, typer.Option("--write", help=_("the .csv to write"))] = None,
    read: Annotated[
        Path | None,
        typer.Option("--read", help=_("the completed .csv: right, wrong (with the right target) or unclear")),
    ] = None,
    by: By = "",
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import correct as correcting

    return printing.confirmed(correcting.confirm(run, write=write, read=read, who=by), json=json, lang=lang)


@command(
    _("Train again with the corrections of a run's table; better, same or worse on what both exams hold."),
    "terakoya retrain runs/RUN",
)
def retrain(
    run: Annotated[Path, typer.Argument(help=A_RUN)],
    use: Annotated[bool, typer.Option("--use", help=_("put the new run in use, unless it is worse"))] = False,
    overrides: Overrides = None,
    anyway: Anyway = False,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import live, printing
    from terakoya.pipeline import commands
    from terakoya.pipeline import retrain as retraining

    lang = lang or commands.configured_language(str(run), overrides or ())
    with live.progress(json=json, lang=lang) as listener:
        done = retraining.retrain(run, overrides=overrides or (), use=use, anyway=anyway, listener=listener)
    return printing.retrained(done, json=json, lang=lang)


@command(
    _("Say which run of an experiment is in use; the page and `terakoya retrain` keep to it."),
    "terakoya use runs/RUN",
)
def use(
    run: Annotated[Path, typer.Argument(help=A_RUN)],
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import printing
    from terakoya.runs.in_use import put_in_use

    put_in_use(run)
    return printing.in_use(run, json=json, lang=lang)
