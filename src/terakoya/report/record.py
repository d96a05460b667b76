"""What a report is made of: one run told in plain values, read back from its folder alone."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from terakoya.errors import CorruptError
from terakoya.i18n import both, gathered
from terakoya.records import Finding, Score, Signature, Step, finding_keys
from terakoya.runs import Run

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_Value = TypeVar("_Value", Finding, Step, Score, Signature)


@dataclass(frozen=True)
class Record:
    """One run, as it shall be told. Everything but the name may be missing; only what is there is told.

    manifest     state, times, versions, machine, git, seed, fingerprints, model (a Card), openings of the exam,
                 figures (even_guess and prior_entropy in nats), resolved (what `auto` became), training
    verdict      the fields of scoring's Verdict
    predictions  lines of predictions.jsonl: source, target, raw, prediction, verdict, part, tags, probability, error
    dataset      what `dataset_statistics` counts
    foreseen     over what perplexity was taken: unit, vocabulary, novelty, items, tokens …; {}: not taken
    cost         requests, tokens, money … of a teacher, as the ledger knows them; None: no teacher was asked
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
    foreseen: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    cost: Mapping[str, Any] | None = None

    @property
    def main(self) -> Score | None:
        """The model's deciding score: first metric, main part."""
        own = [score for score in self.scores if score.who == "model"]
        return next((score for score in own if not score.part), own[0] if own else None)

    @property
    def dev(self) -> float | None:
        """The dev figure of the checkpoint that answers: what it was chosen by."""
        best = (self.manifest.get("training") or {}).get("best") or {}
        figures = (float(value) for key, value in best.items() if key not in ("loss", "unreadable"))
        return next(figures, None)

    def figure(self, name: str) -> float | None:
        """A figure that preflight or a guard measured: from the manifest, else from the finding that holds it."""
        known = self.manifest.get("figures") or {}
        held = [known, *(finding.values for finding in self.findings)]
        return next((float(figures[name]) for figures in held if name in figures), None)

    @property
    def openings(self) -> int | None:
        """How often the exam had been opened when this run was scored."""
        count = self.manifest.get("openings")
        return int(count) if count is not None else None


@dataclass(frozen=True)
class Compared:
    """What a comparison of two settings came to. `needed` items would tell them apart (None: told, or none would)."""

    first: str
    second: str
    words: str
    told: bool
    needed: int | None = None


@dataclass(frozen=True)
class SeriesRecord:
    """Several runs told side by side. Everything but name and runs may be missing.

    keys      the config keys that differ
    notes     sentences to be shown
    failed    run → reason
    lead      the run that speaks for what all share: the best on dev
    titles    run → what sets it apart from the others
    links     run → its own page
    compared  on the exam: the lead's setting against each other one, corrected for their number
    """

    name: str
    runs: tuple[Record, ...]
    keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    lead: str = ""
    titles: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    links: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    compared: tuple[Compared, ...] = ()

    @property
    def leader(self) -> Record | None:
        """The run called `lead`; else one with a score, else any."""
        named = [run for run in self.runs if run.name == self.lead]
        scored = [run for run in self.runs if run.main]
        return next(iter([*named, *scored, *self.runs]), None)

    def title(self, run: Record) -> str:
        return self.titles.get(run.name, run.name)


def read_record(path: Path) -> Record:
    """The record of a run folder. Raises what `Run.open` raises, and CorruptError where a file is damaged."""
    run = Run.open(path)
    manifest = {**run.manifest, "state": run.state}
    told = run.read_json("scores.json") if run.has("scores.json") else {}
    return Record(
        name=run.name,
        config=_config(run),
        manifest=manifest,
        findings=tuple(_value(Finding, finding_keys(line), run) for line in run.read_lines("findings.jsonl")),
        steps=tuple(_value(Step, line, run) for line in run.read_lines("steps.jsonl")),
        scores=tuple(_score(line, run) for line in told.get("scores", [])),
        verdict=told.get("verdict") or {},
        predictions=tuple(run.read_lines("predictions.jsonl")),
        dataset=manifest.get("dataset") or {},
        foreseen=told.get("foreseen") or {},
        cost=manifest.get("cost"),
    )


def _config(run: Run) -> dict[str, Any]:
    if not run.has("config.toml"):
        return {}
    try:
        return tomllib.loads(run.read_text("config.toml"))
    except tomllib.TOMLDecodeError as error:
        raise CorruptError(
            both(f"not valid TOML: {error}", f"正しい TOML ではない：{error}"), where=str(run.path / "config.toml")
        ) from error


def _value(kind: type[_Value], line: Mapping[str, Any], run: Run) -> _Value:
    """A frozen value from one line; keys of a later version are passed over, a missing one is damage."""
    line = gathered(line)
    known = {item.name: line[item.name] for item in fields(kind) if item.name in line}
    known = {key: tuple(item) if isinstance(item, list) else item for key, item in known.items()}
    if kind is Step:
        # Figures that were not finite are written by name.
        known = {key: float(item) if isinstance(item, str) else item for key, item in known.items()}
    try:
        return kind(**known)
    except TypeError as error:
        raise CorruptError(
            both(f"a line is no {kind.__name__}: {error}", f"{kind.__name__} になっていない行がある：{error}"),
            where=str(run.path),
        ) from error


def _score(line: Mapping[str, Any], run: Run) -> Score:
    return _value(Score, {**line, "signature": _value(Signature, line.get("signature") or {}, run)}, run)
