"""Engines outlive their worker: the next one takes them over, and two never own the same."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from django.utils import timezone

from cast import Cast, engine_put
from deadline import wait_until
from fake_driver import FakeDriver
from polygraft.conf import config
from polygraft.live import redis_client
from serving.engines.announcements import NodeTaken, node_announce
from serving.engines.identity import ProcessIdentity
from serving.engines.node_lock import NodeLock
from serving.engines.remains import remains
from serving.engines.supervisor import Supervisor
from serving.fleet.reconciler import reconcile
from serving.fleet.registry import ENGINES_KEY, NODES_KEY, EngineEntry, NodeEntry, living_engines, node_publish
from serving.models import Engine, EngineState, Node, PlatformEvent


@pytest.fixture
def first(cast: Cast, driver: FakeDriver) -> Iterator[Supervisor]:
    """A node whose engines outlive it; those that are left are ended by the test's end."""
    redis_client().delete(ENGINES_KEY, NODES_KEY)
    yield Supervisor("node-1", redis_client())
    for engine_id in Engine.objects.values_list("pk", flat=True):
        for left in remains(str(engine_id)):
            left.signal(signal.SIGKILL)
    for process in driver.started:
        assert process.popen is not None
        process.popen.wait()
    redis_client().delete(ENGINES_KEY, NODES_KEY)


def ready(node: Supervisor, engine: Engine) -> EngineEntry:
    def entry() -> EngineEntry | None:
        node.tick()
        return next((found for found in living_engines(redis_client()) if found.id == str(engine.pk)), None)

    return wait_until(entry, what="the engine is ready")


def test_an_engine_goes_on_under_a_new_worker_in_mid_stream(
    first: Supervisor, engine: Engine, driver: FakeDriver
) -> None:
    driver.arguments = ["--tokens", "40", "--tps", "40"]
    before = ready(first, engine)
    body = {"model": "smollm2", "prompt": "on and on", "stream": True}
    url = f"http://{before.address}/v1/completions"
    with httpx.stream("POST", url, json=body, timeout=60, trust_env=False) as stream:
        events = stream.iter_lines()
        assert next(events).startswith("data: ")
        first.stop(5)
        second = Supervisor("node-1", redis_client())
        driver.loads.clear()
        after = ready(second, engine)
        assert list(events)[-2] == "data: [DONE]"
    engine.refresh_from_db()
    assert (after.address, after.secret, after.resident) == (before.address, before.secret, before.resident)
    assert engine.state == EngineState.READY
    assert driver.loads == []  # what it holds is asked, not loaded again


@pytest.mark.parametrize("restarted", [False, True])
def test_an_engine_that_was_believed_lost_goes_on_in_mid_stream_when_its_node_speaks_again(
    first: Supervisor, engine: Engine, driver: FakeDriver, restarted: bool
) -> None:
    driver.arguments = ["--tokens", "40", "--tps", "40"]
    before = ready(first, engine)
    engine.refresh_from_db()
    body = {"model": "smollm2", "prompt": "on and on", "stream": True}
    url = f"http://{before.address}/v1/completions"
    with httpx.stream("POST", url, json=body, timeout=60, trust_env=False) as stream:
        events = stream.iter_lines()
        assert next(events).startswith("data: ")
        lose("node-1")
        if restarted:
            first.stop(5)
        driver.loads.clear()
        after = ready(Supervisor("node-1", redis_client()) if restarted else first, engine)
        assert list(events)[-2] == "data: [DONE]"
    pid = engine.pid
    engine.refresh_from_db()
    assert (after.address, after.resident, after.state) == (before.address, before.resident, "ready")
    assert (engine.state, engine.pid, engine.error, engine.ended_at) == (EngineState.READY, pid, "", None)
    assert driver.loads == []
    assert PlatformEvent.objects.get(kind="engine.returned").engine_id == engine.pk


def lose(node: str) -> None:
    """Have the reconciler believe that a node is gone."""
    redis_client().delete(NODES_KEY)
    Node.objects.filter(name=node).update(last_seen_at=timezone.now() - timedelta(minutes=1))
    reconcile()
    assert Engine.objects.lost().count() == 1
    assert living_engines(redis_client()) == []


def test_an_engine_that_was_starting_is_awaited_by_the_next_worker(first: Supervisor, engine: Engine) -> None:
    first.tick()
    first.stop(5)
    engine.refresh_from_db()
    pid = engine.pid
    ready(Supervisor("node-1", redis_client()), engine)
    engine.refresh_from_db()
    assert (engine.state, engine.pid) == (EngineState.READY, pid)


