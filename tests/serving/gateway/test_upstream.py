"""The client that talks to engines, against servers that do not behave."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from serving.gateway.engines.connection import HIGH_WATER, BrokenOff, Connection, Silent, Stalled
from serving.gateway.engines.pool import Pool, Unreachable, request_bytes

from .living import nothing_left

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Script = Callable[[Reader, Writer], Awaitable[None]]


class Server:
    """A server that runs a script for each connection; the last script serves all further connections."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = scripts
        self.connections = 0
        self.arrived = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def handle(self, reader: Reader, writer: Writer) -> None:
        script = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        self.arrived.set()
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[tuple[Server, str]]:
    """A server of these scripts and its address."""
    server = Server(*scripts)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    try:
        yield server, f"{host}:{port}"
    finally:
        listener.close()
        for task in server.tasks:
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)


async def take_request(reader: Reader) -> bytes:
    """One whole request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


def answering(*pieces: bytes, times: int = 1, close: bool = False) -> Script:
    """Answer requests with these bytes, piece by piece, each in a segment of its own; then hold or close."""

    async def script(reader: Reader, writer: Writer) -> None:
        for _ in range(times):
            await take_request(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        if not close:
            await reader.read()

    return script


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    """A patient pool."""
    pool = Pool(connect_timeout=60, first_byte_timeout=60, idle_timeout=60)
    yield pool
    pool.close()
    await asyncio.sleep(0)  # so that the loop closes what the pool has aborted


@pytest.fixture
async def hasty_pool() -> AsyncIterator[Pool]:
    """A pool that gives up on silence soon."""
    pool = Pool(connect_timeout=60, first_byte_timeout=0.3, idle_timeout=0.3)
    yield pool
    pool.close()
    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def exchange(pool: Pool, address: str) -> AsyncIterator[Connection]:
    """An exchange, from the head of its answer on."""
    connection = await pool.ask(address, request_bytes("/x", address, "secret", b"{}"))
    try:
        yield connection
    finally:
        pool.give_back(address, connection)


async def ask(pool: Pool, address: str) -> tuple[int, bytes]:
    """One exchange, read to its end."""
    async with exchange(pool, address) as connection:
        pieces = []
        while piece := await connection.read():
            pieces.append(piece)
        return connection.status, b"".join(pieces)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nx-trailer: 1\r\n\r\n"


@pytest.mark.parametrize(
    "answer", [OK, CHUNKED, b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"HTTP/1.1 103 X\r\nlink: y\r\n\r\n" + OK]
)
@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_an_answer_cut_anywhere_is_understood_and_its_connection_reused(
    pool: Pool, answer: bytes, size: int
) -> None:
    async with serving(answering(*cut(answer, size), times=3)) as (server, address):
        assert [await ask(pool, address) for _ in range(3)] == [(200, b"hello")] * 3
        assert server.connections == 1


async def test_the_request_is_sent_with_the_engines_secret(pool: Pool) -> None:
    seen = asyncio.get_running_loop().create_future()

    async def script(reader: Reader, writer: Writer) -> None:
        seen.set_result(await take_request(reader))
        writer.write(OK)

    async with serving(script) as (_, address):
        await ask(pool, address)
    head = f"POST /x HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer secret\r\n"
    assert (await seen).startswith(head.encode())


async def test_a_closed_connection_leaves_nothing_to_the_garbage_collector(pool: Pool) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    async with nothing_left(Connection), serving(answering(answer, close=True)) as (_, address):
        assert await ask(pool, address) == (200, b"ok")


async def test_a_body_without_length_ends_with_its_connection(pool: Pool) -> None:
    async with serving(answering(b"HTTP/1.1 200 OK\r\n\r\n", b"hello", close=True)) as (server, address):
        assert await ask(pool, address) == (200, b"hello")
        assert await ask(pool, address) == (200, b"hello")
        assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        OK + OK,  # an answer too many must never reach the next request
        OK + b"HTTP",
        OK + b"garbage",
    ],
)
async def test_a_connection_that_is_not_clean_is_not_used_again(pool: Pool, answer: bytes) -> None:
    async with serving(answering(answer)) as (server, address):
        assert await ask(pool, address) == (200, b"hello")
        assert await ask(pool, address) == (200, b"hello")
        assert server.connections == 2


async def test_an_answer_that_nobody_asked_for_ends_the_idle_connection(pool: Pool) -> None:
    answered, poisoned = asyncio.Event(), asyncio.Event()

    async def poison(reader: Reader, writer: Writer) -> None:
        await take_request(reader)
        writer.write(OK)
        await answered.wait()
        writer.write(OK.replace(b"hello", b"other"))
        await writer.drain()
        assert await reader.read() == b""
        poisoned.set()

    async with serving(poison, answering(OK)) as (server, address):
        assert await ask(pool, address) == (200, b"hello")
        answered.set()
        async with asyncio.timeout(60):
            await poisoned.wait()
        assert await ask(pool, address) == (200, b"hello")
        assert server.connections == 2


async def test_an_idle_connection_that_closes_just_as_it_is_used_is_replaced_unseen(pool: Pool) -> None:
    async def answers_once_then_closes_on_the_next_request(reader: Reader, writer: Writer) -> None:
        await take_request(reader)
        writer.write(OK)
        await take_request(reader)

    async with serving(answers_once_then_closes_on_the_next_request, answering(OK, times=9)) as (server, address):
        assert await ask(pool, address) == (200, b"hello")
        assert await ask(pool, address) == (200, b"hello")
        assert server.connections == 2


async def test_a_new_connection_that_closes_without_a_byte_is_not_tried_again(pool: Pool) -> None:
    async with serving(answering(close=True)) as (server, address):
        with pytest.raises(BrokenOff) as caught:
            await ask(pool, address)
        assert caught.value.untouched
        assert server.connections == 1


async def test_a_reused_connection_that_breaks_within_an_answer_is_not_tried_again(pool: Pool) -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        await take_request(reader)
        writer.write(OK)
        await take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")

    async with serving(script) as (server, address):
        await ask(pool, address)
        with pytest.raises(BrokenOff) as caught:
            await ask(pool, address)
        assert not caught.value.untouched
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloXX\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
        b"HTTP/1.1 200",
    ],
)
async def test_what_is_no_whole_http_answer_is_an_error(pool: Pool, answer: bytes) -> None:
    async with serving(answering(answer, close=True)) as (_, address):
        with pytest.raises(BrokenOff):
            await ask(pool, address)


async def test_what_came_before_a_break_is_read_first(pool: Pool) -> None:
    script = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhello", close=True)
    async with (
        serving(script) as (_, address),
        exchange(pool, address) as connection,
    ):
        assert await connection.read() == b"hello"
        with pytest.raises(BrokenOff):
            await connection.read()


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"])
async def test_an_engine_that_falls_silent_is_given_up(hasty_pool: Pool, begun: bytes) -> None:
    async with serving(answering(begun)) as (_, address):
        with pytest.raises(Silent):
            await ask(hasty_pool, address)


async def test_an_engine_that_is_slow_but_speaks_is_not_given_up() -> None:
    pool = Pool(connect_timeout=60, first_byte_timeout=60, idle_timeout=3)

    async def slow(reader: Reader, writer: Writer) -> None:
        await take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n")
        for letter in b"hello, world":
            writer.write(bytes([letter]))
            await asyncio.sleep(0.3)

    async with serving(slow) as (_, address):
        assert await ask(pool, address) == (200, b"hello, world")
    pool.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("begun", "first_byte_timeout", "idle_timeout"),
    [(b"", 0.3, 600), (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", 600, 0.3)],
    ids=["first byte", "between bytes"],
)
async def test_each_phase_of_an_answer_has_its_own_patience(
    begun: bytes, first_byte_timeout: float, idle_timeout: float
) -> None:
    pool = Pool(connect_timeout=60, first_byte_timeout=first_byte_timeout, idle_timeout=idle_timeout)
    async with serving(answering(begun)) as (_, address), asyncio.timeout(300):
        with pytest.raises(Silent):
            await ask(pool, address)
    pool.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("at_once", [0, len(OK) - len(b"hello")], ids=["nothing", "its head"])
async def test_an_engine_that_thinks_for_long_is_not_given_up_for_pausing(at_once: int) -> None:
    pool = Pool(connect_timeout=60, first_byte_timeout=60, idle_timeout=0.2)

    async def late(reader: Reader, writer: Writer) -> None:
        await take_request(reader)
        writer.write(OK[:at_once])
        await asyncio.sleep(0.6)
        writer.write(OK[at_once:])

    async with serving(late) as (_, address):
        assert await ask(pool, address) == (200, b"hello")
    pool.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:80", "127.0.0.1:", ":x", ""])
async def test_an_engine_that_is_not_there_is_unreachable(pool: Pool, address: str) -> None:
    with pytest.raises(Unreachable):
        await ask(pool, address)


async def test_leaving_an_exchange_early_closes_its_connection_at_once(pool: Pool) -> None:
    gone = asyncio.Event()

    async def endless(reader: Reader, writer: Writer) -> None:
        await take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    async with serving(endless) as (server, address):
        async with exchange(pool, address) as connection:
            assert await connection.read() == b"hello"
        async with asyncio.timeout(30):  # half of the pool's patience with silence
            await gone.wait()
        assert server.connections == 1


async def test_cancelling_an_exchange_that_waits_closes_its_connection(pool: Pool) -> None:
    gone = asyncio.Event()

    async def silent(reader: Reader, writer: Writer) -> None:
        await take_request(reader)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    async with serving(silent) as (server, address):
        task = asyncio.create_task(ask(pool, address))
        await server.arrived.wait()
        task.cancel()
        async with asyncio.timeout(30):
            await gone.wait()


async def test_an_engine_is_held_back_by_a_reader_that_does_not_read(pool: Pool) -> None:
    sent = 0

    async def flood(reader: Reader, writer: Writer) -> None:
        nonlocal sent
        await take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n")
        for _ in range(500):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async with (
        serving(flood) as (_, address),
        exchange(pool, address) as connection,
    ):
        before = -1
        while sent > before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 20_000_000
        assert connection._size < HIGH_WATER + 1_000_000
        total = 0
        while piece := await connection.read():
            total += len(piece)
        assert total == 50_000_000


async def test_connections_that_engines_closed_are_not_kept(pool: Pool) -> None:
    async with serving(answering(OK, close=True)) as (_, address):
        await ask(pool, address)
        async with asyncio.timeout(60):
            while pool._idle:  # noqa: ASYNC110  # the pool tells nobody, and should not
                await asyncio.sleep(0.01)


async def test_a_body_is_poured_into_a_sink_as_it_comes(pool: Pool) -> None:
    pieces = (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n")
    taken: list[bytes] = []
    async with serving(answering(*pieces, times=2)) as (server, address):
        for _ in range(2):
            async with exchange(pool, address) as connection:
                await connection.pour(taken.append)
        assert b"".join(taken) == b"onetwoonetwo"
        assert server.connections == 1


@pytest.mark.parametrize("rest", [b"", b"3\r\ntwo\r\n0\r\n\r\n"], ids=["in the middle", "at the end"])
async def test_a_sink_that_fails_ends_the_exchange_and_its_connection(pool: Pool, rest: bytes) -> None:
    def fail(_: bytes) -> None:
        raise ZeroDivisionError

    begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"
    async with serving(answering(begun + rest)) as (server, address):
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                async with exchange(pool, address) as connection:
                    await connection.pour(fail)
        assert server.connections == 2


async def test_an_answer_that_breaks_off_is_poured_up_to_there(pool: Pool) -> None:
    taken: list[bytes] = []
    async with serving(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\none", close=True)) as (_, address):
        with pytest.raises(BrokenOff):
            async with exchange(pool, address) as connection:
                await connection.pour(taken.append)
    assert b"".join(taken) == b"one"


async def test_an_engine_is_held_back_by_a_sink_that_is_full(pool: Pool) -> None:
    total, full = 0, asyncio.get_running_loop().create_future()

    async def flood(reader: Reader, writer: Writer) -> None:
        await take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n")
        for _ in range(500):
            writer.write(b"x" * 100_000)
            await writer.drain()

    def take(piece: bytes) -> asyncio.Future[None] | None:
        nonlocal total
        total += len(piece)
        return None if full.done() else full

    async with serving(flood) as (_, address), exchange(pool, address) as connection:
        pouring = asyncio.create_task(connection.pour(take))
        before = -1
        while total > before:
            before = total
            await asyncio.sleep(0.2)
        assert total < 1_000_000
        full.set_result(None)
        await pouring
        assert total == 50_000_000


async def test_a_sink_that_stays_full_is_given_up_as_the_clients_fault(hasty_pool: Pool) -> None:
    full: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with serving(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\none")) as (_, address):
        with pytest.raises(Stalled):
            async with exchange(hasty_pool, address) as connection:
                await connection.pour(lambda _: full)
