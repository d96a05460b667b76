"""Is our own judge honest? False alarms, power and coverage of `terakoya compare`, by simulation.

    python benchmarks/comparison.py [--simulations 10000] [--out benchmarks/results]

False alarms: two sides without a true difference are compared 10,000 times at every n; at most 5.7% may be told apart
(5% and three and a half standard errors of 10,000 throws). Power: as computed, within two points of what is seen.
Coverage: how often the 95% intervals hold the true value. The functions are those that compare runs.
Exit code 1 when a promise is broken.
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

from terakoya.scoring.statistics.intervals import ALPHA, bca, mean_interval
from terakoya.scoring.statistics.paired import mcnemar, paired_seeds, permutation_p, tango
from terakoya.scoring.statistics.power import power_binary, power_graded, power_planned

Floats = NDArray[np.float64]
SIZES = (10, 20, 40, 80, 160, 320, 640, 1000, 2000)
MOST_FALSE = 0.057
MOST_OFF = 0.02
BATCH = 500
DRAWS = 2000  # sign flips; the product draws 10,000


@dataclass(frozen=True)
class Row:
    """One cell of a table: what was simulated, at which n, what was found, and what was promised (or computed)."""

    table: str
    case: str
    n: int
    found: float
    promised: float
    simulations: int
    kept: bool | None  # None: reported, not promised


# ── worlds ──────────────────────────────────────────────────────────────────────────────────────────────


def jaccard_like(rng: np.random.Generator, shape: tuple[int, ...], skill: Floats | float) -> Floats:
    """Scores as set answers get them: a share of 1 to 5 labels right, many zeros."""
    wanted = rng.integers(1, 6, shape)
    right = rng.binomial(wanted, np.clip(skill, 0.0, 1.0))
    return np.asarray(right / (2 * wanted - right), dtype=np.float64)


def graded_pair(rng: np.random.Generator, rows: int, n: int, gain: float = 0.0) -> tuple[Floats, Floats]:
    """Two sides that share how hard the items are; the first is more skilled by `gain`."""
    skill = rng.beta(1.5, 2.0, (rows, n))
    return jaccard_like(rng, (rows, n), skill + gain), jaccard_like(rng, (rows, n), skill)


def expected_gain(rng: np.random.Generator, gain: float) -> float:
    """The true mean difference of `graded_pair`: over answers by formula, over skills by a million draws."""
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
    """As of chrF: heavy tails, symmetric, no ties."""
    return np.asarray(np.clip(0.1 * rng.standard_t(4, (rows, n)), -1, 1), dtype=np.float64)


def lopsided_differences(rng: np.random.Generator, rows: int, n: int) -> Floats:
    """Equal means but not alike: the first side is often a little better and now and then much worse."""
    bad = rng.random((rows, n)) < 0.25
    return np.where(bad, -0.6, 0.2) + rng.normal(0, 0.02, (rows, n))


# ── false alarms ────────────────────────────────────────────────────────────────────────────────────────


def graded_alarms(draw: Callable[[int], Floats], simulations: int) -> float:
    alarms = 0
    for start in range(0, simulations, BATCH):
        rows = min(BATCH, simulations - start)
        alarms += int((permutation_p(draw(rows), seed=start, draws=DRAWS) <= ALPHA).sum())
    return alarms / simulations


def binary_alarms(rng: np.random.Generator, n: int, discordant: float, gain: float, simulations: int) -> float:
    """Share of comparisons that find a difference; with a true gain, in its true direction."""
    shares = [(discordant + gain) / 2, (discordant - gain) / 2, 1 - discordant]
    pairs, counts = np.unique(rng.multinomial(n, shares, simulations)[:, :2], axis=0, return_counts=True)
    found = [
        count
        for (wins, losses), count in zip(pairs.tolist(), counts.tolist(), strict=True)
        if mcnemar(wins, losses) <= ALPHA and (gain == 0 or wins > losses)
    ]
    return float(sum(found)) / simulations


def false_alarms(simulations: int) -> Iterator[Row]:
    for n in SIZES:
        rng = np.random.default_rng(n)

        def differing(rows: int, rng: np.random.Generator = rng, n: int = n) -> Floats:
            first, second = graded_pair(rng, rows, n)
            return first - second

        for share in (0.1, 0.475, 0.9):
            found = binary_alarms(rng, n, share, 0.0, simulations)
            yield Row("false alarms", f"right or wrong, {share:g} differ", n, found, MOST_FALSE, simulations, None)
        for case, draw in (
            ("graded, like Jaccard", differing),
            ("graded, like chrF", lambda rows, rng=rng, n=n: continuous_differences(rng, rows, n)),
            ("graded, equal means, lopsided", lambda rows, rng=rng, n=n: lopsided_differences(rng, rows, n)),
        ):
            yield Row("false alarms", case, n, graded_alarms(draw, simulations), MOST_FALSE, simulations, None)


def seed_alarms(simulations: int) -> Iterator[Row]:
    """Recipes without a true difference whose seeds differ: three or five trainings a side."""
    for seeds, n in ((3, 40), (3, 400), (5, 40), (5, 400)):
        rng = np.random.default_rng(seeds * 1000 + n)
        alarms = 0
        for _ in range(simulations):
            hard = rng.beta(1.5, 2.0, n)
            trained = rng.normal(0, 0.04, (2, seeds, 1))
            first, second = jaccard_like(rng, (2, seeds, n), hard + trained)
            alarms += paired_seeds(first, second, resamples=100, draws=500).p <= ALPHA
        yield Row("false alarms", f"{seeds} seeds a side", n, alarms / simulations, MOST_FALSE, simulations, None)


# ── power ───────────────────────────────────────────────────────────────────────────────────────────────


def powers(simulations: int) -> Iterator[Row]:
    for n in SIZES:
        rng = np.random.default_rng(10_000 + n)
        for share in (0.2, 0.475):
            gain = min(share, 2.4 * (share / n) ** 0.5)
            found = binary_alarms(rng, n, share, gain, simulations)
            case = f"right or wrong, {share:g} differ"
            yield _power_row(case, n, found, power_binary(n, gain, share), simulations)
        skill_gain = min(0.5, 1.1 / n**0.5)
        first, second = graded_pair(rng, 4_000_000, 1, skill_gain)
        truth = (first - second).ravel()
        found = _graded_power(rng, n, skill_gain, simulations)
        gain = expected_gain(rng, skill_gain)
        computed = power_graded(n, gain, float(truth.std()), float((truth != 0).mean()))
        yield _power_row("graded, formula alone", n, found, computed, simulations, promised=False)
        planned = power_planned(truth[:1_000_000], n, gain)
        yield _power_row("graded, as compare plans", n, found, planned, simulations)


def _graded_power(rng: np.random.Generator, n: int, gain: float, simulations: int) -> float:
    hits = 0
    for start in range(0, simulations, BATCH):
        first, second = graded_pair(rng, min(BATCH, simulations - start), n, gain)
        d = first - second
        hits += int(((permutation_p(d, seed=start, draws=DRAWS) <= ALPHA) & (d.sum(axis=1) > 0)).sum())
    return hits / simulations


def _power_row(case: str, n: int, found: float, computed: float, simulations: int, promised: bool = True) -> Row:
    kept = abs(found - computed) <= MOST_OFF if promised else None
    return Row("power", case, n, found, computed, simulations, kept)


# ── coverage ────────────────────────────────────────────────────────────────────────────────────────────


def coverages(simulations: int) -> Iterator[Row]:
    for n in SIZES:
        rng = np.random.default_rng(20_000 + n)
        population, other = (side.ravel() for side in graded_pair(rng, 400_000, 1))
        differences = population - other
        for case, values in (("scores like Jaccard", population), ("differences like Jaccard", differences)):
            truth, held = float(values.mean()), 0
            for _ in range(simulations):
                sample = rng.choice(values, n)
                if n >= 40:
                    low, high = bca(sample, seed=int(rng.integers(1 << 30)), resamples=1000)
                else:
                    interval = mean_interval(sample, bounds=(-1.0, 1.0))
                    low, high = interval.low, interval.high
                held += low <= truth <= high
            method = "BCa" if n >= 40 else "t"
            yield Row("coverage", f"{method}, {case}", n, held / simulations, 1 - ALPHA, simulations, None)
        held = 0
        pairs = rng.multinomial(n, (0.3, 0.2, 0.5), simulations)
        for wins, losses, _ in pairs.tolist():
            low, high = tango(wins, losses, n)
            held += low <= 0.1 <= high
        yield Row("coverage", "Tango, right or wrong", n, held / simulations, 1 - ALPHA, simulations, None)


# ── the page ────────────────────────────────────────────────────────────────────────────────────────────


def judged(row: Row) -> Row:
    """False alarms are promised wherever no true difference means that both sides are alike."""
    if row.table != "false alarms" or "lopsided" in row.case:
        return row
    return Row(row.table, row.case, row.n, row.found, row.promised, row.simulations, row.found <= MOST_FALSE)


def page(rows: list[Row], seconds: float) -> str:
    about = (
        f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    )
    lines = ["# Comparison, validated", "", f"{about}; {seconds:.0f} s of CPU.", ""]
    notes = {
        "false alarms": f"No true difference: share of comparisons told apart (p ≤ .05). Promised: ≤ {MOST_FALSE:.1%}. "
        "Not promised for the lopsided case: there the means are equal but the sides are not alike, and no test of a "
        "mean is exact in small samples.",
        "power": "A true difference: share found, in the true direction, against the power that was computed "
        "beforehand. Promised: within 2 points.",
        "coverage": "Share of 95% intervals that hold the true value. Reported.",
    }
    for table, note in notes.items():
        lines += [f"## {table.capitalize()}", "", note, ""]
        lines += ["| case | n | found | promised or computed | simulations | |", "|---|---|---|---|---|---|"]
        for row in rows:
            if row.table == table:
                mark = {True: "kept", False: "**broken**", None: ""}[row.kept]
                lines.append(
                    f"| {row.case} | {row.n} | {row.found:.4f} | {row.promised:.4f} | {row.simulations} | {mark} |"
                )
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()
    started = time.process_time()
    rows = list[Row]()
    for row in (
        *false_alarms(args.simulations),
        *seed_alarms(max(1, args.simulations // 5)),
        *powers(args.simulations),
        *coverages(max(1, args.simulations // 5)),
    ):
        rows.append(judged(row))
    seconds = time.process_time() - started
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "comparison.md").write_text(page(rows, seconds), encoding="utf-8")
    record = {"cpu_seconds": round(seconds, 1), "rows": [asdict(row) for row in rows]}
    (args.out / "comparison.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    broken = [row for row in rows if row.kept is False]
    print(page(rows, seconds))
    print(f"{len(broken)} promises broken" if broken else "every promise kept")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
