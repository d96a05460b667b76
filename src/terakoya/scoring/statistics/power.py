"""Statistical power: the smallest difference that an exam finds with power 0.8, and the items that a smaller one needs.

Reported with every comparison, because "no difference seen" and "no difference could have been seen" read the same in
a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from terakoya.scoring.statistics.intervals import ALPHA, score_array
from terakoya.scoring.statistics.paired import Effect, permutation_p

if TYPE_CHECKING:
    from terakoya.scoring.statistics.intervals import Floats

POWER = 0.8
MIN_ITEMS = 6  # with five, even five differences of one sign give p = 2/32 > .05
_FLIPS = 1000  # random flips of a simulated permutation test
FORMULA_FROM = 80  # items; below, graded power is simulated
_SIMULATIONS = 2000  # at each step of a search
MAX_ITEMS = 10_000_000  # beyond, no exam of that size can be made


def binary_power(n: int, gain: float, discordant: float, alpha: float = ALPHA) -> float:
    """Power of the exact McNemar test: probability that it finds a true gain, in its true direction.

    n           items
    gain        true difference of the shares of right predictions
    discordant  true share of items on which the two systems differ, at least |gain|
    alpha       level of the test (0.05)
    Summed over every number of discordant items and every way they may fall: no approximation but the tails beyond
    ten standard deviations.
    """
    import numpy as np
    from scipy.special import bdtr, bdtrik

    gain, share = abs(gain), min(1.0, max(discordant, abs(gain)))
    if share == 0:
        return 0.0
    m, weight = _differing(n, share)
    most = np.floor(np.nan_to_num(bdtrik(alpha / 2, m, 0.5), nan=-1.0)) + 1  # most losses that still reject
    for _ in range(3):  # the inverse of a staircase is off by one here and there
        most = np.where((most >= 0) & (bdtr(np.clip(most, 0, m), m, 0.5) > alpha / 2), most - 1, most)
    losing = (share - gain) / (2 * share)
    return float((weight * np.where(most >= 0, bdtr(np.clip(most, 0, m), m, losing), 0.0)).sum())


def graded_power(n: int, gain: float, spread: float, differ: float = 1.0, alpha: float = ALPHA) -> float:
    """Power of the paired permutation test: probability that it finds a true mean gain, in its true direction.

    n       items
    gain    true mean difference
    spread  true standard deviation of the differences
    differ  true share of items that differ at all: only these can be flipped, which matters in small exams
    alpha   level of the test (0.05)
    By Student's noncentral t for every number of differing items, at the level that so many flips can attain. Good to
    two points from FORMULA_FROM items on; below, large gains are a few points harder to find
    (benchmarks/quality/comparison.py), and `planned_power` is the function to plan with.
    """
    import numpy as np
    from scipy.special import nctdtr, stdtrit

    gain = abs(gain)
    if gain == 0 or spread <= 0 or n < 2:
        return float(gain > 0 and spread <= 0 and 2.0 ** (1 - min(n, 60)) <= alpha)
    # Of fewer differing items the gain would be larger than their scatter allows.
    share = min(1.0, max(differ, gain**2 / (spread**2 + gain**2)))
    if n * share > 200:
        return power_t(gain, spread / math.sqrt(n), n - 1, alpha)
    k, weight = _differing(n, share)
    flips = 2.0 ** (np.minimum(k, 60) - 1)
    level = np.floor(alpha * flips + 1e-9) / flips
    weight, level, k = weight[level > 0], level[level > 0], k[level > 0]
    mean = gain / share
    variance = max((spread**2 + gain**2) / share - mean**2, 1e-12)
    edge, shift = stdtrit(k - 1, 1 - level / 2), mean / np.sqrt(variance / k)
    found = np.where(shift > 30, 1.0, 1.0 - nctdtr(k - 1, np.minimum(shift, 30), edge))
    return float((weight * found).sum())


def simulated_power(
    differences: Sequence[float] | Floats, n: int, alpha: float = ALPHA, *, simulations: int = 5000, seed: int = 0
) -> float:
    """Power by simulation: the permutation test itself is run on samples of n items like those of a pilot.

    differences  (items,), of a pilot exam or of assumed data
    n            items of a simulated exam
    alpha        level of the test (0.05)
    simulations  how many (5,000); the standard error is then at most 0.7 points
    seed         of sampling and flips
    """
    import numpy as np

    pilot = score_array(differences, "differences")
    direction = np.sign(pilot.mean())
    rng = np.random.default_rng(seed)
    step = max(1, min(500, 1_000_000 // n))
    hits = 0
    for start in range(0, simulations, step):
        drawn = rng.choice(pilot, (min(step, simulations - start), n))
        p = permutation_p(drawn, seed=seed + 1 + start, draws=_FLIPS)
        hits += int(((p <= alpha) & (np.sign(drawn.sum(axis=1)) == direction)).sum())
    return hits / simulations


def planned_power(
    differences: Sequence[float] | Floats, n: int, gain: float, alpha: float = ALPHA, *, simulations: int = 5000
) -> float:
    """The power that comparisons and verdicts plan with: n items like these, but with this true mean difference.

    differences  (items,), as observed
    n            items of the planned exam
    gain         true mean difference to be found
    alpha        level of the test (0.05)
    simulations  below FORMULA_FROM items (5,000)
    Below FORMULA_FROM items the test itself is simulated on `differences`, shifted so that their mean is the gain
    (items on which the systems agree stay so); from there on the formula is as good and needs no simulation.
    """
    import numpy as np

    seen = score_array(differences, "differences")
    differing = np.abs(seen) > 1e-12
    if n >= FORMULA_FROM or seen.size < 2 or not differing.any():
        spread = float(seen.std(ddof=1)) if seen.size > 1 else 0.0
        return graded_power(n, gain, spread, float(differing.mean()), alpha)
    # A sample scatters less around its own mean than around the true one.
    wider = math.sqrt(seen.size / (seen.size - 1))
    centred = (seen - seen[differing].mean()) * wider
    shifted = np.where(differing, centred + abs(gain) / float(differing.mean()), 0.0)
    return simulated_power(shifted, n, alpha, simulations=simulations) if gain else 0.0


def _differing(n: int, share: float) -> tuple[Floats, Floats]:
    """Numbers of differing items among n and their probabilities, within ten standard deviations."""
    import numpy as np
    from scipy.special import gammaln

    far = 10 * math.sqrt(n * share * (1 - share)) + 10
    m = np.arange(max(0, math.floor(n * share - far)), min(n, math.ceil(n * share + far)) + 1, dtype=np.float64)
    rest = (n - m) * math.log1p(-share) if share < 1 else np.where(m == n, 0.0, -np.inf)
    weight = np.exp(gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1) + m * math.log(share) + rest)
    return m, weight


def power_t(gain: float, error: float, freedom: float, alpha: float = ALPHA) -> float:
    """Power of a t test: probability that it finds a true gain, in its true direction.

    gain     true mean difference
    error    its standard error
    freedom  degrees of freedom
    alpha    level of the test (0.05)
    """
    from scipy.special import nctdtr, ndtr, stdtrit

    if error <= 0 or freedom <= 0:
        return float(gain != 0 and freedom > 0)
    edge, shift = float(stdtrit(freedom, 1 - alpha / 2)), abs(gain) / error
    if freedom > 500 or shift > 30:
        return float(ndtr(shift - edge))
    return 1.0 - float(nctdtr(freedom, shift, edge))


def detectable_difference(effect: Effect, alpha: float = ALPHA, *, differences: Floats | None = None) -> float:
    """The minimum detectable effect: the smallest true difference that this exam would have found with power 0.8.

    effect       as observed: its items and their scatter
    alpha        level of the test (0.05)
    differences  (items,), of a graded metric: the power of small exams is then simulated (`planned_power`). Of items in
                 groups what the test flips (`paired.flipped_units`)
    """
    power = _power(effect, alpha, differences)
    if power(effect.units, 1.0) < POWER:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(10 if differences is not None and effect.units < FORMULA_FROM else 40):  # to a thousandth is enough
        middle = (low + high) / 2
        low, high = (low, middle) if power(effect.units, middle) >= POWER else (middle, high)
    return high


def items_needed(effect: Effect, gain: float, alpha: float = ALPHA, *, differences: Floats | None = None) -> int | None:
    """Items needed to find a true difference with power 0.8; None where no number of items is enough.

    effect       as observed: its scatter between items and seeds
    gain         true difference to be found
    alpha        level of the test (0.05)
    differences  (items,), of a graded metric: the power of small exams is then simulated. Of items in groups what the
                 test flips (`paired.flipped_units`)
    None is returned when the difference is 0, and when the seeds differ so much that only more seeds can help.
    """
    power = _power(effect, alpha, differences)
    if gain == 0 or power(MAX_ITEMS, abs(gain)) < POWER:
        return None
    low, high = 1, 2
    while power(high, abs(gain)) < POWER:
        low, high = high, min(2 * high, MAX_ITEMS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, abs(gain)) >= POWER else (middle, high)
    return math.ceil(high * effect.n / effect.groups) if effect.groups else high


def _is_one_step(differences: Floats | None) -> bool:
    """Whether groups differ by 1, 0 or -1: right or wrong as a whole, their test is McNemar's in steps as coarse."""
    return differences is not None and bool(((abs(abs(differences) - 1) < 1e-9) | (abs(differences) < 1e-12)).all())


