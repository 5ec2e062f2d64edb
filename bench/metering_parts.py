"""The processes of the benchmark of metering: Redis, engines, gateways and the consumer of usage records."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
from gateway_platform import ENGINE_MODEL

_CONSUME = """
import time, django
django.setup()
from redis.exceptions import RedisError
from serving.accounting.usage import usage_store
while True:
    try:
        usage_store()
    except RedisError as error:
        print("consumer:", error, flush=True)
    time.sleep(0.2)
"""


class Redis:
    """A Redis without memory: what it knew is gone when it is killed. Sets the environment for everything else."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise SystemExit("The benchmark needs redis-server or valkey-server on PATH.")
        self._path = folder / "redis.sock"
        self._command = [program, "--port", "0", "--unixsocket", str(self._path), "--save", "", "--dir", str(folder)]
        os.environ.update(
            POLYGRAFT_HOME=str(folder / "home"),
            REDIS_URL=f"unix://{self._path}",
            DJANGO_SETTINGS_MODULE="polygraft.settings",
            POLYGRAFT_LOG_FORMAT="json",
            POLYGRAFT_LOG_LEVEL="ERROR",
        )
        self.start()

    def start(self) -> None:
        """Start it; returns once it can be reached."""
        self._path.unlink(missing_ok=True)
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        while not self._path.exists():
            time.sleep(0.02)

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.wait()


class Engines:
    """Two engines, kept in the registry as their node's agent would, replaced when they are killed."""

    def __init__(self, base_model_id: int, ledger: Path) -> None:
        self._base_model_id = base_model_id
        self._ledger = ledger
        self._running: list[tuple[subprocess.Popen[str], str, str]] = []
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._keeper = threading.Thread(target=self._keep)

    def __enter__(self) -> "Engines":
        self._running = [self._start(), self._start()]
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._keeper.join()
        for process, _, _ in self._running:
            process.kill()
            process.wait()

    def kill_one(self) -> None:
        """Kill the older one; another is there a moment after its agent has noticed."""
        from polygraft.live import redis_client
        from serving.fleet.registry import engine_withdraw

        with self._lock:
            process, engine_id, _ = self._running.pop(0)
            process.kill()
            process.wait()
            self._running.append(self._start())
            with contextlib.suppress(Exception):  # Redis may be away just now
                engine_withdraw(redis_client(), engine_id)
        self._publish()

    def _start(self) -> tuple[subprocess.Popen[str], str, str]:
        command = [sys.executable, str(Path(__file__).with_name("counting_engine.py")), str(self._ledger)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, str(uuid.uuid4()), process.stdout.readline().strip()

    def _keep(self) -> None:
        while not self._over.wait(1):
            self._publish()

    def _publish(self) -> None:
        from redis.exceptions import RedisError

        from polygraft.live import Change, announce, redis_client
        from serving.fleet.registry import EngineEntry, engine_publish

        with self._lock, contextlib.suppress(RedisError):
            for _, engine_id, address in self._running:
                entry = EngineEntry(
                    id=engine_id,
                    node="bench",
                    kind="llamacpp",
                    base_model_id=self._base_model_id,
                    base_model="base",
                    address=address,
                    secret="",
                    state="ready",
                    resident=frozenset({ENGINE_MODEL}),
                    slots=32,
                )
                engine_publish(redis_client(), entry)
            announce(Change.ENGINES)


class Gateways:
    """Gunicorn with two gateway processes."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def __enter__(self) -> "Gateways":
        command = [sys.executable, "-m", "gunicorn", "polygraft.asgi:application", "--worker-class", "asgi"]
        command += ["--workers", "2", "--bind", f"127.0.0.1:{self.port}", "--graceful-timeout", "10"]
        command += ["--config", "python:serving.gateway.gunicorn_hooks", "--no-control-socket"]
        root = Path(__file__).resolve().parent.parent
        path = os.pathsep.join((str(root), str(root / "platform")))
        self._process = subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": path})
        while len(self._listeners()) < 2:
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)

    def kill_one(self) -> None:
        """Kill one of the two; gunicorn starts another."""
        self._listeners()[0].kill()

    def _listeners(self) -> list[psutil.Process]:
        """The workers that have joined the announcements: those serve."""
        from polygraft.live import redis_client

        if redis_client().pubsub_numsub("polygraft:changes")[0][1] < 2:
            return []
        return psutil.Process(self._process.pid).children()


@contextlib.contextmanager
def consumer() -> Iterator[None]:
    """What Celery's beat asks a worker for every two seconds, more often."""
    root = Path(__file__).resolve().parent.parent
    path = os.pathsep.join((str(root), str(root / "platform")))
    process = subprocess.Popen([sys.executable, "-c", _CONSUME], env={**os.environ, "PYTHONPATH": path})
    try:
        yield
    finally:
        process.terminate()
        process.wait()