def test_an_engine_that_ended_unwatched_is_closed(first: Supervisor, engine: Engine) -> None:
    ready(first, engine)
    first.stop(5)
    engine.refresh_from_db()
    assert engine.pid is not None
    killed = ProcessIdentity.of(engine.pid)
    os.kill(engine.pid, signal.SIGKILL)
    wait_until(lambda: not killed.lives(), what="it has ended")
    Supervisor("node-1", redis_client())
    engine.refresh_from_db()
    assert (engine.state, engine.error) == (EngineState.STOPPED, "It ended while no worker watched it.")


def test_a_process_that_was_given_an_engines_old_id_is_left_alone(first: Supervisor, engine: Engine) -> None:
    ready(first, engine)
    first.stop(5)
    engine.refresh_from_db()
    (record,) = (config().home / "node" / "engines").glob("*.json")
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        record.write_text(record.read_text().replace(f'"pid":{engine.pid}', f'"pid":{stranger.pid}'))
        Supervisor("node-1", redis_client()).tick()
        assert stranger.poll() is None
        engine.refresh_from_db()
        assert engine.state == EngineState.STOPPED
    finally:
        stranger.kill()
        stranger.wait()


def test_an_engine_that_was_given_up_meanwhile_is_ended(first: Supervisor, engine: Engine) -> None:
    ready(first, engine)
    first.stop(5)
    engine_put(engine, "failed")
    Supervisor("node-1", redis_client())
    assert remains(str(engine.pk)) == []
    assert list((config().home / "node" / "engines").glob("*.json")) == []


def test_an_engine_whose_record_was_never_written_is_ended_and_started_anew(first: Supervisor, engine: Engine) -> None:
    first.tick()
    (old,) = remains(str(engine.pk))
    first.stop(5)
    (config().home / "node" / "engines" / f"{engine.pk}.json").unlink()
    Engine.objects.filter(pk=engine.pk).update(pid=None)
    ready(Supervisor("node-1", redis_client()), engine)
    assert not old.lives()
    assert [process.pid for process in remains(str(engine.pk))] != [old.pid]


def test_a_draining_engine_finishes_what_it_has_begun(first: Supervisor, engine: Engine, driver: FakeDriver) -> None:
    driver.arguments = ["--tokens", "200", "--tps", "50"]
    entry = ready(first, engine)
    body = {"model": "smollm2", "prompt": "on and on", "stream": True}
    url = f"http://{entry.address}/v1/completions"
    with httpx.stream("POST", url, json=body, timeout=60, trust_env=False) as stream:
        events = stream.iter_lines()
        assert next(events).startswith("data: ")
        Engine.objects.filter(pk=engine.pk).update(state=EngineState.DRAINING)
        first.tick()
        assert living_engines(redis_client()) == []
        lines: list[str] = []
        while not lines or lines[-1] != "data: [DONE]":
            first.tick()
            lines.append(next(events))
    wait_until(lambda: first.tick() or stopped(engine), what="the engine has stopped")


def stopped(engine: Engine) -> bool:
    return Engine.objects.filter(pk=engine.pk, state=EngineState.STOPPED).exists()


HOLDER = """
import sys, time
from pathlib import Path
from serving.engines.node_lock import NodeLock
lock = NodeLock(Path(sys.argv[1]))
print(lock.take(), flush=True)
time.sleep(600)
"""


def test_two_workers_of_one_node_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "node" / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    lock = NodeLock(path)
    assert not lock.take()
    holder.kill()  # as `kill -9` of a worker
    holder.wait()
    holder.stdout.close()
    assert lock.take()
    assert lock.take()
    lock.release()


@pytest.mark.django_db
def test_a_node_whose_name_lives_elsewhere_does_not_start() -> None:
    redis_client().delete(NODES_KEY)
    entry = NodeEntry(name=config().node_name, address="10.0.0.9", facts={}, place="another-machine:/var/lib/polygraft")
    node_publish(redis_client(), entry)
    with pytest.raises(NodeTaken, match="another-machine"):
        node_announce(redis_client())
    with pytest.raises(NodeTaken):
        Supervisor(config().node_name, redis_client())
    assert not Node.objects.filter(address="10.0.0.9").exists()
    redis_client().delete(NODES_KEY)
