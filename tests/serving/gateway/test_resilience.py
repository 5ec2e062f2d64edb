"""With Redis killed, the database away or both, callers whose keys and models are known notice nothing."""

import time
from collections.abc import Callable
from types import SimpleNamespace

import httpx
import pytest
from django.db import OperationalError
from prometheus_client import REGISTRY

from cast import Cast
from deadline import wait_until
from polygraft.conf import config
from polygraft.live import CHANNEL, redis_client
from tenants.keys import key_revoke

from .other_redis import OtherRedis
from .served import CHAT, Engines, Served, question

Serve = Callable[..., Served]


def sample(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


def statuses(client: httpx.Client, secret: str = "") -> set[int]:
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return {client.post(CHAT, json=question(), headers=headers).status_code for _ in range(3)}


def take_database_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("No route to host.")

    monkeypatch.setattr("serving.gateway.auth.grant_resolve", away)
    monkeypatch.setattr("serving.gateway.catalogue._read_shelf", away)


def kill_redis(server: OtherRedis) -> None:
    wait_until(lambda: redis_client().pubsub_numsub(CHANNEL)[0][1] >= 1, what="announcements arrive")
    server.kill()
    wait_until(lambda: sample("polygraft_gateway_redis_connected") == 0, what="the gateway notices")


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been looked up is asked for again at once, as it would be after a while."""
    for name in ("ALONE_SECONDS", "CONNECTED_SECONDS", "_AWAY_SECONDS"):
        monkeypatch.setattr(f"serving.gateway.cache.{name}", 0.0)


def test_without_redis_everybody_is_served_and_the_metrics_say_so(
    other_redis: OtherRedis, cast: Cast, engines: Engines, serve: Serve
) -> None:
    engines.start()
    client = serve().client(cast.secret)
    assert statuses(client) == {200}
    assert sample("polygraft_gateway_redis_connected") == 1
    kill_redis(other_redis)
    assert statuses(client) == {200}
    # Who was not known before is looked up all the same.
    assert client.get("/v1/models", headers={"authorization": f"Bearer {cast.legal_secret}"}).status_code == 200


def test_a_redis_that_comes_back_empty_brings_announcements_back(
    other_redis: OtherRedis, cast: Cast, engines: Engines, serve: Serve
) -> None:
    engines.start()
    client = serve().client(cast.secret)
    assert statuses(client) == {200}
    kill_redis(other_redis)
    other_redis.start()
    wait_until(lambda: sample("polygraft_gateway_redis_connected") == 1, what="the gateway notices")
    assert statuses(client) == {200}
    key_revoke(key=cast.key, by=None)
    wait_until(lambda: statuses(client) == {401}, seconds=1, what="the key is refused")


@pytest.mark.usefixtures("brief")
def test_without_redis_and_database_what_is_known_is_believed_and_nothing_else(
    other_redis: OtherRedis, cast: Cast, engines: Engines, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.start()
    client = serve().client(cast.secret)
    assert statuses(client) == {200}
    kill_redis(other_redis)
    take_database_away(monkeypatch)
    before = sample("polygraft_stale_answers_total")
    assert statuses(client) == {200}
    assert sample("polygraft_stale_answers_total") >= before + 6
    assert statuses(client, cast.legal_secret) == {503}


@pytest.mark.usefixtures("brief")
def test_after_the_grace_the_database_is_missed(
    cast: Cast, engines: Engines, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config(), "database_grace", 600)
    engines.start()
    client = serve().client(cast.secret)
    assert statuses(client) == {200}
    take_database_away(monkeypatch)
    assert statuses(client) == {200}
    monkeypatch.setattr("serving.gateway.cache.time", SimpleNamespace(monotonic=lambda: time.monotonic() + 601))
    assert statuses(client) == {503}


@pytest.mark.usefixtures("brief")
def test_what_was_revoked_before_the_database_went_away_stays_revoked(
    cast: Cast, engines: Engines, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.start()
    client = serve().client(cast.secret)
    wait_until(lambda: redis_client().pubsub_numsub(CHANNEL)[0][1] >= 1, what="announcements arrive")
    assert statuses(client) == {200}
    key_revoke(key=cast.key, by=None)
    take_database_away(monkeypatch)
    wait_until(lambda: statuses(client) <= {401, 503}, seconds=1, what="the key is not believed in any more")
