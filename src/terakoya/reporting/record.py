"""What a report is made of: one run in plain values, read back from its folder alone."""

from __future__ import annotations

import tomllib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from terakoya.errors import CorruptError
from terakoya.i18n import _, gathered
from terakoya.records import Finding, Score, Signature, Step, finding_keys, score_keys
from terakoya.reporting.export_proofs import read_proofs
from terakoya.runs import Run
from terakoya.runs.annotations import Annotations, read_annotations
from terakoya.runs.seeds import seed_runs
from terakoya.scoring.error_analysis.explain import ErrorAnalysis, explain_errors
from terakoya.scoring.metrics import current_signature

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_Value = TypeVar("_Value", Finding, Step, Score, Signature)


@dataclass(frozen=True)
class SeedScore:
    """The deciding score of one model of a recipe that was trained with several seeds."""

    seed: int
    score: Score


@dataclass(frozen=True)
class RunRecord:
    """One run as its report shows it. Everything but the name may be missing; only what is there is shown.

    name         of the run
    config       the whole config
    manifest     state, times, versions, machine, git, seed, fingerprints, model (a ModelInfo), openings of the exam,
                 values (even_guess and prior_entropy in nats), resolved (what `auto` became), training
    findings     of audit, preflight and guards
    steps        lines of steps.jsonl
    scores       of the model and its baselines
    verdict      the fields of scoring's Verdict
    predictions  lines of predictions.jsonl: source, target, raw, prediction, verdict, subset, tags, probability, error
    dataset      what `dataset_statistics` counts
    perplexity   over what it was taken: unit, vocabulary, novelty, items, tokens …; {}: not taken
    cost         requests, tokens, money … of a teacher, from the ledger; None: no teacher was used
    curve        the learning curve that was measured for it; {}: none
    ladder       the ladder of models that was measured for it; {}: none
    exports      the proof of each export in the run folder
    annotations  what people said about its exam after it ended
    seeds        the deciding score with each seed, its own first; (): it was trained with one
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    manifest: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    findings: tuple[Finding, ...] = ()
    steps: tuple[Step, ...] = ()
    scores: tuple[Score, ...] = ()
    verdict: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    predictions: tuple[Mapping[str, Any], ...] = ()
    dataset: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    perplexity: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    cost: Mapping[str, Any] | None = None
    curve: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    ladder: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    exports: tuple[Mapping[str, Any], ...] = ()
    annotations: Annotations = field(default_factory=Annotations)
    seeds: tuple[SeedScore, ...] = ()

    @property
    def main(self) -> Score | None:
        """The model's deciding score: first metric, main subset."""
        return deciding_score(self.scores)

    @cached_property
    def errors(self) -> ErrorAnalysis:
        """What the errors on the exam have in common."""
        return explain_errors(self.predictions, labels=bool(self.dataset.get("labels")))

    @property
    def dev(self) -> float | None:
        """The dev value by which the final checkpoint was chosen."""
        best = (self.manifest.get("training") or {}).get("best") or {}
        values = (float(value) for key, value in best.items() if key not in ("loss", "unreadable"))
        return next(values, None)

    def measured(self, name: str) -> float | None:
        """A value that preflight or a guard measured: from the manifest, else from the finding that holds it.

        name  of the value: "even_guess"
        """
        sources = [self.manifest.get("values") or {}, *(finding.values for finding in self.findings)]
        return next((float(values[name]) for values in sources if name in values), None)

    @property
    def openings(self) -> int | None:
        """How often the exam had been opened when this run was scored."""
        count = self.manifest.get("openings")
        return int(count) if count is not None else None


@dataclass(frozen=True)
class ComparedSettings:
    """One comparison of two settings of a sweep.

    first, second  the settings
    words          what may be concluded, a message
    decided        whether one is better
    needed         items that would decide (None: decided, or no number is enough)
    """

    first: str
    second: str
    words: str
    decided: bool
    needed: int | None = None


@dataclass(frozen=True)
class SweepRecord:
    """Several runs side by side. Everything but name and runs may be missing.

    name      of the sweep
    runs      its runs
    keys      the config keys that differ
    notes     sentences to be shown
    failed    run → reason
    lead      the run whose data, machine and examples are shown for all: the best on dev
    titles    run → what distinguishes it from the others
    links     run → its own report
    compared  on the exam: the lead's setting against each other one, corrected for their number
    """

    name: str
    runs: tuple[RunRecord, ...]
    keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    lead: str = ""
    titles: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    links: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    compared: tuple[ComparedSettings, ...] = ()

    @property
    def leader(self) -> RunRecord | None:
        """The run called `lead`; else one with a score, else any."""
        named = [run for run in self.runs if run.name == self.lead]
        scored = [run for run in self.runs if run.main]
        return next(iter([*named, *scored, *self.runs]), None)

    def title(self, run: RunRecord) -> str:
        """What distinguishes a run from the others, else its name.

        run  one of the sweep's
        """
        return self.titles.get(run.name, run.name)


