"""Many runs over config keys and seeds, chosen on dev, each exam opened once.

    name = "notations"
    experiment = "kannume"                  # a shipped experiment or a TOML file beside this one
    set = ["train.steps=2000"]              # settings that all runs share
    seeds = [0, 1, 2]
    minutes = 60                            # no trial is started after that; 0: no limit
    open = "best"                           # whose exam is opened at the end: "best" on dev, "all", or "none"

    [grid]                                  # every combination …
    "task.notation" = ["plain", "groups"]

    [[list]]                                # … or trials one by one …
    name = "wide"
    set = ["model.width=96"]

    [search]                                # … or a search (optuna, TPE), whose trials each take the first seed
    trials = 20
    [search.space]
    "train.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
    "train.batch_size" = { choices = [16, 32, 64] }

    [needs]                                 # what a trial needs of an engine (--on ray, --on slurm)
    cpus = 4
    gpus = 1

A trial is known by its settings: an interrupted sweep continues where it stopped, failed runs are kept with their
reason. Trials are run by an engine (engines/); several processes (or hosts on one disk) may also work on one sweep:
each trial is locked by one of them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from terakoya import registry
from terakoya.runs import safe_name
from terakoya.runs.display import Displayed, Listing
from terakoya.runs.progress import Listener, SilentListener
from terakoya.sweeps.dispatch import dispatcher
from terakoya.sweeps.engines import parse_engine
from terakoya.sweeps.plan import NO_OVERRIDES, SweepOverrides, TrialResult, check, read_sweep, store_sweep, trials
from terakoya.sweeps.schema import SweepConfig
from terakoya.sweeps.search import search
from terakoya.sweeps.summary import best_on_dev, write_summary
from terakoya.sweeps.trial import TrialRunner
from terakoya.training.parallel.launch import refuse_several_processes


@dataclass(frozen=True)
class SweepResult(Displayed):
    """What a sweep came to.

    name    of the sweep
    folder  where it lies
    trials  in the order in which they were run
    best    settings with the best mean dev value, "" where none has one
    reports files written
    notes   the sentences at their top
    """

    name: str
    folder: Path
    trials: tuple[TrialResult, ...]
    best: str
    reports: tuple[Path, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def table_rows(self) -> list[dict[str, Any]]:
        """One dictionary for each trial."""
        return Listing(self.trials).table_rows()

    @property
    def exit_code(self) -> int:
        """1 where a trial failed, else 0."""
        return int(any(result.state == "failed" for result in self.trials))


def sweep(
    name: str | Path,
    *,
    changes: SweepOverrides = NO_OVERRIDES,
    run_dir: Path = Path("runs"),
    on: str = "local",
    lang: str = "",
    listener: Listener | None = None,
) -> SweepResult:
    """Run all trials that are still open, then the exams that were declared beforehand, then write the report.

    name      a TOML file, or the name of a shipped sweep
    changes   overrides beside the file; a resumed sweep must have those that it started with
    run_dir   where the sweep's folder is made ("runs")
    on        what runs the trials: "local", "local:4" (four processes), "ray", "ray://HOST:PORT" or "slurm"
    lang      of the report: "en" or "ja", "" for the locale's
    listener  receives progress events
    Raises ConfigError before the first trial where a key or value is wrong.
    """
    parse_engine(on)
    refuse_several_processes("terakoya sweep")
    path = registry.find_series(str(name))
    config = changes.apply(read_sweep(path))
    folder = run_dir / f"series-{safe_name(config.name)}"
    store_sweep(folder, path, changes)
    check(config, path.resolve().parent)
    not_after = time.time() + config.minutes * 60 if config.minutes else None
    runner = TrialRunner(config, path.resolve().parent, folder, listener or SilentListener())
    with dispatcher(runner, on, not_after) as work:
        results = search(work) if config.search else work.run(list(trials(config)))
        best = best_on_dev(results)
        work.run([result.trial for result in _exams_to_open(config, results, best)], exam=True)
    final = [_newest(runner, result) for result in results]
    reports, notes = write_summary(config, folder, final, best, lang)
    return SweepResult(config.name, folder, tuple(final), best, reports, notes)


def _exams_to_open(config: SweepConfig, results: Sequence[TrialResult], best: str) -> list[TrialResult]:
    if config.open == "none" or any(result.state in ("open", "held") for result in results):
        return []  # not before every trial is trained: who has seen the exam may not choose any more
    return [result for result in results if config.open == "all" or result.trial.name == best]


def _newest(runner: TrialRunner, result: TrialResult) -> TrialResult:
    """What the trial's file says now; where there is none, what is known of the process or host that has the trial."""
    now = runner.result(result.trial)
    return result if now.state == "open" else now
