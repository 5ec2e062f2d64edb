"""How many engines a deployment has, over time."""

from collections.abc import Callable
from dataclasses import replace

from serving.scaling.autoscale import Bounds, Decision, Load, Memory, autoscale

BOUNDS = Bounds(fewest=1, most=4, idle_seconds=None)
CALM = Load(ready=1, running=2, waiting=0, kv_usage=0.3, busy_at=0)
QUEUE = Load(ready=1, running=8, waiting=10, kv_usage=0.6, busy_at=0)


def watch(
    replicas: int, seconds: float, load: Callable[[float], Load], bounds: Bounds = BOUNDS
) -> list[tuple[float, Decision]]:
    """The decisions that changed something, looking every five seconds, engines being ready at once."""
    memory, changes, now = Memory(), [], 0.0
    while now <= seconds:
        decision = autoscale(bounds, replicas, replace(load(now), ready=max(replicas, 0)), memory, now)
        memory = decision.memory
        if decision.replicas != replicas:
            replicas = decision.replicas
            changes.append((now, decision))
        now += 5
    return changes


def test_a_queue_that_lasts_brings_another_engine_and_one_that_does_not_none() -> None:
    assert [d.replicas for _, d in watch(1, 20, lambda now: QUEUE)][:1] == [2]
    assert watch(1, 600, lambda now: QUEUE if now % 30 < 10 else CALM) == []


def test_a_full_kv_cache_counts_as_a_queue_does() -> None:
    changes = watch(1, 15, lambda now: replace(CALM, kv_usage=0.95))
    assert "95% of the KV cache" in changes[0][1].reason


def test_it_grows_at_most_twofold_and_never_beyond_the_most() -> None:
    assert [d.replicas for _, d in watch(1, 3600, lambda now: replace(QUEUE, waiting=500))] == [2, 4]


def test_it_waits_until_the_engines_that_were_wished_for_are_there() -> None:
    still = Memory(high_since=0.0)
    assert autoscale(BOUNDS, 2, QUEUE, still, now=1000).replicas == 2


def test_it_shrinks_only_after_long_calm_and_one_by_one() -> None:
    changes = watch(3, 700, lambda now: replace(CALM, running=1, kv_usage=0.1))
    assert [(now, d.replicas) for now, d in changes] == [(300, 2), (605, 1)]


def test_it_does_not_shrink_to_what_would_grow_again_at_once() -> None:
    # Three engines with ten requests: two would have five each, which is not few.
    assert watch(3, 3600, lambda now: replace(CALM, running=10)) == []


def test_load_between_low_and_high_changes_nothing_for_a_day() -> None:
    assert watch(2, 86400, lambda now: replace(CALM, running=8, waiting=1, kv_usage=0.6)) == []


def test_a_load_that_swings_every_minute_does_not_make_it_flap() -> None:
    # A minute of queue, a minute of calm, for a day: it grows to what the queue needs and stays there.
    changes = watch(1, 86400, lambda now: QUEUE if now % 120 < 60 else CALM)
    assert [d.replicas for _, d in changes] == sorted(d.replicas for _, d in changes)


def test_it_sleeps_when_nobody_came_for_long_and_nothing_runs() -> None:
    bounds = Bounds(fewest=1, most=None, idle_seconds=600)
    idle = Load(ready=1, running=0, waiting=0, kv_usage=0, busy_at=0)
    assert autoscale(bounds, 1, idle, Memory(), now=599).sleeps is False
    asleep = autoscale(bounds, 1, idle, Memory(), now=600)
    assert (asleep.sleeps, asleep.replicas, asleep.reason) == (True, 0, "no request came for 10 minutes")
    # A long generation is no idleness, however long ago it came.
    assert autoscale(bounds, 1, replace(idle, running=1), Memory(), now=9999).sleeps is False


def test_bounds_that_were_changed_hold_at_once() -> None:
    assert autoscale(Bounds(3, 5, None), 1, CALM, Memory(), now=0).replicas == 3
    assert autoscale(Bounds(1, 2, None), 9, CALM, Memory(), now=0).replicas == 2


def test_it_never_shrinks_to_nothing_but_by_sleeping() -> None:
    bounds = Bounds(fewest=0, most=2, idle_seconds=None)
    assert [d.replicas for _, d in watch(2, 3600, lambda now: replace(CALM, running=0, kv_usage=0), bounds)] == [1]


def test_what_somebody_stopped_stays_stopped() -> None:
    stopped = autoscale(Bounds(1, 4, 600), 0, replace(CALM, ready=0, running=0), Memory(), now=9999)
    assert (stopped.replicas, stopped.sleeps) == (0, False)


def test_a_fixed_number_stays_whatever_comes() -> None:
    fixed = Bounds(fewest=1, most=None, idle_seconds=None)
    assert watch(3, 3600, lambda now: QUEUE, fixed) == []
    assert watch(3, 3600, lambda now: replace(CALM, running=0), fixed) == []
