"""What every test run has: a state folder and a Redis of its own, set up before Django reads its settings."""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper as Settings

    from cast import Cast


def _private_redis(folder: Path) -> str:
    """Start a Redis on a Unix socket in `folder` and return its URL; it ends with this process."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise RuntimeError("The tests need redis-server or valkey-server on PATH.")
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
os.environ.pop("DATABASE_URL", None)
os.environ["REDIS_URL"] = _private_redis(Path(_home.name))


@pytest.fixture
def cast(db: None, tmp_path: Path) -> "Cast":
    """Everybody, see `cast.Cast`."""
    from cast import make_cast

    return make_cast(tmp_path)


@pytest.fixture(autouse=True)
def _fast_passwords(settings: "Settings") -> None:
    """Hashing slowly is for attackers, not for tests."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _tasks_stay_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests enqueue into a list that nobody works off; end-to-end tests have a real worker of their own."""
    from polygraft.celery import app

    monkeypatch.setattr(app.conf, "broker_url", "memory://")
