"""The worker's beat ends with the worker, even when that is killed."""

import subprocess
import sys

from deadline import wait_until
from processes import lives

WORKER_WITH_BEAT = """
import os, time
from celery.signals import beat_embedded_init
import polygraft.celery
if os.fork() == 0:
    beat_embedded_init.send(sender=None)
    print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_beat_ends_when_its_worker_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", WORKER_WITH_BEAT], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        beat = int(worker.stdout.readline())
        assert lives(beat)
        worker.kill()
        wait_until(lambda: not lives(beat) or None, what="the beat has ended")
