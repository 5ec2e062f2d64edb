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

# Until a worker notices that it should end, until its listeners are closed, and until usage records are safe.
_SETTLING_SECONDS = 3


def post_fork(server: Any, worker: Any) -> None:
    """Let this worker cut its connections off before the master cuts it off."""
    worker.cfg.set("graceful_timeout", max(worker.cfg.graceful_timeout - _SETTLING_SECONDS, 0))


def post_worker_init(worker: Any) -> None:
    """End the patience with slow clients; spare the collector what start-up has made, or it would halt every stream."""
    # The worker finds its protocol under this name, and has no setting for it.
    gasgi.ASGIProtocol = PatientProtocol
    gc.collect()
    gc.freeze()


def child_exit(server: Any, worker: Any) -> None:
    """Take what the worker had under way out of the metrics."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # the package leaves it untyped
