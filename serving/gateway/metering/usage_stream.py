"""The Redis stream of usage records, as its writer sees it: what was appended is kept until the database has it.

A Redis that comes back without its memory has lost what lay in the stream. It is written once more; the consumer
knows records by their `request_id` and ignores those that it has.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import redis.asyncio
import structlog

from serving.gateway.metering.journal import Entry

log = structlog.get_logger(__name__)

STREAM = "polygraft:usage"
# One call for a whole batch, and one argument, which is taken apart there: a pipeline of XADDs costs this process ten
# times as much. The stream is never trimmed here; the consumer deletes what it has stored.
_APPEND = """
local id
for record in string.gmatch(ARGV[1], '[^\\n]+') do id = redis.call('XADD', KEYS[1], '*', 'record', record) end
return id
"""
BATCH = 500
_SEND_SECONDS = 5.0
# Beyond it, the oldest are trusted to Redis alone: the database or its consumer has been away for long.
_MAX_KEPT = 20_000


class Batch(NamedTuple):
    """Records that were appended together: the id of the last one, and the journal's entries that they are from."""

    last: tuple[int, int]
    records: Sequence[bytes]
    entries: Sequence[Entry]


class UsageStream:
    """The stream, and the records that lie in it as far as is known, oldest first."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._kept: deque[Batch] = deque()
        self._count = 0
        self._run_id: str | None = None

    async def append(self, records: Sequence[bytes], entries: Sequence[Entry] = ()) -> None:
        """Append a batch of records, none of which has a line break.

        The journal's entries that they are from are freed once the database has them: should this process be killed,
        and Redis lose its memory then, another process still finds them there.

        Raises:
            RedisError, OSError: Redis has not taken it, or has and could not say so.
        """
        async with asyncio.timeout(_SEND_SECONDS):
            last: Any = await self._client.eval(_APPEND, 1, STREAM, b"\n".join(records))
        self._kept.append(Batch(_id(last), records, entries))
        self._count += len(records)
        while self._count > _MAX_KEPT:
            self._forget_oldest()

    async def confirm(self) -> None:
        """Forget what has reached the database; append again what a restarted Redis may have lost.

        Raises:
            RedisError, OSError: Redis is away.
        """
        async with asyncio.timeout(_SEND_SECONDS), self._client.pipeline(transaction=False) as pipeline:
            pipeline.info("server")
            pipeline.xrange(STREAM, count=1)
            server, entries = await pipeline.execute()
        run_id: str = server["run_id"]
        if self._run_id not in (None, run_id):
            kept, self._kept, self._count = self._kept, deque(), 0
            log.warning("usage.appended_again", records=_count(kept))
            while kept:
                try:
                    await self.append(kept[0].records, kept[0].entries)
                except BaseException:
                    self._kept.extend(kept)
                    self._count = _count(self._kept)
                    raise
                kept.popleft()
        else:
            # The consumer deletes entries once they are stored: what is older than the first one is safe.
            first = _id(entries[0][0]) if entries else None
            while self._kept and (first is None or self._kept[0].last < first):
                self._forget_oldest()
        self._run_id = run_id

    def trust(self) -> None:
        """Leave to Redis alone what lies in it: this process ends."""
        while self._kept:
            self._forget_oldest()

    @property
    def doubtful(self) -> bool:
        """Whether `confirm` has anything to find out."""
        return self._run_id is None or bool(self._kept)

    @property
    def unconfirmed(self) -> int:
        """The number of records that may not be in the database yet."""
        return self._count

    def _forget_oldest(self) -> None:
        batch = self._kept.popleft()
        self._count -= len(batch.records)
        for entry in batch.entries:
            entry.free()


def _count(batches: Iterable[Batch]) -> int:
    return sum(len(batch.records) for batch in batches)


def _id(text: bytes) -> tuple[int, int]:
    milliseconds, _, number = text.partition(b"-")
    return int(milliseconds), int(number)
