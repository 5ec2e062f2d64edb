"""Writes down what the platform decides and notices, for people to read."""

import uuid
from datetime import timedelta

import orjson
import structlog
from django.db.models import F
from django.utils import timezone

from polygraft.live import redis_client
from serving.event_notes import EVENT_NOTES_KEY, EventNote
from serving.models import Adapter, BaseModel, Deployment, Engine, Node, PlatformEvent
from tenants.models import Department

# A sentence that is said again within this time of its last repetition is the same event, going on.
_GOES_ON = timedelta(minutes=10)
_KEPT = timedelta(days=90)
_NOTES_PER_RUN = 500

log = structlog.get_logger()


def event_record(
    *,
    kind: str,
    sentence: str,
    is_problem: bool = False,
    base_model: BaseModel | None = None,
    deployment: Deployment | None = None,
    engine: Engine | None = None,
    node: Node | None = None,
    department: Department | None = None,
    adapter: Adapter | None = None,
) -> None:
    """Record an event; the same sentence about the same subject, said again, only counts up.

    What a subject belongs to is filled in: an engine's deployment and node, a deployment's base model, an adapter's
    department and base model.

    Args:
        kind: `<object>.<what happened>`, such as "engine.failed" or "replica.waits".
        sentence: what happened and why, for a person: "Replica 2 waits: it needs 18 GiB, the best node has 12."
        is_problem: whether somebody should look at it.
    """
    if engine is not None:
        deployment, node = deployment or engine.deployment, node or engine.node
    if deployment is not None:
        base_model = base_model or deployment.base_model
    if adapter is not None:
        department, base_model = department or adapter.department, base_model or adapter.base_model
    now = timezone.now()
    subject = {
        "kind": kind,
        "sentence": sentence,
        "base_model": base_model,
        "deployment": deployment,
        "engine": engine,
        "node": node,
        "department": department,
        "adapter": adapter,
    }
    said = (
        PlatformEvent.objects.filter(**subject, last_at__gt=now - _GOES_ON)
        .order_by("-last_at")
        .values_list("pk", flat=True)[:1]
    )
    if not PlatformEvent.objects.filter(pk__in=list(said)).update(times=F("times") + 1, last_at=now):
        PlatformEvent.objects.create(**subject, is_problem=is_problem, at=now, last_at=now)
        (log.warning if is_problem else log.info)(kind, sentence=sentence)


def events_take_in() -> int:
    """Record what processes without the database have noted, and forget what is older than anybody asks for.

    Returns:
        How many notes were taken.
    """
    notes: list[bytes] = redis_client().lpop(EVENT_NOTES_KEY, _NOTES_PER_RUN) or []  # type: ignore[assignment]  # blocking client
    for raw in notes:
        try:
            _take_in(EventNote(**orjson.loads(raw)))
        except (TypeError, ValueError):
            log.exception("an event's note is unreadable", note=raw)
    return len(notes)


def events_forget() -> None:
    """Delete the events that are older than 90 days."""
    PlatformEvent.objects.filter(last_at__lt=timezone.now() - _KEPT).delete()


def _take_in(note: EventNote) -> None:
    event_record(
        kind=note.kind,
        sentence=note.sentence,
        is_problem=note.is_problem,
        engine=_engine(note.engine_id),
        base_model=BaseModel.objects.filter(pk=note.base_model_id or 0).first(),
        department=Department.objects.filter(pk=note.department_id or 0).first(),
    )


def _engine(engine_id: str) -> Engine | None:
    if not engine_id:
        return None
    return Engine.objects.select_related("deployment__base_model", "node").filter(pk=uuid.UUID(engine_id)).first()
