"""Train a run again with the corrections of its table, and learn whether it got better or worse."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from terakoya.annotation.corrections import freeze, read_corrections
from terakoya.config import Config
from terakoya.config.reading import with_overrides
from terakoya.errors import ConfigError
from terakoya.i18n import _, in_every_language, in_language, joined
from terakoya.pipeline.correct import correction_log
from terakoya.pipeline.dataset import read_run_config
from terakoya.pipeline.run import run_experiment
from terakoya.registry import Experiment
from terakoya.runs import Run, read_json, write_json
from terakoya.runs.display import Displayed
from terakoya.runs.in_use import put_in_use, read_in_use, run_in_use
from terakoya.runs.progress import Listener

if TYPE_CHECKING:
    from terakoya.evaluation.compare import Comparison

State = Literal["better", "same", "worse"]
RETRAINED = "retrained.json"  # in the new run's folder


@dataclass(frozen=True)
class Retrained(Displayed):
    """A run that was trained again with corrections, and how it compares with the one before.

    run         the new run folder
    before      the old one
    corrected   rows with another target or a further right target
    left        items of the old exam that the new one does not hold: corrected, or of the group of such a row
    state       "better", "worse", or "same" where the shared items show no difference
    comparison  on the items that both exams hold
    in_use      the run that is in use now
    """

    run: Path
    before: Path
    corrected: int
    left: int
    state: State
    comparison: Comparison
    in_use: Path

    def words(self, lang: str = "en") -> str:
        """What may be concluded, as sentences.

        lang  "en" (default) or "ja"
        """
        in_use = _("In use: {name}.", name=self.in_use.name)
        return in_language(joined(" ", (retrained_message(self), in_use)), lang)

    def to_dict(self) -> dict[str, Any]:
        """All values as a dict, for --json."""
        return {
            "run": str(self.run),
            "before": str(self.before),
            "corrected": self.corrected,
            "left": self.left,
            "state": self.state,
            "in_use": str(self.in_use),
            "comparison": self.comparison.to_dict(),
        }


def retrain(
    run: Path,
    *,
    overrides: Sequence[str] = (),
    use: bool = False,
    anyway: bool = False,
    listener: Listener | None = None,
) -> Retrained:
    """Train again with the corrections of a run's table and compare on the items that both exams hold.

    run        the run folder
    overrides  further KEY=VALUE settings; the comparison then judges them as well
    use        True: put the new run in use where it is not worse; False: the old one stays in use
    anyway     True: go on in spite of findings of level stop
    listener   receives progress events; None ignores them
    Raises ConfigError where nothing was corrected since the run.
    """
    config = read_run_config(run)
    corrections = freeze(correction_log(run))
    if Path(config.task.corrections).name == corrections.name:
        raise ConfigError(
            _("nothing was corrected since this run"),
            where=str(run),
            do=_("Correct a row first: terakoya correct {run} --source TEXT --target TEXT", run=run),
        )
    if not read_in_use(run.parent).get(config.name):
        put_in_use(run)
    made = run_experiment(
        Experiment(config.name, with_overrides(_with_corrections(config, corrections, run), overrides), run, own=False),
        run_dir=run.parent,
        anyway=anyway,
        listener=listener,
        retrained_from=run.name,
    )
    found = compare_with_before(made.folder)
    if use and found.state != "worse":
        put_in_use(made.folder)
    return replace(found, in_use=run_in_use(made.folder))


def compare_with_before(run: Path) -> Retrained:
    """Compare a run that was trained with corrections with the run that it was made from, and keep the result with it.

    run  the new run folder, its exam taken; a training that was interrupted may have gone on since
    Raises ConfigError where it was not made by `retrain`, or the run before has gone.
    """
    from terakoya.evaluation.item_scores import read_run_scores
    from terakoya.evaluation.shared_items import compare_shared

    name = str(Run.open(run).manifest.get("retrained_from") or "")
    old = run.parent / name
    if not name or not old.is_dir():
        raise ConfigError(
            _("the run that this one was trained again from is not beside it"),
            where=str(run),
            do=_("Compare it with another run: terakoya compare RUN {run}", run=run),
        )
    before, after = read_run_scores(old), read_run_scores(run)
    comparison = compare_shared(before, after)
    state: State = "same"
    if comparison.decided:
        state = "better" if comparison.state == "second is better" else "worse"
    left = len(before.keyed().keys() - after.keyed().keys())
    changed = read_corrections(run / read_run_config(run).task.corrections).changed
    found = Retrained(run, old, changed, left, state, comparison, run_in_use(run))
    write_json(run / RETRAINED, {**found.to_dict(), "words": in_every_language(retrained_message(found))})
    return found


def read_retrained(run: Path) -> dict[str, Any]:
    """How a run that was trained again compares with the one before: `to_dict` of its result, and its words.

    run  the new run folder; {} where it was not made by `retrain`, or its exam was not taken yet
    """
    path = run / RETRAINED
    if not path.is_file() and _is_comparable(run):
        compare_with_before(run)
    return dict(read_json(path)) if path.is_file() else {}


def _is_comparable(run: Path) -> bool:
    """Whether a run that was interrupted while `retrain` made it was gone on with, and can be compared now."""
    opened = Run.open(run)
    before = str(opened.manifest.get("retrained_from") or "")
    return bool(before) and opened.state == "done" and (run.parent / before).is_dir()


def _with_corrections(config: Config, corrections: Path, run: Path) -> Config:
    relative = Path(os.path.relpath(corrections, run.resolve())).as_posix()
    return config.model_copy(update={"task": config.task.model_copy(update={"corrections": relative})})


_STATES = {
    "better": _("The new run is better than the old one"),
    "same": _("The new run is neither better nor worse than the old one, as far as these items can show"),
    "worse": _("The new run is worse than the old one"),
}


def retrained_message(retrained: Retrained) -> str:
    """What may be concluded, as a message.

    retrained  the new run and the old one
    """
    from terakoya.evaluation.compare import comparison_message

    first = _(
        "{state}: {corrected} rows were corrected; {shared} items are in both exams, and {left} left the exam.",
        state=_STATES[retrained.state],
        corrected=retrained.corrected,
        shared=retrained.comparison.effect.n,
        left=retrained.left,
    )
    return joined(" ", (first, comparison_message(retrained.comparison)))
