"""Moves the wished number of engines between its bounds, puts idle deployments to sleep, and wakes those asked for."""

import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from statistics import median

import orjson
import redis
from django.utils import timezone

from serving.events import event_record
from serving.fleet.registry import EngineEntry, living_engines
from serving.fleet.wake import asleep_publish, wanted_take
from serving.models import Deployment, Engine, EngineState, UsageRecord
from serving.scaling.autoscale import Bounds, Decision, Load, Memory, autoscale

SCALING_KEY = "polygraft:scaling"
# What waking is believed to take before it was ever measured.
_USUAL_START_SECONDS = 60
_STARTS_LOOKED_AT = 5


def replicas_decide(client: redis.Redis) -> None:
    """Decide for every deployment whose number of engines is not fixed, and write down what changes."""
    wanted = wanted_take(client)
    deployments = list(
        Deployment.objects.exclude(max_replicas=None, idle_minutes=None, asleep_since=None).select_related("base_model")
    )
    if not deployments:
        return
    entries = {entry.id: entry for entry in living_engines(client)}
    remembered: dict[bytes, bytes] = client.hgetall(SCALING_KEY)  # type: ignore[assignment]  # blocking client
    now = time.time()
    for deployment in deployments:
        if deployment.asleep_since is not None:
            if deployment.base_model_id in wanted:
                deployment_wake(deployment, "somebody asks for its base model")
            continue
        _decide(client, deployment, entries, remembered.get(str(deployment.pk).encode()), now)


def deployment_wake(deployment: Deployment, reason: str) -> None:
    """Wish for the engines of a sleeping deployment again; says so once, whoever else does the same."""
    replicas = max(1, deployment.min_replicas)
    woken = Deployment.objects.filter(pk=deployment.pk).exclude(asleep_since=None)
    if woken.update(asleep_since=None, replicas=replicas):
        event_record(kind="deployment.wakes", sentence=f"{deployment} wakes: {reason}.", deployment=deployment)


def sleepers_announce(client: redis.Redis) -> None:
    """Tell the gateways which base models sleep, or are just waking, and how long that is expected to take."""
    expected: dict[int, int] = {}
    for deployment in Deployment.objects.exclude(idle_minutes=None, asleep_since=None):
        waking = deployment.replicas > 0 and not deployment.engines.filter(state=EngineState.READY).exists()
        if deployment.asleep_since is not None or waking:
            seconds = _start_seconds(deployment)
            expected[deployment.base_model_id] = min(seconds, expected.get(deployment.base_model_id, seconds))
    asleep_publish(client, expected)


def _decide(
    client: redis.Redis, deployment: Deployment, entries: dict[str, EngineEntry], raw: bytes | None, now: float
) -> None:
    memory, busy_at = Memory(), now
    if raw is not None:
        fields = orjson.loads(raw)
        busy_at = fields.pop("busy_at")
        memory = Memory(**fields)
    load = _load(deployment, entries, busy_at, now)
    bounds = Bounds(
        fewest=deployment.min_replicas,
        most=deployment.max_replicas,
        idle_seconds=None if deployment.idle_minutes is None else 60.0 * deployment.idle_minutes,
    )
    decision = autoscale(bounds, deployment.replicas, load, memory, now)
    if decision.sleeps:
        # Idleness is counted anew from when it wakes.
        client.hdel(SCALING_KEY, str(deployment.pk))
    else:
        client.hset(SCALING_KEY, str(deployment.pk), _remembered(decision.memory, load.busy_at))
    if decision.reason:
        _write(deployment, decision)


def _write(deployment: Deployment, decision: Decision) -> None:
    # Conditional, since an admin or another reconciler may have scaled it meanwhile.
    unchanged = Deployment.objects.filter(pk=deployment.pk, replicas=deployment.replicas, asleep_since=None)
    if not unchanged.update(replicas=decision.replicas, asleep_since=timezone.now() if decision.sleeps else None):
        return
    if decision.sleeps:
        kind, what = "deployment.sleeps", f"{deployment} goes to sleep"
    else:
        kind, what = (
            "deployment.scaled",
            f"{deployment} goes from {deployment.replicas} to {decision.replicas} replicas",
        )
    event_record(kind=kind, sentence=f"{what}: {decision.reason}.", deployment=deployment)


def _load(deployment: Deployment, entries: dict[str, EngineEntry], busy_at: float, now: float) -> Load:
    ready = [str(pk) for pk in deployment.engines.filter(state=EngineState.READY).values_list("pk", flat=True)]
    reported = [entries[pk] for pk in ready if pk in entries]
    running = float(sum(entry.running for entry in reported))
    waiting = float(sum(entry.waiting for entry in reported))
    # Short requests come and go between two looks; their records stay.
    came = UsageRecord.objects.filter(
        base_model=deployment.base_model_id,
        engine_kind=deployment.engine_kind,
        at__gt=datetime.fromtimestamp(busy_at, UTC),
    )
    if running or waiting:
        busy_at = now
    elif (latest := came.order_by("-at").values_list("at", flat=True).first()) is not None:
        busy_at = latest.timestamp()
    return Load(
        ready=len(ready),
        running=running,
        waiting=waiting,
        kv_usage=sum(entry.kv_usage for entry in reported) / max(1, len(reported)),
        busy_at=busy_at,
    )


def _start_seconds(deployment: Deployment) -> int:
    starts: Iterable[timedelta] = [
        engine.ready_at - engine.created_at
        for engine in Engine.objects.filter(deployment=deployment).exclude(ready_at=None)[:_STARTS_LOOKED_AT]
        if engine.ready_at is not None
    ]
    seconds = [start.total_seconds() for start in starts]
    return max(1, round(median(seconds))) if seconds else _USUAL_START_SECONDS


def _remembered(memory: Memory, busy_at: float) -> str:
    return orjson.dumps({**asdict(memory), "busy_at": busy_at}).decode()
