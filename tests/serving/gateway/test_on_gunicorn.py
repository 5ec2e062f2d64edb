"""The gateway where it runs in production: on gunicorn's ASGI worker, in processes of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest

from deadline import quickest, wait_until
from fake_engine import FakeEngine
from plain_http import NO_CERTIFICATES
from polygraft.conf import ROOT
from polygraft.live import redis_client
from published_engine import publish_for_good
from serving.fleet.registry import EngineEntry

from .served import ADAPTER_NAMES, CHAT, question, usage_records

# Runs in a process of its own, since the tests' database is in the memory of this one.
MAKE_PLATFORM = """
import json, django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from cast import make_cast
from tenants.keys import key_create
cast = make_cast()
doomed, doomed_secret = key_create(department=cast.support, name="doomed", by=None)
facts = {"secret": cast.secret, "base_model": cast.base_model.pk, "doomed": doomed.pk, "doomed_secret": doomed_secret}
print(json.dumps(facts))
"""
REVOKE = """
import sys, django
django.setup()
from tenants.keys import key_revoke
from tenants.models import APIKey
key_revoke(key=APIKey.objects.get(pk=int(sys.argv[1])), by=None)
"""


class Database:
    """A state folder with a database of its own, and the cast in it."""

    def __init__(self, folder: Path) -> None:
        self.environment = {
            **os.environ,
            "POLYGRAFT_HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(str(path) for path in (ROOT, ROOT / "platform", ROOT / "tests")),
            "DJANGO_SETTINGS_MODULE": "polygraft.settings",
        }
        self.facts: dict[str, Any] = json.loads(self.run(MAKE_PLATFORM))

    def run(self, script: str, *arguments: str) -> str:
        """Run a script on this database."""
        command = [sys.executable, "-c", script, *arguments]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout


class Production:
    """Gunicorn with two workers."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.secret: str = database.facts["secret"]

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "gunicorn", "polygraft.asgi:application", "-k", "asgi", "-w", "2"]
        command += ["-b", f"127.0.0.1:{self.port}", "--graceful-timeout", "5", "--no-control-socket"]
        command += ["--config", "python:serving.gateway.gunicorn_hooks", *options]
        self.process = subprocess.Popen(
            command, env=self.database.environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self.serves, seconds=60, what="both workers serve")

    def serves(self) -> bool:
        listening = redis_client().pubsub_numsub("polygraft:changes")[0][1]
        return listening == 2 and self.ask(question()).status_code == 200

    def ask(self, body: dict[str, Any], secret: str = "") -> httpx.Response:
        headers = {"authorization": f"Bearer {secret or self.secret}"}
        return httpx.post(
            f"{self.url}{CHAT}", json=body, headers=headers, timeout=60, trust_env=False, verify=NO_CERTIFICATES
        )

    def open_stream(self) -> socket.socket:
        """A stream that has begun."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        body = orjson.dumps(question("support-bot:2", stream=True))
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {self.secret}\r\n"
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        received = b""
        while b'"content":"where ' not in received:
            piece = connection.recv(65536)
            assert piece, received
            received += piece
            assert received.startswith(b"HTTP/1.1 200 "), received
        return connection

    def publish(self, engine: FakeEngine, *resident: str) -> None:
        entry = EngineEntry(
            id=engine.address,
            node="n",
            kind="llamacpp",
            base_model_id=self.database.facts["base_model"],
            base_model="smollm2",
            address=engine.address,
            secret="",
            state="ready",
            resident=frozenset(resident),
        )
        publish_for_good(entry)

    def stop(self) -> None:
        if psutil.pid_exists(self.process.pid):
            self.process.terminate()
        self.process.wait(timeout=60)


@pytest.fixture
def quick() -> Iterator[FakeEngine]:
    with FakeEngine(models=ADAPTER_NAMES) as engine:
        yield engine


@pytest.fixture
def endless() -> Iterator[FakeEngine]:
    with FakeEngine(models=ADAPTER_NAMES, tokens=100_000, tps=100) as engine:
        yield engine


@pytest.fixture
def lasting() -> Iterator[FakeEngine]:
    with FakeEngine(models=ADAPTER_NAMES, tokens=200, tps=28) as engine:
        yield engine


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return Database(tmp_path_factory.mktemp("production"))


@pytest.fixture
def production(database: Database, quick: FakeEngine, endless: FakeEngine) -> Iterator[Production]:
    """Version 1 of the adapter answers at once, version 2 never ends."""
    production = Production(database)
    production.publish(quick, ADAPTER_NAMES[0])
    production.publish(endless, ADAPTER_NAMES[1])
    production.start()
    yield production
    production.stop()


@pytest.fixture
def patient(database: Database, quick: FakeEngine, lasting: FakeEngine) -> Iterator[Production]:
    """Version 2 answers for seven seconds: longer than a worker may be silent, shorter than its grace."""
    production = Production(database)
    production.publish(quick, ADAPTER_NAMES[0])
    production.publish(lasting, ADAPTER_NAMES[1])
    production.start("--graceful-timeout", "15", "--timeout", "2")
    yield production
    production.stop()


def test_plain_requests_pass_gunicorns_own_protocol_by(production: Production) -> None:
    assert "server" not in production.ask(question()).headers


def read_to_the_end(stream: socket.socket) -> bytes:
    """The rest of a stream, until it says that it is complete or is cut off."""
    received = b""
    with stream:
        while not received.endswith(b"\r\n0\r\n\r\n") and (piece := stream.recv(65536)):
            received += piece
    return received


def test_a_reload_of_the_code_drops_no_stream(patient: Production) -> None:
    streams = [patient.open_stream() for _ in range(4)]
    before = {child.pid for child in psutil.Process(patient.process.pid).children()}
    patient.process.send_signal(signal.SIGHUP)
    with ThreadPoolExecutor() as pool:
        ends = [pool.submit(read_to_the_end, stream) for stream in streams]
        while not all(end.done() for end in ends):
            assert patient.ask({"model": "nobody's"}).status_code == 404
        assert all(b"data: [DONE]" in end.result() for end in ends)
    wait_until(
        lambda: before.isdisjoint(child.pid for child in psutil.Process(patient.process.pid).children()),
        what="the old workers have gone",
    )
    assert patient.ask({"model": "nobody's"}).status_code == 404


def test_a_gateway_that_is_told_to_stop_finishes_its_streams_first(patient: Production) -> None:
    streams = [patient.open_stream() for _ in range(4)]
    patient.process.send_signal(signal.SIGTERM)
    with ThreadPoolExecutor() as pool:
        assert all(b"data: [DONE]" in end for end in pool.map(read_to_the_end, streams))
    assert patient.process.wait(timeout=60) == 0


def test_in_both_workers_all_is_well_until_the_key_is_revoked_and_a_second_later_none_lets_it_in(
    production: Production, endless: FakeEngine
) -> None:
    def until_the_engine_stops() -> float:
        aborted = endless.stats()["aborted"]
        production.open_stream().close()
        left = time.monotonic()
        while endless.stats()["aborted"] == aborted:
            assert time.monotonic() - left < 30
        return time.monotonic() - left

    assert quickest(until_the_engine_stops, enough=0.1) < 0.1
    doomed = production.database.facts["doomed_secret"]

    def statuses() -> set[int]:
        return {production.ask(question(), doomed).status_code for _ in range(10)}

    assert statuses() == {200}
    production.database.run(REVOKE, str(production.database.facts["doomed"]))
    wait_until(lambda: statuses() == {401}, seconds=1, what="both workers refuse the key")


@pytest.mark.parametrize("sign", ["SIGTERM", "SIGINT"])
def test_a_stream_that_is_cut_off_at_the_end_is_on_the_account(production: Production, sign: str) -> None:
    stream = production.open_stream()
    wait_until(lambda: len(usage_records()) >= 1, what="the first requests are recorded")
    os.kill(production.process.pid, getattr(signal, sign))
    production.process.wait(timeout=60)
    stream.close()
    spool = Path(production.database.environment["POLYGRAFT_HOME"]) / "spool"
    files = list(spool.glob("usage-*.jsonl"))
    spooled = [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]
    for file in files:
        file.unlink()
    records = [record for record in usage_records() + spooled if record["model"] == "support-bot:2"]
    assert [(record["outcome"], record["status"]) for record in records] == [("aborted", 200)]
    assert records[0]["completion_tokens"] >= 1


def test_a_stream_whose_gateway_is_killed_is_on_the_account(production: Production) -> None:
    stream = production.open_stream()
    workers = psutil.Process(production.process.pid).children()
    for worker in workers:
        worker.kill()
    stream.close()
    records = wait_until(
        lambda: [record for record in usage_records() if record["model"] == "support-bot:2"],
        what="the new workers record what the killed ones owed",
    )
    assert [(record["outcome"], record["status"], record["streamed"]) for record in records] == [("lost", 0, True)]
