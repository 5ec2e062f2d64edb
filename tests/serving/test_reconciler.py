"""From the deployments that are wished for to engines on nodes."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from cast import Cast
from polygraft.live import redis_client
from serving.models import Engine, EngineState, Node
from serving.reconciler import reconcile
from serving.registry import NODES_KEY, NodeEntry, node_publish


@pytest.fixture(autouse=True)
def _no_nodes() -> Iterator[None]:
    redis_client().delete(NODES_KEY)
    yield
    redis_client().delete(NODES_KEY)


def alive(name: str) -> None:
    Node.objects.get_or_create(name=name, defaults={"address": "127.0.0.1", "last_seen_at": timezone.now()})
    node_publish(redis_client(), NodeEntry(name=name, address="127.0.0.1", facts={}))


def states(cast: Cast) -> list[str]:
    return sorted(Engine.objects.filter(deployment=cast.deployment).living().values_list("state", flat=True))


def wish(cast: Cast, replicas: int) -> None:
    cast.deployment.replicas = replicas
    cast.deployment.save()


def test_replicas_are_placed_on_living_nodes_evenly(cast: Cast) -> None:
    alive("node-1")
    alive("node-2")
    wish(cast, 4)
    reconcile()
    assert sorted(Engine.objects.living().values_list("node__name", flat=True)) == ["node-1"] * 2 + ["node-2"] * 2


def test_running_it_again_changes_nothing(cast: Cast) -> None:
    alive("node-1")
    reconcile()
    reconcile()
    assert states(cast) == ["starting"]


def test_without_a_living_node_nothing_is_placed(cast: Cast) -> None:
    reconcile()
    assert states(cast) == []


def test_too_many_engines_are_drained(cast: Cast) -> None:
    alive("node-1")
    wish(cast, 2)
    reconcile()
    wish(cast, 1)
    reconcile()
    assert states(cast) == ["draining", "starting"]


def test_the_engines_of_a_lost_node_fail_and_are_placed_elsewhere(cast: Cast) -> None:
    alive("node-1")
    reconcile()
    redis_client().hdel(NODES_KEY, "node-1")
    alive("node-2")
    # The failure is a moment old, so the back-off has passed.
    reconcile()
    Engine.objects.filter(state=EngineState.FAILED).update(ended_at=timezone.now() - timedelta(seconds=5))
    reconcile()
    lost = Engine.objects.get(state=EngineState.FAILED)
    assert lost.error == "The node node-1 is lost."
    assert Engine.objects.living().get().node.name == "node-2"


def test_an_engine_that_keeps_dying_is_replaced_more_and_more_slowly(cast: Cast) -> None:
    alive("node-1")
    node = Node.objects.get(name="node-1")
    now = timezone.now()
    for seconds in (100, 50, 5):
        Engine.objects.create(
            deployment=cast.deployment, node=node, state=EngineState.FAILED, ended_at=now - timedelta(seconds=seconds)
        )
    reconcile()
    assert states(cast) == ["starting"]  # three failures wait 4 s, and 5 have passed
    Engine.objects.living().update(state=EngineState.FAILED, ended_at=now - timedelta(seconds=4))
    reconcile()
    assert states(cast) == []  # four failures wait 8 s
