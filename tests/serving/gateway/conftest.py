"""Who asks, which engines answer, and the gateway between them."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis

from cast import Cast, make_cast
from polygraft.conf import config
from polygraft.live import redis_client

from .other_redis import OtherRedis
from .served import Engines, Served


@pytest.fixture(autouse=True)
def _empty_redis() -> Iterator[None]:
    yield
    with contextlib.suppress(redis.RedisError):
        redis_client().flushall()
    for file in (config().home / "spool").glob("*"):
        file.unlink()


@pytest.fixture(autouse=True)
def _redis_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, half a second may be over before the tests' Redis has had a turn; that is not its absence."""
    for module in ("limiting.leases", "turns.slots"):
        monkeypatch.setattr(f"serving.gateway.{module}._ANSWER_SECONDS", 60)


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    """Everybody, committed to the database, since the gateway reads it on threads of its own."""
    return make_cast()


@pytest.fixture
def engines(cast: Cast) -> Iterator[Engines]:
    """A maker of engines; all of them end with the test."""
    maker = Engines(cast.base_model.pk, cast.base_model.name)
    yield maker
    for engine in maker.running:
        engine.stop()


@pytest.fixture
def serve(cast: Cast) -> Iterator[Callable[..., Served]]:
    """A maker of gateways; start them after their engines, and they know them at once."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(Served(**options))


@pytest.fixture
def client(cast: Cast, engines: Engines, serve: Callable[..., Served]) -> httpx.Client:
    """The support department's client of a gateway with one sound engine."""
    engines.start()
    return serve().client(cast.secret)


@pytest.fixture
def other_redis(tmp_path: Path) -> Iterator[OtherRedis]:
    """A Redis of this test's own, for gateways started from now on, that can be stopped and started."""
    server = OtherRedis(tmp_path)
    usual, config().redis_url = config().redis_url, server.url
    redis_client.cache_clear()
    server.start()
    yield server
    server.stop()
    redis_client().close()
    # Not by monkeypatch: what else is undone after this test must find the usual Redis again.
    config().redis_url = usual
    redis_client.cache_clear()
