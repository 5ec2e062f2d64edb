"""Decides who is promoted from llama.cpp to vLLM, and who goes back: by traffic, with hysteresis."""

from dataclasses import dataclass

from serving.placement.tiers import Tier

# Traffic below this share of what promotes is quiet. Between the two nothing happens.
_QUIET_SHARE = 0.25
# Who has just come back stays so long, unless vLLM was the only one to carry the load.
_STAYS_AFTER_MOVE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What promotes: a mean of requests at once, or tokens a minute, over five minutes; and how long quiet lasts."""

    concurrency: float
    tokens_per_minute: float
    quiet_seconds: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """What somebody's requests came to over the last five minutes."""

    concurrency: float = 0.0
    tokens_per_minute: float = 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody is at home, since when, and since when it has been quiet there (None: it is not)."""

    tier: Tier
    moved_at: float = float("-inf")
    quiet_since: float | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """The decision: the standing from now on, and a clause for the event; `waits` when vLLM has no room."""

    standing: Standing
    reason: str = ""
    waits: bool = False


def promotion(standing: Standing, traffic: Traffic, thresholds: Thresholds, *, has_room: bool, now: float) -> Move:
    """Decide on one adapter, or one department's calls to base models, whose placement is `auto`.

    Args:
        has_room: whether a vLLM engine of the base model is ready and not full, or sleeps and can be woken.
        now: in seconds of the clock that `standing` uses.
    """
    if standing.tier is Tier.LIGHTWEIGHT:
        reason = _busy(traffic, thresholds)
        if not reason or now - standing.moved_at < _STAYS_AFTER_MOVE_SECONDS:
            return Move(standing)
        if not has_room:
            return Move(standing, reason, waits=True)
        return Move(Standing(Tier.STANDARD, moved_at=now), reason)
    if not _quiet(traffic, thresholds):
        return Move(Standing(standing.tier, standing.moved_at))
    since = standing.quiet_since if standing.quiet_since is not None else now
    if now - since < thresholds.quiet_seconds:
        return Move(Standing(standing.tier, standing.moved_at, since))
    return Move(Standing(Tier.LIGHTWEIGHT, moved_at=now), f"it has been quiet for {(now - since) / 3600:.1f} hours")


def _busy(traffic: Traffic, thresholds: Thresholds) -> str:
    if traffic.concurrency >= thresholds.concurrency:
        return f"{traffic.concurrency:.1f} requests at once over five minutes"
    if traffic.tokens_per_minute >= thresholds.tokens_per_minute:
        return f"{traffic.tokens_per_minute:.0f} tokens a minute over five minutes"
    return ""


def _quiet(traffic: Traffic, thresholds: Thresholds) -> bool:
    return (
        traffic.concurrency < _QUIET_SHARE * thresholds.concurrency
        and traffic.tokens_per_minute < _QUIET_SHARE * thresholds.tokens_per_minute
    )
