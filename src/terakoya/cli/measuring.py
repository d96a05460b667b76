"""The commands that measure what to do next: a learning curve, and a ladder of models from the cheapest upwards."""

from pathlib import Path
from typing import Annotated

import typer

from terakoya.cli.options import Encoding, Json, Lang, Overrides, RunDir, Trust, command, table_settings, trust_files
from terakoya.i18n import _

A_SUBJECT = _("a shipped experiment, a TOML file, or a finished run, whose record then shows the result")


@command(
    _("What twice the training rows would bring: trainings with a quarter, a half and all of them, judged on dev."),
    "terakoya curve runs/RUN --seeds 2",
)
def curve(
    subject: Annotated[str, typer.Argument(help=A_SUBJECT)],
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=10, help=_("trainings of each size"))] = 1,
    overrides: Overrides = None,
    encoding: Encoding = "",
    trust: Trust = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import lines, live, printing
    from terakoya.pipeline import commands

    trust_files(trust)
    lang = lang or commands.configured_language(subject, overrides or ())
    settings = [*(overrides or []), *table_settings(encoding)]
    with lines.error_language(lang), live.progress(json=json, lang=lang) as listener:
        found = commands.curve(subject, overrides=settings, seeds=seeds, listener=listener)
    return printing.curve(found, json=json, lang=lang)


@command(
    _("What the probabilities of a trained model are worth, measured on dev: nothing is trained, no exam is opened."),
    "terakoya calibrate runs/RUN",
)
def calibrate(
    run: Annotated[Path, typer.Argument(help=_("a run folder; its model and record then have calibrated ones"))],
    trust: Trust = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import lines, live, printing
    from terakoya.pipeline import commands

    trust_files(trust)
    lang = lang or commands.configured_language(str(run))
    with lines.error_language(lang), live.progress(json=json, lang=lang) as listener:
        found = commands.calibrate(run, listener=listener)
    return printing.calibrated(found, json=json, lang=lang)


@command(
    _("Do you need a model? Rules, tables, models of every size on one exam; the cheapest that is not worse is named."),
    "terakoya ladder kannume --minutes 30",
)
def ladder(
    subject: Annotated[str, typer.Argument(help=A_SUBJECT)],
    minutes: Annotated[float, typer.Option("--minutes", help=_("budget of all trainings and predictions"))] = 30.0,
    sizes: Annotated[
        str, typer.Option("--sizes", help=_("built-in models to train, with commas; none: no training"))
    ] = "tiny,small,base",
    price_per_hour: Annotated[
        float, typer.Option("--price-per-hour", min=0, help=_("of this machine, for the price of predictions"))
    ] = 0.05,
    teacher: Annotated[
        bool, typer.Option("--teacher", help=_("the teacher of [teacher] takes the exam too; its requests are paid"))
    ] = False,
    overrides: Overrides = None,
    run_dir: RunDir = Path("runs"),
    encoding: Encoding = "",
    trust: Trust = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import lines, live, printing
    from terakoya.pipeline import commands

    trust_files(trust)
    lang = lang or commands.configured_language(subject, overrides or ())
    settings = [*(overrides or []), *table_settings(encoding)]
    with lines.error_language(lang), live.progress(json=json, lang=lang) as listener:
        found = commands.ladder(
            subject,
            overrides=settings,
            minutes=minutes,
            sizes=[size.strip() for size in sizes.split(",") if size.strip() not in ("", "none")],
            price_per_hour=price_per_hour,
            teacher=teacher,
            run_dir=run_dir,
            listener=listener,
        )
    return printing.ladder(found, json=json, lang=lang)
