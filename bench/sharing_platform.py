"""What the benchmarks of limits and fairness run on: departments with keys, an engine with slots, gateway processes."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway_servers import wait_until

REPOSITORY = Path(__file__).resolve().parent.parent
BASE_MODEL = "base"


@dataclass
class Tenant:
    """A department's id, and its key."""

    department_id: int
    key_id: int
    secret: str


def make_tenants(*slugs: str) -> tuple[dict[str, Tenant], int]:
    """Departments by their slugs, each with a key; and the id of the base model that all of them may call."""
    import django

    django.setup()
    from django.core.management import call_command

    from serving.models import BaseModel
    from tenants.departments import department_create
    from tenants.keys import key_create

    call_command("migrate", verbosity=0)
    tenants = {}
    for slug in slugs:
        department = department_create(slug=slug, name=slug.title(), by=None)
        key, secret = key_create(department=department, name="bench", by=None)
        tenants[slug] = Tenant(department.pk, key.pk, secret)
    return tenants, BaseModel.objects.create(name=BASE_MODEL).pk


@contextlib.contextmanager
def gateways(count: int, folder: Path, **settings: str) -> Iterator[list[tuple[str, int]]]:
    """So many gateway processes, each at an address of its own."""
    processes: list[subprocess.Popen[bytes]] = []
    addresses = []
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'platform'}", **settings}
    try:
        for number in range(count):
            port = free_port()
            command = [
                *(sys.executable, "-m", "gunicorn", "polygraft.asgi:application", "--workers", "1"),
                *("--worker-class", "asgi", "--config", "python:serving.gateway.gunicorn_hooks"),
                *("--bind", f"127.0.0.1:{port}", "--no-control-socket"),
            ]
            with (folder / f"gateway-{number}.log").open("wb") as log:
                processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=REPOSITORY, env=environment))
            addresses.append(("127.0.0.1", port))
        for address in addresses:
            wait_until(lambda address=address: listens(*address), "a gateway listens")
        yield addresses
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """A port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def listens(host: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False
