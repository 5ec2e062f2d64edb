"""What the gateway costs: CPU of its process per small request and per streamed chunk, and the latency it adds.

    python bench/gateway.py [--seconds 5] [--server gunicorn uvicorn]

Everything runs on this machine: a private Redis, a mock engine, one gateway process, and `wrk` as the client. CPU is
read from /proc over the run. Compare figures of one run only: what else the machine does changes all of them.
"""

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform"), str(ROOT / "tests")]

from fake_engine import FakeEngine  # noqa: E402  # the path comes first

CHAT = "/v1/chat/completions"
MODEL = "support-bot"
DIGEST = "ab" * 32
STREAMS, CHUNKS, CHUNKS_PER_SECOND = 64, 64, 100
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "where is my parcel? " * 20}], "max_tokens": 8}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="length of each run with wrk")
    parser.add_argument("--server", nargs="+", choices=["gunicorn", "uvicorn"], default=["gunicorn", "uvicorn"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="polygraft-bench-") as folder, contextlib.ExitStack() as stack:
        stack.enter_context(private_redis(Path(folder)))
        secret, base_model_id = make_platform()
        mock_pid, mock_address = stack.enter_context(mock_engine())
        paced = stack.enter_context(FakeEngine(models=["base", f"lora-{DIGEST}"], tokens=CHUNKS, tps=CHUNKS_PER_SECOND))
        show("mock engine, direct", mock_pid, f"http://{mock_address}{CHAT}", secret, BODY, options.seconds)
        for server in options.server:
            with gateway(server, Path(folder)) as (process, url):
                with published(mock_address, base_model_id):
                    wait_until_answers(url + CHAT, secret)
                    show(server, process, url + CHAT, secret, BODY, options.seconds)
                with published(paced.address, base_model_id):
                    wait_until_answers(url + CHAT, secret)
                    print(f"  {STREAMS} streams: {streaming(process, url, secret)}")


def show(name: str, pid: int, url: str, secret: str, body: dict[str, object], seconds: int) -> None:
    """Print what wrk finds at three levels of concurrency."""
    print(name)
    for connections in (1, 16, 256):
        before = cpu_seconds(pid)
        requests, p50, p99, failed = wrk(url, secret, body, connections, seconds)
        cost = (cpu_seconds(pid) - before) / max(requests, 1) * 1e6
        print(
            f"  {connections:>3} connections: {cost:6.1f} µs of CPU per request, {requests / seconds:8.0f} requests/s, "
            f"p50 {p50}, p99 {p99}" + (f", FAILED {failed}" if failed else "")
        )


def wrk(url: str, secret: str, body: dict[str, object], connections: int, seconds: int) -> tuple[int, str, str, int]:
    """Run wrk; returns requests, median and 99th percentile of latency, and failures."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            f'wrk.method = "POST"\nwrk.body = [==[{orjson.dumps(body).decode()}]==]\n'
            f'wrk.headers["authorization"] = "Bearer {secret}"\nwrk.headers["content-type"] = "application/json"\n'
        )
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name, url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests = int(re.search(r"(\d+) requests in", output)[1])  # type: ignore[index]  # wrk always says so
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    percentile = {mark: re.search(rf"^ +{mark}%\s+(\S+)", output, re.MULTILINE)[1] for mark in (50, 99)}  # type: ignore[index]
    return requests, percentile[50], percentile[99], int(failed[1]) if failed else 0


def streaming(pid: int, url: str, secret: str) -> str:
    """What many paced streams at once cost."""
    before = cpu_seconds(pid)
    firsts = sorted(asyncio.run(read_streams(url, secret)))
    cost = (cpu_seconds(pid) - before) / (STREAMS * CHUNKS) * 1e6
    p50, p99 = firsts[len(firsts) // 2], firsts[int(len(firsts) * 0.99)]
    return f"{cost:.1f} µs of CPU per chunk, TTFT p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms"


async def read_streams(url: str, secret: str) -> list[float]:
    """Open all streams at once and read them to their ends; returns seconds to each one's first content."""
    host, port = url.removeprefix("http://").split(":")
    body = orjson.dumps({**BODY, "stream": True})
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\nconnection: close\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body

    async def one() -> float:
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        first = 0.0
        received = b""
        while piece := await reader.read(65536):
            received += piece
            if not first and b'"content":"w' in received:
                first = time.perf_counter() - began
        writer.close()
        if b"[DONE]" not in received:
            raise RuntimeError(f"A stream ended early: {received[-300:]!r}")
        return first

    return await asyncio.gather(*(one() for _ in range(STREAMS)))


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


@contextlib.contextmanager
def mock_engine() -> Iterator[tuple[int, str]]:
    """A mock engine; gives its pid and its address."""
    command = [sys.executable, str(ROOT / "bench" / "mock_engine.py"), f"lora-{DIGEST}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None:
            raise SystemExit("The mock engine says nothing.")
        yield process.pid, process.stdout.readline().strip()
        process.terminate()


def make_platform() -> tuple[str, int]:
    """A department with an adapter and a key; returns the key and the base model's id."""
    import django

    django.setup()
    from django.core.management import call_command

    from serving.models import Adapter, AdapterVersion, BaseModel, Rollout
    from tenants.departments import department_create
    from tenants.keys import key_create

    call_command("migrate", verbosity=0)
    department = department_create(slug="support", name="Support", by=None)
    _, secret = key_create(department=department, name="bench", by=None)
    base = BaseModel.objects.create(name="base")
    adapter = Adapter.objects.create(department=department, name=MODEL, base_model=base)
    AdapterVersion.objects.create(adapter=adapter, number=1, state="ready", digest=DIGEST)
    Rollout.objects.create(adapter=adapter, weights={"1": 100})
    return secret, base.pk


@contextlib.contextmanager
def published(address: str, base_model_id: int) -> Iterator[None]:
    """Keep an engine in the registry, as its node agent would."""
    from polygraft.live import Change, announce, redis_client
    from serving.registry import EngineEntry, engine_publish, engine_withdraw

    entry = EngineEntry(
        id=str(uuid.uuid4()),
        node="bench",
        kind="vllm",
        base_model_id=base_model_id,
        base_model="base",
        address=address,
        secret="",
        state="ready",
        resident=frozenset({f"lora-{DIGEST}"}),
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


@contextlib.contextmanager
def gateway(server: str, folder: Path) -> Iterator[tuple[int, str]]:
    """One gateway process; gives its pid, or its parent's, and its address."""
    port = free_port()
    commands = {
        "gunicorn": ["gunicorn", "polygraft.asgi:application", "-k", "asgi", "-w", "1", "-b", f"127.0.0.1:{port}",
                     "--no-control-socket", "--config", "python:serving.gateway.gunicorn_hooks"],
        "uvicorn": ["uvicorn", "polygraft.asgi:application", "--port", str(port), "--no-access-log"],
    }  # fmt: skip
    metrics = folder / f"{server}-metrics"
    metrics.mkdir()
    with (folder / f"{server}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *commands[server]],
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}", "PROMETHEUS_MULTIPROC_DIR": str(metrics)},
        )
    try:
        wait_for_port(port)
        yield process.pid, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for_port(port: int) -> None:
    """Wait until something listens."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit("The gateway did not start.")


def wait_until_answers(url: str, secret: str) -> None:
    """Wait until the gateway knows its engine."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = httpx.post(url, json=BODY, headers={"authorization": f"Bearer {secret}"}, trust_env=False)
        if answer.status_code == 200:
            return
        time.sleep(0.1)
    raise SystemExit("The gateway does not answer.")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children, from /proc."""
    process = psutil.Process(pid)
    times = [member.cpu_times() for member in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)


if __name__ == "__main__":
    main()
