"""Uploads over the limit are refused while they stream in, over a real socket."""

import socket
from collections.abc import Iterator
from threading import Thread

import pytest
import uvicorn
from django.urls import reverse

from deadline import wait_until
from polygraft.asgi_types import Receive, Scope, Send
from polygraft.body_limit import UPLOADS, BodyLimit

LIMIT = 1000
SMALL = 100
UPLOAD = "/api/v1/departments/support/adapters"


async def swallow(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the whole body, as Django does, and says how long it was."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(
        BodyLimit(swallow, max_upload=LIMIT, max_other=SMALL), port=0, lifespan="off", log_level="error"
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, what="the server has started")
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def exchange(port: int, head: str, pieces: list[bytes]) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode())
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
            while received := connection.recv(65536):
                answer += received
                if b"\r\n\r\n" in answer and answer.endswith((b"}", str(LIMIT).encode(), b"0\r\n\r\n")):
                    break
        except ConnectionError:
            pass
        return answer


def test_a_body_within_the_limit_passes(port: int) -> None:
    answer = exchange(port, f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT}\r\n\r\n", [b"a" * LIMIT])
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_declared_body_over_the_limit_is_refused_before_it_is_sent(port: int) -> None:
    answer = exchange(port, f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT + 1}\r\n\r\n", [])
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"POLYGRAFT_MAX_UPLOAD_BYTES" in answer


def test_an_endless_body_is_refused_while_it_streams(port: int) -> None:
    chunk = b"190\r\n" + b"a" * 400 + b"\r\n"
    head = f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = exchange(port, head, [chunk] * 3)
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("path", ["/accounts/login/", "/api/v1/departments", f"{UPLOAD}/x/rollout", "/"])
def test_elsewhere_bodies_are_small(port: int, path: str) -> None:
    answer = exchange(port, f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {SMALL + 1}\r\n\r\n", [])
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"POLYGRAFT_MAX_REQUEST_BYTES" in answer


def test_both_places_of_uploads_take_large_bodies() -> None:
    assert UPLOADS.fullmatch(reverse("api-adapters", args=["support"]))
    assert UPLOADS.fullmatch(reverse("adapter-upload", args=["support"]))
