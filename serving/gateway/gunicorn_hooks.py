"""Gunicorn's hooks (`--config python:serving.gateway.gunicorn_hooks`): workers run without halts and end in good order.

The master kills its workers as soon as the graceful timeout is over, and a worker waits just as long for its
connections before it tells the application to end: with one stream open, the application would never hear of it.
"""

import gc
import os
from typing import Any

from gunicorn.workers import gasgi
from prometheus_client.multiprocess import mark_process_dead

from polygraft.patience import PatientProtocol
from serving.gateway.callers.door import Door, suits
from serving.gateway.callers.idle import Connections

# Until a worker notices that it should end, until its listeners are closed, and until usage records are safe.
_SETTLING_SECONDS = 3
_BEAT_SECONDS = 1.0
_COLLECT_AT_OBJECTS = 20_000


def post_fork(server: Any, worker: Any) -> None:
    """Let this worker cut its connections off before the master cuts it off."""
    worker.cfg.set("graceful_timeout", max(worker.cfg.graceful_timeout - _SETTLING_SECONDS, 0))


def post_worker_init(worker: Any) -> None:
    """Open the door, and spare the collector what start-up has made: it would halt every stream for 50 ms."""
    # Only now is Django set up.
    from serving.gateway.app import gateway

    # The worker finds its protocol under this name, and has no setting for it.
    gasgi.ASGIProtocol = PatientProtocol
    if suits(worker):
        connections = Connections(worker)
        gasgi.ASGIProtocol = lambda worker: Door(worker, connections, gateway.answer)
    _beat(worker)
    gc.collect()
    gc.freeze()
    # With some hundred requests under way the usual 700 objects are there every few milliseconds, and none is garbage.
    gc.set_threshold(_COLLECT_AT_OBJECTS, 20, 20)


def _beat(worker: Any) -> None:
    # A worker that finishes its streams does not tell the master that it is alive, and would be killed as hung.
    worker.notify()
    worker.loop.call_later(_BEAT_SECONDS, _beat, worker)


def child_exit(server: Any, worker: Any) -> None:
    """Take what the worker had under way out of the metrics."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # the package leaves it untyped
