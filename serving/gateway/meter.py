"""Emits one usage record per request into a Redis stream, without a request ever waiting for it.

Records wait in this process for a moment, then go to Redis in batches. While Redis is away they wait on, up to a
bound; beyond it, and when the process ends, they go to the spool, and from there to Redis once it is back. A record
may arrive twice; its `request_id` says so to the consumer.
"""

import asyncio
import contextlib
import time
from collections import deque
from itertools import islice

import orjson
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from serving.gateway.call import Call
from serving.gateway.metrics import USAGE_SPOOLED, USAGE_WAITING
from serving.gateway.spool import Spool

log = structlog.get_logger(__name__)

STREAM = "polygraft:usage"
# One call for a whole batch: a pipeline of XADDs costs this process ten times as much. The stream is never trimmed
# here; the consumer deletes what it has stored.
_APPEND = "for _, record in ipairs(ARGV) do redis.call('XADD', KEYS[1], '*', 'record', record) end"
_BATCH = 500
_GATHER_SECONDS = 0.02
_RETRY_SECONDS = 1.0
_REPLAY_SECONDS = 30.0
_SEND_SECONDS = 5.0
# gunicorn gives cancelled tasks one second when it is stopped in a hurry.
_FAREWELL_SECONDS = 0.5
MAX_WAITING = 10_000


class Meter:
    """The queue of records and the task that empties it."""

    def __init__(self, client: redis.asyncio.Redis, spool: Spool) -> None:
        self._client = client
        self._spool = spool
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._next_replay = 0.0
        self._closed = False

    def record(self, call: Call) -> None:
        """Put a call that has ended on its department's account."""
        if self._closed:
            # A request that a server cut off after it had said goodbye.
            self._write([_record(call)])
        else:
            self._waiting.append(_record(call))
            self._arrived.set()

    async def run(self) -> None:
        """Move records to Redis until cancelled."""
        while True:
            if not await self._empty():
                self._next_replay = 0.0
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if time.monotonic() >= self._next_replay:
                await self._replay()
                self._next_replay = time.monotonic() + _REPLAY_SECONDS
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPLAY_SECONDS):
                    await self._arrived.wait()
            await asyncio.sleep(_GATHER_SECONDS)

    async def farewell(self) -> None:
        """Move what is left, to Redis if it answers at once, to disk otherwise; what comes later goes to disk."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self._empty()
        self._closed = True
        if self._waiting:
            self._write(list(self._waiting))
            self._waiting.clear()

    async def _empty(self) -> bool:
        """Send everything that waits; returns whether Redis took it."""
        while self._waiting:
            batch = list(islice(self._waiting, _BATCH))
            try:
                await self._send(batch)
            except (RedisError, OSError) as error:
                USAGE_WAITING.set(len(self._waiting))
                if len(self._waiting) > MAX_WAITING:
                    log.warning("usage.spooled", records=len(self._waiting), reason=str(error))
                    records = list(self._waiting)
                    # On a thread, since a disk can be slow. What it does not take stays here.
                    if await asyncio.to_thread(self._write, records):
                        self._forget(len(records))
                return False
            self._forget(len(batch))
        USAGE_WAITING.set(0)
        return True

    async def _replay(self) -> None:
        """Bring back what lies on disk, from this process or another."""
        try:
            while True:
                with self._spool.claim() as records:
                    if records is None:
                        return
                    for start in range(0, len(records), _BATCH):
                        await self._send(records[start : start + _BATCH])
                    log.info("usage.replayed", records=len(records))
        except (RedisError, OSError) as error:
            log.warning("usage.replay_failed", reason=str(error))

    async def _send(self, records: list[bytes]) -> None:
        async with asyncio.timeout(_SEND_SECONDS):
            await self._client.eval(_APPEND, 1, STREAM, *records)

    def _write(self, records: list[bytes]) -> bool:
        """Put records on disk; returns whether they are there."""
        try:
            self._spool.write(records)
        except OSError:
            log.exception("usage.spool_failed", records=len(records))
            return False
        USAGE_SPOOLED.inc(len(records))
        return True

    def _forget(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()


def _record(call: Call) -> bytes:
    """The fields of `serving.models.UsageRecord`, with ids for relations and `at` in Unix seconds."""
    grant, target, engine = call.grant, call.target, call.engine
    assert grant is not None  # noqa: S101  # for the type checker: only authenticated requests are recorded
    # What a caller made up may hold characters that a database refuses, and a whole batch with them.
    asked = call.model if call.model.isprintable() else ""
    return orjson.dumps(
        {
            "request_id": call.id,
            "at": call.arrived_at,
            "department_id": grant.department_id,
            "key_id": grant.key_id,
            "user_id": grant.user_id,
            "endpoint": call.endpoint,
            "model": target.name if target is not None else asked,
            "base_model_id": target.base_model_id if target is not None else None,
            "adapter_version_id": target.adapter_version_id if target is not None else None,
            "engine_kind": engine.kind if engine is not None else "",
            "engine_id": engine.id if engine is not None else None,
            "outcome": call.outcome,
            "status": call.status,
            "streamed": call.streamed,
            "prompt_tokens": call.prompt_tokens,
            "cached_tokens": call.cached_tokens,
            "completion_tokens": call.completion_tokens,
            "first_token_ms": call.first_token_ms,
            "duration_ms": call.duration * 1000,
        }
    )
