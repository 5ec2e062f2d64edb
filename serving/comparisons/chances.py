"""How sure a pass rate is, and how likely a difference between two candidates is by chance alone."""

import math
from collections.abc import Sequence
from fractions import Fraction
from statistics import NormalDist

# Beyond chance: a difference that equal candidates would show in fewer than 5 of 100 comparisons.
ALPHA = 0.05


def wilson_interval(passed: int, judged: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a share (Wilson, 1927), as two shares from 0 to 1; (0, 1) where nothing was judged."""
    if not judged:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = passed / judged
    middle = share + z * z / (2 * judged)
    half = z * math.sqrt(share * (1 - share) / judged + z * z / (4 * judged * judged))
    whole = 1 + z * z / judged
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def mcnemar_p(only_first: int, only_second: int) -> float:
    """The exact two-sided p of McNemar's test: how likely pairs that differ fall so unequally if neither is better.

    Args:
        only_first: pairs that the first passed and the second did not.
        only_second: the other way round; pairs in which both are alike say nothing.
    """
    differing = only_first + only_second
    tail = sum(math.comb(differing, count) for count in range(min(only_first, only_second) + 1))
    # As a fraction: a float cannot hold 2 to the power of a thousand.
    return min(1.0, float(Fraction(2 * tail, 1 << differing)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several tests made at once, each as large as it must be for all of them to hold (Holm, 1979)."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
