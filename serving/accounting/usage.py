"""Moves usage events from the Redis stream into the database, in bulk and never twice."""

import os
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import redis
import structlog
from django.db import DataError, IntegrityError, transaction

from polygraft.conf import config
from polygraft.live import redis_client
from serving.accounting.prices import Prices, cost_of
from serving.accounting.version_minutes import minutes_add
from serving.models import AdapterVersion, BaseModel, UsageRecord
from tenants.models import APIKey, Department, User

STREAM = "polygraft:usage"
GROUP = "database"
BATCH = 500
# A batch whose worker died before it acknowledged is taken over by another after so long.
_ABANDONED_MS = 60_000
_RUN_SECONDS = 20.0
_FIELDS = frozenset(field.attname for field in UsageRecord._meta.concrete_fields) - {"id"}
_LONGEST_MODEL = UsageRecord._meta.get_field("model").max_length

log = structlog.get_logger()


def usage_store() -> int:
    """Store what has arrived, batch after batch, for a bounded time.

    Returns:
        The number of events taken from the stream. Several processes may run this at once.
    """
    client = redis_client()
    try:
        client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    consumer = f"{config().node_name}-{os.getpid()}"
    stored = 0
    deadline = time.monotonic() + _RUN_SECONDS
    while time.monotonic() < deadline and (entries := _next_batch(client, consumer)):
        _store(entries)
        ids = [entry_id for entry_id, _ in entries]
        client.xack(STREAM, GROUP, *ids)
        client.xdel(STREAM, *ids)
        stored += len(entries)
    return stored


def _next_batch(client: redis.Redis, consumer: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    claimed: Any = client.xautoclaim(STREAM, GROUP, consumer, min_idle_time=_ABANDONED_MS, count=BATCH)
    if claimed[1]:
        return [entry for entry in claimed[1] if entry[1]]
    answer: Any = client.xreadgroup(GROUP, consumer, {STREAM: ">"}, count=BATCH)
    if not answer:
        return []
    streams = answer.values() if isinstance(answer, dict) else [entries for _, entries in answer]
    return [entry for entries in streams for entry in (entries[0] if isinstance(entries[0], list) else entries)]


def _store(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
    events = []
    for entry_id, fields in entries:
        try:
            events.append(_read(fields[b"record"]))
        except (KeyError, TypeError, ValueError, ArithmeticError):
            log.error("usage.unreadable", entry=entry_id.decode())
    _forget_deleted(events)
    records = [UsageRecord(**event) for event in events]
    try:
        _create(records)
    except (DataError, IntegrityError):
        # One that the database refuses, for whatever reason, must not keep the others from it for ever.
        for record in records:
            try:
                _create([record])
            except (DataError, IntegrityError):
                log.exception("usage.refused", request_id=record.request_id)


def _create(records: list[UsageRecord]) -> None:
    with transaction.atomic():
        # The same request id again is the same event again.
        new = {record.request_id: record for record in records}
        for known in UsageRecord.objects.filter(request_id__in=list(new)).values_list("request_id", flat=True):
            del new[known]
        UsageRecord.objects.bulk_create(records, ignore_conflicts=True)
        minutes_add(new.values())


def _read(record: bytes) -> dict[str, Any]:
    event = orjson.loads(record)
    # Gateways may be newer than this worker, and say more.
    known = {name: value for name, value in event.items() if name in _FIELDS}
    # A refused request's model is whatever its caller wrote.
    known["model"] = event["model"].replace("\0", "")[:_LONGEST_MODEL]
    known["cost"] = cost_of(
        Prices(*map(Decimal, event.get("prices", ()))),
        prompt_tokens=event.get("prompt_tokens", 0),
        cached_tokens=event.get("cached_tokens", 0),
        completion_tokens=event.get("completion_tokens", 0),
    )
    known["at"] = datetime.fromtimestamp(event["at"], UTC)
    return known


def _forget_deleted(events: list[dict[str, Any]]) -> None:
    """Drop references to rows that were deleted since, which the database would refuse."""
    for field, model in (
        ("key_id", APIKey),
        ("user_id", User),
        ("base_model_id", BaseModel),
        ("adapter_version_id", AdapterVersion),
    ):
        named = {event[field] for event in events if event.get(field) is not None}
        living = set(model.objects.filter(pk__in=named).values_list("pk", flat=True))
        for event in events:
            if event.get(field) not in living:
                event[field] = None
    departments = set(
        Department.objects.filter(pk__in={event["department_id"] for event in events}).values_list("pk", flat=True)
    )
    events[:] = [event for event in events if event["department_id"] in departments]
