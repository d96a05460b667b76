"""Promised rates, calibration and novelty, validated: what is promised on dev is kept on a fresh exam.

    python -m benchmarks.quality.promise_validation [--tasks 200] [--runs FOLDER ...] [--out benchmarks/results]

Simulated tasks: the items of a task are easy or hard, the model's log-odds say more or less of whether its answer is
right, and they are too sure or not sure enough. Dev has 100 to 2,000 items. `decode.promise` is asked for; it is kept
where the share right among all answers above the threshold, told by 100,000 fresh answers, is at least the promised
one. Beside it the naive way: the lowest threshold above which dev shows the promised share. Calibration is the expected
error on fresh answers, before and after. Exit code 1 where a promise is broken in more than 5% of the cases in which
one is made, by more than the scatter of the simulation.

Finished runs: predictions for sources like those of the exam and for the same with characters dropped, doubled,
exchanged and replaced by unknown ones, for sentences in other languages and for no text at all. The task's rule says
what is right; counted are answers that are given with a calibrated probability of .9 or more and are wrong. Where a
task has no rule nobody knows what is right for a corrupted source: all sure answers to one count as wrong, so that the
figure is the most that it can be. Runs from before probabilities were calibrated: `terakoya calibrate RUN` first.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from benchmarks.reporting import RESULTS
from terakoya.decoding.confidence import is_covered
from terakoya.pipeline.dataset import read_run_config
from terakoya.records import subset_of
from terakoya.runs import Run
from terakoya.saved_model import Skill, read_skill
from terakoya.scoring.statistics.calibration import calibration
from terakoya.scoring.statistics.intervals import wilson
from terakoya.scoring.statistics.promise import promise_threshold
from terakoya.scoring.statistics.recalibration import fit_probability_map

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
SHARE, FRESH, MOST_BROKEN = 0.98, 100_000, 0.05
SHARES_ASKED = (SHARE, 0.95, 0.9)  # of finished runs
DEV_SIZES = (100, 200, 400, 1000, 2000)
SURE, MOST_WRONG = 0.9, 0.02
FOREIGN = (
    "Bonjour tout le monde", "Где находится вокзал?", "what is the capital", "오늘 날씨가 좋다", "zzz", "Д",
    "Guten Tag, wie geht's", "今日はいい天気ですね", "¿Dónde está la biblioteca?", "我们明天去北京",
)  # fmt: skip


@dataclass(frozen=True)
class SimulatedTask:
    """What a promise came to on one simulated task; shares are those of fresh answers.

    dev             items
    accuracy        share of all answers that are right
    made, kept      whether a promise was made, and whether it held
    answered        share of the answers above the threshold
    right           share right among these
    naive_made, naive_right  of the threshold that looks good on dev
    before, after   calibration error
    """

    dev: int
    accuracy: float
    made: bool
    kept: bool
    answered: float
    right: float
    naive_made: bool
    naive_right: float
    before: float
    after: float


def answers(rng: np.random.Generator, n: int, task: np.random.Generator) -> tuple[Floats, Flags]:
    """The model's probabilities and whether its answers are right; `task` draws what kind of task it is."""
    hard, gap = task.uniform(0.0, 0.6), task.uniform(3, 8)
    sureness, noise, shift = task.uniform(0.4, 3.0), task.uniform(0.2, 2.0), task.uniform(-1, 2)
    true = np.where(rng.random(n) < hard, rng.normal(0, 1.5, n), rng.normal(gap, 1.0, n))
    right = rng.random(n) < 1 / (1 + np.exp(-true))
    said = sureness * true + shift + noise * rng.normal(size=n)
    return 1 / (1 + np.exp(-said)), right


def simulate(number: int) -> SimulatedTask:
    """One task: dev, the promise made with it, and fresh answers."""
    rng = np.random.default_rng([number, 1])
    dev = DEV_SIZES[number % len(DEV_SIZES)]
    scores, right = answers(rng, dev, np.random.default_rng(number))
    fresh, fresh_right = answers(rng, FRESH, np.random.default_rng(number))
    promise = promise_threshold(scores.tolist(), right.tolist(), SHARE)
    made = promise.threshold is not None
    above = fresh > (promise.threshold if promise.threshold is not None else math.inf)
    share = float(fresh_right[above].mean()) if above.any() else 1.0
    naive = _naive_threshold(scores, right)
    naive_above = fresh > naive
    fitted = fit_probability_map(scores.tolist(), right.tolist())
    some = fresh[:5000]
    errors = [_error(values, fresh_right[:5000]) for values in (some, np.array([fitted(p) for p in some.tolist()]))]
    return SimulatedTask(
        dev,
        float(fresh_right.mean()),
        made,
        made and share >= SHARE,
        float(above.mean()),
        share,
        naive < math.inf,
        float(fresh_right[naive_above].mean()) if naive_above.any() else 1.0,
        errors[0],
        errors[1],
    )


