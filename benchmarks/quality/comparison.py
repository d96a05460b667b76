"""Validity of `terakoya compare` by simulation: false positives, power and coverage.

    python -m benchmarks.quality.comparison [--simulations 10000] [--out benchmarks/results]

False positives: two systems without a true difference are compared 10,000 times at every n; at most 5.7% may be found
different (5% and three and a half standard errors of 10,000 trials). Power: the computed power must lie within two
points of the simulated one. Coverage: how often the 95% intervals contain the true value. The functions are those that
compare runs. Exit code 1 when a criterion is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray

from benchmarks.reporting import RESULTS
from terakoya.scoring.statistics.intervals import ALPHA, bca, mean_interval
from terakoya.scoring.statistics.paired import mcnemar, paired_seeds, permutation_p, tango
from terakoya.scoring.statistics.power import binary_power, graded_power, planned_power

Floats = NDArray[np.float64]
SIZES = (10, 20, 40, 80, 160, 320, 640, 1000, 2000)
MOST_FALSE_POSITIVES = 0.057
MOST_POWER_ERROR = 0.02
BATCH = 500
DRAWS = 2000  # sign flips; the product draws 10,000


@dataclass(frozen=True)
class Simulation:
    """One line of a table: case and n, the observed share, and the share required (or computed)."""

    table: str
    case: str
    n: int
    observed: float
    expected: float
    simulations: int
    passed: bool | None  # None: reported, without a criterion


# ── simulated scores ──────────────────────────────────────────────────────────────────────────────────────────────


def jaccard_like(rng: np.random.Generator, shape: tuple[int, ...], skill: Floats | float) -> Floats:
    """Jaccard scores of predicted sets: some of 1 to 5 labels correct, many zeros."""
    sizes = rng.integers(1, 6, shape)
    correct = rng.binomial(sizes, np.clip(skill, 0.0, 1.0))
    return np.asarray(correct / (2 * sizes - correct), dtype=np.float64)


def graded_pair(rng: np.random.Generator, rows: int, n: int, gain: float = 0.0) -> tuple[Floats, Floats]:
    """Scores of two systems on items of shared difficulty; the first is better by `gain`."""
    skill = rng.beta(1.5, 2.0, (rows, n))
    return jaccard_like(rng, (rows, n), skill + gain), jaccard_like(rng, (rows, n), skill)


def expected_gain(rng: np.random.Generator, gain: float) -> float:
    """The true mean difference of `graded_pair`: over predictions by formula, over skills by a million draws."""
    skill = rng.beta(1.5, 2.0, 1_000_000)
    means = []
    for skills in (np.clip(skill + gain, 0, 1), skill):
        parts = [
            math.comb(w, r) * skills**r * (1 - skills) ** (w - r) * r / (2 * w - r) / 5
            for w in range(1, 6)
            for r in range(1, w + 1)
        ]
        means.append(float(np.sum(parts, axis=0).mean()))
    return means[0] - means[1]


def continuous_differences(rng: np.random.Generator, rows: int, n: int) -> Floats:
    """Differences as of chrF: heavy tails, symmetric, no ties."""
    return np.asarray(np.clip(0.1 * rng.standard_t(4, (rows, n)), -1, 1), dtype=np.float64)


def skewed_differences(rng: np.random.Generator, rows: int, n: int) -> Floats:
    """Zero mean but a skewed distribution: the first system is often a little better and sometimes much worse."""
    bad = rng.random((rows, n)) < 0.25
    return np.where(bad, -0.6, 0.2) + rng.normal(0, 0.02, (rows, n))


# ── false positives ────────────────────────────────────────────────────────────────────────────────────────


def graded_false_positives(draw: Callable[[int], Floats], simulations: int) -> float:
    rejections = 0
    for start in range(0, simulations, BATCH):
        rows = min(BATCH, simulations - start)
        rejections += int((permutation_p(draw(rows), seed=start, draws=DRAWS) <= ALPHA).sum())
    return rejections / simulations


def binary_rejections(rng: np.random.Generator, n: int, discordant: float, gain: float, simulations: int) -> float:
    """Share of comparisons that find a difference; with a true gain, in its true direction."""
    shares = [(discordant + gain) / 2, (discordant - gain) / 2, 1 - discordant]
    pairs, counts = np.unique(rng.multinomial(n, shares, simulations)[:, :2], axis=0, return_counts=True)
    found = [
        count
        for (wins, losses), count in zip(pairs.tolist(), counts.tolist(), strict=True)
        if mcnemar(wins, losses) <= ALPHA and (gain == 0 or wins > losses)
    ]
    return float(sum(found)) / simulations


def false_positives(simulations: int) -> Iterator[Simulation]:
    for n in SIZES:
        rng = np.random.default_rng(n)

        def jaccard_differences(rows: int, rng: np.random.Generator = rng, n: int = n) -> Floats:
            first, second = graded_pair(rng, rows, n)
            return first - second

        for share in (0.1, 0.475, 0.9):
            found = binary_rejections(rng, n, share, 0.0, simulations)
            yield Simulation(
                "false positives", f"binary, {share:g} differ", n, found, MOST_FALSE_POSITIVES, simulations, None
            )
        for case, draw in (
            ("graded, like Jaccard", jaccard_differences),
            ("graded, like chrF", lambda rows, rng=rng, n=n: continuous_differences(rng, rows, n)),
            ("graded, equal means, skewed", lambda rows, rng=rng, n=n: skewed_differences(rng, rows, n)),
        ):
            yield Simulation(
                "false positives",
                case,
                n,
                graded_false_positives(draw, simulations),
                MOST_FALSE_POSITIVES,
                simulations,
                None,
            )


def seed_false_positives(simulations: int) -> Iterator[Simulation]:
    """Two recipes without a true difference, three or five training seeds each."""
    for seeds, n in ((3, 40), (3, 400), (5, 40), (5, 400)):
        rng = np.random.default_rng(seeds * 1000 + n)
        rejections = 0
        for _ in range(simulations):
            hard = rng.beta(1.5, 2.0, n)
            trained = rng.normal(0, 0.04, (2, seeds, 1))
            first, second = jaccard_like(rng, (2, seeds, n), hard + trained)
            rejections += paired_seeds(first, second, resamples=100, draws=500).p <= ALPHA
        yield Simulation(
            "false positives",
            f"{seeds} seeds each",
            n,
            rejections / simulations,
            MOST_FALSE_POSITIVES,
            simulations,
            None,
        )


# ── power ───────────────────────────────────────────────────────────────────────────────────────────────


def power_rows(simulations: int) -> Iterator[Simulation]:
    for n in SIZES:
        rng = np.random.default_rng(10_000 + n)
        for share in (0.2, 0.475):
            gain = min(share, 2.4 * (share / n) ** 0.5)
            found = binary_rejections(rng, n, share, gain, simulations)
            case = f"binary, {share:g} differ"
            yield _power_row(case, n, found, binary_power(n, gain, share), simulations)
        skill_gain = min(0.5, 1.1 / n**0.5)
        first, second = graded_pair(rng, 4_000_000, 1, skill_gain)
        truth = (first - second).ravel()
        found = _graded_power(rng, n, skill_gain, simulations)
        gain = expected_gain(rng, skill_gain)
        computed = graded_power(n, gain, float(truth.std()), float((truth != 0).mean()))
        yield _power_row("graded, formula alone", n, found, computed, simulations, required=False)
        planned = planned_power(truth[:1_000_000], n, gain)
        yield _power_row("graded, as compare plans", n, found, planned, simulations)


def _graded_power(rng: np.random.Generator, n: int, gain: float, simulations: int) -> float:
    hits = 0
    for start in range(0, simulations, BATCH):
        first, second = graded_pair(rng, min(BATCH, simulations - start), n, gain)
        d = first - second
        hits += int(((permutation_p(d, seed=start, draws=DRAWS) <= ALPHA) & (d.sum(axis=1) > 0)).sum())
    return hits / simulations


def _power_row(
    case: str, n: int, observed: float, computed: float, simulations: int, required: bool = True
) -> Simulation:
    passed = abs(observed - computed) <= MOST_POWER_ERROR if required else None
    return Simulation("power", case, n, observed, computed, simulations, passed)


# ── coverage ────────────────────────────────────────────────────────────────────────────────────────────


def coverage_rows(simulations: int) -> Iterator[Simulation]:
    for n in SIZES:
        rng = np.random.default_rng(20_000 + n)
        population, other = (scores.ravel() for scores in graded_pair(rng, 400_000, 1))
        differences = population - other
        for case, values in (("scores like Jaccard", population), ("differences like Jaccard", differences)):
            truth, covered = float(values.mean()), 0
            for _ in range(simulations):
                sample = rng.choice(values, n)
                if n >= 40:
                    low, high = bca(sample, seed=int(rng.integers(1 << 30)), resamples=1000)
                else:
                    interval = mean_interval(sample, bounds=(-1.0, 1.0))
                    low, high = interval.low, interval.high
                covered += low <= truth <= high
            method = "BCa" if n >= 40 else "t"
            yield Simulation("coverage", f"{method}, {case}", n, covered / simulations, 1 - ALPHA, simulations, None)
        covered = 0
        pairs = rng.multinomial(n, (0.3, 0.2, 0.5), simulations)
        for wins, losses, _ in pairs.tolist():
            low, high = tango(wins, losses, n)
            covered += low <= 0.1 <= high
        yield Simulation("coverage", "Tango, binary", n, covered / simulations, 1 - ALPHA, simulations, None)


# ── the page ────────────────────────────────────────────────────────────────────────────────────────────


def with_criterion(row: Simulation) -> Simulation:
    """`row` with its criterion: false positives are bounded wherever both systems have the same distribution."""
    if row.table != "false positives" or "skewed" in row.case:
        return row
    return Simulation(
        row.table, row.case, row.n, row.observed, row.expected, row.simulations, row.observed <= MOST_FALSE_POSITIVES
    )


def page(rows: list[Simulation], seconds: float) -> str:
    """The Markdown page: one table for each property."""
    about = (
        f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    )
    lines = ["# Comparison, validated", "", f"{about}; {seconds:.0f} s of CPU.", ""]
    notes = {
        "false positives": "No true difference: share of comparisons found different (p ≤ .05). Required: ≤ "
        "{MOST_FALSE_POSITIVES:.1%}. "
        "Not required for the skewed case: there the means are equal but the distributions differ, and no test of a "
        "mean is exact in small samples.",
        "power": "A true difference: share found, in the true direction, against the power computed "
        "beforehand. Required: within 2 points.",
        "coverage": "Share of 95% intervals that contain the true value. Reported.",
    }
    for table, note in notes.items():
        lines += [f"## {table.capitalize()}", "", note, ""]
        lines += ["| case | n | observed | required or computed | simulations | |", "|---|---|---|---|---|---|"]
        for row in rows:
            if row.table == table:
                mark = {True: "passed", False: "**failed**", None: ""}[row.passed]
                lines.append(
                    f"| {row.case} | {row.n} | {row.observed:.4f} | {row.expected:.4f} | {row.simulations} | {mark} |"
                )
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    started = time.process_time()
    rows = list[Simulation]()
    for row in (
        *false_positives(args.simulations),
        *seed_false_positives(max(1, args.simulations // 5)),
        *power_rows(args.simulations),
        *coverage_rows(max(1, args.simulations // 5)),
    ):
        rows.append(with_criterion(row))
    seconds = time.process_time() - started
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "comparison.md").write_text(page(rows, seconds), encoding="utf-8")
    record = {"cpu_seconds": round(seconds, 1), "rows": [asdict(row) for row in rows]}
    (args.out / "comparison.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    failed = [row for row in rows if row.passed is False]
    print(page(rows, seconds))
    print(f"{len(failed)} criteria failed" if failed else "every criterion passed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
