"""The short way of plain requests past gunicorn's protocol, and that everything else still goes through it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from gunicorn.config import Config

from polygraft.asgi_types import Receive, Scope, Send
from serving.gateway.callers import door as door_module
from serving.gateway.callers import idle as idle_module
from serving.gateway.callers.asgi_line import AsgiLine
from serving.gateway.callers.departure import Departure, Departures
from serving.gateway.callers.door import Door, suits
from serving.gateway.callers.idle import Connections
from serving.gateway.callers.line import Line

from .living import nothing_left


class Log:
    """gunicorn's logger, as far as its protocol looks at it."""

    access_log_enabled = False

    def __getattr__(self, name: str) -> Any:
        return getattr(logging.getLogger("gunicorn.error"), name)


class Worker:
    """gunicorn's worker, as far as protocols look at it, with an application that does as a test says."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.cfg = Config()
        self.log = Log()
        self.alive = True
        self.nr = self.nr_conns = 0
        self.max_requests = 1_000_000
        self.answer: Application = echo
        self.connections = Connections(self)

    def door(self) -> Door:
        """A new connection."""
        return Door(self, self.connections, lambda line: self.answer(line))

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What gunicorn's own protocol asks."""
        await self.answer(AsgiLine(scope, receive, send, Departure(Departures(), receive)))


Application = Callable[[Line], Awaitable[None]]


async def echo(line: Line) -> None:
    """Answer with what arrived."""
    body = await line.read_body(10_000_000)
    await line.answer(200, b"", f"{line.method} {line.path} {body.decode()}".encode())


class Caller:
    """A client on a connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, *pieces: bytes) -> None:
        """Send each piece in a segment of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.01)

    async def hear(self) -> tuple[bytes, bytes]:
        """One answer: its head in small letters, and its body."""
        async with asyncio.timeout(60):
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            if b"content-length: " in head:
                length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                return head, await self.reader.readexactly(length)
            pieces = []
            while size := int(await self.reader.readline(), 16):
                pieces.append(await self.reader.readexactly(size))
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
            return head, b"".join(pieces)

    async def end(self) -> bytes:
        """Everything until the other side closes."""
        async with asyncio.timeout(60):
            return await self.reader.read()


@pytest.fixture
async def worker() -> Worker:
    return Worker()


@pytest.fixture
async def caller(worker: Worker) -> AsyncIterator[Caller]:
    server = await worker.loop.create_server(
        lambda: Door(worker, worker.connections, lambda line: worker.answer(line)), "127.0.0.1", 0
    )
    caller = Caller(*await asyncio.open_connection(*server.sockets[0].getsockname()))
    try:
        yield caller
    finally:
        caller.writer.close()
        server.close()
        worker.alive = False
        async with asyncio.timeout(60):
            while worker.nr_conns:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.01)