def _power(effect: Effect, alpha: float, differences: Floats | None = None) -> Callable[[int, float], float]:
    """Power as a function of items (groups, where items lie in groups) and gain, with the observed scatter."""
    differ = (effect.wins + effect.losses) / effect.n
    if effect.groups:
        differ = 1.0 if differences is None else float((abs(differences) > 1e-12).mean())
    if effect.binary or effect.standard_deviation == 0 or (effect.groups and _is_one_step(differences)):
        return lambda n, gain: binary_power(n, gain, differ, alpha)

    def power(n: int, gain: float) -> float:
        if not effect.seed_error and differences is not None and n < FORMULA_FROM:
            return planned_power(differences, n, gain, alpha, simulations=_SIMULATIONS)
        if not effect.seed_error:
            return graded_power(n, gain, effect.standard_deviation, differ, alpha)
        error = math.hypot(effect.standard_deviation / math.sqrt(n), effect.seed_error)
        return power_t(gain, error, effect.degrees_of_freedom, alpha) if n >= MIN_ITEMS else 0.0

    return power


def two_digits(n: int) -> int:
    """A number of items to two significant digits: 388 → 390.

    n  as computed
    """
    digits = max(0, len(str(n)) - 2)
    unit = int(10**digits)
    return round(n / unit) * unit
