"""What an exam can show: the smallest difference it finds four times in five, and how many items a smaller one needs.

Said before and after every comparison, because "no difference seen" and "no difference could have been seen" read
the same in a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from terakoya.scoring.certainty import ALPHA
from terakoya.scoring.paired import Effect

POWER = 0.8
FEWEST = 6  # graded items: with five, even all differences on one side give p = 2/32 > .05
MOST = 10_000_000  # items; beyond, "more than can be made"


def power_binary(n: int, gain: float, discordant: float, alpha: float = ALPHA) -> float:
    """Chance that the exact McNemar test on n items finds a true gain, in its true direction.

    discordant  true share of items on which the two sides differ, at least |gain|
    Summed over every number of discordant items and every way they may fall: no approximation but the tails beyond
    ten standard deviations.
    """
    import numpy as np
    from scipy.special import bdtr, bdtrik, gammaln

    gain, share = abs(gain), min(1.0, max(discordant, abs(gain)))
    if share == 0:
        return 0.0
    far = 10 * math.sqrt(n * share * (1 - share)) + 10
    m = np.arange(max(0, math.floor(n * share - far)), min(n, math.ceil(n * share + far)) + 1, dtype=np.float64)
    with np.errstate(divide="ignore"):
        rest = (n - m) * np.log1p(-share) if share < 1 else np.where(m == n, 0.0, -np.inf)
        weight = np.exp(gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1) + m * math.log(share) + rest)
    most = np.floor(np.nan_to_num(bdtrik(alpha / 2, m, 0.5), nan=-1.0)) + 1  # most losses that still reject
    for _ in range(3):  # the inverse of a staircase is off by one here and there
        most = np.where((most >= 0) & (bdtr(np.clip(most, 0, m), m, 0.5) > alpha / 2), most - 1, most)
    losing = (share - gain) / (2 * share)
    return float((weight * np.where(most >= 0, bdtr(np.clip(most, 0, m), m, losing), 0.0)).sum())


def power_graded(n: int, gain: float, spread: float, alpha: float = ALPHA) -> float:
    """Chance that a paired test on n items finds a true mean gain; `spread` is the deviation of the differences.

    By Student's noncentral t, which the permutation test follows closely (benchmarks/comparison.py holds it to that).
    """
    if n < FEWEST:
        return 0.0
    return power_t(gain, spread / math.sqrt(n), n - 1, alpha)


def power_t(gain: float, error: float, freedom: float, alpha: float = ALPHA) -> float:
    """Chance that a t test with this standard error finds a true gain, in its true direction."""
    from scipy.special import nctdtr, ndtr, stdtrit

    if error <= 0 or freedom <= 0:
        return float(gain != 0 and freedom > 0)
    edge, shift = float(stdtrit(freedom, 1 - alpha / 2)), abs(gain) / error
    if freedom > 500 or shift > 30:
        return float(ndtr(shift - edge))
    return 1.0 - float(nctdtr(freedom, shift, edge))


def detectable(effect: Effect, alpha: float = ALPHA) -> float:
    """The smallest true difference that this exam, with this scatter, would have shown four times in five."""
    chance = _chance(effect, alpha)
    if chance(effect.n, 1.0) < POWER:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if chance(effect.n, middle) >= POWER else (middle, high)
    return high


def needed(effect: Effect, gain: float, alpha: float = ALPHA) -> int | None:
    """Items needed to see a true difference of `gain` four times in five; None where no number of items would do.

    None happens when the difference is 0, and when the seeds differ so much that only more seeds can help.
    """
    chance = _chance(effect, alpha)
    if gain == 0 or chance(MOST, abs(gain)) < POWER:
        return None
    low, high = 1, 2
    while chance(high, abs(gain)) < POWER:
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if chance(middle, abs(gain)) >= POWER else (middle, high)
    return high


def _chance(effect: Effect, alpha: float) -> Callable[[int, float], float]:
    """Power as a function of items and gain, with the scatter that was seen."""
    if effect.binary or effect.spread == 0:
        discordant = (effect.wins + effect.losses) / effect.n
        return lambda n, gain: power_binary(n, gain, discordant, alpha)

    def chance(n: int, gain: float) -> float:
        if not effect.seed_error:
            return power_graded(n, gain, effect.spread, alpha)
        error = math.hypot(effect.spread / math.sqrt(n), effect.seed_error)
        return power_t(gain, error, effect.freedom, alpha) if n >= FEWEST else 0.0

    return chance


def roughly(n: int) -> int:
    """Two figures are enough of a number of items: 388 → 390."""
    digits = max(0, len(str(n)) - 2)
    unit = int(10**digits)
    return round(n / unit) * unit
