"""A node's supervisor with real processes of the fake engine: start, fill, watch, drain, stop."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from cast import DIGEST, Cast
from deadline import wait_until
from fake_driver import FakeDriver
from polygraft.live import redis_client
from serving.adapters.retirement import adapter_delete
from serving.engines.names import engine_adapter_name
from serving.engines.supervisor import Supervisor
from serving.fleet.registry import living_engines, living_nodes
from serving.models import Adapter, AdapterVersion, Engine, EngineState, Failure, VersionState


def tick_until(node: Supervisor, condition: Callable[[], object], what: str) -> None:
    def ticked() -> object:
        node.tick()
        return condition()

    wait_until(ticked, what=what)


def is_in(engine: Engine, state: EngineState) -> Callable[[], bool]:
    return lambda: Engine.objects.filter(pk=engine.pk, state=state).exists()


def test_an_engine_is_started_filled_and_then_announced(node: Supervisor, engine: Engine) -> None:
    tick_until(node, is_in(engine, EngineState.READY), "the engine is ready")
    entry = living_engines(redis_client())[0]
    assert (entry.id, entry.kind, entry.base_model, entry.state) == (str(engine.pk), "llamacpp", "smollm2", "ready")
    # Both ready versions are there before the first request is.
    assert entry.resident == {engine_adapter_name(DIGEST), engine_adapter_name(DIGEST[::-1])}


def test_a_version_that_an_engine_answers_through_becomes_ready_and_the_first_is_rolled_out(
    node: Supervisor, engine: Engine, cast: Cast
) -> None:
    adapter = Adapter.objects.create(department=cast.legal, name="contracts", base_model=cast.base_model)
    version = AdapterVersion.objects.create(adapter=adapter, number=1, state=VersionState.VALIDATING, digest="cd" * 32)
    tick_until(node, is_in(engine, EngineState.READY), "the engine is ready")
    version.refresh_from_db()
    assert version.state == VersionState.READY
    assert Adapter.objects.get(pk=adapter.pk).weights == {1: 100}


def test_identical_bytes_of_two_departments_both_become_ready(node: Supervisor, engine: Engine, cast: Cast) -> None:
    adapter = Adapter.objects.create(department=cast.legal, name="twin", base_model=cast.base_model)
    version = AdapterVersion.objects.create(adapter=adapter, number=1, state=VersionState.VALIDATING, digest=DIGEST)
    tick_until(node, is_in(engine, EngineState.READY), "the engine is ready")
    version.refresh_from_db()
    assert version.state == VersionState.READY


def test_a_version_that_an_engine_refuses_is_rejected_with_its_words(
    node: Supervisor, engine: Engine, cast: Cast, driver: FakeDriver
) -> None:
    digest = "ef" * 32
    driver.refused.add(engine_adapter_name(digest))
    version = AdapterVersion.objects.create(
        adapter=cast.adapter, number=3, state=VersionState.VALIDATING, digest=digest, report={"ok": True}
    )
    tick_until(node, is_in(engine, EngineState.READY), "the engine is ready")
    version.refresh_from_db()
    assert version.state == VersionState.REJECTED
    assert version.report["ok"] is False
    assert version.report["findings"][0]["found"] == "This one is not to my taste."


def test_a_deleted_adapter_leaves_the_engine(node: Supervisor, engine: Engine, cast: Cast) -> None:
    tick_until(node, is_in(engine, EngineState.READY), "the engine is ready")
    adapter_delete(adapter=cast.adapter, by=None)
    tick_until(node, lambda: not living_engines(redis_client())[0].resident, "the engine holds nothing")


def test_a_killed_engine_fails_with_its_last_words_and_leaves_routing(node: Supervisor, engine: Engine) -> None:
    tick_until(node, is_in(engine, EngineState.READY), "the engine is ready")
    engine.refresh_from_db()
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    tick_until(node, is_in(engine, EngineState.FAILED), "the engine has failed")
    engine.refresh_from_db()
    assert "ended by SIGKILL" in engine.error
    assert engine.failure == Failure.CRASHED
    assert living_engines(redis_client()) == []


def test_an_engine_that_cannot_start_says_why(node: Supervisor, engine: Engine, driver: FakeDriver) -> None:
    driver.arguments = ["--no-such-flag"]
    tick_until(node, is_in(engine, EngineState.FAILED), "the engine has failed")
    engine.refresh_from_db()
    assert "--no-such-flag" in engine.error


def test_a_draining_engine_leaves_routing_and_stops(node: Supervisor, engine: Engine) -> None:
    tick_until(node, is_in(engine, EngineState.READY), "the engine is ready")
    Engine.objects.filter(pk=engine.pk).update(state=EngineState.DRAINING)
    node.tick()
    assert living_engines(redis_client()) == []
    tick_until(node, is_in(engine, EngineState.STOPPED), "the engine has stopped")


def test_a_node_that_stops_takes_its_engines_along_and_says_so(node: Supervisor, engine: Engine) -> None:
    tick_until(node, is_in(engine, EngineState.READY), "the engine is ready")
    assert [entry.name for entry in living_nodes(redis_client())] == ["node-1"]
    node.stop(5)
    engine.refresh_from_db()
    assert engine.state == EngineState.STOPPED
    assert engine.pid is not None
    assert not Path(f"/proc/{engine.pid}").exists()
    assert living_nodes(redis_client()) == []
    assert living_engines(redis_client()) == []


def test_engines_of_a_worker_that_is_gone_are_closed_when_the_node_comes_back(cast: Cast, engine: Engine) -> None:
    Engine.objects.filter(pk=engine.pk).update(state=EngineState.READY)
    Supervisor("node-1", redis_client())
    engine.refresh_from_db()
    assert engine.state == EngineState.STOPPED
