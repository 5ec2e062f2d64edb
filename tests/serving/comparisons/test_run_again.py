"""A comparison that failed or was cancelled goes on: what was answered stays, what was not is asked."""

from unittest.mock import patch

import pytest
from django.core.exceptions import ValidationError
from rest_framework.test import APIClient

from cast import Cast
from serving.adapters.retirement import version_archive
from serving.comparisons import lifecycle
from serving.comparisons.lifecycle import comparison_claim, comparison_run_again
from serving.models import ComparisonAnswer, ComparisonState
from tenants.models import AuditEvent


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_it_keeps_answers_and_asks_what_is_missing_or_went_wrong(
    state: str, cast: Cast, finished, django_capture_on_commit_callbacks
) -> None:
    comparison = finished([[True, True], [True, False]], state=state)
    answers = ComparisonAnswer.objects.filter(prompt__comparison=comparison)
    answers.filter(passed=False).update(error="The engine went away.")
    comparison.problem = "dan may not use the models of Support any more."
    comparison.save()
    client = APIClient()
    client.force_authenticate(cast.people["olga"])
    with (
        patch.object(lifecycle, "comparison_request") as requested,
        django_capture_on_commit_callbacks(execute=True),
    ):
        answer = client.post(f"/api/v1/departments/support/adapters/support-bot/comparisons/{comparison.pk}/run-again")
    assert answer.status_code == 202
    assert answer.json()["state"] == "queued"
    requested.assert_called_once_with(str(comparison.pk))
    comparison.refresh_from_db()
    assert (comparison.problem, comparison.finished_at, comparison.created_by) == ("", None, cast.people["olga"])
    assert answers.count() == 3
    assert AuditEvent.objects.filter(action="comparison.run_again", actor_name="olga").count() == 1
    claimed = comparison_claim(str(comparison.pk))
    assert claimed is not None
    assert claimed.state == ComparisonState.RUNNING


@pytest.mark.parametrize("state", ["queued", "running", "finished"])
def test_what_was_not_broken_off_is_not_run_again(state: str, cast: Cast, finished) -> None:
    comparison = finished([[True, True]], state=state)
    assert not comparison_run_again(comparison=comparison, by=cast.people["olga"])
    comparison.refresh_from_db()
    assert comparison.state == state


def test_a_version_that_is_archived_meanwhile_cannot_be_compared_any_more(cast: Cast, finished) -> None:
    comparison = finished([[True, True]], state="failed")
    version_archive(version=cast.adapter.versions.get(number=2), by=None)
    with pytest.raises(ValidationError, match="support-bot:2 is no ready version"):
        comparison_run_again(comparison=comparison, by=cast.people["olga"])
    comparison.refresh_from_db()
    assert comparison.state == "failed"
