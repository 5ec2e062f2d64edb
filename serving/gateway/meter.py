"""Emits one usage record per request into a Redis stream, without a request ever waiting for it.

Records wait in this process for a moment, then go to Redis in batches. While Redis is away they wait on, up to a
bound; beyond it, and when the process ends, they go to the spool, and from there to Redis once it is back. The records
of a process that was killed are in its journal, until the database has them. A record may arrive twice; its
`request_id` says so to the consumer.
"""

import asyncio
import contextlib
import time
from collections import deque
from contextlib import AbstractContextManager
from itertools import islice

import structlog
from redis.exceptions import RedisError

from serving.gateway.metering.journal import Entry, Journal
from serving.gateway.metering.spool import Spool
from serving.gateway.metering.usage_stream import BATCH, UsageStream
from serving.gateway.observing.metrics import USAGE_RECOVERED, USAGE_SPOOLED, USAGE_UNCONFIRMED, USAGE_WAITING

log = structlog.get_logger(__name__)

_GATHER_SECONDS = 0.02
_RETRY_SECONDS = 1.0
_CONFIRM_SECONDS = 2.0
_REPLAY_SECONDS = 30.0
# gunicorn gives cancelled tasks one second when it is stopped in a hurry.
_FAREWELL_SECONDS = 0.5
MAX_WAITING = 10_000


class Meter:
    """The queue of records and the task that empties it."""

    def __init__(self, stream: UsageStream, spool: Spool, journal: Journal) -> None:
        self._stream = stream
        self._spool = spool
        self._journal = journal
        self._waiting: deque[Entry] = deque()
        self._arrived = asyncio.Event()
        self._next_confirm = self._next_replay = 0.0
        self._closed = False

    def record(self, entry: Entry) -> None:
        """Put a request that has ended on its department's account."""
        self._waiting.append(entry)
        if self._closed:
            # A request that a server cut off after it had said goodbye.
            self._put_on_disk_at_once()
        else:
            self._arrived.set()

    async def run(self) -> None:
        """Move records to Redis until cancelled."""
        while True:
            # In this order: what a Redis has forgotten is found out before more is added to it.
            if not (await self._confirm() and await self._empty()):
                self._next_confirm = self._next_replay = 0.0
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if time.monotonic() >= self._next_replay:
                await self._replay()
                self._next_replay = time.monotonic() + _REPLAY_SECONDS
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CONFIRM_SECONDS):
                    await self._arrived.wait()
            await asyncio.sleep(_GATHER_SECONDS)

    async def farewell(self) -> None:
        """Move what is left, to Redis if it answers at once, to disk otherwise; what comes later goes to disk."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self._empty()
        self._closed = True
        self._put_on_disk_at_once()
        self._stream.trust()
        self._journal.close()

    async def _empty(self) -> bool:
        """Send everything that waits; returns whether Redis took it."""
        while self._waiting:
            batch = list(islice(self._waiting, BATCH))
            try:
                await self._stream.append([entry.record() for entry in batch], batch)
            except (RedisError, OSError) as error:
                USAGE_WAITING.set(len(self._waiting))
                if len(self._waiting) > MAX_WAITING:
                    log.warning("usage.spooled", records=len(self._waiting), reason=str(error))
                    await self._put_on_disk()
                return False
            for _ in batch:
                self._waiting.popleft()
        USAGE_WAITING.set(0)
        return True

    async def _confirm(self) -> bool:
        """See to it from time to time that what Redis took reaches the database; returns whether Redis answers."""
        if self._stream.doubtful and time.monotonic() >= self._next_confirm:
            try:
                await self._stream.confirm()
                USAGE_UNCONFIRMED.set(self._stream.unconfirmed)
            except (RedisError, OSError) as error:
                log.warning("usage.unconfirmed", reason=str(error))
                return False
            self._next_confirm = time.monotonic() + _CONFIRM_SECONDS
        return True

    async def _replay(self) -> None:
        """Bring back what lies on disk, from this process or another, and what killed processes have left."""
        try:
            while (count := await self._bring_back(self._journal.claim_orphan())) is not None:
                log.warning("usage.recovered", records=count)
                USAGE_RECOVERED.inc(count)
            while (count := await self._bring_back(self._spool.claim())) is not None:
                log.info("usage.replayed", records=count)
        except (RedisError, OSError) as error:
            log.warning("usage.replay_failed", reason=str(error))

    async def _bring_back(self, claim: AbstractContextManager[list[bytes] | None]) -> int | None:
        """Send the records of a file to Redis; returns their number, None when there is no file."""
        with claim as records:
            if records is None:
                return None
            for start in range(0, len(records), BATCH):
                await self._stream.append(records[start : start + BATCH])
            return len(records)

    async def _put_on_disk(self) -> None:
        """Write what waits to the spool, on a thread, since a disk can be slow. What it does not take stays here."""
        records = [entry.record() for entry in self._waiting]
        if await asyncio.to_thread(self._write, records):
            self._forget(len(records))

    def _put_on_disk_at_once(self) -> None:
        if self._waiting and self._write([entry.record() for entry in self._waiting]):
            self._forget(len(self._waiting))

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
            self._waiting.popleft().free()
