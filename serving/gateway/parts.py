"""The gateway's parts in one process, and the tasks that keep them fresh."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from polygraft.conf import config
from polygraft.live import Change, async_redis_client
from serving.gateway.auth import Authentication
from serving.gateway.catalogue import Catalogue
from serving.gateway.dispatch import Dispatch
from serving.gateway.engines.breaker import Breakers, works
from serving.gateway.engines.fleet import Fleet
from serving.gateway.engines.pool import Pool
from serving.gateway.fairness import Fairness
from serving.gateway.feedback import FeedbackDesk
from serving.gateway.limiting.leases import Leases
from serving.gateway.limits import Limiter
from serving.gateway.meter import Meter
from serving.gateway.metering.accounts import Accounts
from serving.gateway.metering.journal import Journal
from serving.gateway.metering.spool import Spool
from serving.gateway.metering.usage_stream import UsageStream
from serving.gateway.observing.access_log import AccessLog
from serving.gateway.observing.tracing import Tracing
from serving.gateway.policy import Policy
from serving.gateway.watch import Listener, watch

log = structlog.get_logger(__name__)


class Parts:
    """Everything that requests share. Made, started and stopped in one event loop."""

    def __init__(self) -> None:
        conf = config()
        self.max_request_bytes = conf.max_request_bytes
        self.policy = Policy(
            max_output_tokens=conf.max_output_tokens,
            max_text_chars=conf.max_text_chars,
            media_hosts=conf.media_hosts,
        )
        self.authentication = Authentication()
        self.catalogue = Catalogue()
        self.feedback = FeedbackDesk()
        self._redis = _redis_client()
        self._pool = Pool(
            connect_timeout=conf.upstream_connect_timeout,
            first_byte_timeout=conf.upstream_first_byte_timeout,
            idle_timeout=conf.upstream_idle_timeout,
        )
        self._breakers = Breakers(lambda engine: works(self._pool, engine))
        self.fleet = Fleet(self._redis, self._breakers)
        journal = Journal(conf.home / "spool")
        self._meter = Meter(UsageStream(self._redis), Spool(conf.home / "spool"), journal)
        self.tracing = Tracing(conf.otel_endpoint, conf.trace_share)
        self.accounts = Accounts(journal, self._meter, AccessLog(conf.log_format, conf.log_level), self.tracing)
        self.fairness = Fairness(
            self._redis,
            self.fleet,
            processes=conf.web_workers,
            length=conf.queue_length,
            seconds=conf.queue_timeout,
            batch_seconds=conf.batch_queue_timeout,
        )
        self.dispatch = Dispatch(
            self._pool, self.fleet, self.fairness, self._redis, wait_seconds=conf.engine_wait_timeout
        )
        self._leases = Leases(self._redis, processes=conf.web_workers)
        self.limiter = Limiter(
            self._leases,
            window_seconds=conf.limit_window_seconds,
            completion_tokens=conf.completion_estimate,
        )
        self._life: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look at the engines once, and begin to keep up with changes. Works without Redis, too."""
        await self.fleet.refresh()
        self._life = asyncio.create_task(self._live())

    async def stop(self) -> None:
        """End the tasks and move the last usage records out of this process."""
        if self._life is not None:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)

    async def _live(self) -> None:
        listeners: dict[Change, Listener] = {
            Change.GRANTS: self.authentication,
            Change.MODELS: self.catalogue,
            Change.ENGINES: self.fleet,
        }
        works = (
            lambda: watch(self._redis, listeners),
            self.fleet.run,
            self._breakers.run,
            self._meter.run,
            self._leases.run,
            self.fairness.run,
        )
        tasks = {asyncio.create_task(_keep(work)) for work in works}
        try:
            await asyncio.wait(tasks)
        finally:
            # Here and not in `stop`: a server that is stopped in a hurry only cancels what runs.
            await _end(tasks)
            self.accounts.close()
            await self._meter.farewell()
            await self.fairness.farewell()
            self.tracing.close()
            self._pool.close()
            await self._redis.aclose()


async def _keep(work: Callable[[], Awaitable[None]]) -> None:
    """Run work that should never end; after a defect, again."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("background.failed")
        await asyncio.sleep(1)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks for as long as it takes: `wait_for` of Python 3.11, which redis-py uses, can swallow it."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=0.1)


def _redis_client() -> Redis:
    client = async_redis_client()
    # A subscription that reconnects by itself would miss announcements unnoticed, and everything else here has its own
    # way of trying again.
    client.set_retry(Retry(NoBackoff(), 0))
    return client
