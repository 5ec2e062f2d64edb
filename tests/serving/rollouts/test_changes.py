"""What an adapter's bare name means."""

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from cast import Cast
from serving.models import Adapter, AdapterVersion, VersionState
from serving.rollouts import rollout_back, rollout_set
from serving.rollouts.changes import rollout_before, rollout_change
from serving.rollouts.thresholds import Thresholds
from tenants.models import AuditEvent


@pytest.fixture(autouse=True)
def _nothing_before(cast: Cast) -> None:
    """The history begins with the present rollout."""
    cast.adapter.rollout_changes.filter(weights={"2": 100}).delete()


def test_a_rollout_replaces_the_one_before_and_is_audited(cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=cast.people["dan"])
    cast.adapter.refresh_from_db()
    assert cast.adapter.weights == {2: 100}
    event = AuditEvent.objects.get(action="rollout.set")
    assert (event.details["before"], event.details["after"]) == ({"1": 100}, {"2": 100})


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        ({1: 50}, "sum to 50"),
        ({1: 60, 2: 60}, "sum to 120"),
        ({3: 100}, "Version 3 of support-bot is not ready"),
        ({1: 150, 2: -50}, "must be above 0"),
        ({}, "sum to 0"),
    ],
)
def test_a_senseless_rollout_is_refused(cast: Cast, weights: dict[int, int], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        rollout_set(adapter=cast.adapter, weights=weights, by=None)
    cast.adapter.refresh_from_db()
    assert cast.adapter.weights == {1: 100}


@pytest.mark.parametrize("state", [VersionState.UPLOADED, VersionState.VALIDATING, VersionState.REJECTED])
def test_only_a_ready_version_can_be_rolled_out(cast: Cast, state: VersionState) -> None:
    cast.adapter.versions.filter(number=2).update(state=state)
    with pytest.raises(ValidationError, match="not ready"):
        rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)


def test_a_gate_can_refuse_a_rollout_but_not_the_way_back(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    monkeypatch.setattr("serving.rollouts.gates.GATES", (lambda adapter, weights: ["Compare them first."],))
    with pytest.raises(ValidationError, match="Compare them first"):
        rollout_set(adapter=cast.adapter, weights={1: 100}, by=None)
    rollout_back(adapter=cast.adapter, by=None)
    assert weights_now(cast) == {1: 100}


def weights_now(cast: Cast) -> dict[int, int]:
    return Adapter.objects.get(pk=cast.adapter.pk).weights


def more_versions(cast: Cast, *numbers: int) -> None:
    for number in numbers:
        AdapterVersion.objects.create(
            adapter=cast.adapter, number=number, state=VersionState.READY, digest=f"{number:064x}"
        )


def test_going_back_twice_goes_two_rollouts_back(cast: Cast) -> None:
    more_versions(cast, 3)
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    rollout_set(adapter=cast.adapter, weights={3: 100}, by=None)
    rollout_back(adapter=cast.adapter, by=cast.people["dan"])
    assert weights_now(cast) == {2: 100}
    rollout_back(adapter=cast.adapter, by=None)
    assert weights_now(cast) == {1: 100}
    with pytest.raises(ValidationError, match="no earlier rollout"):
        rollout_back(adapter=cast.adapter, by=None)


def test_the_way_back_from_what_came_after_leads_to_where_one_had_gone_back(cast: Cast) -> None:
    more_versions(cast, 3)
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    rollout_back(adapter=cast.adapter, by=None)
    rollout_set(adapter=cast.adapter, weights={3: 100}, by=None)
    rollout_back(adapter=cast.adapter, by=None)
    assert weights_now(cast) == {1: 100}
    assert rollout_before(cast.adapter) is None


def test_a_rollout_with_a_version_that_is_gone_is_passed_over_on_the_way_back(cast: Cast) -> None:
    more_versions(cast, 3)
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    rollout_set(adapter=cast.adapter, weights={3: 100}, by=None)
    cast.adapter.versions.filter(number=2).update(state=VersionState.ARCHIVED)
    rollout_back(adapter=cast.adapter, by=None)
    assert weights_now(cast) == {1: 100}


def test_the_history_tells_who_and_why(cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=cast.people["dan"], reason="Knows the new prices.")
    rollout_back(adapter=cast.adapter, by=cast.people["olga"])
    newest, middle, first = cast.adapter.rollout_changes.all()
    assert (newest.by, newest.restores, newest.weights) == (cast.people["olga"], first, {"1": 100})
    assert (middle.by, middle.reason) == (cast.people["dan"], "Knows the new prices.")
    assert AuditEvent.objects.get(action="rollout.back").details["after"] == {"1": 100}


def test_the_stable_version_stays_so_while_a_canary_grows(cast: Cast) -> None:
    for weights in ({1: 90, 2: 10}, {1: 10, 2: 90}):
        assert rollout_set(adapter=cast.adapter, weights=weights, by=None).stable == 1
    assert rollout_set(adapter=cast.adapter, weights={2: 100}, by=None).stable == 2


def test_a_canary_is_watched_unless_told_otherwise(cast: Cast) -> None:
    assert rollout_set(adapter=cast.adapter, weights={1: 90, 2: 10}, by=None).step_back == Thresholds().as_json()
    assert rollout_set(adapter=cast.adapter, weights={1: 80, 2: 20}, by=None, step_back=None).step_back is None
    assert rollout_set(adapter=cast.adapter, weights={2: 100}, by=None).step_back is None


def test_a_change_that_somebody_else_has_overtaken_is_refused(cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    with pytest.raises(ValidationError, match="meanwhile"):
        rollout_change(adapter=cast.adapter, weights={1: 100}, by=None, instead_of={1: 90, 2: 10})


def test_what_is_archived_is_rolled_out_only_once_it_is_restored(cast: Cast) -> None:
    cast.adapter.archived_at = timezone.now()
    with pytest.raises(ValidationError, match="archived"):
        rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
