"""A pytest plugin that gives a run its own state folder and Redis, before pytest-django reads the settings."""

import atexit
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from polygraft.local.own_redis import redis_program

if TYPE_CHECKING:
    pass


def _private_redis(folder: Path) -> str:
    """Start a Redis on a Unix socket in `folder` and return its URL; it ends with this process."""
    program = redis_program()
    if program is None:
        raise RuntimeError("The tests need redis-server or valkey-server 6.2 or newer; `make setup` brings one.")
    socket = folder / "redis.sock"
    server = subprocess.Popen(
        [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    atexit.register(server.wait)
    atexit.register(server.send_signal, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while not socket.exists():
        if time.monotonic() > deadline or server.poll() is not None:
            raise RuntimeError("The tests' Redis did not start.")
        time.sleep(0.02)
    return f"unix://{socket}"


_home = tempfile.TemporaryDirectory(prefix="polygraft-tests-")
atexit.register(_home.cleanup)
os.environ["POLYGRAFT_HOME"] = _home.name
os.environ["POLYGRAFT_SECRET_KEY"] = "only-for-tests"
# SQLite, unless a test of another database runs pytest once more.
os.environ["DATABASE_URL"] = os.environ.get("POLYGRAFT_TESTS_DATABASE_URL", "")
os.environ["REDIS_URL"] = _private_redis(Path(_home.name))
