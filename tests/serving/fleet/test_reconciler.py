"""From the deployments that are wished for to engines on nodes."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from cast import Cast
from polygraft.live import redis_client
from serving.engines.returning import engines_take_back
from serving.fleet.reconciler import reconcile
from serving.fleet.registry import NODES_KEY, NodeEntry, node_publish
from serving.models import Engine, EngineState, Node


@pytest.fixture(autouse=True)
def _no_nodes() -> Iterator[None]:
    redis_client().delete(NODES_KEY)
    yield
    redis_client().delete(NODES_KEY)


def alive(name: str) -> None:
    Node.objects.update_or_create(name=name, defaults={"address": "127.0.0.1", "last_seen_at": timezone.now()})
    node_publish(redis_client(), NodeEntry(name=name, address="127.0.0.1", facts={}))


def lost(name: str) -> None:
    Node.objects.filter(name=name).update(last_seen_at=timezone.now() - timedelta(seconds=13))
    redis_client().hdel(NODES_KEY, name)


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
    lost("node-1")
    alive("node-2")
    # The failure is a moment old, so the back-off has passed.
    reconcile()
    Engine.objects.filter(state=EngineState.FAILED).update(ended_at=timezone.now() - timedelta(seconds=5))
    reconcile()
    given_up = Engine.objects.get(state=EngineState.FAILED)
    assert given_up.error == "The node node-1 is lost."
    assert Engine.objects.living().get().node.name == "node-2"


def test_a_redis_that_has_lost_its_memory_costs_no_engine_its_place(cast: Cast) -> None:
    alive("node-1")
    reconcile()
    redis_client().delete(NODES_KEY)
    reconcile()
    assert states(cast) == ["starting"]


def test_an_engine_that_comes_back_with_its_node_stays_and_what_starts_in_its_place_goes(cast: Cast) -> None:
    alive("node-1")
    reconcile()
    old = Engine.objects.living().get()
    old_id = str(old.pk)
    Engine.objects.filter(pk=old.pk).update(state=EngineState.READY, ready_at=timezone.now())
    lost("node-1")
    alive("node-2")
    reconcile()
    replacement = Engine.objects.living().get()
    alive("node-1")
    assert list(engines_take_back([old_id, str(replacement.pk)])) == [old_id]
    assert engines_take_back([old_id]) == {}
    reconcile()
    old.refresh_from_db()
    replacement.refresh_from_db()
    assert (old.state, old.failure, old.ended_at) == (EngineState.READY, "", None)
    assert replacement.state == EngineState.DRAINING


def test_an_engine_that_is_not_wished_for_any_more_when_it_comes_back_is_drained(cast: Cast) -> None:
    alive("node-1")
    reconcile()
    old = Engine.objects.living().get()
    lost("node-1")
    reconcile()
    wish(cast, 0)
    alive("node-1")
    engines_take_back([str(old.pk)])
    reconcile()
    assert states(cast) == ["draining"]


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
