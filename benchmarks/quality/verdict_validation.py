"""Validity of verdict and compare by simulation: false alarms, wrong "ruled out", power, coverage; items in groups too.

    python -m benchmarks.quality.verdict_validation [--simulations 500] [--out benchmarks/results]

One model and one to six equally good baselines answer an exam of n items, each right or wrong, in groups of 1, 2, 3, 7
items that are right or wrong together. False "learned": the model is exactly as good as its baselines. Wrong "ruled
out": it is better by exactly the smallest gain worth having. Power: it is better by a gain that an exam against one
baseline finds in 80% of cases. The deciding baseline is chosen on dev, on the exam with the correction for the
largest of several t statistics, and on the exam as it is. Unequal baselines: one is as good as the model, the others
are worse, and a dev of 50 items chooses. Openings: the best of five models is judged as the fifth opening. Compare: two
or three equally good arms, with one or three seeds. The functions are those that runs use. A part that has been
simulated by the same code is not repeated, so a simulation that was stopped goes on. Exit code 1 when a criterion is
missed by more than the scatter of the simulation (three standard errors).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks.reporting import RESULTS, WORK
from terakoya.evaluation import compare as compare_module
from terakoya.evaluation.compare import Comparison, ItemScore, ItemScores, compare
from terakoya.records import Signature
from terakoya.scoring.statistics import decision
from terakoya.scoring.statistics.decision import decide
from terakoya.scoring.statistics.intervals import mean_interval
from terakoya.scoring.statistics.paired import paired, paired_seeds
from terakoya.scoring.statistics.power import binary_power

Floats = NDArray[np.float64]
Way = Literal["dev", "exam", "exam, uncorrected"]
SIZES = (10, 40, 200, 2000)
GROUPS = (1, 2, 3, 7)
BASELINES = {1: (1, 2, 3, 4, 5, 6), 3: (1, 6)}  # numbers of baselines, by size of the groups
OPENINGS = 5
MOST_WRONG = 0.025
POWER_ERROR = 0.02
SHARE = 0.4  # right answers of every baseline
DRAWS, RESAMPLES = 500, 200


@dataclass(frozen=True)
class Simulation:
    """One line of a table: what was simulated, the observed share, and the bound or the expected share."""

    table: str
    way: str
    n: int
    group: int
    baselines: int
    observed: float
    expected: float
    simulations: int
    passed: bool | None  # None: reported, without a criterion


def answers(rng: np.random.Generator, n: int, size: int, shares: list[float]) -> tuple[Floats, list[str]]:
    """Scores (systems, items), 0 or 1, of systems with these shares right; items of one group are alike."""
    groups = math.ceil(n / size)
    hard = rng.normal(size=groups)  # items are hard or easy for all systems
    latent = math.sqrt(0.5) * hard + math.sqrt(0.5) * rng.normal(size=(len(shares), groups))
    edges = np.array([_normal_quantile(share) for share in shares])[:, None]
    scores = np.repeat((latent < edges) * 1.0, size, axis=1)[:, :n]
    return scores, [str(item // size) for item in range(n)]


def _normal_quantile(share: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(share))


def outcomes(
    n: int, size: int, baselines: int, gain: float, way: Way, simulations: int, smallest: float, seed: int
) -> tuple[float, float]:
    """Shares of exams called "learned" and "not learned" where the model is better by `gain` than every baseline."""
    rng = np.random.default_rng(seed)
    learned = ruled_out = 0
    for at in range(simulations):
        scores, groups = answers(rng, n, size, [SHARE + gain] + [SHARE] * baselines)
        named = {f"b{number}": row for number, row in enumerate(scores[1:])}
        dev = {name: rng.random() for name in named} if way == "dev" else None  # equally good: dev picks any of them
        stretch = patch.object(decision, "max_type_stretch", lambda *_, **__: 1.0)
        with stretch if way == "exam, uncorrected" else patch.object(decision, "_T_DRAWS", 2000):
            made = decide(
                scores[0],
                named,
                smallest_gain=smallest,
                dev=dev,
                groups=groups if size > 1 else None,
                seed=at,
                resamples=RESAMPLES,
                draws=DRAWS,
            )
        learned += made.state == "learned"
        ruled_out += made.state == "not learned"
    return learned / simulations, ruled_out / simulations


def bound(expected: float, simulations: int) -> float:
    """The most that a share of `expected` may show by chance: three standard errors."""
    return expected + 3 * math.sqrt(expected * (1 - expected) / simulations)


@lru_cache
def detectable_gain(n: int) -> float:
    """The gain that n independent items find in about 80% of cases against one baseline."""
    gains = np.linspace(0.01, 0.59, 59)
    powers = [binary_power(n, float(gain), _discordant(float(gain))) for gain in gains]
    return float(gains[int(np.argmin(np.abs(np.array(powers) - 0.8)))])


@lru_cache
def _discordant(gain: float) -> float:
    rng = np.random.default_rng(0)
    scores, _groups = answers(rng, 200_000, 1, [SHARE + gain, SHARE])
    return float((scores[0] != scores[1]).mean())


def parts(simulations: int) -> Iterator[tuple[str, Callable[[], Iterator[Simulation]]]]:
    """Every part of the simulation with its name, one after another."""
    for size in GROUPS:
        for n in SIZES:
            if n < 6 * size:
                continue
            for baselines in BASELINES.get(size, (1,)):
                ways: tuple[Way, ...] = ("dev", "exam", "exam, uncorrected") if baselines > 1 else ("exam",)
                for way in ways:
                    name = f"{n} items in groups of {size}, {baselines} baselines, {way}"
                    yield name, partial(_cell, n, size, baselines, way, simulations)
    for table in (unequal_rows, opening_rows, compare_rows, power_rows, coverage_rows):
        yield table.__name__, partial(table, simulations)


def simulate(simulations: int, kept: Path) -> tuple[list[Simulation], float]:
    """All rows, and the CPU seconds that they took.

    simulations  of each cell
    kept         JSON lines of the parts that are done; each further one is added as soon as it is
    """
    done = (
        {line["part"]: line for line in map(json.loads, kept.read_text("utf-8").splitlines())} if kept.exists() else {}
    )
    for name, simulated in parts(simulations):
        if name in done:
            continue
        started = time.process_time()
        found = [asdict(row) for row in simulated()]
        done[name] = {"part": name, "seconds": time.process_time() - started, "rows": found}
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(done[name]) + "\n")
    all_parts = [done[name] for name, _simulated in parts(simulations)]
    rows = [Simulation(**row) for part in all_parts for row in part["rows"]]
    return rows, sum(part["seconds"] for part in all_parts)


def code_fingerprint() -> str:
    """Of this file and of all statistics: what other code simulated says nothing about this one."""
    files = [Path(__file__), Path(compare_module.__file__), *sorted(Path(decision.__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _cell(n: int, size: int, baselines: int, way: Way, simulations: int) -> Iterator[Simulation]:
    seed = n * 100 + size * 10 + baselines
    required, gain = way != "exam, uncorrected", detectable_gain(n // size)
    false, _ruled = outcomes(n, size, baselines, 0.0, way, simulations, 0.02, seed)
    worth = 0.1  # large enough that it can be ruled out at all
    _learned, wrong = outcomes(n, size, baselines, worth, way, simulations, worth, seed + 1)
    found, _ruled = outcomes(n, size, baselines, gain, way, simulations, 0.02, seed + 2)
    nominal = binary_power(n // size, gain, _discordant(gain))
    for table, observed, expected, passed in (
        ("false learned", false, MOST_WRONG, false <= bound(MOST_WRONG, simulations)),
        ("wrong ruled out", wrong, MOST_WRONG, wrong <= bound(MOST_WRONG, simulations)),
        ("power", found, nominal, found >= nominal / 2),
    ):
        yield Simulation(table, way, n, size, baselines, observed, expected, simulations, passed if required else None)


def unequal_rows(simulations: int) -> Iterator[Simulation]:
    """False "learned" where a small dev often chooses a baseline that is not the best, which equals the model."""
    for n in SIZES:
        for baselines in (2, 6):
            for way in ("dev", "exam"):
                rng = np.random.default_rng(n + baselines)
                learned = 0
                for at in range(simulations):
                    shares = [0.5, 0.5, *[0.4] * (baselines - 1)]
                    on_dev, _groups = answers(rng, 50, 1, shares[1:])
                    scores, _groups = answers(rng, n, 1, shares)
                    named = {f"b{number}": row for number, row in enumerate(scores[1:])}
                    dev = {name: float(row.mean()) for name, row in zip(named, on_dev, strict=True)}
                    with patch.object(decision, "_T_DRAWS", 500):
                        made = decide(
                            scores[0], named, dev=dev if way == "dev" else None, seed=at, resamples=50, draws=50
                        )
                    learned += made.state == "learned"
                yield _false_alarms("false learned, unequal baselines", way, n, 1, baselines, learned, simulations)


def opening_rows(simulations: int) -> Iterator[Simulation]:
    """False "learned" of the best of several models, each as good as the baseline, which the exam itself chose."""
    for n in SIZES:
        for corrected in (True, False):
            rng = np.random.default_rng(n)
            learned = 0
            for at in range(simulations):
                scores, _groups = answers(rng, n, 1, [SHARE] * (1 + OPENINGS))
                best = max(scores[1:], key=lambda row: float(row.mean()))
                made = decide(best, {"baseline": scores[0]}, openings=OPENINGS if corrected else 1, seed=at)
                learned += made.state == "learned"
            way = "corrected" if corrected else "uncorrected"
            row = _false_alarms(f"false learned, {OPENINGS} openings", way, n, 1, 1, learned, simulations)
            yield row if corrected else replace(row, passed=None)


def compare_rows(simulations: int) -> Iterator[Simulation]:
    """Families of comparisons in which some arm is called better although all are equally good."""
    for size in (1, 3):
        for n in SIZES[:-1]:
            for arms, seeds in ((2, 1), (3, 1), (2, 3)) if n >= 6 * size else ():
                rng = np.random.default_rng(n + size + 10 * arms + 100 * seeds)
                found = 0
                for at in range(simulations):
                    shares = np.clip(SHARE + 0.03 * rng.normal(size=arms * seeds) * (seeds > 1), 0.05, 0.95)
                    scores, groups = answers(rng, n, size, shares.tolist())
                    given = [
                        _item_scores(row, groups if size > 1 else [""] * n, number // seeds, number % seeds)
                        for number, row in enumerate(scores)
                    ]
                    found += any(one.decided for one in _compared(given, at))
                way = f"{arms} arms, {seeds} seeds" if seeds > 1 else f"{arms} arms"
                yield _false_alarms("false alarms of compare", way, n, size, 0, found, simulations, 2 * MOST_WRONG)


def _compared(given: list[ItemScores], seed: int) -> tuple[Comparison, ...]:
    """The comparisons without their power, which takes longer than all the rest and decides nothing."""
    with (
        patch.object(compare_module, "detectable_difference", lambda *_, **__: 0.0),
        patch.object(compare_module, "items_needed", lambda *_, **__: None),
        patch.object(compare_module, "paired_seeds", partial(paired_seeds, draws=DRAWS)),
    ):
        return compare(given, resamples=100, seed=seed)


def _item_scores(row: Floats, groups: list[str], arm: int, seed: int) -> ItemScores:
    signature = Signature("exam", "exact/1", "greedy")
    items = tuple(
        ItemScore(str(at), "", float(value), f"item {at:05}", group=group)
        for at, (value, group) in enumerate(zip(row, groups, strict=True))
    )
    return ItemScores(f"arm {arm}", signature, items, seed, f"recipe {arm}")


def _false_alarms(
    table: str, way: str, n: int, size: int, baselines: int, found: int, simulations: int, most: float = MOST_WRONG
) -> Simulation:
    share = found / simulations
    return Simulation(table, way, n, size, baselines, share, most, simulations, share <= bound(most, simulations))


def power_rows(simulations: int) -> Iterator[Simulation]:
    """The power that is computed beforehand for items in groups, against the power of the test."""
    for size, groups in ((2, 100), (3, 100), (3, 300), (7, 90)):
        rng = np.random.default_rng(size * 1000 + groups)
        gain, n = 0.11, size * groups
        found = 0
        for at in range(simulations):
            scores, names = answers(rng, n, size, [SHARE + gain, SHARE])
            effect = paired(scores[0], scores[1], seed=at, draws=DRAWS, resamples=100, groups=names)
            found += effect.p <= 0.05 and effect.value > 0
        many, _names = answers(rng, 300_000, 1, [SHARE + gain, SHARE])
        differences = many[0] - many[1]
        computed = binary_power(groups, gain, float((differences != 0).mean()))
        share = found / simulations
        error = POWER_ERROR + 3 * math.sqrt(computed * (1 - computed) / simulations)
        yield Simulation(
            "power as computed", "", n, size, 1, share, computed, simulations, abs(share - computed) <= error
        )


def coverage_rows(simulations: int) -> Iterator[Simulation]:
    """How often the 95% interval of a share contains the true one."""
    for size in GROUPS:
        for n in SIZES:
            if n < 6 * size:
                continue
            for share in (0.4, 0.95):
                rng = np.random.default_rng(n + size)
                covered = 0
                for _simulation in range(simulations):
                    scores, names = answers(rng, n, size, [share])
                    found = mean_interval(scores[0], groups=names if size > 1 else None)
                    covered += found.low <= share <= found.high
                observed = covered / simulations
                yield Simulation("coverage", f"{share:g} right", n, size, 0, observed, 0.95, simulations, None)


def page(found: list[Simulation], seconds: float) -> str:
    """The Markdown page: one table for each property."""
    about = f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}; {seconds:.0f} s of CPU"
    lines = ["# The verdict, validated", "", f"`python -m benchmarks.quality.verdict_validation`; {about}.", ""]
    for table in dict.fromkeys(row.table for row in found):
        lines += [f"## {table.capitalize()}", "", "| way | n | group | baselines | observed | bound | simulations | |"]
        lines.append("|---|---|---|---|---|---|---|---|")
        for row in found:
            if row.table == table:
                mark = {True: "passed", False: "**failed**", None: ""}[row.passed]
                lines.append(
                    f"| {row.way} | {row.n} | {row.group} | {row.baselines} | {row.observed:.4f} | {row.expected:.4f} "
                    f"| {row.simulations} | {mark} |"
                )
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Simulate, write the page and the record, and say what failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    kept = WORK / "verdict_validation" / f"{args.simulations}-{code_fingerprint()}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    found, seconds = simulate(args.simulations, kept)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "verdict_validation.md").write_text(page(found, seconds), encoding="utf-8")
    record = {"cpu_seconds": round(seconds, 1), "rows": [asdict(row) for row in found]}
    (args.out / "verdict_validation.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    failed = [row for row in found if row.passed is False]
    print(page(found, seconds))
    print(f"{len(failed)} criteria failed" if failed else "every criterion passed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