def post(body: bytes = b"hi", *, path: str = "/v1/x", more: str = "", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nhost: x\r\n{more}content-length: {size}\r\n\r\n".encode() + body


def was_short(head: bytes) -> bool:
    """Whether an answer came on the short way: gunicorn's protocol names itself."""
    return b"server: gunicorn" not in head


async def test_plain_requests_go_the_short_way_and_keep_their_connection(caller: Caller, worker: Worker) -> None:
    for number in range(3):
        await caller.say(post(b"number %d" % number))
        head, body = await caller.hear()
        assert was_short(head)
        assert head.startswith(b"http/1.1 200 ok\r\n")
        assert b"\r\ndate: " in head
        assert body == b"POST /v1/x number %d" % number
    assert worker.nr == 3
    assert worker.nr_conns == 1


async def test_a_body_may_come_after_its_head_and_in_pieces(caller: Caller) -> None:
    for _ in range(2):
        await caller.say(post(b"", length=5), b"he", b"l", b"lo")
        head, body = await caller.hear()
        assert was_short(head)
        assert body == b"POST /v1/x hello"


async def test_a_request_without_a_body_is_answered(caller: Caller) -> None:
    await caller.say(b"POST /v1/x HTTP/1.1\r\nhost: x\r\n\r\n")
    head, body = await caller.hear()
    assert was_short(head)
    assert body == b"POST /v1/x "


CHUNKED = b"POST /v1/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
UNUSUAL = {
    "another method": [post().replace(b"POST", b"PUT")],
    "another path": [post(path="/console")],
    "a query": [post(path="/v1/x?y=z")],
    "an escaped path": [post(path="/v1/%78")],
    "a chunked body": [CHUNKED],
    "a head in two pieces": [post()[:20], post()[20:]],
    "a first piece of one byte": [post()[:1], post()[1:]],
    "a header twice": [post(more="accept: a\r\naccept: b\r\n")],
    "a header with an underscore": [post(more="content_length: 7\r\n")],
    "many headers": [post(more="".join(f"x-{number}: y\r\n" for number in range(80)))],
    "a long header": [post(more=f"x: {'y' * 5000}\r\nz: {'y' * 5000}\r\n")],
    "an offer to upgrade": [post(more="connection: upgrade\r\nupgrade: something\r\n")],
}


@pytest.mark.parametrize("pieces", UNUSUAL.values(), ids=UNUSUAL.keys())
async def test_unusual_requests_are_gunicorns_with_every_byte(caller: Caller, pieces: list[bytes]) -> None:
    # After a plain one, which must not be in the way.
    await caller.say(post(b"before"))
    assert was_short((await caller.hear())[0])
    await caller.say(*pieces)
    head, body = await caller.hear()
    assert not was_short(head)
    assert body.endswith(b" hi")
    await caller.say(post(b"after"))
    assert (await caller.hear())[1] == b"POST /v1/x after"


async def test_who_expects_to_be_told_to_continue_is_told(caller: Caller) -> None:
    await caller.say(post(b"", length=2, more="expect: 100-continue\r\n"))
    async with asyncio.timeout(60):
        assert await caller.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await caller.say(b"hi")
    assert (await caller.hear())[1] == b"POST /v1/x hi"


@pytest.mark.parametrize(
    "request_",
    [
        post(more="content-length: 3\r\n"),
        post(more="transfer-encoding: chunked\r\n"),
        post().replace(b"content-length: 2", b"content-length: 2, 2"),
        post().replace(b"content-length: 2", b"content-length: +2"),
        post().replace(b"content-length: 2", b"content-length: -2"),
        post().replace(b"host: x", b"host : x"),
        post().replace(b"host: x", b"host: x\r\n folded"),
        post().replace(b"host: x", b"ho st: x"),
        post().replace(b"HTTP/1.1", b"HTTP/1.1x"),
        post().replace(b"\r\nhost", b"\nhost"),
        post(more="x: y\x00z\r\n"),
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused_and_cut_off(caller: Caller, request_: bytes) -> None:
    await caller.say(request_ + post(b"smuggled"))
    answered = await caller.end()
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert b"smuggled" not in answered


async def test_a_request_within_a_body_is_only_a_body(caller: Caller) -> None:
    await caller.say(post(post(b"inner")))
    assert (await caller.hear())[1].startswith(b"POST /v1/x POST /v1/x HTTP/1.1")
    await caller.say(post(b"next"))
    assert (await caller.hear())[1] == b"POST /v1/x next"


async def test_requests_sent_before_they_were_asked_for_are_answered_in_order(caller: Caller) -> None:
    await caller.say(post(b"1") + post(b"2") + CHUNKED + post(b"3"))
    assert [(await caller.hear())[1] for _ in range(4)] == [
        b"POST /v1/x 1",
        b"POST /v1/x 2",
        b"POST /v1/x hi",
        b"POST /v1/x 3",
    ]


async def test_a_slow_body_is_gunicorns_to_wait_for(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_BODY_SECONDS", 0.05)
    await caller.say(post(b"", length=5), b"he")
    await asyncio.sleep(0.1)
    await caller.say(b"llo")
    head, body = await caller.hear()
    assert not was_short(head)
    assert body == b"POST /v1/x hello"


async def test_a_large_body_is_gunicorns_to_hold_back(caller: Caller, worker: Worker) -> None:
    async def count(line: Line) -> None:
        await line.answer(200, b"", str(len(await line.read_body(10_000_000))).encode())

    worker.answer = count
    await caller.say(post(b"x" * 2_000_000))
    head, body = await caller.hear()
    assert not was_short(head)
    assert body == b"2000000"


async def test_an_answer_without_length_is_sent_in_chunks(caller: Caller, worker: Worker) -> None:
    async def stream(line: Line) -> None:
        line.begin(200, b"")
        line.write(b"one")
        await line.end(b"two")

    worker.answer = stream
    for _ in range(2):
        await caller.say(post())
        head, body = await caller.hear()
        assert b"transfer-encoding: chunked\r\n" in head
        assert body == b"onetwo"


async def test_a_client_that_asks_for_it_is_cut_off_after_the_answer(caller: Caller) -> None:
    await caller.say(post(more="connection: close\r\n"))
    head, body = await caller.hear()
    assert b"connection: close\r\n" in head
    assert body == b"POST /v1/x hi"
    assert await caller.end() == b""


async def test_a_worker_that_stops_closes_who_waits_and_finishes_who_is_served(
    caller: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_module, "_SWEEP_SECONDS", 0.05)
    asked, go = asyncio.Event(), asyncio.Event()

    async def wait(line: Line) -> None:
        asked.set()
        await go.wait()
        await line.answer(200, b"", b"done")

    worker.answer = wait
    await caller.say(post())
    await asked.wait()
    worker.alive = False
    await asyncio.sleep(0.2)
    go.set()
    head, body = await caller.hear()
    assert body == b"done"
    assert b"connection: close\r\n" in head
    assert await caller.end() == b""


async def test_a_worker_that_stops_closes_idle_connections(
    caller: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_module, "_SWEEP_SECONDS", 0.05)
    await caller.say(post())
    await caller.hear()
    worker.alive = False
    async with asyncio.timeout(60):
        assert await caller.reader.read() == b""


async def test_a_connection_without_a_request_is_closed_in_time(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_module, "_SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(idle_module, "_IDLE_SECONDS", 0.1)
    await caller.say(post())
    await caller.hear()
    async with asyncio.timeout(60):
        assert await caller.reader.read() == b""


async def test_a_connection_whose_client_does_not_read_its_answer_is_cut_off(
    caller: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def flood(line: Line) -> None:
        await line.answer(200, b"", b"x" * 20_000_000)

    monkeypatch.setattr(idle_module, "_SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(idle_module, "_UNREAD_SECONDS", 0.2)
    worker.answer = flood
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a reading one, too
    await caller.say(post())
    async with asyncio.timeout(60):
        while worker.nr_conns:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)


async def test_a_connection_on_which_nothing_comes_is_told_so(
    caller: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_module, "_SWEEP_SECONDS", 0.05)
    worker.connections._first_seconds = 0.1
    assert (await caller.end()).startswith(b"HTTP/1.1 408 ")


async def test_what_is_done_for_a_client_that_has_left_is_cancelled_at_once(
    caller: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_module, "_SWEEP_SECONDS", 600)
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def sleep(line: Line) -> None:
        asked.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    worker.answer = sleep
    await caller.say(post())
    await asked.wait()
    caller.writer.close()
    async with asyncio.timeout(30):
        await cancelled.wait()


async def test_who_goes_on_all_the_same_cannot_send_any_more(caller: Caller, worker: Worker) -> None:
    asked, refused = asyncio.Event(), asyncio.Event()

    async def persist(line: Line) -> None:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        line.begin(200, b"")
        with pytest.raises(OSError, match="left"):
            line.write(b"late")
        for send in (line.answer(200, b"", b"late"), line.end()):
            with pytest.raises(OSError, match="left"):
                await send
        refused.set()

    worker.answer = persist
    await caller.say(post())
    await asked.wait()
    caller.writer.close()
    async with asyncio.timeout(60):
        await refused.wait()


async def test_a_connection_leaves_no_task_behind(caller: Caller) -> None:
    await caller.say(post())
    await caller.hear()
    before = len(asyncio.all_tasks())
    caller.writer.close()
    async with asyncio.timeout(60):
        while len(asyncio.all_tasks()) >= before:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)


async def test_a_connection_that_is_handed_over_leaves_no_task_behind(caller: Caller) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(2):
        await caller.say(post() + CHUNKED)
        for _ in range(2):
            await caller.hear()
    # gunicorn's own, and none of the door's.
    assert len(asyncio.all_tasks()) <= before + 1


async def test_a_closed_connection_leaves_nothing_to_the_garbage_collector(worker: Worker) -> None:
    async with nothing_left(Door):
        server = await worker.loop.create_server(worker.door, "127.0.0.1", 0)
        caller = Caller(*await asyncio.open_connection(*server.sockets[0].getsockname()))
        await caller.say(post())
        await caller.hear()
        caller.writer.close()
        await caller.writer.wait_closed()
        server.close()


async def test_a_client_that_does_not_read_holds_the_application_back(caller: Caller, worker: Worker) -> None:
    sent = 0

    async def flood(line: Line) -> None:
        nonlocal sent
        line.begin(200, b"")
        for _ in range(500):
            full = line.write(b"x" * 100_000)
            sent += 100_000
            if full is not None:
                await full
        await line.end()

    worker.answer = flood
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a reading one, too
    await caller.say(post())
    before = -1
    while sent > before:
        before = sent
        await asyncio.sleep(0.1)
    assert sent < 20_000_000
    caller.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert len((await caller.hear())[1]) == 50_000_000


async def test_a_client_that_asks_without_end_is_held_back_and_loses_nothing(caller: Caller, worker: Worker) -> None:
    go = asyncio.Event()

    async def wait(line: Line) -> None:
        await go.wait()
        await echo(line)

    worker.answer = wait
    # Far more than the buffers of the two sockets hold.
    requests = b"".join(post(b"%06d" % number) for number in range(500_000))
    caller.writer.write(requests)
    before = -1
    while (left := caller.writer.transport.get_write_buffer_size()) != before:
        before = left
        await asyncio.sleep(0.1)
    assert left > 0
    go.set()
    for number in range(200):
        assert (await caller.hear())[1] == b"POST /v1/x %06d" % number


@pytest.mark.parametrize("begun", [False, True])
async def test_an_application_that_fails_costs_the_connection(caller: Caller, worker: Worker, begun: bool) -> None:
    async def fail(line: Line) -> None:
        if begun:
            line.begin(200, b"")
            line.write(b"half")
        raise ZeroDivisionError

    worker.answer = fail
    await caller.say(post())
    heard = await caller.end()
    assert heard.endswith(b"4\r\nhalf\r\n") if begun else heard == b""


@pytest.mark.parametrize(
    ("setting", "value"), [("keepalive", 0), ("proxy_protocol", "auto"), ("protocol", "uwsgi"), ("certfile", "x")]
)
def test_it_stays_shut_where_gunicorn_is_set_up_for_more(setting: str, value: object) -> None:
    worker = type("W", (), {"cfg": Config(), "log": Log()})()
    assert suits(worker)
    worker.cfg.set(setting, value)
    assert not suits(worker)


def test_it_stays_shut_where_gunicorn_writes_an_access_log() -> None:
    log = Log()
    log.access_log_enabled = True
    assert not suits(type("W", (), {"cfg": Config(), "log": log})())
