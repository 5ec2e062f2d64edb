"""Engines that fail are replaced ever later, and after too many failures only when a person says so."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from cast import Cast
from polygraft.live import redis_client
from serving.fleet.engine_logs import engine_log_put
from serving.fleet.reconciler import reconcile
from serving.fleet.registry import NODES_KEY, NodeEntry, node_publish
from serving.fleet.restarts import deployment_start_again, restart_of
from serving.models import Engine, EngineState, Failure, PlatformEvent


def fail(cast: Cast, *seconds_ago: float, failure: Failure = Failure.CRASHED) -> None:
    for seconds in seconds_ago:
        Engine.objects.create(
            deployment=cast.deployment,
            node=cast.engine.node,
            state=EngineState.FAILED,
            failure=failure,
            error="It ended with exit code 1.\nRuntimeError: bad weights",
            ended_at=timezone.now() - timedelta(seconds=seconds),
        )


@pytest.mark.parametrize(("failures", "wait"), [(0, 0), (1, 1), (2, 2), (3, 4), (4, 8)])
def test_the_wait_doubles_with_each_failure(cast: Cast, failures: int, wait: int) -> None:
    fail(cast, *[0] * failures)
    restart = restart_of(cast.deployment)
    assert not restart.is_given_up
    assert restart.may_start(timezone.now() + timedelta(seconds=wait))
    assert restart.may_start(timezone.now()) == (failures == 0)
    assert not failures or not restart.may_start(timezone.now() + timedelta(seconds=wait - 0.5))


def test_each_replica_may_fail_as_often(cast: Cast) -> None:
    cast.deployment.replicas = 3
    fail(cast, *[0] * 14)
    assert not restart_of(cast.deployment).is_given_up
    fail(cast, 0)
    assert restart_of(cast.deployment).is_given_up


def test_failures_long_ago_and_lost_nodes_do_not_count(cast: Cast) -> None:
    fail(cast, *[601] * 5)
    fail(cast, *[0] * 5, failure=Failure.LOST)
    assert restart_of(cast.deployment).may_start(timezone.now())


def test_after_five_failures_it_takes_a_person(cast: Cast) -> None:
    node_publish(redis_client(), NodeEntry(name="node-1", address="127.0.0.1", facts={}))
    fail(cast, 300, 200, 150, 120, 100)
    for _ in range(2):
        reconcile()
    assert not Engine.objects.living().exists()
    event = PlatformEvent.objects.get(kind="deployment.given_up")
    assert "RuntimeError: bad weights" in event.sentence
    assert event.times == 2
    deployment_start_again(deployment=cast.deployment, by=cast.people["ada"])
    reconcile()
    assert Engine.objects.living().count() == 1
    redis_client().delete(NODES_KEY)


def test_an_admin_starts_it_again_over_rest(cast: Cast) -> None:
    fail(cast, *[0] * 5)
    client = APIClient()
    client.force_authenticate(cast.people["ada"])
    assert client.post(f"/api/v1/deployments/{cast.deployment.pk}/start-again").status_code == 204
    cast.deployment.refresh_from_db()
    assert restart_of(cast.deployment).may_start(timezone.now())


def test_the_end_of_a_log_and_what_an_engine_failed_of_are_read_over_rest(cast: Cast) -> None:
    fail(cast, 0, failure=Failure.HUNG)
    engine = Engine.objects.get(state=EngineState.FAILED)
    engine_log_put(redis_client(), str(engine.pk), "\n".join(f"line {number}" for number in range(300)))
    client = APIClient()
    client.force_authenticate(cast.people["audrey"])
    url = f"/api/v1/engines/{engine.pk}"
    shown = client.get(url).json()
    assert (shown["state"], shown["failure"]) == ("failed", "hung")
    assert "bad weights" in shown["error"]
    assert client.get(f"{url}/log").json()["lines"] == [f"line {number}" for number in range(200, 300)]
    assert client.get(f"{url}/log?lines=2").json()["lines"] == ["line 298", "line 299"]
    assert client.get(f"{url}/log?lines=0").status_code == 400
