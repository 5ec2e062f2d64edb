"""A canary that does worse is taken back by itself, in the open."""

from datetime import timedelta

import pytest
from django.utils import timezone

from cast import Cast
from serving.accounting.version_minutes import minute_of
from serving.models import Adapter, AdapterVersion, PlatformEvent, Rollout, VersionMinute, VersionState
from serving.rollouts import rollout_set
from serving.rollouts.thresholds import Thresholds
from serving.rollouts.watch import rollouts_watch
from tenants.models import AuditEvent


def minute(cast: Cast, number: int, requests: int, errors: int, ago: timedelta = timedelta(0)) -> None:
    VersionMinute.objects.create(
        adapter_version=cast.adapter.versions.get(number=number),
        minute=minute_of(timezone.now() - ago),
        requests=requests,
        errors=errors,
    )


def weights_now(cast: Cast) -> dict[int, int]:
    return Adapter.objects.get(pk=cast.adapter.pk).weights


def test_a_failing_canary_is_taken_back_with_its_reason(cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={1: 90, 2: 10}, by=cast.people["dan"])
    minute(cast, 1, 400, 1)
    minute(cast, 2, 50, 20)
    rollouts_watch()
    assert weights_now(cast) == {1: 100}
    event = AuditEvent.objects.get(action="rollout.step_back")
    assert event.actor is None
    assert "20 of its 50 requests failed (40.0 %)" in event.details["reason"]
    assert cast.adapter.rollout_changes.first().reason == event.details["reason"]  # type: ignore[union-attr]
    noticed = PlatformEvent.objects.get(kind="rollout.step_back")
    assert noticed.is_problem
    assert noticed.sentence.startswith("support/support-bot stepped back to version 1: version 2 was taken back")


def test_a_sound_canary_stays(cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={1: 90, 2: 10}, by=None)
    minute(cast, 1, 400, 4)
    minute(cast, 2, 50, 1)
    rollouts_watch()
    assert weights_now(cast) == {1: 90, 2: 10}


def test_a_canary_that_nobody_wants_watched_stays_whatever_it_does(cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={1: 90, 2: 10}, by=None, step_back=None)
    minute(cast, 1, 400, 1)
    minute(cast, 2, 50, 50)
    rollouts_watch()
    assert weights_now(cast) == {1: 90, 2: 10}


def test_of_two_canaries_only_the_failing_one_is_taken_back(cast: Cast) -> None:
    AdapterVersion.objects.create(adapter=cast.adapter, number=3, state=VersionState.READY, digest="3" * 64)
    thresholds = Thresholds(requests=40)
    rollout_set(adapter=cast.adapter, weights={1: 80, 2: 10, 3: 10}, by=None, step_back=thresholds)
    minute(cast, 1, 400, 1)
    minute(cast, 2, 50, 0)
    minute(cast, 3, 50, 40)
    rollouts_watch()
    rollout = Rollout.objects.get(adapter=cast.adapter)
    assert (rollout.weights, rollout.step_back) == ({"1": 90, "2": 10}, thresholds.as_json())


def test_what_a_version_did_before_the_rollout_does_not_count(cast: Cast) -> None:
    minute(cast, 1, 400, 1, timedelta(minutes=3))
    minute(cast, 2, 50, 50, timedelta(minutes=3))
    rollout_set(adapter=cast.adapter, weights={1: 90, 2: 10}, by=None)
    rollouts_watch()
    assert weights_now(cast) == {1: 90, 2: 10}


def test_what_begins_to_fail_after_good_hours_is_seen_in_the_last_minutes(cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={1: 90, 2: 10}, by=None)
    Rollout.objects.update(changed_at=timezone.now() - timedelta(hours=3))
    minute(cast, 1, 90_000, 0, timedelta(hours=2))
    minute(cast, 2, 10_000, 0, timedelta(hours=2))
    minute(cast, 1, 400, 0)
    minute(cast, 2, 40, 15)
    rollouts_watch()
    assert weights_now(cast) == {1: 100}


def test_somebody_who_was_quicker_is_not_overruled(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout_set(adapter=cast.adapter, weights={1: 90, 2: 10}, by=None)
    minute(cast, 1, 400, 1)
    minute(cast, 2, 50, 50)

    def meanwhile(*_: object) -> str:
        if weights_now(cast) != {1: 50, 2: 50}:
            rollout_set(adapter=cast.adapter, weights={1: 50, 2: 50}, by=None)
        return "it failed"

    monkeypatch.setattr("serving.rollouts.watch.verdict", meanwhile)
    rollouts_watch()
    assert weights_now(cast) == {1: 50, 2: 50}
    assert not PlatformEvent.objects.exists()
