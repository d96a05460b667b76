"""A command line becomes one call: parse, call, print. Whatever a command does, Python can do by the same name.

Nothing heavy is imported before a command is chosen; `terakoya --help` costs little more than typer itself.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from terakoya.cli.help import usage_message
from terakoya.cli.options import AN_EXPERIMENT, RESUMABLE, Anyway, Json, Lang, Overrides, RunDir, Seed, app, command
from terakoya.i18n import _, language


def _show_version(wanted: bool) -> None:
    if wanted:
        from terakoya import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    lang: Lang = "",
    version: Annotated[
        bool,
        typer.Option("--version", help=_("show the version and exit"), is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """What stands before the command: a language there counts for whichever command follows."""
    if lang:
        ctx.default_map = {name: {"lang": lang} for name in _names_with_lang(ctx)}


def _names_with_lang(ctx: typer.Context) -> list[str]:
    commands: dict[str, Any] = getattr(ctx.command, "commands", {})
    return [name for name, one in commands.items() if any(param.name == "lang" for param in one.params)]


def _trains(step: str) -> Callable[..., int]:
    """The body of `run` and of `train`: they differ in where they stop."""

    def body(
        experiment: Annotated[str, typer.Argument(help=RESUMABLE)],
        overrides: Overrides = None,
        run_dir: RunDir = Path("runs"),
        seed: Seed = None,
        lang: Lang = "",
        anyway: Anyway = False,
        json: Json = False,
    ) -> int:
        from terakoya.cli import live, printing
        from terakoya.pipeline import commands
        from terakoya.pipeline import run as pipeline

        settings = _overrides(overrides, seed, lang)
        lang = lang or commands.configured_language(experiment, settings)
        call = {"run": pipeline.run, "train": pipeline.train}[step]
        with live.progress(json=json, lang=lang) as listener:
            done = call(experiment, overrides=settings, run_dir=run_dir, anyway=anyway, listener=listener)
        return printing.result(done, json=json, lang=lang)

    return body


command(
    _("The whole experiment: examples, audit, split, preflight, train, predict, score, record."),
    "terakoya run kannume --set train.steps=500",
    "run",
)(_trains("run"))
command(
    _("Examples, audit, split, preflight and training; the exam stays closed until `terakoya run RUN` opens it."),
    "terakoya train kannume --seed 2",
    "train",
)(_trains("train"))


@command(_("Tasks, experiments, series and models that can be named."), "terakoya list --json", "list")
def list_(lang: Lang = "", json: Json = False) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    return printing.listing(commands.list_(), json=json, lang=lang)


@command(
    _("Predict with a trained model: one output line per input line, in order."), "terakoya predict runs/RUN 三万八千"
)
def predict(
    run: Annotated[Path, typer.Argument(help=_("a run folder or a model folder"))],
    texts: Annotated[list[str] | None, typer.Argument(help=_("inputs"))] = None,
    input: Annotated[
        str, typer.Option("--input", help=_(".csv or .jsonl with a column source, .txt, or - for standard input"))
    ] = "",
    output: Annotated[str, typer.Option("--output", help=_("a .jsonl or .csv file instead of standard output"))] = "",
    overrides: Overrides = None,
    top: Annotated[int, typer.Option("--top", help=_("show this many labels with their probabilities"))] = 0,
    threshold: Annotated[float, typer.Option("--threshold", help=_("show labels of at least this probability"))] = 0.0,
    abstain_below: Annotated[
        float, typer.Option("--abstain-below", help=_("give no prediction below this probability"))
    ] = 0.0,
    verify: Annotated[
        bool, typer.Option("--verify", help=_("give no prediction whose source the task's rules cannot confirm"))
    ] = False,
    lang: Lang = "",
) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    settings = [*(overrides or []), f"decode.abstain_below={abstain_below}", f"decode.verify={str(verify).lower()}"]
    predictions = commands.predict(run, texts or [], input=input, output=output, overrides=settings)
    return printing.predictions(predictions, output=output, top=top, threshold=threshold, lang=lang)


@command(
    _("Evaluate a trained model on its own exam again, or on another one."),
    "terakoya evaluate runs/RUN --data more.csv",
)
def evaluate(
    run: Annotated[Path, typer.Argument(help=_("a run folder, or a model folder with --task"))],
    data: Annotated[Path | None, typer.Option("--data", help=_("another exam: .csv or .jsonl"))] = None,
    source: Annotated[str, typer.Option("--source", help=_("its column of inputs"))] = "source",
    target: Annotated[str, typer.Option("--target", help=_("its column of targets"))] = "target",
    task: Annotated[
        str, typer.Option("--task", help=_("an experiment whose task and exam an external checkpoint is evaluated on"))
    ] = "",
    overrides: Overrides = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import live, printing
    from terakoya.pipeline import commands

    lang = lang or commands.configured_language(str(run), overrides or ())
    with live.progress(json=json, lang=lang) as listener:
        done = commands.evaluate(
            run, data=data, source=source, target=target, task=task, overrides=overrides or [], listener=listener
        )
    return printing.result(done, json=json, lang=lang)


@command(
    _("Generate a data set with a teacher model: paid once, kept whatever happens, balanced while it is generated."),
    "terakoya generate generate-emoji-v2 --estimate",
)
def generate(
    experiment: Annotated[str, typer.Argument(help=_("an experiment with a [teacher], shipped or a TOML file"))],
    output: Annotated[Path | None, typer.Option("--output", help=_("the table to write; by default task.data"))] = None,
    overrides: Overrides = None,
    estimate: Annotated[bool, typer.Option("--estimate", help=_("estimate the cost and send nothing"))] = False,
    i_have_the_right: Annotated[
        bool,
        typer.Option("--i-have-the-right", help=_("train on this teacher's output without a licence in the config")),
    ] = False,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import live, printing
    from terakoya.pipeline import commands

    lang = lang or commands.configured_language(experiment, overrides or ())
    with live.progress(json=json, lang=lang) as listener:
        made = commands.generate(
            experiment,
            output=output,
            overrides=overrides or [],
            estimate=estimate,
            i_have_the_right=i_have_the_right,
            listener=listener,
        )
    return printing.generated(made, json=json, lang=lang)


@command(_("What is wrong with the data: rows, and what to do."), "terakoya audit table.csv")
def audit(
    subject: Annotated[str, typer.Argument(help=_("a table, a TOML file or a shipped experiment"))],
    overrides: Overrides = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import lines, printing
    from terakoya.pipeline import commands

    lang = lang or commands.configured_language(subject, overrides or ())
    with lines.error_language(lang):
        found = commands.audit(subject, overrides=overrides or [])
    return printing.findings(found, json=json, lang=lang)


@command(_("Split the examples into train, dev and exam, and write them."), "terakoya split kannume --output splits")
def split(
    experiment: Annotated[str, typer.Argument(help=AN_EXPERIMENT)],
    output: Annotated[Path, typer.Option("--output", help=_("folder for train.jsonl, dev.jsonl and exam.jsonl"))],
    overrides: Overrides = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    sizes = commands.split(experiment, output, overrides=_overrides(overrides, None, lang))
    return printing.counts(sizes, json=json)


@command(_("Audit and preflight without training: what would go wrong."), "terakoya doctor kannume --show-tokens")
def doctor(
    experiment: Annotated[str, typer.Argument(help=AN_EXPERIMENT)],
    overrides: Overrides = None,
    show_tokens: Annotated[
        bool, typer.Option("--show-tokens", help=_("print a batch with the target tokens marked"))
    ] = False,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import lines, printing
    from terakoya.pipeline import commands

    lang = lang or commands.configured_language(experiment, overrides or ())
    with lines.error_language(lang):
        examined = commands.doctor(experiment, overrides=overrides or [], show_tokens=show_tokens)
    return printing.findings(examined.findings, json=json, lang=lang, text=examined.tokens)


@command(
    _("Compare runs on the same exam, item by item; or say why they cannot be compared."),
    "terakoya compare runs/A runs/B",
)
def compare(
    runs: Annotated[list[Path], typer.Argument(help=_("two or more runs, or CSV files with source,target,inference"))],
    part: Annotated[str, typer.Option("--part", help=_("subset of the exam; by default the main one"))] = "",
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    return printing.comparisons(commands.compare(runs, subset=part), json=json, lang=lang)


@command(_("Write the report of a run again."), "terakoya report runs/RUN --lang ja")
def report(
    run: Annotated[Path | None, typer.Argument(help=_("a run folder"))] = None,
    all_: Annotated[bool, typer.Option("--all", help=_("an index page of all runs"))] = False,
    run_dir: RunDir = Path("runs"),
    lang: Lang = "",
) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import run as pipeline

    return printing.report_files(pipeline.report(run, all_runs=all_, run_dir=run_dir, lang=lang))


@command(
    _("A sweep: runs over config keys and seeds, selected on dev, evaluated on the exam once."),
    "terakoya sweep SERIES.toml --seeds 0,1,2",
)
def sweep(
    series: Annotated[str, typer.Argument(help=_("a shipped series, or a TOML file that describes one"))],
    overrides: Overrides = None,
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", help=_("KEY=VALUE,VALUE: an axis of the grid, in place of the series' own")),
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", help=_("in place of the series' own: 0,1,2"))] = "",
    run_dir: RunDir = Path("runs"),
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import live, printing
    from terakoya.sweep import run as sweeps
    from terakoya.sweep.plan import SweepOverrides, parse_seeds

    with live.progress(json=json, lang=lang) as listener:
        changes = SweepOverrides(tuple(overrides or ()), tuple(grid or ()), parse_seeds(seeds))
        done = sweeps.sweep(series, changes=changes, run_dir=run_dir, lang=lang, listener=listener)
    return printing.sweep(done, json=json, lang=lang)


@command(_("Make a folder with a task of your own: a table and a config, ready to run."), "terakoya new moods")
def new(name: Annotated[str, typer.Argument(help=_("folder to make"))], lang: Lang = "") -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    return printing.scaffold(commands.new(name, lang=lang), lang=lang)


@command(_("Explain settings: default, type, choices and meaning."), "terakoya explain train.steps")
def explain(
    key: Annotated[str, typer.Argument(help=_("a setting, a section, or nothing for all"))] = "",
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import printing
    from terakoya.config.explain import explain as explain_settings

    return printing.settings(explain_settings(key), json=json, lang=lang)


@command(_("Print the JSON schema of config files, for editors."), "terakoya schema --lang ja")
def schema(lang: Lang = "") -> int:
    from terakoya.cli import printing
    from terakoya.config.explain import json_schema

    return printing.schema(json_schema(language(lang)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code; everything but 70 is one message without a traceback."""
    from terakoya.errors import TerakoyaError

    words = list(sys.argv[1:] if arguments is None else arguments)
    lang = _lang(words)
    try:
        with _renamed_settings_shown(lang):
            code = app(args=words, prog_name="terakoya", standalone_mode=False, obj={"lang": language(lang)})
        return code if isinstance(code, int) else 0
    except TerakoyaError as error:
        from terakoya.cli import printing

        return printing.error_message(error, lang=lang)
    except KeyboardInterrupt as stop:
        from terakoya.cli import printing

        return printing.interrupted(stop, lang=lang)
    except Exception as error:
        from terakoya.cli import printing

        if hasattr(error, "format_message"):  # what typer says of a wrong command line
            return printing.usage_error(usage_message(error.format_message()), lang=lang)
        return printing.internal_error(error, lang=lang)


@contextmanager
def _renamed_settings_shown(lang: str) -> Iterator[None]:
    """A setting's old name is reported in one line on standard error, and not as Python reports warnings."""
    show = warnings.showwarning

    def show_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if category.__name__ == "RenamedSettingWarning" and isinstance(message, Warning):
            from terakoya.cli import printing

            printing.notice(message.args[0], lang=lang)
        else:
            show(message, category, *place, **more)

    warnings.showwarning = show_warning
    try:
        yield
    finally:
        warnings.showwarning = show


def _lang(words: Sequence[str]) -> str:
    """The `--lang` of a command line: an error may occur before any command has read it."""
    following = [*words[1:], ""]
    given = [
        word.partition("=")[2] or following[at]
        for at, word in enumerate(words)
        if word == "--lang" or word.startswith("--lang=")
    ]
    return given[-1] if given else ""


def _overrides(overrides: Sequence[str] | None, seed: int | None, lang: str) -> list[str]:
    return [*(overrides or []), *([f"seed={seed}"] if seed is not None else []), *([f"lang={lang}"] if lang else [])]


if __name__ == "__main__":
    raise SystemExit(main())
