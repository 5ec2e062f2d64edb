"""What an adapter's bare name means."""

import pytest
from django.core.exceptions import ValidationError

from cast import Cast
from serving.models import VersionState
from serving.rollouts import rollout_set
from tenants.models import AuditEvent


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
