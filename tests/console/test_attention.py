"""The first page says what wants attention, to those whom it concerns, and where to go."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from cast import Cast, engine_put
from polygraft.live import redis_client
from serving.accounting.counters import counter_key, period_bounds
from serving.console.attention import Concern
from serving.events import event_record
from serving.fleet.registry import NodeEntry, node_publish, node_withdraw
from serving.models import Adapter, AdapterVersion, EngineState, Node, VersionState
from tenants.keys import key_create


def concerns(sign_in, person: str) -> list[Concern]:
    found: list[Concern] = sign_in(person).get("/").context["concerns"]
    return found


def subjects(sign_in, person: str) -> list[str]:
    return [concern.subject for concern in concerns(sign_in, person)]


@pytest.fixture
def ready(cast: Cast) -> None:
    """Nothing is wrong: the deployment's engine is ready."""
    engine_put(cast.engine, EngineState.READY)


@pytest.mark.parametrize("person", ["ada", "audrey", "olga", "vera", "lena"])
def test_nothing_is_said_while_nothing_is_wrong(person: str, ready: None, sign_in) -> None:
    response = sign_in(person).get("/")
    assert response.context["concerns"] == []
    assert "Needs attention" not in response.content.decode()


def test_a_deployment_without_its_engines_is_told_to_admins_with_the_reason_and_the_way(cast: Cast, sign_in) -> None:
    event_record(kind="replica.waits", sentence="Replica 1 waits.", deployment=cast.deployment, is_problem=True)
    (concern,) = concerns(sign_in, "ada")
    assert concern == Concern(
        f"{cast.deployment}: 0 of 1 ready", "Replica 1 waits.", f"/engines/deployments/{cast.deployment.pk}/"
    )
    assert subjects(sign_in, "olga") == []


def test_what_was_wrong_with_a_deployment_is_forgotten_once_its_engines_are_ready(
    cast: Cast, ready: None, sign_in
) -> None:
    event_record(kind="replica.waits", sentence="Replica 1 waits.", deployment=cast.deployment, is_problem=True)
    assert subjects(sign_in, "ada") == []


def test_a_rejected_version_is_told_to_its_department_until_a_newer_one_comes(cast: Cast, ready: None, sign_in) -> None:
    AdapterVersion.objects.create(adapter=cast.adapter, number=3, state=VersionState.REJECTED)
    assert subjects(sign_in, "vera") == subjects(sign_in, "ada") == ["support/support-bot:3"]
    assert subjects(sign_in, "lena") == []
    AdapterVersion.objects.create(adapter=cast.adapter, number=4, state=VersionState.READY)
    assert subjects(sign_in, "vera") == []


def test_a_canary_that_was_taken_back_is_told_to_its_department(cast: Cast, ready: None, sign_in) -> None:
    event_record(kind="rollout.step_back", sentence="Version 2 was taken back.", adapter=cast.adapter, is_problem=True)
    assert concerns(sign_in, "dan") == [
        Concern("support/support-bot", "Version 2 was taken back.", "/departments/support/adapter/support-bot/")
    ]
    assert subjects(sign_in, "lena") == []


def test_a_quota_that_is_nearly_full_is_told(cast: Cast, ready: None, sign_in) -> None:
    cast.support.quota_adapters = Adapter.objects.filter(department=cast.support).count()
    cast.support.save()
    (concern,) = concerns(sign_in, "olga")
    assert concern == Concern("Support", "1 of 1 adapter used.", "/departments/support/limits/")
    assert subjects(sign_in, "lena") == []


def test_a_key_that_is_about_to_expire_is_told(cast: Cast, ready: None, sign_in) -> None:
    for name, days in (("soon", 2), ("later", 30), ("over", -1)):
        key_create(department=cast.support, name=name, by=None, expires_at=timezone.now() + timedelta(days=days))
    assert subjects(sign_in, "dan") == ["support: key soon"]
    assert subjects(sign_in, "lena") == []


def test_what_is_nearly_used_up_until_midnight_is_told_and_what_is_back_in_a_minute_is_not(
    cast: Cast, ready: None, sign_in
) -> None:
    cast.support.limits = {"tokens_per_day": 100, "concurrent_requests": 1}
    cast.support.save()
    level = f"department:{cast.support.pk}"
    day, _ = period_bounds("day", timezone.now())
    now, today = counter_key(level, "concurrent_requests"), f"{counter_key(level, 'tokens_per_day')}:{day}"
    redis_client().hset(now, mapping={"one": "1 99999999999999"})
    redis_client().hset(today, mapping={"one": "95 99999999999999"})
    (concern,) = concerns(sign_in, "olga")
    redis_client().delete(now, today)
    assert concern.sentence == "95 of 100 tokens per day used."


def test_a_node_that_has_fallen_silent_is_told_to_admins(cast: Cast, ready: None, sign_in) -> None:
    Node.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
    node_publish(redis_client(), NodeEntry(name="node-2", address="127.0.0.1", facts={}, seen_at=time.time()))
    told = {person: subjects(sign_in, person) for person in ("audrey", "olga")}
    node_withdraw(redis_client(), "node-2")
    assert told == {"audrey": ["Node node-1"], "olga": []}


def test_the_only_node_is_told_too_when_it_falls_silent(cast: Cast, ready: None, sign_in) -> None:
    Node.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
    assert subjects(sign_in, "audrey") == ["Node node-1"]
