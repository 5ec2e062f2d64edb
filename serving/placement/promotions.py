"""Moves adapters, and departments' calls to base models, between llama.cpp and vLLM by their traffic."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
import redis
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from polygraft.conf import config
from polygraft.live import Change, announce, redis_client
from serving.engines.kinds import EngineKind
from serving.events import event_record
from serving.fleet.autoscaling import deployment_wake
from serving.fleet.registry import living_engines
from serving.models import Adapter, Deployment, EngineState, Outcome, UsageRecord
from serving.placement.tiers import Tier
from serving.scaling.promotion import Move, Standing, Thresholds, Traffic, promotion
from tenants.models import Department, Placement

PROMOTION_KEY = "polygraft:promotion"
WINDOW = timedelta(minutes=5)
# A vLLM engine as full as this takes nobody new.
_FULL_KV = 0.85


@dataclass(slots=True)
class _Seen:
    """What one subject's requests of the window came to, and the base models that they went to."""

    traffic: Traffic = field(default_factory=Traffic)
    base_models: set[int] = field(default_factory=set)


def thresholds() -> Thresholds:
    """What promotes and demotes, by the platform's settings."""
    settings = config()
    return Thresholds(
        concurrency=settings.promote_concurrency,
        tokens_per_minute=settings.promote_tokens_per_minute,
        quiet_seconds=60.0 * settings.demote_after_minutes,
    )


def promotions_decide() -> None:
    """Decide for everybody whose placement is `auto` and who has traffic or is promoted; a move is an event."""
    client = redis_client()
    adapters, departments = _traffic()
    rooms = _rooms(client)
    remembered: dict[bytes, bytes] = client.hgetall(PROMOTION_KEY)  # type: ignore[assignment]  # blocking client
    auto = Q(placement=Placement.AUTO) | Q(placement="", department__placement=Placement.AUTO)
    moved = False
    for adapter in (
        Adapter.objects.alive()
        .filter(auto)
        .filter(Q(pk__in=adapters) | Q(promoted_at__isnull=False))
        .select_related("department", "base_model")
    ):
        seen = adapters.get(adapter.pk, _Seen(base_models={adapter.base_model_id}))
        moved |= _decide(client, adapter, seen, rooms, remembered)
    for department in Department.objects.filter(placement=Placement.AUTO).filter(
        Q(pk__in=departments) | Q(promoted_at__isnull=False)
    ):
        moved |= _decide(client, department, departments.get(department.pk, _Seen()), rooms, remembered)
    if moved:
        announce(Change.MODELS)


def _traffic() -> tuple[dict[int, _Seen], dict[int, _Seen]]:
    """Adapter → traffic, and department → traffic of its calls to base models, over the window; one query."""
    rows = (
        UsageRecord.objects.filter(at__gt=timezone.now() - WINDOW, base_model__isnull=False)
        .exclude(outcome=Outcome.REFUSED)
        .order_by()
        .values("department", "base_model", adapter=F("adapter_version__adapter"))
        .annotate(busy_ms=Sum("duration_ms"), prompt=Sum("prompt_tokens"), completion=Sum("completion_tokens"))
    )
    adapters: dict[int, _Seen] = {}
    departments: dict[int, _Seen] = {}
    for row in rows:
        seen = (
            departments.setdefault(row["department"], _Seen())
            if row["adapter"] is None
            else adapters.setdefault(row["adapter"], _Seen())
        )
        seen.base_models.add(row["base_model"])
        seen.traffic = Traffic(
            concurrency=seen.traffic.concurrency + row["busy_ms"] / 1000 / WINDOW.total_seconds(),
            tokens_per_minute=seen.traffic.tokens_per_minute
            + (row["prompt"] + row["completion"]) * 60 / WINDOW.total_seconds(),
        )
    return adapters, departments


def _rooms(client: redis.Redis) -> set[int]:
    """The base models that vLLM has room for: an engine is ready and not full, or a deployment sleeps."""
    rooms = {
        entry.base_model_id
        for entry in living_engines(client)
        if entry.kind == EngineKind.VLLM
        and entry.state == EngineState.READY
        and not entry.waiting
        and entry.kv_usage < _FULL_KV
    }
    return rooms | set(_sleeping().values_list("base_model", flat=True))


def _sleeping(base_models: Iterable[int] | None = None) -> QuerySet[Deployment]:
    sleeping = Deployment.objects.filter(engine_kind=EngineKind.VLLM).exclude(asleep_since=None)
    return sleeping if base_models is None else sleeping.filter(base_model__in=base_models)


def _decide(
    client: redis.Redis,
    subject: Adapter | Department,
    seen: _Seen,
    rooms: set[int],
    remembered: dict[bytes, bytes],
) -> bool:
    """Decide for one; returns whether it moved."""
    name = f"{'adapter' if isinstance(subject, Adapter) else 'department'}:{subject.pk}"
    raw = remembered.get(name.encode())
    standing = Standing(
        tier=Tier.STANDARD if subject.promoted_at else Tier.LIGHTWEIGHT, **(orjson.loads(raw) if raw else {})
    )
    move = promotion(standing, seen.traffic, thresholds(), has_room=bool(seen.base_models & rooms), now=time.time())
    if move.waits:
        _tell(subject, "waits", f"would move to vLLM, which has no room: {move.reason}")
        return False
    if move.standing != standing:
        after = {"moved_at": max(0.0, move.standing.moved_at), "quiet_since": move.standing.quiet_since}
        client.hset(PROMOTION_KEY, name, orjson.dumps(after).decode())
    if move.standing.tier is standing.tier:
        return False
    return _move(subject, seen, move)


def _move(subject: Adapter | Department, seen: _Seen, move: Move) -> bool:
    is_promotion = move.standing.tier is Tier.STANDARD
    at = datetime.fromtimestamp(move.standing.moved_at, UTC) if is_promotion else None
    # Conditional, since another worker may decide at the same moment.
    rows = type(subject)._default_manager.filter(pk=subject.pk, promoted_at__isnull=is_promotion)
    if not rows.update(promoted_at=at):
        return False
    if not is_promotion:
        _tell(subject, "demoted", f"moves back to llama.cpp: {move.reason}")
        return True
    _tell(subject, "promoted", f"moves to vLLM: {move.reason}")
    for deployment in _sleeping(seen.base_models).select_related("base_model"):
        deployment_wake(deployment, f"{_called(subject)} moves to vLLM")
    return True


def _tell(subject: Adapter | Department, what: str, clause: str) -> None:
    sentence = f"{_called(subject)} {clause}."
    if isinstance(subject, Adapter):
        event_record(kind=f"adapter.{what}", sentence=sentence, adapter=subject, is_problem=what == "waits")
    else:
        event_record(kind=f"department.{what}", sentence=sentence, department=subject, is_problem=what == "waits")


def _called(subject: Adapter | Department) -> str:
    return str(subject) if isinstance(subject, Adapter) else f"{subject}'s traffic to base models"
