"""Which adapters a node's engines hold, with real processes of the fake engine."""

import time
from collections.abc import Callable

import httpx
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cast import DIGEST, Cast, adapters_make
from deadline import wait_until
from fake_driver import FakeDriver
from polygraft.conf import config
from polygraft.live import redis_client
from serving.adapters.retirement import version_delete
from serving.engines import running as running_module
from serving.engines.driver import EngineLoad
from serving.engines.names import engine_adapter_name
from serving.engines.process import EngineProcess
from serving.engines.records import Records
from serving.engines.supervisor import Supervisor
from serving.fleet.registry import EngineEntry, asked_key, living_engines
from serving.models import Adapter, AdapterVersion, Deployment, Engine, Residency, Rollout, VersionState
from serving.rollouts import rollout_set

FIRST, SECOND = engine_adapter_name(DIGEST), engine_adapter_name(DIGEST[::-1])


def ready(node: Supervisor) -> EngineEntry:
    """The node's only engine, as soon as it is ready."""

    def entries() -> list[EngineEntry]:
        node.tick()
        return living_engines(redis_client())

    return wait_until(entries, what="the engine is ready")[0]


def residents(node: Supervisor) -> frozenset[str]:
    node.tick()
    return living_engines(redis_client())[0].resident


def ask_for(engine: Engine, name: str, *, at: float = 0.0) -> None:
    redis_client().zadd(asked_key(str(engine.pk)), {name: at or time.time()})


@pytest.fixture
def policy(cast: Cast) -> Callable[..., None]:
    def put(residency: Residency, *, slots: int, pinned: list[Adapter] | None = None) -> None:
        Deployment.objects.filter(pk=cast.deployment.pk).update(residency=residency, adapter_slots=slots)
        cast.deployment.pinned.set(pinned or [])

    return put


def test_on_demand_nothing_is_loaded_until_it_is_asked_for_and_the_longest_unused_leaves(
    node: Supervisor, engine: Engine, policy: Callable[..., None]
) -> None:
    policy(Residency.ON_DEMAND, slots=1)
    entry = ready(node)
    assert (entry.residency, entry.resident) == ("on_demand", frozenset())
    ask_for(engine, FIRST)
    assert residents(node) == {FIRST}
    ask_for(engine, SECOND)
    assert residents(node) == {SECOND}
    assert asked(node, entry) == {SECOND}  # the engine has really let go of it


def asked(node: Supervisor, entry: EngineEntry) -> set[str]:
    """What the engine itself says it holds."""
    url = f"http://{entry.address}/v1/models"
    answer = httpx.get(url, headers={"authorization": f"Bearer {entry.secret}"}, trust_env=False)
    return {model["id"] for model in answer.json()["data"]} - {"smollm2"}


def test_a_pinned_adapter_stays_whatever_is_asked_for(
    node: Supervisor, engine: Engine, cast: Cast, policy: Callable[..., None]
) -> None:
    other = Adapter.objects.create(department=cast.legal, name="contracts", base_model=cast.base_model)
    AdapterVersion.objects.create(adapter=other, number=1, state=VersionState.READY, digest="cd" * 32)
    Rollout.objects.create(adapter=other, weights={"1": 100})
    policy(Residency.PINNED, slots=2, pinned=[other])
    assert ready(node).resident == {engine_adapter_name("cd" * 32)}
    ask_for(engine, FIRST)
    assert residents(node) == {engine_adapter_name("cd" * 32), FIRST}
    ask_for(engine, SECOND)
    assert residents(node) == {engine_adapter_name("cd" * 32), SECOND}


def test_a_rollout_of_the_same_bytes_loads_nothing(
    node: Supervisor, engine: Engine, cast: Cast, driver: FakeDriver
) -> None:
    ready(node)
    before = list(driver.loads)
    again = AdapterVersion.objects.create(adapter=cast.adapter, number=3, state=VersionState.VALIDATING, digest=DIGEST)
    node.tick()
    again.refresh_from_db()
    assert again.state == VersionState.READY
    rollout_set(adapter=cast.adapter, weights={3: 100}, by=None)
    node.tick()
    assert driver.loads == before


def test_what_an_engine_has_lost_is_noticed_and_loaded_again(
    node: Supervisor, engine: Engine, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = ready(node)
    url = f"http://{entry.address}/v1/unload_lora_adapter"
    httpx.post(url, json={"lora_name": FIRST}, headers={"authorization": f"Bearer {entry.secret}"}, trust_env=False)
    driver.loads.clear()
    node.tick()
    assert driver.loads == []  # it is not asked at every tick
    monkeypatch.setattr(running_module, "_LOOK_SECONDS", 0)
    assert residents(node) == {FIRST, SECOND}
    assert driver.loads == [FIRST]


def test_a_nodes_copy_goes_once_the_engine_has_let_go_of_it_and_is_idle(
    node: Supervisor, engine: Engine, cast: Cast, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_module, "_WATCH_SECONDS", 0)
    monkeypatch.setattr(running_module, "_UNCOUNTED_SECONDS", 0)
    measured = 0
    busy = True

    def load(process: EngineProcess) -> EngineLoad:
        nonlocal measured
        measured += 1
        return EngineLoad(running=int(busy), waiting=0, kv_usage=0.0, generated=measured)

    monkeypatch.setattr(driver, "load", load)
    ready(node)
    folder = config().home / "node" / "adapters"
    copies = [folder / DIGEST, folder / DIGEST[::-1]]
    for copy in copies:
        copy.mkdir(exist_ok=True)

    def tick_measuring(times: int) -> None:
        wanted = measured + times
        wait_until(lambda: node.tick() or measured >= wanted, what="it is measured")

    version_delete(version=cast.adapter.versions.get(number=2), by=None)
    wait_until(lambda: residents(node) == {FIRST}, what="the engine lets go of it")
    tick_measuring(3)
    assert all(copy.is_dir() for copy in copies), "a request that runs may still read it"
    busy = False
    wait_until(lambda: node.tick() or not copies[1].exists(), what="the copy goes")
    assert copies[0].is_dir()
    wait_until(
        lambda: node.tick() or Records(config().home / "node" / "engines").given(str(engine.pk)) == {FIRST},
        what="the next worker would know",
    )


def test_a_tick_asks_the_database_as_often_for_ten_adapters_as_for_a_hundred(
    node: Supervisor, engine: Engine, cast: Cast
) -> None:
    Deployment.objects.filter(pk=cast.deployment.pk).update(residency=Residency.PINNED, adapter_slots=200)
    counts = []
    for numbers in (range(10), range(10, 100)):
        for adapter in adapters_make(cast, numbers):
            cast.deployment.pinned.add(adapter)
        ready(node)
        node.tick()
        with CaptureQueriesContext(connection) as captured:
            node.tick()
        assert len(residents(node)) == numbers.stop
        counts.append(len(captured))
    assert counts[0] == counts[1]
