"""Decides whether a canary is to be taken back: worse than its stable version by more than a threshold and than chance.

The two are compared over the same stretch of time, so that what befalls both counts against neither. A difference is
taken for real when Fisher's exact test gives it less than one chance in ten thousand: canaries are looked at every few
seconds, and each look is another throw.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from serving.rollouts.histogram import quantile, slower_than
from serving.rollouts.thresholds import Thresholds

CHANCE = 1e-4
# What nobody notices is no reason, however many times as long it is.
_NOTICEABLE_MS = 50.0
_SLOW_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Sample:
    """What one version's requests came to; the histograms are those of `serving.models.VersionMinute`."""

    requests: int = 0
    errors: int = 0
    first_token: Counter[int] = field(default_factory=Counter)
    whole_answer: Counter[int] = field(default_factory=Counter)


def verdict(canary: Sample, stable: Sample, thresholds: Thresholds) -> str:
    """Why the canary is to be taken back, a clause with the numbers; "" when it may stay."""
    return (
        _failing(canary, stable, thresholds)
        or _slow("its first tokens", canary.first_token, stable.first_token, thresholds)
        or _slow("its answers", canary.whole_answer, stable.whole_answer, thresholds)
    )


def by_chance(*, canary: int, of_canary: int, stable: int, of_stable: int) -> float:
    """How likely a canary is to have so many hits or more, were the two versions alike (Fisher's exact test)."""
    hits, both = canary + stable, of_canary + of_stable
    ways = _log_choose(both, hits)
    most = min(hits, of_canary)
    return math.fsum(
        math.exp(_log_choose(of_canary, k) + _log_choose(of_stable, hits - k) - ways) for k in _tail(canary, most)
    )


def _tail(first: int, last: int) -> Iterable[int]:
    # Further out each is less likely than the one before; what comes after so many adds nothing.
    return range(first, min(last, first + 1000) + 1)


def _failing(canary: Sample, stable: Sample, thresholds: Thresholds) -> str:
    if min(canary.requests, stable.requests) < thresholds.requests:
        return ""
    rate, usual = 100 * canary.errors / canary.requests, 100 * stable.errors / stable.requests
    if rate - usual < thresholds.error_rate or not _is_real(
        canary.errors, canary.requests, stable.errors, stable.requests
    ):
        return ""
    return (
        f"{canary.errors} of its {canary.requests} requests failed ({rate:.1f} %), "
        f"of the stable version's {stable.errors} of {stable.requests} ({usual:.1f} %)"
    )


def _slow(what: str, canary: Counter[int], stable: Counter[int], thresholds: Thresholds) -> str:
    if min(canary.total(), stable.total()) < thresholds.requests:
        return ""
    took, usual = quantile(canary, _SLOW_SHARE), quantile(stable, _SLOW_SHARE)
    assert took is not None  # noqa: S101  # neither is empty
    assert usual is not None  # noqa: S101
    bound = max(thresholds.slower * usual, usual + _NOTICEABLE_MS)
    if took < bound or not _is_real(
        slower_than(canary, bound), canary.total(), slower_than(stable, bound), stable.total()
    ):
        return ""
    return (
        f"{what} took up to {took:.0f} ms (in 95 of 100 requests, of {canary.total()}), "
        f"the stable version's up to {usual:.0f} ms (of {stable.total()})"
    )


def _is_real(canary: int, of_canary: int, stable: int, of_stable: int) -> bool:
    return by_chance(canary=canary, of_canary=of_canary, stable=stable, of_stable=of_stable) < CHANCE


def _log_choose(n: int, k: int) -> float:
    if not 0 <= k <= n:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