def _naive_threshold(scores: Floats, right: Flags) -> float:
    """The lowest threshold above which dev shows the promised share; infinity where there is none."""
    order = np.argsort(-scores)
    shares = np.cumsum(right[order]) / np.arange(1, len(scores) + 1)
    good = np.flatnonzero(shares >= SHARE)
    if not good.size:
        return math.inf
    last = int(good[-1])
    return float(scores[order[last + 1]]) if last + 1 < len(scores) else -math.inf


def _error(probabilities: Floats, right: Flags) -> float:
    found = calibration(probabilities.tolist(), right.tolist())
    return found.error if found else 0.0


def corrupted(source: str, rng: Random) -> Iterator[tuple[str, str]]:
    """(kind, source) of every way to spoil a source that changes it."""
    at = rng.randrange(len(source))
    ways = {
        "as they are": source,
        "dropped": source[:at] + source[at + 1 :],
        "doubled": source[: at + 1] + source[at:],
        "exchanged": source[:at] + source[at + 1 : at + 2] + source[at : at + 1] + source[at + 2 :],
        "unknown character": source[:at] + "Д" + source[at:],
        "foreign": rng.choice(FOREIGN),
        "empty": "",
    }
    for kind, text in ways.items():
        if kind == "as they are" or text != source:
            yield kind, text


@dataclass(frozen=True)
class RunOnCorrupted:
    """How often a run answers surely and wrongly, for one kind of source; without a rule every sure answer is wrong."""

    run: str
    kind: str
    n: int
    withheld: int
    sure: int
    sure_and_wrong: int
    has_rule: bool = True


@dataclass(frozen=True)
class PromiseOnExam:
    """What a promise comes to on a run's own exam, once for each share.

    share     promised
    dev       independent dev items; 0: probabilities were never measured
    choices   models among which dev chose
    exam      items of the main subset
    kept      whether it can be promised with this dev split
    answered  exam items that are answered
    right     of these
    low, high  95% interval of the share right (Wilson)
    """

    run: str
    share: float
    dev: int
    choices: int
    exam: int
    kept: bool
    answered: int = 0
    right: int = 0
    low: float = 0.0
    high: float = 1.0


