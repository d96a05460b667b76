"""Terakoya trains small language models on narrow Japanese text-to-text skills, and reports honestly what was learned.

    import terakoya as tk

    result = tk.run("kannume")             # a shipped experiment, a TOML file, or a run folder to go on with
    skill = tk.load(result.folder)         # opened once
    skill("三万八千")                       # "38000"

Each function does what the command of the same name does. Paths may be `str`; overrides are a dictionary; wrong input
is refused at the call by a `TerakoyaError` that says what, where and what to do. Read `pipeline/run.py` first: it tells
a run in order, and every step lies in the folder that bears its name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terakoya.codec.base import Codec
    from terakoya.config import Config
    from terakoya.errors import TerakoyaError
    from terakoya.evaluation.compare import Comparison
    from terakoya.exporters.write import ExportResult
    from terakoya.generation.generate import GenerationResult
    from terakoya.pipeline.commands import DoctorReport, SplitSummary
    from terakoya.pipeline.correct import Confirmed
    from terakoya.pipeline.retrain import Retrained
    from terakoya.records import Example, Finding, Prediction, Split
    from terakoya.runs.display import Listing
    from terakoya.runs.progress import Listener
    from terakoya.runs.result import RunResult
    from terakoya.saved_model import Skill
    from terakoya.scoring.metrics import Metric
    from terakoya.serving import Serving
    from terakoya.sweeps.run import SweepResult
    from terakoya.task import Task

__version__ = "0.1.0"

# PyTorch's threads wait for each other by spinning. Where another process computes on the same cores, a thread that
# spins holds the core which the awaited one needs, and a step takes many times as long (benchmarks.speed.shared_cores).
# A short spin costs nothing on an idle machine. libgomp reads this once, when PyTorch is first imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

Location = str | PathLike[str]
Overrides = Mapping[str, Any] | Sequence[str]

# Types that outsiders need, imported when they are first used: `import terakoya` itself loads nothing.
_TYPES = {
    "Codec": "terakoya.codec.base",
    "Config": "terakoya.config",
    "Example": "terakoya.records",
    "Finding": "terakoya.records",
    "Metric": "terakoya.scoring.metrics",
    "Prediction": "terakoya.records",
    "Skill": "terakoya.saved_model",
    "Split": "terakoya.records",
    "Task": "terakoya.task",
    "TerakoyaError": "terakoya.errors",
}

__all__ = [
    "Codec",
    "Config",
    "Example",
    "Finding",
    "Metric",
    "Prediction",
    "Skill",
    "Split",
    "Task",
    "TerakoyaError",
    "__version__",
    "audit",
    "compare",
    "confirm",
    "correct",
    "doctor",
    "evaluate",
    "export",
    "generate",
    "load",
    "predict",
    "report",
    "retrain",
    "run",
    "serve",
    "split",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _TYPES:
        return getattr(import_module(_TYPES[name]), name)
    raise AttributeError(f"module 'terakoya' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)


def run(
    experiment: Location | Config,
    *,
    overrides: Overrides = (),
    run_dir: Location = "runs",
    anyway: bool = False,
    trust: Sequence[Location] = (),
    listener: Listener | None = None,
) -> RunResult:
    """Everything in one call: examples, audit, split, preflight, training, predictions, scores, record.

    experiment  a shipped experiment's name, a TOML file, a `Config`, or a run folder, which goes on where it stopped
    overrides   settings laid over the config: {"train.steps": 500} or {"train": {"steps": 500}}
    run_dir     where the run folder is made
    anyway      go on in spite of findings of level "stop"; recorded with the run
    trust       task files (.py) of somebody else's folder that may run, until their content changes
    listener    is called while the run goes on; in a notebook one that shows progress is the default
    Returns the scores with intervals beside the baselines, the verdict, the findings and the folder.
    Raises TerakoyaError: ConfigError, DataError, BudgetError and so on, each with its exit code.
    """
    from terakoya.pipeline.run import run as run_pipeline

    _trust(trust)
    return run_pipeline(
        _experiment(experiment),
        overrides=_overrides(overrides),
        run_dir=Path(run_dir),
        anyway=anyway,
        listener=_listener(listener),
    )


def train(
    experiment: Location | Config,
    *,
    overrides: Overrides = (),
    run_dir: Location = "runs",
    anyway: bool = False,
    trust: Sequence[Location] = (),
    listener: Listener | None = None,
) -> RunResult:
    """A run as far as the trained model; the exam stays closed, and `run(result.folder)` opens it later.

    experiment, overrides, run_dir, anyway, trust, listener  as in `run`
    Returns a result without scores, whose state is "not examined".
    """
    from terakoya.pipeline.run import train as train_pipeline

    _trust(trust)
    return train_pipeline(
        _experiment(experiment),
        overrides=_overrides(overrides),
        run_dir=Path(run_dir),
        anyway=anyway,
        listener=_listener(listener),
    )


def audit(
    subject: Location | Config,
    *,
    overrides: Overrides = (),
    with_run: Location | None = None,
    folds: int = 0,
    trust: Sequence[Location] = (),
    listener: Listener | None = None,
) -> Listing[Finding]:
    """What is wrong with data, row by row, before anything is trained on it.

    subject    a table (.csv .tsv .jsonl .json .parquet), a TOML file, a shipped experiment or a `Config`
    overrides  settings laid over the config, such as {"task.codec": "labels"}
    with_run   a run whose trained model says which rows look wrong; None: no model
    folds      judge each row by a model with the run's settings that was trained without it: so many trainings; 0: by
               the run's own model
    trust      task files (.py) of somebody else's folder that may run, until their content changes
    listener   is called before each training; in a notebook one that shows progress is the default
    Returns the findings; `finding.rows` are line numbers of the file, counted from 1.
    """
    from terakoya.pipeline import commands
    from terakoya.runs.display import Listing

    _trust(trust)
    run_folder = None if with_run is None else Path(with_run)
    found = commands.audit(
        _experiment(subject),
        overrides=_overrides(overrides),
        with_run=run_folder,
        folds=folds,
        listener=_listener(listener),
    )
    return Listing(found)


def split(
    experiment: Location | Config, output: Location, *, overrides: Overrides = (), trust: Sequence[Location] = ()
) -> SplitSummary:
    """Split the examples and write train.jsonl, dev.jsonl and exam.jsonl.

    experiment  a shipped experiment, a TOML file or a `Config`
    output      folder for the three files; made where it is missing
    overrides   settings laid over the config, such as {"split.exam": 0.2}
    trust       task files (.py) of somebody else's folder that may run, until their content changes
    Returns how many examples each split has, with the exam's fingerprint.
    """
    from terakoya.pipeline import commands

    _trust(trust)
    return commands.split(_experiment(experiment), Path(output), overrides=_overrides(overrides))


def doctor(
    experiment: Location | Config,
    *,
    overrides: Overrides = (),
    show_tokens: bool = False,
    trust: Sequence[Location] = (),
) -> DoctorReport:
    """Audit and preflight without training: what would go wrong.

    experiment   a shipped experiment, a TOML file or a `Config`
    overrides    settings laid over the config
    show_tokens  also show one batch with the tokens marked on which the loss is taken
    trust        task files (.py) of somebody else's folder that may run, until their content changes
    Returns the findings, and the marked batch as `tokens`.
    """
    from terakoya.pipeline import commands

    _trust(trust)
    return commands.doctor(_experiment(experiment), overrides=_overrides(overrides), show_tokens=show_tokens)


def generate(
    experiment: Location | Config,
    output: Location | None = None,
    *,
    overrides: Overrides = (),
    estimate: bool = False,
    i_have_the_right: bool = False,
    overwrite: bool = False,
    trust: Sequence[Location] = (),
    listener: Listener | None = None,
) -> GenerationResult:
    """Have a teacher label a data set: paid once, kept whatever happens, balanced while it is made.

    experiment        one with a [teacher] section
    output            the table to write (.jsonl or .csv); `task.data` where it is not given
    overrides         settings laid over the config
    estimate          only say what it would cost; nothing is sent
    i_have_the_right  train on this teacher's output without a licence named in the config
    overwrite         replace a file at the table's place that this generation did not write
    trust             task files (.py) of somebody else's folder that may run, until their content changes
    listener          is called while the generation goes on
    Returns the rows, what was rejected and why, and the spend from the ledger.
    """
    from terakoya.pipeline import commands

    _trust(trust)
    return commands.generate(
        _experiment(experiment),
        output=None if output is None else Path(output),
        overrides=_overrides(overrides),
        estimate=estimate,
        i_have_the_right=i_have_the_right,
        overwrite=overwrite,
        listener=_listener(listener),
    )


def evaluate(
    run: Location,
    *,
    data: Location | None = None,
    source: str = "",
    target: str = "",
    encoding: str = "",
    codec: str = "",
    task: Location = "",
    overrides: Overrides = (),
    trust: Sequence[Location] = (),
    listener: Listener | None = None,
) -> RunResult:
    """Score a trained skill on its own exam again, or on another one.

    run        a run folder; with `task` a folder of a model made elsewhere
    data       a table with another exam
    source     its column of sources; "" is "source"
    target     its column of targets; "" is "target"
    encoding   of that table; "" is detected
    codec      what its targets are; a model of another codec is refused. "" is the model's own
    task       an experiment whose task and exam a model made elsewhere takes
    overrides  settings laid over the run's own, such as {"decode.method": "beam"}
    trust      task files (.py) of somebody else's folder that may run, until their content changes
    listener   is called while the exam is taken
    Returns the scores; the opening of the exam is counted.
    """
    from terakoya.pipeline import commands

    _trust(trust)
    return commands.evaluate(
        Path(run),
        data=None if data is None else Path(data),
        source=source,
        target=target,
        encoding=encoding,
        codec=codec,
        task=str(task),
        overrides=_overrides(overrides),
        listener=_listener(listener),
    )


def load(folder: Location, *, overrides: Overrides = (), trust: Sequence[Location] = ()) -> Skill:
    """Open a trained skill once, and call it as often as needed.

    folder     a run folder or the model folder in it
    overrides  settings of decoding, such as {"decode.abstain_below": 0.9}
    trust      task files (.py) of somebody else's folder that may run, until their content changes
    Returns a `Skill`: `skill(text)` is the prediction as text or None, `skill.predict(texts)` has probabilities.
    """
    from terakoya.saved_model import read_skill

    _trust(trust)
    skill = read_skill(Path(folder), tuple(_overrides(overrides)))
    if skill.config.decode.engine == "own":
        return skill
    from terakoya.pipeline.engine import with_engine

    return with_engine(skill)


def predict(
    folder: Location, texts: Sequence[str], *, overrides: Overrides = (), trust: Sequence[Location] = ()
) -> Listing[Prediction]:
    """Predictions for texts, in their order; `load` serves better where there is more than one call.

    folder     a run folder or the model folder in it
    texts      the sources
    overrides  settings of decoding
    trust      task files (.py) of somebody else's folder that may run, until their content changes
    """
    return load(folder, overrides=overrides, trust=trust).predict(texts)


def export(
    run: Location,
    to: str | Sequence[str],
    *,
    output: Location | None = None,
    overwrite: bool = False,
    unproved: bool = False,
    quantisation: str = "",
    converter: Location | None = None,
    push: str = "",
    overrides: Overrides = (),
    lang: str = "",
    trust: Sequence[Location] = (),
    listener: Listener | None = None,
) -> Listing[ExportResult]:
    """A trained skill for other runtimes; each artifact predicts the skill's exam there before it counts.

    run           a run folder whose exam was opened
    to            targets: "page", "runtime", "onnx" and so on
    output        folder in which each target gets one of its own; None: `exports` in the run folder
    overwrite     replace a folder that no export wrote
    unproved      keep an artifact whose runtime is not installed; its README says that it was not proved
    quantisation  number format of the weights, in the words of the target; "" is its default
    converter     a converter of your own, for targets that need one
    push          owner/name on the Hub that the artifact is uploaded to
    overrides     settings of decoding that the export has, such as {"decode.abstain_below": 0.9}
    lang          "en" or "ja", of the README
    trust         task files (.py) of somebody else's folder that may run, until their content changes
    listener      is called while the exports go on
    Returns each export with its proof. Raises TerakoyaError where the skill cannot go to a target.
    """
    from terakoya.pipeline import commands
    from terakoya.runs.display import Listing

    _trust(trust)
    found = commands.export(
        Path(run),
        [to] if isinstance(to, str) else list(to),
        output=None if output is None else Path(output),
        overwrite=overwrite,
        unproved=unproved,
        quantisation=quantisation,
        converter=None if converter is None else Path(converter),
        push=push,
        overrides=_overrides(overrides),
        lang=lang,
        listener=_listener(listener),
    )
    return Listing(found)


def serve(
    runs: Location | Sequence[Location],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_hosts: Sequence[str] = (),
    token_file: Location | None = None,
    waiting: int = 256,
    batch: int = 32,
    seconds: float = 30.0,
    mcp: bool = False,
    overrides: Overrides = (),
    trust: Sequence[Location] = (),
    background: bool = False,
    on_ready: Callable[[Serving], None] | None = None,
) -> Serving:
    """Trained skills over HTTP, as OpenAI's clients call models: each skill by its name.

    runs         run folders or model folders, one or several
    host         name or address to listen on; any but loopback needs a token
    port         0 is any free one
    allow_hosts  further names of the server, as "name" or "name:port"
    token_file   a file with the token; None: the variable TERAKOYA_TOKEN, or a new one where one is needed
    waiting      texts that may wait; further requests are refused with 429
    batch        texts that are predicted together at most
    seconds      until a request is read, and until it is predicted
    mcp          serve the skills as MCP tools under /mcp as well
    overrides    settings of decoding for all skills, such as {"decode.abstain_below": 0.9}
    trust        task files (.py) of somebody else's folder that may run, until their content changes
    background   return once the server listens: `server.end()` finishes what was begun and ends it
    on_ready     is called with the server once it listens: its `url`, its `models`, its `token`
    Returns the server: with `background` at once, else after SIGTERM or Ctrl-C. Raises ConfigError for an address that
    is not free, where a package is missing, or where a notebook's event loop runs and `background` is not given.
    """
    from terakoya.pipeline import commands

    _trust(trust)
    begun: list[Serving] = []

    def ready(server: Serving) -> None:
        begun.append(server)
        if on_ready is not None:
            on_ready(server)

    commands.serve(
        [Path(runs)] if isinstance(runs, str | PathLike) else [Path(run) for run in runs],
        host=host,
        port=port,
        allow_hosts=allow_hosts,
        token_file=None if token_file is None else Path(token_file),
        waiting=waiting,
        batch=batch,
        seconds=seconds,
        overrides=_overrides(overrides),
        mcp="http" if mcp else "",
        background=background,
        on_ready=ready,
    )
    return begun[-1]


def compare(
    runs: Sequence[Location],
    *,
    subset: str = "",
    encoding: str = "",
    source: str = "",
    target: str = "",
    codec: str = "",
) -> Listing[Comparison]:
    """Runs on the same exam side by side, paired item by item and corrected for the number of comparisons.

    runs      two or more run folders, or tables with the columns source, target, inference
    subset    of the exam; "" is the main one
    encoding  of the tables; "" is detected
    source    their column of sources; "" is "source"
    target    their column of targets; "" is "target"
    codec     what targets are, for tables without a run: text, number, quantity, labels; "" is text
    Raises IncompatibleError where the exams differ, saying what differs.
    """
    from terakoya.pipeline import commands
    from terakoya.runs.display import Listing

    paths = [Path(run) for run in runs]
    return Listing(commands.compare(paths, subset=subset, encoding=encoding, source=source, target=target, codec=codec))


def correct(
    run: Location, source: str, target: str = "", *, accept: str = "", who: str = ""
) -> Listing[Mapping[str, Any]]:
    """Correct the target of a row of a run's table. The table stays as it is: the correction is logged beside it.

    run     a run folder whose exam was opened
    source  input text of the row, whole
    target  its right target
    accept  a further right target of it, in place of `target`
    who     your name, so that the work of two people can be merged
    Returns what was decided about each row so far. Raises DataError where no row has this source, or the codec cannot
    read the target.
    """
    from terakoya.pipeline import correct as correcting
    from terakoya.runs.disk import to_jsonable
    from terakoya.runs.display import Listing

    for row in correcting.rows_with_source(Path(run), source):
        correcting.correct_any(Path(run), row, "accept" if accept else "edit", accept or target, who=who)
    return Listing(to_jsonable(one) for one in correcting.read_run_corrections(Path(run)).decisions.values())


def confirm(run: Location, *, write: Location | None = None, read: Location | None = None, who: str = "") -> Confirmed:
    """Let people judge a sample of an exam's targets in a spreadsheet, and see what they said so far.

    run    a run folder whose exam was opened
    write  a .csv to write the sample to
    read   such a .csv with its column judgement completed: right, wrong (with the right target) or unclear
    who    your name
    Returns counts and interval; they stand in the record and in every verdict of runs with this exam.
    """
    from terakoya.pipeline import correct as correcting

    written, completed = (None if path is None else Path(path) for path in (write, read))
    return correcting.confirm(Path(run), write=written, read=completed, who=who)


def retrain(
    run: Location,
    *,
    overrides: Overrides = (),
    use: bool = False,
    anyway: bool = False,
    listener: Listener | None = None,
) -> Retrained:
    """Train again with the corrections of a run's table; better, same or worse on the items that both exams hold.

    run        a run folder whose exam was opened
    overrides  further settings; the comparison then judges them as well
    use        put the new run in use, unless it is worse; the old one stays in use otherwise
    anyway     go on in spite of findings of level "stop"
    listener   is called while the run goes on
    Returns the comparison with its words. Raises ConfigError where nothing was corrected since the run.
    """
    from terakoya.pipeline import retrain as retraining

    return retraining.retrain(
        Path(run), overrides=_overrides(overrides), use=use, anyway=anyway, listener=_listener(listener)
    )


def sweep(
    series: Location,
    *,
    overrides: Overrides = (),
    grid: Mapping[str, Sequence[Any]] | Sequence[str] = (),
    seeds: Sequence[int] = (),
    run_dir: Location = "runs",
    on: str = "local",
    lang: str = "",
    trust: Sequence[Location] = (),
    listener: Listener | None = None,
) -> SweepResult:
    """Many runs over settings and seeds, chosen on dev, the exam opened once.

    series     a shipped series or a TOML file that describes one
    overrides  settings that all trials share
    grid       axes in place of the series' own: {"train.steps": [500, 1000]}
    seeds      in place of the series' own
    run_dir    where the folder of the series is made
    on         what runs the trials: "local", "local:4" (four processes), "ray", "ray://HOST:PORT" or "slurm"
    lang       "en" or "ja", of the record
    trust      task files (.py) of somebody else's folder that may run, until their content changes
    listener   is called while trials go on
    Returns the trials with their values and the best on dev.
    """
    from terakoya.config.reading import grid_axes
    from terakoya.sweeps import run as sweeps
    from terakoya.sweeps.plan import SweepOverrides

    _trust(trust)
    changes = SweepOverrides(tuple(_overrides(overrides)), tuple(grid_axes(grid)), tuple(seeds))
    return sweeps.sweep(
        str(series), changes=changes, run_dir=Path(run_dir), on=on, lang=lang, listener=_listener(listener)
    )


def report(
    run: Location | None = None, *, all_runs: bool = False, run_dir: Location = "runs", lang: str = ""
) -> Listing[Path]:
    """Write the record of a run again, or an index page of all runs.

    run       a run folder
    all_runs  the index page of `run_dir` instead
    run_dir   where the run folders are
    lang      "en" or "ja"; the run's own where it is ""
    Returns the files written.
    """
    from terakoya.pipeline.run import report as write_report
    from terakoya.runs.display import Listing

    written = write_report(None if run is None else Path(run), all_runs=all_runs, run_dir=Path(run_dir), lang=lang)
    return Listing(written)


def _experiment(given: Location | Config) -> Any:
    return str(given) if isinstance(given, str | PathLike) else given


def _overrides(given: Overrides) -> list[str]:
    if isinstance(given, Mapping):
        from terakoya.config.reading import override_texts

        return override_texts(given)
    return list(given)


def _trust(files: Sequence[Location]) -> None:
    """Remember what the user trusts, before anything is opened; one path may be given as it is."""
    if files:
        from terakoya.config.trust import trust_file

        for file in [files] if isinstance(files, str | PathLike) else files:
            trust_file(Path(file))


def _listener(given: Listener | None) -> Listener:
    from terakoya.runs.progress import default_listener

    return given or default_listener()
