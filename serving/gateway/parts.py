"""The gateway's parts in one process, and the tasks that keep them fresh."""

import asyncio

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from polygraft.conf import config
from polygraft.live import Change, async_redis_client
from serving.gateway.access_log import AccessLog
from serving.gateway.auth import Authentication
from serving.gateway.catalogue import Catalogue
from serving.gateway.fleet import Fleet
from serving.gateway.meter import Meter
from serving.gateway.relay import Relay
from serving.gateway.spool import Spool
from serving.gateway.upstream import Pool
from serving.gateway.watch import Listener, watch


class Parts:
    """Everything that requests share. Made, started and stopped in one event loop."""

    def __init__(self) -> None:
        conf = config()
        self.max_request_bytes = conf.max_request_bytes
        self.authentication = Authentication()
        self.catalogue = Catalogue()
        self.access_log = AccessLog(conf.log_format)
        self.writes_access_log = conf.log_level in ("DEBUG", "INFO")
        self._redis = _redis_client()
        self.fleet = Fleet(self._redis)
        self.meter = Meter(self._redis, Spool(conf.home / "spool"))
        self._pool = Pool(connect_timeout=conf.upstream_connect_timeout, idle_timeout=conf.upstream_idle_timeout)
        self.relay = Relay(self._pool, self.fleet)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Look at the engines once, and begin to keep up with changes. Works without Redis, too."""
        await self.fleet.refresh()
        listeners: dict[Change, Listener] = {
            Change.GRANTS: self.authentication,
            Change.MODELS: self.catalogue,
        }
        for work in (
            watch(self._redis, listeners, self.fleet.look_again),
            self.fleet.run(),
            self.meter.run(),
        ):
            self._tasks.append(asyncio.create_task(work))

    async def stop(self) -> None:
        """End the tasks and move the last usage records out of this process."""
        self.meter.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.meter.farewell()
        self.access_log.flush()
        self._pool.close()
        await self._redis.aclose()


def _redis_client() -> Redis:
    client = async_redis_client()
    # A subscription that reconnects by itself would miss announcements unnoticed, and everything else here has its own
    # way of trying again.
    client.set_retry(Retry(NoBackoff(), 0))
    return client