def read_record(path: Path) -> RunRecord:
    """All that a run folder holds, as values.

    path  the run folder
    Raises what `Run.open` raises, and CorruptError where a file is damaged.
    """
    run = Run.open(path)
    manifest = {**run.manifest, "state": run.state}
    results = run.read_json("scores.json") if run.has("scores.json") else {}
    for name, found in (("manifest.json", manifest), ("scores.json", results)):
        _require_sections(found, run.path / name)
    return RunRecord(
        name=run.name,
        config=read_config_values(run),
        manifest=manifest,
        findings=tuple(_value(Finding, finding_keys(line), run) for line in run.read_lines("findings.jsonl")),
        steps=tuple(_value(Step, line, run) for line in run.read_lines("steps.jsonl")),
        scores=read_scores(run),
        verdict=results.get("verdict") or {},
        predictions=tuple(run.read_lines("predictions.jsonl")),
        dataset=manifest.get("dataset") or {},
        perplexity=results.get("perplexity") or results.get("foreseen") or {},
        cost=manifest.get("cost"),
        curve=_measured(run, "curve.json"),
        ladder=_measured(run, "ladder.json"),
        exports=read_proofs(run),
        annotations=read_annotations(run.path),
        seeds=_seeds(run),
    )


def deciding_score(scores: Sequence[Score]) -> Score | None:
    """The model's score in the first metric, on the main subset where it was scored; None without any.

    scores  of the model and its baselines
    """
    own = [score for score in scores if score.who == "model"]
    return next((score for score in own if not score.subset), own[0] if own else None)


def _seeds(run: Run) -> tuple[SeedScore, ...]:
    """The deciding score with each seed; () for a run with one."""
    others = [Run.open(path) for path in seed_runs(run.path)]
    runs = [run, *others] if others else []
    found = [(int(one.manifest.get("seed") or 0), deciding_score(read_scores(one))) for one in runs]
    return tuple(SeedScore(seed, score) for seed, score in found if score is not None)


def _measured(run: Run, name: str) -> Mapping[str, Any]:
    """What was measured for a run after it ended; {} where it was not."""
    found = run.read_json(name) if run.has(name) else {}
    lists = [found.get(key) or [] for key in ("points", "rungs", "words")] if isinstance(found, Mapping) else [None]
    if not all(isinstance(one, list) and all(isinstance(line, Mapping) for line in one) for one in lists):
        raise CorruptError(_("its section '{name}' is none", name=name), where=str(run.path / name))
    return {**found, "rungs": [gathered(line) for line in found.get("rungs") or ()]}


_SECTIONS = (
    "model",
    "times",
    "training",
    "values",
    "resolved",
    "machine",
    "versions",
    "dataset",
    "verdict",
    "perplexity",
)


def _require_sections(found: Any, path: Path) -> None:
    """Refuse a file whose sections are no sections: a report looks into them."""
    sections = {key: found.get(key) if isinstance(found, Mapping) else found for key in _SECTIONS}
    training = sections["training"]
    sections["training.best"] = training.get("best") if isinstance(training, Mapping) else None
    wrong = next((key for key, value in sections.items() if value is not None and not isinstance(value, Mapping)), "")
    if wrong:
        raise CorruptError(_("its section '{name}' is none", name=wrong), where=str(path))


def read_config_values(run: Run) -> dict[str, Any]:
    """A run's config as nested values; {} where it has none.

    run  the run folder
    Raises CorruptError where it is no TOML.
    """
    if not run.has("config.toml"):
        return {}
    try:
        return tomllib.loads(run.read_text("config.toml"))
    except tomllib.TOMLDecodeError as error:
        raise CorruptError(_("not valid TOML: {error}", error=error), where=str(run.path / "config.toml")) from error


def read_scores(run: Run) -> tuple[Score, ...]:
    """The scores of a run, with metric signatures in today's form; () where it has none.

    run  the run folder
    Raises CorruptError where a line is no score.
    """
    if not run.has("scores.json"):
        return ()
    results = run.read_json("scores.json")
    lines = results.get("scores") if isinstance(results, Mapping) else None
    if not isinstance(lines, list) or not all(isinstance(line, Mapping) for line in lines):
        raise CorruptError(_("there are no scores in it"), where=str(run.path / "scores.json"))
    return tuple(_score(line, run) for line in lines)


def _value(kind: type[_Value], line: Mapping[str, Any], run: Run) -> _Value:
    """A frozen value from one line; keys of a later version are ignored, a missing one is damage."""
    line = gathered(line)
    known = {item.name: line[item.name] for item in fields(kind) if item.name in line}
    known = {key: tuple(item) if isinstance(item, list) else item for key, item in known.items()}
    name = kind.__name__
    try:
        if kind is Step:
            # Values that were not finite are written by name.
            known = {key: float(item) if isinstance(item, str) else item for key, item in known.items()}
        value = kind(**known)
    except (TypeError, ValueError) as error:
        raise CorruptError(_("a line is no {name}: {error}", name=name, error=error), where=str(run.path)) from error
    of_kind: Any = kind  # mypy takes the class for one of its unhashable instances
    hints = _hints(of_kind)
    wrong = next((key for key, item in known.items() if not _fits(item, hints[key])), None)
    if wrong is not None:
        fault = _("{key} cannot be {value}", key=wrong, value=repr(known[wrong])[:80])
        raise CorruptError(_("a line is no {name}: {error}", name=name, error=fault), where=str(run.path))
    return value


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value read from JSON is of the type that a field states; what JSON cannot tell apart is let pass."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, inner[0]) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(_fits(item, inner[1]) for item in value.values())
    if hint in (int, float):
        # A value that was not finite is written by name.
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number or value in ("NaN", "Infinity", "-Infinity")
    return not isinstance(hint, type) or isinstance(value, hint)


def _score(line: Mapping[str, Any], run: Run) -> Score:
    signature = _value(Signature, line.get("signature") or {}, run)
    signature = replace(signature, metric=current_signature(signature.metric))
    return _value(Score, {**score_keys(line), "signature": signature}, run)
