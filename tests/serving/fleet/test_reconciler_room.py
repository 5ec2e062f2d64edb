"""Room, labels, changed options and overlapping passes: what the reconciler does, and in which words."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from cast import Cast
from polygraft.live import redis_client
from serving.fleet import reconciler
from serving.fleet.reconciler import reconcile
from serving.fleet.registry import NODES_KEY, NodeEntry, node_publish
from serving.models import Adapter, AdapterVersion, Engine, EngineState, Node, PlatformEvent

GIB = 1024**3
# For one engine of the demo model, and not for two.
ROOM = 3 * GIB // 2


@pytest.fixture(autouse=True)
def _no_nodes() -> Iterator[None]:
    redis_client().delete(NODES_KEY)
    yield
    redis_client().delete(NODES_KEY)


def alive(name: str, **facts: Any) -> None:
    Node.objects.get_or_create(name=name, defaults={"address": "127.0.0.1", "last_seen_at": timezone.now()})
    node_publish(redis_client(), NodeEntry(name=name, address="127.0.0.1", facts=facts))


def gpu(index: int, gib: float, used: float = 0) -> dict[str, Any]:
    return {"index": index, "memory_bytes": int(gib * GIB), "memory_used_bytes": int(used * GIB)}


def wish(cast: Cast, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(cast.deployment, name, value)
    cast.deployment.save(update_fields=list(fields))


def engines(state: str) -> list[Engine]:
    return list(Engine.objects.filter(state=state).select_related("node").order_by("created_at"))


def made_ready() -> None:
    Engine.objects.filter(state=EngineState.STARTING).update(state=EngineState.READY, ready_at=timezone.now())


def sentences(kind: str) -> list[str]:
    return list(PlatformEvent.objects.filter(kind=kind).order_by("at", "id").values_list("sentence", flat=True))


def test_a_replica_that_fits_nowhere_waits_and_says_what_is_missing(cast: Cast) -> None:
    alive("node-1", memory_bytes=ROOM)
    wish(cast, replicas=2)
    reconcile()
    assert len(engines("starting")) == 1
    assert sentences("replica.waits") == [
        "Replica 2 of smollm2 on llama.cpp waits: needs 996 MiB, the best node (node-1) has 417 MiB free."
    ]
    assert sentences("replica.placed") == ["Replica 1 of smollm2 on llama.cpp goes to node-1, planned to need 996 MiB."]


def test_a_second_node_takes_what_the_first_has_no_room_for(cast: Cast) -> None:
    alive("node-1", memory_bytes=ROOM)
    wish(cast, replicas=2)
    reconcile()
    alive("node-2", memory_bytes=ROOM)
    reconcile()
    assert [engine.node.name for engine in engines("starting")] == ["node-1", "node-2"]


def test_only_nodes_with_the_labels_are_used(cast: Cast) -> None:
    alive("node-1", labels={"zone": "us"})
    wish(cast, node_selector={"zone": "eu"})
    reconcile()
    assert sentences("replica.waits")[0].endswith("waits: no living node has the labels zone=eu.")
    alive("node-2", labels={"zone": "eu", "disk": "fast"})
    reconcile()
    assert [engine.node.name for engine in engines("starting")] == ["node-2"]


def test_engines_for_gpus_get_gpus_of_their_own_room(cast: Cast) -> None:
    alive("node-1", memory_bytes=64 * GIB, gpus=[gpu(0, 24, used=23), gpu(1, 24), gpu(2, 1)])
    wish(cast, replicas=2, options={"n_gpu_layers": -1})
    reconcile()
    assert [engine.gpus for engine in engines("starting")] == [[1], [1]]
    assert all(engine.memory_bytes > GIB for engine in engines("starting"))


def test_changed_options_start_a_successor_before_the_old_engine_drains(cast: Cast) -> None:
    alive("node-1")
    reconcile()
    made_ready()
    wish(cast, revision=2)
    reconcile()
    assert [engine.revision for engine in engines("ready")] == [1]
    assert [engine.revision for engine in engines("starting")] == [2]
    reconcile()
    assert engines("draining") == []
    made_ready()
    reconcile()
    assert [engine.revision for engine in engines("ready")] == [2]
    assert sentences("engine.drains") == [
        "The engine of smollm2 on llama.cpp on node-1 drains: its options have changed, and its successor is ready."
    ]


def test_without_room_beside_it_the_old_engine_drains_first(cast: Cast) -> None:
    alive("node-1", memory_bytes=ROOM)
    reconcile()
    made_ready()
    wish(cast, revision=2)
    reconcile()
    assert (len(engines("draining")), len(engines("starting"))) == (1, 0)
    assert "there is no room for its successor beside it" in sentences("engine.drains")[0]
    Engine.objects.filter(state=EngineState.DRAINING).update(state=EngineState.STOPPED, ended_at=timezone.now())
    reconcile()
    assert [engine.revision for engine in engines("starting")] == [2]


def test_an_engine_that_works_does_not_go_for_one_that_would_not_fit_either(cast: Cast) -> None:
    alive("node-1", memory_bytes=ROOM)
    reconcile()
    made_ready()
    wish(cast, revision=2, concurrency=64)
    reconcile()
    assert len(engines("ready")) == 1
    assert len(sentences("replica.waits")) == 1


def test_two_of_three_replicas_always_answer_while_options_change(cast: Cast) -> None:
    alive("node-1")
    wish(cast, replicas=3)
    reconcile()
    made_ready()
    wish(cast, revision=2)
    for _ in range(4):
        reconcile()
        assert len(engines("ready")) >= 3
        first = engines("starting")[:1]
        Engine.objects.filter(pk__in=[engine.pk for engine in first]).update(
            state=EngineState.READY, ready_at=timezone.now()
        )
    reconcile()
    assert [engine.revision for engine in engines("ready")] == [2, 2, 2]
    assert engines("starting") == []


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Has something happen once, between a pass's look at the world and its first placement."""

    def arrange(happening: Callable[[], None]) -> None:
        original, happened = reconciler.place, []

        def place(*args: Any, **kwargs: Any) -> Any:
            if not happened:
                happened.append(True)
                happening()
            return original(*args, **kwargs)

        monkeypatch.setattr(reconciler, "place", place)

    return arrange


