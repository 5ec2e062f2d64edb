"""Decides how many engines a deployment has: by queue and KV use, with hysteresis, down to none when idle."""

import math
from dataclasses import dataclass, replace

# Requests that wait, per ready engine, and the share of the KV cache in use, that mean too few engines…
_QUEUE_HIGH, _KV_HIGH = 2.0, 0.85
# …and what one engine fewer would have to stay below, to mean too many.
_RUNNING_LOW, _KV_LOW = 4.0, 0.5
# How long it must be so. Growing is quick, since somebody waits; shrinking is slow, since starting costs minutes.
_GROW_AFTER_SECONDS, _SHRINK_AFTER_SECONDS = 15.0, 300.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an admin allows: `most` None fixes the number; `idle_seconds` None never sleeps."""

    fewest: int
    most: int | None
    idle_seconds: float | None


@dataclass(frozen=True, slots=True)
class Load:
    """What the deployment's ready engines report together; `kv_usage` is their mean, from 0 to 1."""

    ready: int
    running: float
    waiting: float
    kv_usage: float
    busy_at: float  # when a request was last under way, in seconds of the same clock


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered from one look to the next: since when the load has been high, or low."""

    high_since: float | None = None
    low_since: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """How many engines from now on; `reason` is a sentence, empty when nothing changes."""

    replicas: int
    memory: Memory
    reason: str = ""
    sleeps: bool = False


def autoscale(bounds: Bounds, replicas: int, load: Load, memory: Memory, now: float) -> Decision:
    """Decide on a deployment that is awake.

    Args:
        replicas: how many engines are wished for now.
        now: in seconds of the clock that `load` and `memory` use.
    """
    if not replicas:
        # Somebody has stopped it; only who falls asleep is woken.
        return Decision(0, Memory())
    idle = now - load.busy_at
    if bounds.idle_seconds is not None and idle >= bounds.idle_seconds and not load.running and not load.waiting:
        return Decision(0, Memory(), f"no request came for {idle / 60:.0f} minutes", sleeps=True)
    most = bounds.most if bounds.most is not None else replicas
    # None at all is sleep, which only idleness brings.
    fewest = max(1, min(bounds.fewest, most)) if bounds.most is not None else replicas
    if not fewest <= replicas <= most:
        clamped = max(fewest, min(replicas, most))
        return Decision(clamped, Memory(), f"it may have {fewest} to {most} replicas")
    # What has just been decided must show its effect before anything else is.
    if load.ready < replicas or not load.ready:
        return Decision(replicas, Memory())
    memory = _remember(load, memory, now)
    if memory.high_since is not None and now - memory.high_since >= _GROW_AFTER_SECONDS and replicas < most:
        more = max(1, math.ceil(load.waiting / max(1.0, load.running / load.ready) - _QUEUE_HIGH))
        grown = min(most, replicas + more, 2 * replicas)
        return Decision(
            grown,
            Memory(),
            f"{load.waiting:.0f} requests wait and {load.kv_usage:.0%} of the KV cache is in use",
        )
    if memory.low_since is not None and now - memory.low_since >= _SHRINK_AFTER_SECONDS and replicas > fewest:
        return Decision(
            replicas - 1,
            Memory(),
            f"{load.running:.0f} requests at once have been few for {_SHRINK_AFTER_SECONDS / 60:.0f} minutes",
        )
    return Decision(replicas, memory)


def _remember(load: Load, memory: Memory, now: float) -> Memory:
    is_high = load.waiting / load.ready > _QUEUE_HIGH or load.kv_usage > _KV_HIGH
    rest = max(1, load.ready - 1)
    is_low = not load.waiting and load.running / rest < _RUNNING_LOW and load.kv_usage * load.ready / rest < _KV_LOW
    return replace(
        memory,
        high_since=(memory.high_since if memory.high_since is not None else now) if is_high else None,
        low_since=(memory.low_since if memory.low_since is not None else now) if is_low else None,
    )
