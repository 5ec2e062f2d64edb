"""The platform that the gateway serves in the benchmark: a private Redis, a department with an adapter and a key."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

MODEL = "support-bot"
_DIGEST = "ab" * 32
ENGINE_MODEL = f"lora-{_DIGEST}"
PLENTY = {"requests_per_minute": 10**9, "tokens_per_minute": 10**12}


@contextlib.contextmanager
def private_redis(folder: Path) -> Iterator[None]:
    """A Redis of this run's own; sets the environment for everything that follows."""
    path = folder / "redis.sock"
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise SystemExit("The benchmark needs redis-server or valkey-server on PATH.")
    server = subprocess.Popen(
        [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    os.environ.update(
        POLYGRAFT_HOME=str(folder / "home"),
        REDIS_URL=f"unix://{path}",
        DJANGO_SETTINGS_MODULE="polygraft.settings",
        POLYGRAFT_LOG_FORMAT="json",
    )
    while not path.exists():
        time.sleep(0.05)
    try:
        yield
    finally:
        server.terminate()
        server.wait()


def make_platform() -> tuple[str, int]:
    """A department with an adapter and a key; returns the key and the base model's id."""
    import django

    django.setup()
    from django.core.management import call_command

    from serving.models import Adapter, AdapterVersion, BaseModel, Rollout
    from tenants.departments import department_create, department_limit, platform_limit
    from tenants.keys import key_create

    call_command("migrate", verbosity=0)
    department = department_create(slug="support", name="Support", by=None)
    # Three levels of limits, all of them checked and none of them reached.
    platform_limit(limits=PLENTY, by=None)
    department_limit(department=department, limits=PLENTY, by=None)
    _, secret = key_create(department=department, name="bench", by=None, limits=PLENTY)
    base = BaseModel.objects.create(name="base")
    adapter = Adapter.objects.create(department=department, name=MODEL, base_model=base)
    AdapterVersion.objects.create(adapter=adapter, number=1, state="ready", digest=_DIGEST)
    Rollout.objects.create(adapter=adapter, weights={"1": 100})
    return secret, base.pk


@contextlib.contextmanager
def published(
    address: str, base_model_id: int, *, kind: str, slots: int, adapters: tuple[str, ...] = ()
) -> Iterator[None]:
    """Keep an engine in the registry, as its node agent would; without slots nobody takes turns at it."""
    from polygraft.live import Change, announce, redis_client
    from serving.fleet.registry import EngineEntry, engine_publish, engine_withdraw

    entry = EngineEntry(
        id=str(uuid.uuid4()),
        node="bench",
        kind=kind,
        base_model_id=base_model_id,
        base_model="base",
        address=address,
        secret="",
        state="ready",
        resident=frozenset(adapters),
        slots=slots,
    )
    over = threading.Event()

    def keep() -> None:
        while not over.is_set():
            engine_publish(redis_client(), entry)
            announce(Change.ENGINES)
            over.wait(3)

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        engine_withdraw(redis_client(), entry.id)
        announce(Change.ENGINES)