def test_two_passes_at_once_start_no_engine_twice(cast: Cast, meanwhile: Callable[[Callable[[], None]], None]) -> None:
    alive("node-1")
    wish(cast, replicas=3)
    meanwhile(reconcile)
    reconcile()
    assert len(engines("starting")) == 3
    reconcile()
    assert len(engines("starting")) == 3


def test_two_passes_that_see_different_nodes_start_no_engine_twice(
    cast: Cast, meanwhile: Callable[[Callable[[], None]], None]
) -> None:
    alive("node-1")

    def another_finds_the_node_gone() -> None:
        redis_client().hdel(NODES_KEY, "node-1")
        alive("node-2")
        reconcile()

    meanwhile(another_finds_the_node_gone)
    reconcile()
    assert [engine.node.name for engine in engines("starting")] == ["node-2"]


def test_two_passes_at_once_do_not_give_one_nodes_room_to_two_deployments(
    cast: Cast, meanwhile: Callable[[Callable[[], None]], None]
) -> None:
    alive("node-1", memory_bytes=ROOM)
    node = Node.objects.get(name="node-1")

    def another_takes_the_room() -> None:
        other = type(cast.deployment).objects.create(base_model=cast.base_model, engine_kind="llamacpp", replicas=0)
        Engine.objects.create(deployment=other, node=node, memory_bytes=GIB // 2)
        Node.objects.filter(pk=node.pk).update(turn=1)

    meanwhile(another_takes_the_room)
    reconcile()
    assert Engine.objects.filter(deployment=cast.deployment).living().count() == 0
    reconcile()
    assert "waits" in sentences("replica.waits")[0]


def test_a_pass_asks_no_more_with_more_adapters(cast: Cast, django_assert_max_num_queries) -> None:
    alive("node-1")
    reconcile()
    made_ready()
    adapters = Adapter.objects.bulk_create(
        Adapter(department=cast.support, name=f"a{number}", base_model=cast.base_model) for number in range(300)
    )
    AdapterVersion.objects.bulk_create(
        AdapterVersion(adapter=adapter, number=1, state="ready", digest=f"{adapter.pk:064x}") for adapter in adapters
    )
    with django_assert_max_num_queries(8):
        reconcile()
