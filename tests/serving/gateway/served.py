"""A gateway on a real server with real sockets, fake engines to put behind it, and a look at what it metered."""

import socket
import threading
import uuid
from typing import Any, Self

import httpx
import orjson
import uvicorn

from cast import DIGEST
from deadline import wait_until
from fake_engine import FakeEngine, Fault
from plain_http import NO_CERTIFICATES
from polygraft.live import Change, announce, redis_client
from published_engine import publish_for_good
from serving.engines.names import engine_adapter_name
from serving.fleet.registry import EngineEntry, engine_withdraw
from serving.gateway.app import Gateway
from serving.gateway.metering.usage_stream import STREAM

CHAT = "/v1/chat/completions"
ADAPTER_NAMES = [engine_adapter_name(DIGEST), engine_adapter_name(DIGEST[::-1])]


def question(model: str = "support-bot", text: str = "where is my parcel", **fields: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


class Served:
    """A gateway of its own, served by uvicorn in a thread for the length of a block."""

    def __init__(self, *, lifespan: str = "on") -> None:
        self.gateway = Gateway()
        settings = uvicorn.Config(
            self.gateway, port=0, log_config=None, proxy_headers=False, lifespan=lifespan, timeout_graceful_shutdown=2
        )  # type: ignore[arg-type]  # a literal
        self.server = uvicorn.Server(settings)
        self.clients: list[httpx.Client] = []
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        wait_until(lambda: self.server.started or not self.thread.is_alive(), what="the gateway serves")
        assert self.server.started
        self.port: int = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.close()
        self.server.should_exit = True
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()

    def client(self, secret: str | None) -> httpx.Client:
        """A client that sends this credential, closed with the gateway."""
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=NO_CERTIFICATES)
        self.clients.append(client)
        return client


class Engines:
    """Starts fake engines and enters them in the registry, as a node agent would."""

    def __init__(self, base_model_id: int, base_model: str) -> None:
        self.base_model_id = base_model_id
        self.base_model = base_model
        self.running: list[FakeEngine] = []

    def start(
        self,
        fail: Fault = Fault.NEVER,
        *,
        kind: str = "llamacpp",
        state: str = "ready",
        resident: list[str] | None = None,
        residency: str = "eager",
        slots: int = 0,
        takes_priority: bool = True,
        **options: Any,
    ) -> FakeEngine:
        """Start one; by default it has every adapter of the cast loaded."""
        names = ADAPTER_NAMES if resident is None else resident
        models = [self.base_model, *ADAPTER_NAMES]
        engine = FakeEngine(models=models, fail=fail, secret="engine-secret", slots=slots, **options)
        engine.__enter__()
        self.running.append(engine)
        self.publish(
            engine.address,
            kind=kind,
            state=state,
            resident=names,
            residency=residency,
            slots=slots,
            takes_priority=takes_priority,
        )
        return engine

    def publish(
        self,
        address: str,
        *,
        kind: str,
        state: str,
        resident: list[str],
        residency: str = "eager",
        slots: int = 0,
        takes_priority: bool = True,
        id: str | None = None,
    ) -> str:
        """Enter an engine in the registry, or change its entry."""
        entry = EngineEntry(
            id=id or str(uuid.uuid4()),
            node="node-1",
            kind=kind,
            base_model_id=self.base_model_id,
            base_model=self.base_model,
            address=address,
            secret="engine-secret",
            state=state,
            resident=frozenset(resident),
            residency=residency,
            slots=slots,
            takes_priority=takes_priority,
        )
        publish_for_good(entry)
        announce(Change.ENGINES)
        return entry.id

    def withdraw(self, engine_id: str) -> None:
        """Take an engine out of the registry."""
        engine_withdraw(redis_client(), engine_id)
        announce(Change.ENGINES)


def send_raw(served: Served, secret: str, body: bytes, *, length: int | None = None) -> socket.socket:
    """A request on a socket of its own, which can be closed at will."""
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=30)
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n"
    connection.sendall(f"{head}content-length: {length or len(body)}\r\n\r\n".encode() + body)
    return connection


def usage_records() -> list[dict[str, Any]]:
    """What the meter has put into the stream so far, in order."""
    entries: Any = redis_client().xrange(STREAM)
    return [orjson.loads(fields[b"record"]) for _, fields in entries]


def one_usage_record() -> dict[str, Any]:
    """The only record there is, as soon as it is there."""
    records = wait_until(usage_records, what="a usage record arrives")
    assert len(records) == 1
    return records[0]
