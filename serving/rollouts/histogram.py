"""Durations as counts by steps that grow by a twentieth, which add up over any stretch of time; read with 3 % error."""

import math
from collections import Counter
from collections.abc import Mapping

_GROWTH = math.log(1.05)


def step_of(milliseconds: float) -> int:
    """The step that a duration falls into; everything under a millisecond into the first, 0."""
    return max(0, math.floor(math.log(milliseconds) / _GROWTH)) if milliseconds >= 1 else 0


def milliseconds_of(step: int) -> float:
    """What durations of a step are taken for: its middle."""
    return math.exp((step + 0.5) * _GROWTH)


def histogram_from_json(stored: Mapping[str, int]) -> Counter[int]:
    """A histogram as it was stored, JSON's keys being strings."""
    return Counter({int(step): count for step, count in stored.items()})


def quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """The duration in milliseconds that this share of all is not above; None: there is none."""
    rank = share * sum(histogram.values())
    seen = 0
    for step in sorted(histogram):
        seen += histogram[step]
        if seen >= rank:
            return milliseconds_of(step)
    return None


def slower_than(histogram: Mapping[int, int], milliseconds: float) -> int:
    """How many took longer."""
    return sum(count for step, count in histogram.items() if milliseconds_of(step) > milliseconds)
