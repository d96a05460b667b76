"""A command line becomes one call: parse, call, print. Whatever a command does, Python can do by the same name.

Nothing heavy is imported before a command is chosen; `terakoya --help` costs little more than typer itself.
Annotations are evaluated as they stand: as text (`from __future__`) typer would parse hundreds of them for one page.
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from terakoya.cli.help import PipeClosed, stopped, usage_message
from terakoya.cli.options import (
    AN_EXPERIMENT,
    RESUMABLE,
    AllowHost,
    Anyway,
    CodecName,
    Encoding,
    ForSpreadsheet,
    Json,
    Lang,
    OutputForm,
    Overrides,
    Port,
    RunDir,
    Seed,
    Source,
    Target,
    TokenFile,
    Trust,
    app,
    command,
    prompt_good_enough,
    table_settings,
    trust_files,
)
from terakoya.i18n import _, language
from terakoya.training.parallel.launch import is_one_of_several


def _show_version(wanted: bool) -> None:
    if wanted:
        from terakoya.runs.environment import package_version

        typer.echo(package_version())
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
        encoding: Encoding = "",
        lang: Lang = "",
        anyway: Anyway = False,
        trust: Trust = None,
        json: Json = False,
    ) -> int:
        from terakoya.cli import live, printing
        from terakoya.pipeline import commands
        from terakoya.pipeline import run as pipeline

        trust_files(trust)
        settings = [*_overrides(overrides, seed, lang), *table_settings(encoding)]
        lang = lang or commands.configured_language(experiment, settings)
        call = {"run": pipeline.run, "train": pipeline.train}[step]
        with live.progress(json=json, lang=lang) as listener:
            done = call(experiment, overrides=settings, run_dir=run_dir, anyway=anyway, listener=listener)
        code = printing.result(done, json=json, lang=lang)
        # torchrun takes any other code for a crash, and may start the run again.
        return 0 if is_one_of_several() else code

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


@command(
    _("Experiments, series, tasks, models, metrics, codecs, losses and baselines that can be named."),
    "terakoya list --json",
    "list",
)
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
    encoding: Encoding = "",
    source: Source = "",
    target: Target = "",
    codec: CodecName = "",
    for_spreadsheet: ForSpreadsheet = False,
    top: Annotated[int, typer.Option("--top", help=_("show this many labels with their probabilities"))] = 0,
    threshold: Annotated[float, typer.Option("--threshold", help=_("show labels of at least this probability"))] = 0.0,
    abstain_below: Annotated[
        float, typer.Option("--abstain-below", help=_("give no prediction below this probability"))
    ] = 0.0,
    form: Annotated[
        OutputForm, typer.Option("--format", help=_("of standard output: jsonl, csv, tsv, or text (predictions alone)"))
    ] = OutputForm.JSONL,
    verify: Annotated[
        bool, typer.Option("--verify", help=_("give no prediction whose source the task's rules cannot confirm"))
    ] = False,
    trust: Trust = None,
    lang: Lang = "",
) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    trust_files(trust)
    settings = [*(overrides or []), f"decode.abstain_below={abstain_below}", f"decode.verify={str(verify).lower()}"]
    settings += table_settings(encoding, source, target, codec)
    predictions = commands.predict(
        run, texts or [], input=input, output=output, overrides=settings, for_spreadsheet=for_spreadsheet
    )
    chosen = printing.LabelChoice(top, threshold)
    return printing.predictions(predictions, output=output, choice=chosen, form=form.value, lang=lang)


@command(
    _("Serve trained skills: OpenAI's clients call them as models, and programs that speak MCP as tools."),
    "terakoya serve runs/RUN --port 8000",
)
def serve(
    runs: Annotated[list[Path], typer.Argument(help=_("run folders or model folders"))],
    host: Annotated[
        str, typer.Option("--host", help=_("address to listen on; any but loopback needs a token"))
    ] = "127.0.0.1",
    port: Port = 8000,
    allow_host: AllowHost = None,
    token_file: TokenFile = None,
    mcp: Annotated[
        bool, typer.Option("--mcp", help=_("serve MCP over standard input and output, and no HTTP"))
    ] = False,
    mcp_http: Annotated[bool, typer.Option("--mcp-http", help=_("serve MCP under /mcp as well"))] = False,
    waiting: Annotated[
        int, typer.Option("--waiting", min=1, help=_("texts that may wait; further requests are refused with 429"))
    ] = 256,
    batch: Annotated[int, typer.Option("--batch", min=1, help=_("texts that are predicted together at most"))] = 32,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, help=_("until a request is read, and until it is predicted"))
    ] = 30.0,
    overrides: Overrides = None,
    abstain_below: Annotated[
        float, typer.Option("--abstain-below", help=_("give no prediction below this probability"))
    ] = 0.0,
    verify: Annotated[
        bool, typer.Option("--verify", help=_("give no prediction whose source the task's rules cannot confirm"))
    ] = False,
    trust: Trust = None,
    lang: Lang = "",
) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    trust_files(trust)
    settings = [*(overrides or []), *([f"decode.abstain_below={abstain_below}"] if abstain_below else [])]
    commands.serve(
        runs,
        host=host,
        port=port,
        allow_hosts=allow_host or (),
        token_file=token_file,
        waiting=waiting,
        batch=batch,
        seconds=seconds,
        overrides=[*settings, *(["decode.verify=true"] if verify else [])],
        mcp="stdio" if mcp else "http" if mcp_http else "",
        on_ready=lambda ready: printing.serving(ready, lang=lang),
    )
    return 0


@command(
    _("Export a trained skill to another runtime, where it must predict its exam again before the export counts."),
    "terakoya export runs/RUN --to page",
)
def export(
    run: Annotated[Path, typer.Argument(help=_("a run folder whose exam was opened"))],
    to: Annotated[list[str], typer.Option("--to", help=_("target: page, runtime, onnx …; several with commas"))],
    output: Annotated[
        Path | None, typer.Option("--output", help=_("folder for the exports instead of RUN/exports"))
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help=_("replace a folder there that no export wrote"))
    ] = False,
    unproved: Annotated[
        bool, typer.Option("--unproved", help=_("keep an artifact whose runtime is not installed here"))
    ] = False,
    quantisation: Annotated[
        str, typer.Option("--quantisation", help=_("number format of the weights, such as q8_0 or int8"))
    ] = "",
    converter: Annotated[
        Path | None, typer.Option("--converter", help=_("a converter of your own, for targets that need one"))
    ] = None,
    push: Annotated[str, typer.Option("--push", help=_("owner/name on the Hub to upload the export to"))] = "",
    overrides: Overrides = None,
    trust: Trust = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import live, printing
    from terakoya.pipeline import commands

    trust_files(trust)
    lang = lang or commands.configured_language(str(run), overrides or ())
    with live.progress(json=json, lang=lang) as listener:
        done = commands.export(
            run,
            to,
            output=output,
            overwrite=overwrite,
            unproved=unproved,
            quantisation=quantisation,
            converter=converter,
            push=push,
            overrides=overrides or [],
            lang=lang,
            listener=listener,
        )
    return printing.exports(done, json=json, lang=lang)


@command(
    _("Evaluate a trained model on its own exam again, or on another one."),
    "terakoya evaluate runs/RUN --data more.csv",
)
def evaluate(
    run: Annotated[Path, typer.Argument(help=_("a run folder, or a model folder with --task"))],
    data: Annotated[Path | None, typer.Option("--data", help=_("another exam: .csv or .jsonl"))] = None,
    source: Source = "",
    target: Target = "",
    encoding: Encoding = "",
    codec: CodecName = "",
    task: Annotated[
        str, typer.Option("--task", help=_("an experiment whose task and exam an external checkpoint is evaluated on"))
    ] = "",
    overrides: Overrides = None,
    trust: Trust = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import live, printing
    from terakoya.pipeline import commands

    trust_files(trust)
    lang = lang or commands.configured_language(str(run), overrides or ())
    with live.progress(json=json, lang=lang) as listener:
        done = commands.evaluate(
            run,
            data=data,
            source=source,
            target=target,
            encoding=encoding,
            codec=codec,
            task=task,
            overrides=overrides or [],
            listener=listener,
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
    encoding: Encoding = "",
    for_spreadsheet: ForSpreadsheet = False,
    estimate: Annotated[bool, typer.Option("--estimate", help=_("estimate the cost and send nothing"))] = False,
    i_have_the_right: Annotated[
        bool,
        typer.Option("--i-have-the-right", help=_("train on this teacher's output without a licence in the config")),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help=_("replace a table that this generation did not write"))
    ] = False,
    shard: Annotated[
        str, typer.Option("--shard", help=_("make part i of n (1/8): its share of rows, budget and sources"))
    ] = "",
    merge: Annotated[bool, typer.Option("--merge", help=_("make the table of all shards; send nothing"))] = False,
    trust: Trust = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import live, printing
    from terakoya.pipeline import commands

    trust_files(trust)
    lang = lang or commands.configured_language(experiment, overrides or ())
    with live.progress(json=json, lang=lang) as listener:
        made = commands.generate(
            experiment,
            output=output,
            overrides=[*(overrides or []), *table_settings(encoding)],
            estimate=estimate,
            i_have_the_right=i_have_the_right,
            overwrite=overwrite,
            for_spreadsheet=for_spreadsheet,
            shard=shard,
            merge=merge,
            listener=listener,
        )
    return printing.generated(made, json=json, lang=lang)


@command(_("What is wrong with the data: rows, and what to do."), "terakoya audit table.csv")
def audit(
    subject: Annotated[str, typer.Argument(help=_("a table, a TOML file or a shipped experiment"))],
    overrides: Overrides = None,
    encoding: Encoding = "",
    source: Source = "",
    target: Target = "",
    codec: CodecName = "",
    with_run: Annotated[
        Path | None, typer.Option("--with", help=_("a run whose model says which rows look wrong"))
    ] = None,
    folds: Annotated[
        int,
        typer.Option(
            "--folds", min=0, max=20, help=_("with --with: trainings, so that no model judges a row it has seen")
        ),
    ] = 0,
    trust: Trust = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import lines, live, printing
    from terakoya.pipeline import commands

    trust_files(trust)
    lang = lang or commands.configured_language(subject, overrides or ())
    settings = [*(overrides or []), *table_settings(encoding, source, target, codec)]
    with lines.error_language(lang), live.progress(json=json, lang=lang) as listener:
        found = commands.audit(subject, overrides=settings, with_run=with_run, folds=folds, listener=listener)
    return printing.findings(found, json=json, lang=lang)


@command(_("Split the examples into train, dev and exam, and write them."), "terakoya split kannume --output splits")
def split(
    experiment: Annotated[str, typer.Argument(help=AN_EXPERIMENT)],
    output: Annotated[Path, typer.Option("--output", help=_("folder for train.jsonl, dev.jsonl and exam.jsonl"))],
    overrides: Overrides = None,
    encoding: Encoding = "",
    for_spreadsheet: ForSpreadsheet = False,
    trust: Trust = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    trust_files(trust)
    settings = [*_overrides(overrides, None, lang), *table_settings(encoding)]
    sizes = commands.split(experiment, output, overrides=settings, for_spreadsheet=for_spreadsheet)
    return printing.counts(sizes.to_dict(), json=json)


@command(_("Audit and preflight without training: what would go wrong."), "terakoya doctor kannume --show-tokens")
def doctor(
    experiment: Annotated[str, typer.Argument(help=AN_EXPERIMENT)],
    overrides: Overrides = None,
    encoding: Encoding = "",
    show_tokens: Annotated[
        bool, typer.Option("--show-tokens", help=_("print a batch with the target tokens marked"))
    ] = False,
    trust: Trust = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import lines, printing
    from terakoya.pipeline import commands

    trust_files(trust)
    lang = lang or commands.configured_language(experiment, overrides or ())
    with lines.error_language(lang):
        examined = commands.doctor(
            experiment, overrides=[*(overrides or []), *table_settings(encoding)], show_tokens=show_tokens
        )
    code = printing.findings(examined.findings, json=json, lang=lang, text=examined.tokens)
    return code if examined.complete else 1


@command(
    _("Compare runs on the same exam, item by item; or say why they cannot be compared."),
    "terakoya compare runs/A runs/B",
)
def compare(
    runs: Annotated[list[Path], typer.Argument(help=_("two or more runs, or CSV files with source,target,inference"))],
    part: Annotated[str, typer.Option("--part", help=_("subset of the exam; by default the main one"))] = "",
    encoding: Encoding = "",
    source: Source = "",
    target: Target = "",
    codec: CodecName = "",
    trust: Trust = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    trust_files(trust)
    compared = commands.compare(runs, subset=part, encoding=encoding, source=source, target=target, codec=codec)
    return printing.comparisons(compared, json=json, lang=lang)


@command(_("Write the report of a run again."), "terakoya report runs/RUN --lang ja")
def report(
    run: Annotated[Path | None, typer.Argument(help=_("a run folder"))] = None,
    all_: Annotated[bool, typer.Option("--all", help=_("an index page of all runs"))] = False,
    tables: Annotated[
        str, typer.Option("--tables", help=_("csv or latex: the run's tables for papers, in RUN/tables"))
    ] = "",
    charts: Annotated[
        Path | None, typer.Option("--figures", help=_("folder for the run's charts as SVG files, for papers"))
    ] = None,
    run_dir: RunDir = Path("runs"),
    lang: Lang = "",
) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import commands
    from terakoya.pipeline import run as pipeline

    written = pipeline.report(run, all_runs=all_, run_dir=run_dir, lang=lang)
    if run is not None and (tables or charts):
        written += commands.paper(run, tables=tables, charts=charts, lang=lang)
    return printing.report_files(written)


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
    on: Annotated[
        str,
        typer.Option("--on", help=_("what runs the trials: local, local:4 (processes), ray, ray://HOST:PORT or slurm")),
    ] = "local",
    encoding: Encoding = "",
    run_dir: RunDir = Path("runs"),
    trust: Trust = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    from terakoya.cli import live, printing
    from terakoya.sweeps import run as sweeps
    from terakoya.sweeps.plan import SweepOverrides, parse_seeds

    trust_files(trust)
    with live.progress(json=json, lang=lang) as listener:
        settings = (*(overrides or ()), *table_settings(encoding))
        changes = SweepOverrides(settings, tuple(grid or ()), parse_seeds(seeds))
        done = sweeps.sweep(series, changes=changes, run_dir=run_dir, on=on, lang=lang, listener=listener)
    return printing.sweep(done, json=json, lang=lang)


@command(
    _("Make a folder with a task of your own: a config for your table, or a small table to start from."),
    "terakoya new moods --data table.csv",
)
def new(
    name: Annotated[str, typer.Argument(help=_("folder to make"))],
    data: Annotated[
        Path | None, typer.Option("--data", help=_("your table: it is looked at, and the config says what was seen"))
    ] = None,
    encoding: Encoding = "",
    source: Source = "",
    target: Target = "",
    codec: CodecName = "",
    good_enough: Annotated[
        float | None,
        typer.Option("--good-enough", min=0, max=1, help=_("mean score that is good enough, like 0.9; 0: none is set")),
    ] = None,
    lang: Lang = "",
) -> int:
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    if good_enough is None:
        good_enough = prompt_good_enough(lang)
    made = commands.new(
        name,
        data=data,
        encoding=encoding,
        source=source,
        target=target,
        codec=codec,
        good_enough=good_enough,
        lang=lang,
    )
    return printing.scaffold(made, lang=lang)


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


# Commands of a file of their own, in the order in which `--help` lists them.
from terakoya.cli import correcting as correcting  # noqa: E402
from terakoya.cli import measuring as measuring  # noqa: E402
from terakoya.cli import opening as opening  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code; everything but 70 is one message without a traceback.

    arguments  words after the program's name; default: those of this process
    """
    from terakoya.cli import printing
    from terakoya.errors import TerakoyaError

    words = list(sys.argv[1:] if arguments is None else arguments)
    lang = _lang(words)
    printing.escape_unprintable()
    try:
        with _warnings_shown(lang):
            code = app(args=words, prog_name="terakoya", standalone_mode=False, obj={"lang": language(lang)})
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except TerakoyaError as error:
        return printing.error_message(error, lang=lang)
    except KeyboardInterrupt as stop:
        return printing.error_message(stopped(stop), lang=lang)
    except (BrokenPipeError, PipeClosed):
        return printing.pipe_closed()
    except Exception as error:
        return _unexpected(error, lang)


def _unexpected(error: Exception, lang: str) -> int:
    """Report what no command foresaw: a wrong command line, third-party code, the system, or our own fault."""
    from terakoya.cli import printing
    from terakoya.errors.files import system_error
    from terakoya.errors.third_party import plugin_error

    if hasattr(error, "format_message"):  # what typer says of a wrong command line
        return printing.usage_error(usage_message(error.format_message()), lang=lang)
    known = plugin_error(error) or system_error(error)
    return printing.error_message(known, lang=lang) if known else printing.internal_error(error, lang=lang)


_OWN_WARNINGS = ("RenamedSettingWarning", "TaskCodeWarning", "ChartWarning", "EngineWarning")


@contextmanager
def _warnings_shown(lang: str) -> Iterator[None]:
    """Our own warnings are reported in one line on standard error, and not as Python reports warnings."""
    show = warnings.showwarning

    def show_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if category.__name__ in _OWN_WARNINGS and isinstance(message, Warning):
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