def judge_run(path: Path, sources: int = 300) -> tuple[list[RunOnCorrupted], list[PromiseOnExam]]:
    """Corrupted sources, and promises on the run's exam."""
    skill = read_skill(path, predict_only=True)
    lines = [line for line in Run.open(path).read_lines("predictions.jsonl") if not subset_of(line)]
    exam = _promises_on_exam(skill, lines)
    rng = Random(0)
    asked = [pair for line in lines[:: max(1, len(lines) // sources)] for pair in corrupted(str(line["source"]), rng)]
    predictions = skill.predict([text for _kind, text in asked])
    counts: dict[str, Counter[str]] = {}
    for (kind, text), prediction in zip(asked, predictions, strict=True):
        expected = skill.rule(text) if text and skill.rule else None
        right = expected is not None and skill.task.codec.canonical(expected) == prediction.text
        sure = prediction.text is not None and (prediction.probability or 0) >= SURE
        seen = counts.setdefault(kind, Counter())
        known = skill.rule is not None or kind != "as they are"  # the exam itself says what is right for these
        seen.update(n=1, withheld=prediction.text is None, sure=sure, wrong=sure and not right and known)
    config = read_run_config(path)
    name = config.name + (" with decode.reject" if config.decode.reject else "")
    return [
        RunOnCorrupted(name, kind, seen["n"], seen["withheld"], seen["sure"], seen["wrong"], skill.rule is not None)
        for kind, seen in counts.items()
    ], exam


def _promises_on_exam(skill: Skill, lines: Sequence[dict[str, object]]) -> list[PromiseOnExam]:
    confidence, name = (
        skill.confidence,
        skill.config.name + (" with decode.reject" if skill.config.decode.reject else ""),
    )
    if confidence is None:
        return [PromiseOnExam(name, SHARE, 0, 0, len(lines), kept=False)]
    predictions = skill.predict([str(line["source"]) for line in lines])
    found = []
    for share in SHARES_ASKED:
        promise = confidence.promise(share)
        made = PromiseOnExam(name, share, promise.n, promise.choices, len(lines), promise.kept)
        given = [line for line, one in zip(lines, predictions, strict=True) if is_covered(one, promise)]
        if given:
            right = sum(float(str(line["verdict"])) >= 1 for line in given)
            low, high = wilson(right, len(given))
            made = replace(made, answered=len(given), right=right, low=low, high=high)
        found.append(made)
    return found


def page(tasks: list[SimulatedTask], runs: list[RunOnCorrupted], exams: list[PromiseOnExam], cpu: float) -> str:
    """The Markdown page."""
    about = f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}; {cpu:.0f} s of CPU"
    lines = ["# Promised rates, validated", "", f"`python -m benchmarks.quality.promise_validation`; {about}.", ""]
    lines += [f"## A promise of {SHARE:g} on simulated tasks", ""]
    lines += [
        "| dev items | tasks | promised | of these kept | answered, mean | right, mean | naive: promised | kept |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for dev in (*DEV_SIZES, 0):
        some = [task for task in tasks if task.dev == dev or not dev]
        made = [task for task in some if task.made]
        naive = [task for task in some if task.naive_made]
        answered, right = (_mean([getattr(task, key) for task in made]) for key in ("answered", "right"))
        kept = sum(task.naive_right >= SHARE for task in naive)
        lines.append(
            f"| {dev or 'all'} | {len(some)} | {len(made)} | {sum(task.kept for task in made)} | {answered:.3f} "
            f"| {right:.4f} | {len(naive)} | {kept} |"
        )
    before, after = (_mean([getattr(task, key) for task in tasks]) for key in ("before", "after"))
    lines += ["", f"Expected calibration error on fresh answers, mean: {before:.3f} before, {after:.3f} after.", ""]
    lines += _exam_table(exams) if exams else []
    lines += _corrupted_table(runs) if runs else []
    return "\n".join(lines) + "\n"


def _exam_table(exams: Sequence[PromiseOnExam]) -> list[str]:
    lines = ["## Finished runs: promises on their own exams", ""]
    lines += ["| run | promised | dev | among | exam | answered | share answered | right | share right [95%] |"]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for one in exams:
        head = f"| {one.run} | {one.share:g} | {one.dev} | {one.choices} | {one.exam} "
        if not one.kept:
            lines.append(f"{head}| cannot be promised | | | |")
            continue
        share = f"{one.right / one.answered:.4f} [{one.low:.4f}, {one.high:.4f}]" if one.answered else "–"
        lines.append(f"{head}| {one.answered} | {one.answered / one.exam:.3f} | {one.right} | {share} |")
    return [*lines, ""]


def _corrupted_table(runs: Sequence[RunOnCorrupted]) -> list[str]:
    lines = ["## Finished runs: corrupted and foreign sources", ""]
    lines += ["| run | sources | n | withheld | p ≥ .9 | p ≥ .9 and wrong | share |", "|---|---|---|---|---|---|---|"]
    for one in runs:
        # Without a rule nothing is known of a source as it is: its exam says that, in the table above.
        known = one.has_rule or one.kind != "as they are"
        most = "" if one.has_rule or not one.sure_and_wrong else "≤ "
        wrong = f"{most}{one.sure_and_wrong}" if known else ""
        share = f"{most}{one.sure_and_wrong / one.n:.3f}" if known else ""
        lines.append(f"| {one.run} | {one.kind} | {one.n} | {one.withheld} | {one.sure} | {wrong} | {share} |")
    return lines


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def main() -> int:
    """Simulate, judge the runs, write the page and the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--runs", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    started = time.process_time()
    tasks = [simulate(number) for number in range(args.tasks)]
    judged = [judge_run(path) for path in args.runs]
    runs, exams = [row for rows, _exams in judged for row in rows], [exam for _rows, exams in judged for exam in exams]
    text = page(tasks, runs, exams, time.process_time() - started)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "promise_validation.md").write_text(text, encoding="utf-8")
    record = {"tasks": [asdict(task) for task in tasks], "runs": [asdict(one) for one in runs]}
    record["exams"] = [asdict(one) for one in exams]
    (args.out / "promise_validation.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(text)
    made = [task for task in tasks if task.made]
    broken = sum(not task.kept for task in made)
    return int(broken > MOST_BROKEN * len(made) + 3 * math.sqrt(MOST_BROKEN * (1 - MOST_BROKEN) * len(made)))


if __name__ == "__main__":
    raise SystemExit(main())
