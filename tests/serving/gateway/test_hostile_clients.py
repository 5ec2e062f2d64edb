"""Clients that mean harm, against the gateway as it runs in production: nothing fails, nothing hangs, nothing grows."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest

from deadline import wait_until
from fake_engine import FakeEngine
from polygraft.live import Change, announce

from .served import ADAPTER_NAMES, CHAT, question, usage_records
from .test_on_gunicorn import Database, Production

PATIENCE = 0.5
HOST = b"host: x\r\n"
BODY = json.dumps(question()).encode()


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    with FakeEngine(models=ADAPTER_NAMES) as engine:
        yield engine


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, engine: FakeEngine) -> Iterator[Production]:
    """One platform for all of these tests; that it survives them is the point."""
    database = Database(tmp_path_factory.mktemp("hostile"))
    database.environment |= {
        "POLYGRAFT_REQUEST_HEAD_TIMEOUT": str(PATIENCE),
        "POLYGRAFT_REQUEST_BODY_TIMEOUT": str(PATIENCE),
    }
    production = Production(database)
    production.publish(engine, ADAPTER_NAMES[0])
    production.start()
    yield production
    production.stop()


@pytest.fixture(autouse=True)
def _all_is_well(production: Production, engine: FakeEngine) -> None:
    """The registry is emptied after each test."""
    production.publish(engine, ADAPTER_NAMES[0])
    announce(Change.ENGINES)
    wait_until(lambda: {production.ask(question()).status_code for _ in range(6)} == {200}, what="all is well")


def say(
    production: Production, *pieces: bytes, pause: float = 0.0, half_close: bool = False, patience: float = 3
) -> bytes:
    """Send bytes as they are, and return everything that comes back until the server closes, or patience ends."""
    heard = b""
    with socket.create_connection(("127.0.0.1", production.port), timeout=patience) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                heard += piece
        except (ConnectionError, TimeoutError):
            pass
    return heard


def dribble(production: Production, beginning: bytes, piece: bytes) -> bytes:
    """Send a piece now and then until the server closes, and return what comes back; a hundred buy no time."""
    heard = b""
    with socket.create_connection(("127.0.0.1", production.port), timeout=60) as connection, suppress(ConnectionError):
        connection.sendall(beginning)
        connection.settimeout(0.1)
        for _ in range(100):
            with suppress(TimeoutError):
                while answer := connection.recv(65536):
                    heard += answer
                return heard
            connection.sendall(piece)
        pytest.fail("The server has waited for all of it.")
    return heard


def statuses(heard: bytes) -> list[int]:
    """The status of every answer in what was heard."""
    return [int(line.split()[1]) for line in heard.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def post(production: Production, *headers: bytes, body: bytes = BODY, line: bytes = b"") -> bytes:
    """A request with a good key, and these headers beside it."""
    line = line or b"POST " + CHAT.encode() + b" HTTP/1.1"
    key = b"authorization: Bearer " + production.secret.encode()
    return b"\r\n".join([line, HOST[:-2], key, *headers, b"", b""]) + body


def length(body: bytes = BODY) -> bytes:
    return b"content-length: %d" % len(body)


CHUNKED = b"transfer-encoding: chunked"
SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([length(b"0\r\n\r\n" + SMUGGLED), CHUNKED], b"0\r\n\r\n" + SMUGGLED),
        ([CHUNKED, b"content-length: 5"], b"0\r\n\r\n" + SMUGGLED),
        ([b"content-length: 0", b"content-length: %d" % len(SMUGGLED)], SMUGGLED),
        ([b"content-length: 0, %d" % len(SMUGGLED)], SMUGGLED),
        ([b"content-length: +0"], SMUGGLED),
        ([b"content-length: -1"], SMUGGLED),
        ([b"content-length: 0x0"], SMUGGLED),
        ([b"content-length: 99999999999999999999999999"], b""),
        ([b"content-length : 0"], SMUGGLED),
        ([b"x-folded: a\r\n b", b"content-length: 0"], SMUGGLED),
        ([b"x-folded: a\r\n\tcontent-length: 5", b"content-length: 0"], SMUGGLED),
        ([b"transfer-encoding: xchunked"], b"0\r\n\r\n" + SMUGGLED),
        ([b"transfer-encoding: chunked, identity"], b"0\r\n\r\n" + SMUGGLED),
        ([b"transfer-encoding: identity, chunked", CHUNKED], b"0\r\n\r\n" + SMUGGLED),
        ([b"transfer-encoding:\x0bchunked"], b"0\r\n\r\n" + SMUGGLED),
        ([b"transfer_encoding: chunked", b"content-length: 0"], SMUGGLED),
        ([CHUNKED], b"zz\r\n\r\n" + SMUGGLED),
        ([CHUNKED], b"-1\r\n\r\n" + SMUGGLED),
        ([CHUNKED], b"5;\nx\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
        ([CHUNKED], b"ffffffffffffffff1\r\n" + SMUGGLED),
        ([CHUNKED], b"1\r\nab\r\n0\r\n\r\n" + SMUGGLED),
        ([b"x: \x00"], b""),
        ([b"x: a\rb"], b""),
        ([b"x\x80: 1", b"content-length: 0"], b""),
        ([b": 1"], b""),
        ([b"x: a\nhost: y", b"content-length: 0"], SMUGGLED),
    ],
)
def test_no_request_is_smuggled_in_behind_another(production: Production, headers: list[bytes], body: bytes) -> None:
    heard = say(production, post(production, *headers, body=body))
    found = statuses(heard)
    assert all(400 <= status < 500 or status == 501 for status in found), heard
    # Where the first one was refused for its framing, nothing behind it may be taken for a request.
    assert len(found) <= 1 or b"smuggled" not in heard.split(b"HTTP/1.1 ")[1]
    assert heard.count(b"unknown_endpoint") == 0 or b"content-length: 0" in b"".join(headers)


@pytest.mark.parametrize(
    "head",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00" * 1000,
        b"\r\n" * 1000,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/models\r\n\r\n",
        b"GET http://[::1/v1/models HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v1/\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v1/%ff%00%zz HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET //../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"G" * 100_000 + b" / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\n" + b"x: y\r\n" * 10_000 + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        b"GET /account/login/ HTTP/1.1\r\nhost: \xff\r\n\r\n",
        b"GET /account/login/?next=%00%ff HTTP/1.1\r\nhost: localhost\r\ncookie: \xff=\xfe; sessionid=%00\r\n\r\n",
    ],
)
def test_what_is_no_proper_request_is_refused(production: Production, head: bytes) -> None:
    heard = say(production, head)
    assert all(status < 500 or status in (501, 505) for status in statuses(heard)), heard


def test_a_hundred_megabytes_of_headers_are_refused_long_before_their_end(production: Production) -> None:
    sent, heard = 0, b""
    with socket.create_connection(("127.0.0.1", production.port), timeout=60) as connection, suppress(ConnectionError):
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx: ")
        while sent < 100_000_000:
            connection.sendall(b"a" * 1_000_000)
            sent += 1_000_000
        heard = connection.recv(65536)
    # What the buffers on the way hold may be sent without anybody reading it.
    assert sent <= 50_000_000
    assert statuses(heard) in ([431], [])  # the answer may be lost when the client still sends
    lines = [b"x-%d: " % number + b"a" * 8000 + b"\r\n" for number in range(90)]
    assert statuses(say(production, b"GET /v1/models HTTP/1.1\r\n", *lines)) in ([431], [])


def test_a_head_that_does_not_come_whole_is_not_waited_for(production: Production) -> None:
    for beginning in (b"", b"P", b"POST /v1/chat/completions HTTP/1.1\r\nhost:"):
        heard = dribble(production, beginning, b"x" if beginning else b"")
        assert 408 in statuses(heard) or not heard


def test_a_body_that_dribbles_in_is_not_waited_for_and_is_on_the_account(production: Production) -> None:
    heard = dribble(production, post(production, b"content-length: 10000", body=b"{"), b" ")
    assert statuses(heard) in ([408], [])

    def recorded() -> list[int]:
        return [record["status"] for record in usage_records() if record["outcome"] == "aborted"]

    assert wait_until(recorded, what="the request is recorded") == [499]


def test_a_slow_but_steady_body_is_waited_for(production: Production) -> None:
    body = json.dumps(question(text="a " * 120_000)).encode()
    # Each buys two seconds, and the last comes long after the patience with a body that does not come.
    pieces = [body[start : start + 32_768] for start in range(0, len(body), 32_768)]
    request = post(production, length(body), b"connection: close", body=pieces[0])
    heard = say(production, request, *pieces[1:], pause=2 * PATIENCE / len(pieces), patience=60)
    assert statuses(heard) == [200]


def test_half_closed_sockets_do_not_stay(production: Production) -> None:
    for pieces in ((b"",), (b"POST /v1/",), (post(production, length(), body=b"{"),), (post(production, length()),)):
        say(production, *pieces, half_close=True)
    master = psutil.Process(production.process.pid)

    def open_connections() -> int:
        return sum(
            connection.status in ("ESTABLISHED", "CLOSE_WAIT") and connection.laddr.port == production.port
            for worker in master.children()
            for connection in worker.net_connections("tcp")
        )

    wait_until(lambda: open_connections() == 0, what="every connection is closed")


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


GOOD = '{"model": "support-bot", "prompt": "a", "messages": [{"role": "user", "content": "a"}]'
# Fields of every dialect that say what something is, with what is no word.
KINDS = [
    '"messages": [{"role": KIND, "content": "a"}], "input": [{"role": KIND, "content": "a"}]',
    '"messages": [{"role": "user", "content": [{"type": KIND}]}], "input": [{"content": [{"type": KIND}]}]',
    '"messages": [{"role": "assistant", "content": [{"type": KIND}]}], "input": [{"type": KIND}]',
    '"tools": [{"type": KIND}], "tool_choice": {"type": KIND}, "input": "a", "messages": [{"content": "a"}]',
    '"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": KIND}}]}], "input": KIND',
    '"system": [{"type": KIND}], "instructions": KIND, "stop_sequences": KIND, "thinking": {"type": KIND}',
]
BODIES = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "text": b'"a"',
    "BOM": b"\xef\xbb\xbf{}",
    "not UTF-8": b'{"model": "\xff\xfe"}',
    "lone surrogate": b'{"model": "\\ud800"}',
    "NUL in the model": b'{"model": "a\\u0000b", "messages": []}',
    "NUL in the text": json.dumps(question(text="\0")).encode(),
    "deep, refused": f'{{"model": "support-bot", "messages": {nested(100_000)}}}'.encode(),
    "deep objects": ('{"a":' * 50_000).encode(),
    "as deep as JSON is read": f'{{"model": "support-bot", "messages": {nested(900)}}}'.encode(),
    "deeper than JSON is written": f'{{"model": "support-bot", "messages": {nested(300)}}}'.encode(),
    "deep within a message": f'{{"model": "support-bot", "messages": [{{"content": {nested(400)}}}]}}'.encode(),
    "100,000 messages": json.dumps(question() | {"messages": [{"role": "user", "content": "a"}] * 100_000}).encode(),
    "100,000 stops": json.dumps(question(stop=["a"] * 100_000)).encode(),
    "100,000 keys": json.dumps(question() | {f"k{number}": 1 for number in range(100_000)}).encode(),
    "100,000 prompts": json.dumps({"model": "support-bot", "prompt": ["a"] * 100_000}).encode(),
    "duplicate keys": b'{"model": "never-was", "model": "support-bot", "messages": [{"role": "user", "content": "a"}]}',
    "huge model": json.dumps(question("a" * 1_000_000)).encode(),
    "messages is a number": json.dumps(question() | {"messages": 5}).encode(),
    "messages hold null": json.dumps(question() | {"messages": [None, 5, "a", [], {}]}).encode(),
    "tools are wrong": json.dumps(question(tools={"a": 1}, tool_choice=5, response_format=[])).encode(),
    **{
        f"{number}: {value}": f'{{"model": "support-bot", "max_tokens": 9, {fields.replace("KIND", value)}}}'.encode()
        for number, fields in enumerate(KINDS)
        for value in ("[]", "{}", "5", "null", "true", '"a"')
    },
    **{
        f"{field} = {value[:12]}": f'{GOOD}, "{field}": {value}}}'.encode()
        for field in ("max_tokens", "temperature", "n", "logprobs", "seed", "stream", "stream_options", "user")
        for value in ("1e999", "-1e308", "9" * 400, "18446744073709551616", "-1", "NaN", "true", '"9"', "{}", "[[]]")
    },
}


@pytest.mark.parametrize(
    "path", [CHAT, "/v1/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/responses"]
)
def test_no_body_makes_the_gateway_fail(production: Production, path: str) -> None:
    headers = {"authorization": f"Bearer {production.secret}", "content-type": "application/json"}
    with httpx.Client(base_url=production.url, headers=headers, timeout=60, trust_env=False) as client:
        found = {name: client.post(path, content=body) for name, body in BODIES.items()}
    failed = {name: answer.text[:300] for name, answer in found.items() if answer.status_code >= 500}
    assert failed == {}
    assert all(answer.json()["error"]["message"] for answer in found.values() if answer.status_code >= 400)


@pytest.mark.parametrize("body", ["", "deep, refused", "100,000 messages", "100,000 keys", "huge model"])
def test_memory_stays_flat(production: Production, body: str) -> None:
    workers = psutil.Process(production.process.pid).children()

    def abuse() -> None:
        for _ in range(15):
            if body:
                say(production, post(production, length(BODIES[body]), b"connection: close", body=BODIES[body]))
            else:
                say(production, b"GET /v1/models HTTP/1.1\r\nx: ", b"a" * 1_000_000)
                say(production, post(production, length(), body=b"{"), half_close=True)

    def memory() -> int:
        return sum(int(worker.memory_info().rss) for worker in workers)

    abuse()
    before = memory()
    abuse()
    assert memory() - before < 16 * 1024 * 1024
    assert [worker.pid for worker in psutil.Process(production.process.pid).children()] == [w.pid for w in workers]


def test_after_all_that_everybody_else_is_served(production: Production) -> None:
    answers: list[Any] = [production.ask(question()).status_code for _ in range(20)]
    assert answers == [200] * 20
