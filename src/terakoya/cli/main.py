"""Words become one call each: read, call, show. Whatever a command does, a notebook can do by the same name.

Nothing heavy is imported before a command is chosen; `terakoya --help` costs little more than typer itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="terakoya",
    help="Teach small language models narrow Japanese skills, and be told the truth about what was learnt.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Overrides = Annotated[list[str] | None, typer.Option("--set", help="section.key=value, may be repeated")]
RunDir = Annotated[Path, typer.Option("--run-dir", help="where run folders are made")]
Seed = Annotated[int | None, typer.Option("--seed", help="short for --set seed=N")]
Lang = Annotated[str, typer.Option("--lang", help="en or ja; the locale decides otherwise")]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on standard output")]
Anyway = Annotated[bool, typer.Option("--anyway", help="go on in spite of findings of level stop")]


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="a shipped experiment, a TOML file, or a run folder to go on with")],
    overrides: Overrides = None,
    run_dir: RunDir = Path("runs"),
    seed: Seed = None,
    lang: Lang = "",
    anyway: Anyway = False,
    json: Json = False,
) -> int:
    """Everything: examples, audit, split, preflight, train, predict, score, record."""
    from terakoya.cli import live, printing
    from terakoya.pipeline import commands
    from terakoya.pipeline import run as pipeline

    settings = _set(overrides, seed, lang)
    lang = lang or commands.spoken(experiment, settings)
    with live.listening(json=json, lang=lang) as listener:
        done = pipeline.run(experiment, overrides=settings, run_dir=run_dir, anyway=anyway, listener=listener)
    return printing.result(done, json=json, lang=lang)


@app.command()
def train(
    experiment: Annotated[str, typer.Argument(help="a shipped experiment, a TOML file, or a run folder to go on with")],
    overrides: Overrides = None,
    run_dir: RunDir = Path("runs"),
    seed: Seed = None,
    lang: Lang = "",
    anyway: Anyway = False,
    json: Json = False,
) -> int:
    """Examples, audit, split, preflight, train; the exam stays closed. `terakoya run RUN` opens it."""
    from terakoya.cli import live, printing
    from terakoya.pipeline import commands
    from terakoya.pipeline import run as pipeline

    settings = _set(overrides, seed, lang)
    lang = lang or commands.spoken(experiment, settings)
    with live.listening(json=json, lang=lang) as listener:
        done = pipeline.train(experiment, overrides=settings, run_dir=run_dir, anyway=anyway, listener=listener)
    return printing.result(done, json=json, lang=lang)


@app.command("list")
def list_(json: Json = False) -> int:
    """Tasks, experiments, series and models."""
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    return printing.listing(commands.list_(), json=json)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="a run folder or a model folder")],
    texts: Annotated[list[str] | None, typer.Argument(help="what to ask")] = None,
    input: Annotated[str, typer.Option("--input", help=".csv or .jsonl with a column source, .txt, or -")] = "",
    output: Annotated[str, typer.Option("--output", help="a .jsonl or .csv file instead of standard output")] = "",
    overrides: Overrides = None,
    top: Annotated[int, typer.Option("--top", help="labels with their probabilities, this many")] = 0,
    threshold: Annotated[float, typer.Option("--threshold", help="labels of at least this probability")] = 0.0,
    abstain_below: Annotated[
        float, typer.Option("--abstain-below", help="give no answer below this probability")
    ] = 0.0,
    verify: Annotated[bool, typer.Option("--verify", help="give no answer that cannot have made its source")] = False,
    lang: Lang = "",
) -> int:
    """Ask a taught model. One line out per line in, in the same order."""
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    settings = [*(overrides or []), f"decode.abstain_below={abstain_below}", f"decode.verify={str(verify).lower()}"]
    answers = commands.predict(run, texts or [], input=input, output=output, overrides=settings)
    return printing.predictions(answers, output=output, top=top, threshold=threshold, lang=lang)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="a run folder, or a model folder with --task")],
    data: Annotated[Path | None, typer.Option("--data", help="another exam: .csv or .jsonl")] = None,
    source: Annotated[str, typer.Option("--source", help="its column of sources")] = "source",
    target: Annotated[str, typer.Option("--target", help="its column of targets")] = "target",
    task: Annotated[str, typer.Option("--task", help="an experiment whose task and exam a foreign model takes")] = "",
    overrides: Overrides = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    """Set a taught model an exam: its own again, or another."""
    from terakoya.cli import live, printing
    from terakoya.pipeline import commands

    lang = lang or commands.spoken(str(run), overrides or ())
    with live.listening(json=json, lang=lang) as listener:
        done = commands.evaluate(
            run, data=data, source=source, target=target, task=task, overrides=overrides or [], listener=listener
        )
    return printing.result(done, json=json, lang=lang)


@app.command()
def generate(
    experiment: Annotated[str, typer.Argument(help="an experiment with a [teacher], shipped or a TOML file")],
    output: Annotated[Path | None, typer.Option("--output", help="the table to make; task.data unless said")] = None,
    overrides: Overrides = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="say what it would cost, and send nothing")] = False,
    i_have_the_right: Annotated[
        bool, typer.Option("--i-have-the-right", help="train on this teacher's output without a licence in the config")
    ] = False,
    lang: Lang = "",
    json: Json = False,
) -> int:
    """Let a teacher make a data set; paid once, kept whatever happens, balanced while it is made."""
    from terakoya.cli import live, printing
    from terakoya.pipeline import commands

    lang = lang or commands.spoken(experiment, overrides or ())
    with live.listening(json=json, lang=lang) as listener:
        made = commands.generate(
            experiment,
            output=output,
            overrides=overrides or [],
            estimate=estimate,
            i_have_the_right=i_have_the_right,
            listener=listener,
        )
    return printing.generated(made, json=json, lang=lang)


@app.command()
def audit(
    subject: Annotated[str, typer.Argument(help="a table, a TOML file or a shipped experiment")],
    overrides: Overrides = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    """What is wrong with the data, with rows and what to do."""
    from terakoya.cli import lines, printing
    from terakoya.pipeline import commands

    lang = lang or commands.spoken(subject, overrides or ())
    with lines.speaking(lang):
        found = commands.audit(subject, overrides=overrides or [])
    return printing.findings(found, json=json, lang=lang)


@app.command()
def split(
    experiment: Annotated[str, typer.Argument(help="a shipped experiment or a TOML file")],
    output: Annotated[Path, typer.Option("--output", help="a folder for train.jsonl, dev.jsonl and exam.jsonl")],
    overrides: Overrides = None,
    lang: Lang = "",
    json: Json = False,
) -> int:
    """Part the examples and write the three sides."""
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    sizes = commands.split(experiment, output, overrides=_set(overrides, None, lang))
    return printing.counts(sizes, json=json)


@app.command()
def doctor(
    experiment: Annotated[str, typer.Argument(help="a shipped experiment or a TOML file")],
    overrides: Overrides = None,
    show_tokens: Annotated[
        bool, typer.Option("--show-tokens", help="print a batch with the learnt tokens marked")
    ] = False,
    lang: Lang = "",
    json: Json = False,
) -> int:
    """Preflight without training: what would go wrong."""
    from terakoya.cli import lines, printing
    from terakoya.pipeline import commands

    lang = lang or commands.spoken(experiment, overrides or ())
    with lines.speaking(lang):
        examined = commands.doctor(experiment, overrides=overrides or [], show_tokens=show_tokens)
    return printing.findings(examined.findings, json=json, lang=lang, text=examined.tokens)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="two or more runs, or CSV files source,target,inference")],
    part: Annotated[str, typer.Option("--part", help="of the exam; the main one unless said")] = "",
    lang: Lang = "",
    json: Json = False,
) -> int:
    """Runs side by side on the same exam, paired; or the reason why not."""
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    return printing.comparisons(commands.compare(runs, part=part), json=json, lang=lang)


@app.command()
def report(
    run: Annotated[Path | None, typer.Argument(help="a run folder")] = None,
    all_: Annotated[bool, typer.Option("--all", help="an index page of all runs")] = False,
    run_dir: RunDir = Path("runs"),
    lang: Lang = "",
) -> int:
    """Write the record again."""
    from terakoya.cli import printing
    from terakoya.pipeline import run as pipeline

    return printing.pages(pipeline.report(run, all_runs=all_, run_dir=run_dir, lang=lang))


@app.command()
def sweep(
    series: Annotated[str, typer.Argument(help="a series that ships, or a TOML file that describes one")],
    overrides: Overrides = None,
    grid: Annotated[
        list[str] | None, typer.Option("--grid", help="KEY=VALUE,VALUE: an axis of the grid, in place of its own")
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="in place of the series' own: 0,1,2")] = "",
    run_dir: RunDir = Path("runs"),
    lang: Lang = "",
    json: Json = False,
) -> int:
    """A series of runs over config keys and seeds, chosen on dev, examined once."""
    from terakoya.cli import live, printing
    from terakoya.sweep import run as room
    from terakoya.sweep.plan import Changes, seeds_of

    with live.listening(json=json, lang=lang) as listener:
        changes = Changes(tuple(overrides or ()), tuple(grid or ()), seeds_of(seeds))
        done = room.sweep(series, changes=changes, run_dir=run_dir, lang=lang, listener=listener)
    return printing.series(done, json=json, lang=lang)


@app.command()
def new(name: Annotated[str, typer.Argument(help="the folder to make")], lang: Lang = "") -> int:
    """A folder with a task of one's own: a table and a config, ready to run."""
    from terakoya.cli import printing
    from terakoya.pipeline import commands

    return printing.made(commands.new(name), lang=lang)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code; everything but 70 is one message without a traceback."""
    from terakoya.errors import TerakoyaError

    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=words, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except TerakoyaError as error:
        from terakoya.cli import printing

        return printing.refusal(error, lang=_lang(words))
    except KeyboardInterrupt as stop:
        from terakoya.cli import printing

        return printing.interrupted(stop, lang=_lang(words))
    except Exception as error:
        from terakoya.cli import printing

        if hasattr(error, "format_message"):  # what typer says of wrong words
            return printing.misuse(error)
        return printing.our_fault(error, lang=_lang(words))


def _lang(words: Sequence[str]) -> str:
    """The language that the command line asks for; a refusal may come before any command has read it."""
    said = [*words, ""]
    asked = [word.partition("=")[2] or said[at + 1] for at, word in enumerate(words) if word.startswith("--lang")]
    return asked[-1] if asked else ""


def _set(overrides: Sequence[str] | None, seed: int | None, lang: str) -> list[str]:
    return [
        *(overrides or []),
        *([f"seed={seed}"] if seed is not None else []),
        *([f"lang={lang}"] if lang else []),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
