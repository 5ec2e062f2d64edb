"""The node agent: a thread in the Celery worker's main process that runs the supervisor."""

import contextlib
import threading
from typing import Any

import redis
import structlog
from celery import bootsteps
from celery.worker import WorkController
from django.db import close_old_connections, connections

from polygraft.conf import config
from polygraft.live import Change, announce, changes, redis_client
from serving.background import reconciliation_request
from serving.engines.announcements import NodeTaken, node_announce
from serving.engines.node_lock import NodeLock
from serving.engines.supervisor import Supervisor

_TICK_SECONDS = 1.0
_STOP_SECONDS = 8.0
_TAKEN_SECONDS = 5.0

log = structlog.get_logger()


class NodeAgent(bootsteps.StartStopStep):
    """Celery bootstep: the agent lives as long as the worker does."""

    # After the pool: its processes are forked before the agent opens connections or starts threads.
    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: WorkController, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = NodeLock(config().home / "node" / "lock")

    def start(self, parent: WorkController) -> None:
        """Begin supervising, unless another worker of this node still does; then as soon as that has ended."""
        if self._lock.take():
            # Before this worker takes tasks: one of them may look for nodes that are lost.
            with contextlib.suppress(redis.RedisError, NodeTaken):
                node_announce(redis_client())
        self._thread = threading.Thread(target=self._run, name="node-agent", daemon=True)
        self._thread.start()

    def stop(self, parent: WorkController) -> None:
        """End the thread; with it end the engines that are tethered."""
        self._stopping.set()
        announce(Change.WORK)  # wakes the thread
        if self._thread is not None:
            self._thread.join(timeout=_STOP_SECONDS + 4)

    # A worker that loses its broker and reconnects closes and restarts only its consumer; the agent goes on.
    terminate = stop

    def _run(self) -> None:
        supervisor: Supervisor | None = None
        while not self._stopping.is_set():
            try:
                if not self._lock.take():
                    log.info("another worker of this node owns its engines; this one waits")
                    self._stopping.wait(_TICK_SECONDS)
                    continue
                if supervisor is None:
                    supervisor = Supervisor(config().node_name, redis_client())
                    supervisor.tick()  # the node is alive, so that the reconciler may place engines here
                    reconciliation_request()
                for seen in changes(poll_seconds=_TICK_SECONDS):
                    if self._stopping.is_set():
                        break
                    if Change.WANTED in seen:
                        reconciliation_request()
                    close_old_connections()
                    supervisor.tick()
            except NodeTaken as error:
                log.error("node agent waits", reason=str(error))
                self._stopping.wait(_TAKEN_SECONDS)
            except Exception:  # an agent that dies would leave its engines alone
                log.exception("node agent stumbled and goes on")
                with contextlib.suppress(redis.RedisError):
                    if supervisor is not None:
                        supervisor.beat()
                self._stopping.wait(_TICK_SECONDS)
        if supervisor is not None:
            supervisor.stop(_STOP_SECONDS)
        self._lock.release()
        connections.close_all()
