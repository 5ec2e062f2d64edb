"""The platform that the benchmark of the control plane drives: database, nodes with fake engines, gateways."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

REPOSITORY = Path(__file__).resolve().parent.parent
BASE = "base"
_START_SECONDS = 60.0


def make_platform(folder: Path) -> tuple[Any, str]:
    """An empty platform with a base model, a department and its key; returns the department and the key."""
    import django

    django.setup()
    from django.core.management import call_command

    from serving.models import BaseModel
    from tenants.departments import department_create
    from tenants.keys import key_create

    call_command("migrate", verbosity=0)
    department = department_create(slug="support", name="Support", by=None)
    _, secret = key_create(department=department, name="bench", by=None)
    weights = folder / "weights.gguf"
    weights.touch()
    BaseModel.objects.create(name=BASE, gguf_path=str(weights))
    return department, secret


def make_adapters(department: Any, count: int) -> list[str]:
    """So many ready adapters of a department, each rolled out; returns their names."""
    from polygraft.live import Change, announce
    from serving.models import Adapter, AdapterVersion, BaseModel, Rollout

    base = BaseModel.objects.get(name=BASE)
    names = [f"bot-{number}" for number in range(count)]
    adapters = Adapter.objects.bulk_create(Adapter(department=department, name=name, base_model=base) for name in names)
    AdapterVersion.objects.bulk_create(
        AdapterVersion(adapter=adapter, number=1, state="ready", digest=f"{number:064x}")
        for number, adapter in enumerate(adapters)
    )
    Rollout.objects.bulk_create(Rollout(adapter=adapter, weights={"1": 100}) for adapter in adapters)
    announce(Change.MODELS, Change.WORK)
    return names


def deploy(replicas: int, **fields: Any) -> Any:
    """A deployment of the base model."""
    from polygraft.live import Change, announce
    from serving.models import BaseModel, Deployment

    deployment = Deployment.objects.create(
        base_model=BaseModel.objects.get(name=BASE), engine_kind="llamacpp", replicas=replicas, **fields
    )
    announce(Change.MODELS, Change.WORK)
    return deployment


@contextlib.contextmanager
def node(folder: Path, name: str, *, beat: bool = False, engine: tuple[str, ...] = ()) -> Iterator["Process"]:
    """A node in a process group of its own; `engine` are arguments of its fake engines."""
    command = [sys.executable, str(REPOSITORY / "bench" / "control_node.py"), name]
    command += [*(["--beat"] if beat else []), "--", *engine]
    environment = {
        # Its own folder, as on a machine of its own; the database is everybody's.
        "POLYGRAFT_HOME": str(folder / name),
        "DATABASE_URL": f"sqlite:///{folder / 'home' / 'polygraft.sqlite3'}",
        # Its engines end with it, so that none is left behind.
        "POLYGRAFT_TETHER_ENGINES": "true",
    }
    with _process(command, folder / f"{name}.log", environment) as process:
        yield process


@contextlib.contextmanager
def gateway(folder: Path, *, workers: int = 2) -> Iterator[str]:
    """The gateway on gunicorn, as in production; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "gunicorn", "polygraft.asgi:application", "--workers", str(workers)),
        *("--worker-class", "asgi", "--config", "python:serving.gateway.gunicorn_hooks"),
        *("--bind", f"127.0.0.1:{port}", "--no-control-socket", "--graceful-timeout", "5"),
    ]
    metrics = folder / f"metrics-{port}"
    metrics.mkdir()
    with _process(command, folder / "gateway.log", {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}):
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(url), "the gateway answers")
        yield url


class Process:
    """A process and all that it started."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self._popen = popen

    def kill(self) -> None:
        """As the power goes: at once, with everything."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def stop(self) -> None:
        """In good order, within 20 seconds, or by force."""
        self._popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=20)
        self.kill()


def wait_for(condition: Callable[[], object], what: str, *, seconds: float = _START_SECONDS) -> float:
    """Wait until something is so; returns when it was, as a reading of `time.monotonic`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"Waited in vain for {seconds:.0f} s: {what}.")
        time.sleep(0.01)
    return time.monotonic()


def ready_engines() -> list[Any]:
    """The engines that gateways may ask, as the registry has them."""
    from polygraft.live import redis_client
    from serving.fleet.registry import living_engines

    return [entry for entry in living_engines(redis_client()) if entry.state == "ready"]


def engine_pid(engine_id: str) -> int:
    """The process that the node's supervisor started for an engine."""
    from serving.models import Engine

    pid = Engine.objects.values_list("pid", flat=True).get(pk=engine_id)
    return int(pid or 0)


def kill_engine(engine_id: str) -> None:
    """kill -9 for an engine's process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(engine_pid(engine_id), signal.SIGKILL)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=1, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@contextlib.contextmanager
def _process(command: list[str], log_path: Path, environment: dict[str, str]) -> Iterator[Process]:
    paths = f"{REPOSITORY}:{REPOSITORY / 'platform'}:{REPOSITORY / 'tests'}"
    with log_path.open("ab") as log:
        popen = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": paths, **environment},
            start_new_session=True,
        )
    process = Process(popen)
    try:
        yield process
    finally:
        process.stop()
