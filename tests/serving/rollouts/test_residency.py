"""A rollout waits until engines hold its versions."""

import threading
from collections.abc import Iterator

import pytest
from django.core.exceptions import ValidationError

from cast import DIGEST, Cast
from polygraft.live import redis_client
from published_engine import publish_engine
from serving.engines.names import engine_adapter_name
from serving.fleet.registry import asked_key
from serving.rollouts import rollout_back, rollout_set
from serving.rollouts.residency import versions_await

OLD, NEW = engine_adapter_name(DIGEST), engine_adapter_name(DIGEST[::-1])


@pytest.fixture(autouse=True)
def _empty_redis() -> Iterator[None]:
    redis_client().flushall()
    yield
    redis_client().flushall()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.rollouts.residency.WAIT_SECONDS", 0.1)


def publish(cast: Cast, *resident: str, name: str = "e1", **fields: str) -> None:
    publish_engine(cast, id=name, resident=frozenset(resident), **{"residency": "eager", **fields})


def test_a_version_that_no_engine_could_load_is_not_rolled_out(cast: Cast, impatient: None) -> None:
    publish(cast, OLD)
    with pytest.raises(ValidationError, match="Version 2 of support-bot is on no engine yet"):
        rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    cast.adapter.refresh_from_db()
    assert cast.adapter.weights == {1: 100}


def test_every_kind_of_engine_that_answers_now_must_hold_the_version(cast: Cast, impatient: None) -> None:
    publish(cast, OLD, NEW)
    publish(cast, OLD, name="e2", kind="vllm")
    with pytest.raises(ValidationError, match="on no engine yet"):
        rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)


def test_an_engine_that_loads_on_demand_is_asked_for_the_version(cast: Cast, impatient: None) -> None:
    publish(cast, OLD, residency="on_demand")
    publish(cast, name="e2", residency="on_demand")
    with pytest.raises(ValidationError):
        rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    assert redis_client().zrange(asked_key("e1"), 0, -1) == [NEW.encode()]
    # It answers for other adapters only.
    assert not redis_client().exists(asked_key("e2"))


def test_a_rollout_waits_while_the_version_is_loaded(cast: Cast) -> None:
    publish(cast, OLD)
    threading.Timer(0.3, publish, (cast, OLD, NEW)).start()
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    cast.adapter.refresh_from_db()
    assert cast.adapter.weights == {2: 100}


def test_going_back_does_not_wait_for_every_engine(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    monkeypatch.setattr("serving.rollouts.changes.BACK_SECONDS", 0.0)
    publish(cast, OLD, NEW)
    publish(cast, NEW, name="e2")
    rollout_back(adapter=cast.adapter, by=None)
    cast.adapter.refresh_from_db()
    assert cast.adapter.weights == {1: 100}


def test_without_an_engine_there_is_nothing_to_wait_for(cast: Cast) -> None:
    publish(cast, OLD, state="starting")
    versions_await(cast.adapter, {2: 100})
