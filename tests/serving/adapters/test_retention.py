"""Retention of old versions: what is retired, what never is, what is said before, and what is audited."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from cast import Cast
from serving.adapters.retention import Step, retention_apply, retention_apply_everywhere, retention_plan, retention_set
from serving.adapters.retirement import adapter_archive, version_archive, version_restore
from serving.models import AdapterVersion, Comparison, Feedback, RetentionPolicy, UsageRecord, VersionState
from serving.models.comparison import ComparisonState
from serving.rollouts import rollout_set
from tenants.models import AuditEvent

PATH = "/api/v1/departments/support/retention"


@pytest.fixture
def versions(cast: Cast) -> None:
    """Ten ready versions of support-bot, 90 days old; version 1 is rolled out, and nothing was before."""
    cast.adapter.rollout_changes.all().delete()
    Comparison.objects.update(state=ComparisonState.CANCELLED)
    for number in range(3, 11):
        AdapterVersion.objects.create(
            adapter=cast.adapter, number=number, state=VersionState.READY, digest=f"{number:064x}"
        )
    old = timezone.now() - timedelta(days=90)
    AdapterVersion.objects.filter(adapter=cast.adapter).update(uploaded_at=old, ready_at=old)


def put(cast: Cast, **policy: int | None) -> None:
    retention_set(department=cast.support, wished=RetentionPolicy(**policy), by=cast.people["olga"])


def used(cast: Cast, number: int, *, days_ago: float, department: Any = None) -> None:
    UsageRecord.objects.create(
        request_id=f"{number}-{days_ago}",
        at=timezone.now() - timedelta(days=days_ago),
        department=department or cast.support,
        endpoint="chat",
        model=f"support-bot:{number}",
        adapter_version=cast.adapter.versions.get(number=number),
        outcome="finished",
        status=200,
        duration_ms=1,
    )


def numbers(steps: list[Step]) -> list[int]:
    return sorted(step.version.number for step in steps if step.version)


def state(cast: Cast, number: int) -> str:
    return cast.adapter.versions.get(number=number).state


@pytest.mark.usefixtures("versions")
def test_without_a_policy_everything_stays(cast: Cast) -> None:
    assert retention_plan(cast.support) == []
    put(cast)
    assert retention_plan(cast.support) == []


@pytest.mark.usefixtures("versions")
def test_the_newest_stay_and_so_does_what_is_rolled_out(cast: Cast) -> None:
    put(cast, keep_newest=3)
    steps = retention_plan(cast.support)
    assert numbers(steps) == [2, 3, 4, 5, 6, 7]
    assert {(step.action, step.because) for step in steps} == {("archive", "older than the newest 3")}


@pytest.mark.usefixtures("versions")
def test_what_was_used_or_made_lately_stays(cast: Cast) -> None:
    used(cast, 4, days_ago=20)
    used(cast, 5, days_ago=40)
    used(cast, 6, days_ago=20, department=cast.legal)
    cast.adapter.versions.filter(number=7).update(ready_at=timezone.now() - timedelta(days=20))
    put(cast, keep_used_days=30)
    assert numbers(retention_plan(cast.support)) == [2, 3, 5, 8, 9, 10]
    put(cast, keep_used_days=30, keep_newest=2)
    steps = retention_plan(cast.support)
    assert numbers(steps) == [2, 3, 5, 8]
    assert steps[0].because == "older than the newest 2 and unused for 30 days"


@pytest.mark.usefixtures("versions")
def test_no_policy_retires_what_is_kept_used_this_week_on_its_way_or_one_click_back(cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={2: 100}, by=None)
    rollout_set(adapter=cast.adapter, weights={1: 50, 3: 50}, by=None)
    used(cast, 4, days_ago=6)
    cast.adapter.versions.filter(number=5).update(keep=True)
    cast.adapter.versions.filter(number=6).update(state=VersionState.VALIDATING)
    cast.adapter.versions.filter(number=7).update(state=VersionState.REJECTED)
    put(cast, keep_newest=1)
    # 2 is where one click leads back to.
    assert numbers(retention_plan(cast.support)) == [8, 9]
    adapter_archive(adapter=cast.adapter, by=None)
    assert retention_plan(cast.support) == []


@pytest.mark.usefixtures("versions")
def test_what_is_being_compared_stays(cast: Cast) -> None:
    put(cast, keep_newest=8)
    assert numbers(retention_plan(cast.support)) == [2]
    Comparison.objects.update(state=ComparisonState.RUNNING)
    assert retention_plan(cast.support) == []


@pytest.mark.usefixtures("versions")
def test_versions_are_archived_then_deleted_after_the_grace_and_each_step_has_its_reason(cast: Cast) -> None:
    put(cast, keep_newest=8, grace_days=10)
    assert retention_apply(cast.support) == 1  # 2; 1 is rolled out
    assert state(cast, 2) == VersionState.ARCHIVED
    assert retention_apply(cast.support) == 0
    cast.adapter.versions.filter(number=2).update(archived_at=timezone.now() - timedelta(days=11))
    assert retention_apply_everywhere() == 1
    assert state(cast, 2) == VersionState.DELETED
    events = AuditEvent.objects.filter(target="support-bot:2").order_by("id")
    assert [(event.action, event.actor_name, event.details) for event in events] == [
        ("adapter_version.archive", "polygraft", {"because": "older than the newest 8"}),
        ("adapter_version.delete", "polygraft", {"because": "archived 11 days ago as older than the newest 8"}),
    ]


@pytest.mark.usefixtures("versions")
def test_what_a_person_archived_is_never_deleted_and_what_a_person_restored_starts_anew(cast: Cast) -> None:
    version = cast.adapter.versions.get(number=2)
    version_archive(version=version, by=cast.people["dan"])
    put(cast, keep_newest=9, grace_days=0)
    assert retention_plan(cast.support) == []
    version_restore(version=version, by=cast.people["dan"])
    assert numbers(retention_plan(cast.support)) == []
    put(cast, keep_newest=8, grace_days=0)
    assert retention_apply(cast.support) == 1
    version.refresh_from_db()
    version_restore(version=version, by=cast.people["dan"])
    assert (version.archived_because, version.archived_at) == ("", None)


@pytest.mark.usefixtures("versions")
def test_the_platforms_policy_holds_for_departments_without_one(cast: Cast) -> None:
    retention_set(department=None, wished=RetentionPolicy(keep_newest=9, grace_days=1), by=None)
    assert numbers(retention_plan(cast.support)) == []
    retention_set(department=None, wished=RetentionPolicy(keep_newest=5, grace_days=1), by=None)
    assert numbers(retention_plan(cast.support)) == [2, 3, 4, 5]
    put(cast, keep_newest=8)
    assert numbers(retention_plan(cast.support)) == [2]
    assert RetentionPolicy.of(cast.legal).keep_newest == 5
    assert RetentionPolicy.objects.count() == 2


@pytest.mark.parametrize("policy", [{"keep_newest": 0}, {"keep_used_days": 5000}, {"grace_days": 99_999}])
def test_a_policy_out_of_range_is_refused(cast: Cast, policy: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        put(cast, **policy)


@pytest.mark.usefixtures("versions")
def test_rest_tells_what_another_policy_would_do_and_does_nothing(cast: Cast) -> None:
    client = APIClient()
    client.force_authenticate(cast.people["olga"])
    told = client.get(f"{PATH}?keep_newest=8").json()
    assert told["steps"] == [
        {
            "adapter": "support-bot",
            "version": 2,
            "comparison": None,
            "comments": 0,
            "action": "archive",
            "because": "older than the newest 8",
        }
    ]
    assert client.get(PATH).json() == {
        "policy": {"keep_newest": None, "keep_used_days": None, "grace_days": 14, "keep_texts_days": None},
        "is_own": False,
        "steps": [],
    }
    assert client.put(PATH, {"keep_newest": 8}, format="json").json()["is_own"] is True
    assert state(cast, 2) == VersionState.READY
    assert client.put(PATH, {"keep_newest": 0}, format="json").status_code == 400
    assert client.delete(PATH).status_code == 204
    assert client.get(PATH).json()["is_own"] is False
    assert list(AuditEvent.objects.filter(action__startswith="retention").values_list("action", flat=True)) == [
        "retention.inherit",
        "retention.set",
    ]


@pytest.mark.usefixtures("versions")
def test_the_console_previews_before_it_saves(cast: Cast) -> None:
    client = Client()
    assert cast.people["olga"] is not None
    client.force_login(cast.people["olga"])
    page = "/departments/support/retention/"
    html = client.post(page, {"keep_newest": 8, "grace_days": 14, "preview": "1"}).content.decode()
    assert "What this policy would do now" in html
    assert "older than the newest 8" in html
    assert not RetentionPolicy.objects.exists()
    client.post(page, {"keep_newest": 8, "grace_days": 14})
    assert "The newest 8 versions of each adapter are kept" in client.get(page).content.decode()
    assert client.post(page, {"keep_newest": 0, "grace_days": 14}).status_code == 422


def comment(cast: Cast, words: str, *, days_ago: float) -> Feedback:
    return Feedback.objects.create(
        request_id=words,
        department=cast.support,
        adapter_version=cast.adapter.versions.get(number=1),
        rating=1,
        comment=words,
        at=timezone.now() - timedelta(days=days_ago),
    )


def ended(cast: Cast, name: str, *, days_ago: float, state: ComparisonState = ComparisonState.FINISHED) -> None:
    Comparison.objects.create(
        adapter=cast.adapter,
        name=name,
        candidates=["support-bot:1", "support-bot:2"],
        sampling={},
        prompt_count=0,
        state=state,
        finished_at=timezone.now() - timedelta(days=days_ago),
    )


def test_old_comparisons_and_comments_are_deleted_after_they_were_shown(cast: Cast) -> None:
    Comparison.objects.all().delete()
    ended(cast, "old", days_ago=31)
    ended(cast, "old and cancelled", days_ago=31, state=ComparisonState.CANCELLED)
    ended(cast, "old and at work", days_ago=31, state=ComparisonState.RUNNING)
    ended(cast, "young", days_ago=29)
    old, young = comment(cast, "It was wrong.", days_ago=31), comment(cast, "It was right.", days_ago=29)
    assert retention_plan(cast.support) == []
    client = APIClient()
    client.force_authenticate(cast.people["olga"])
    shown = client.get(f"{PATH}?keep_texts_days=30").json()["steps"]
    assert [(step["comparison"] is not None, step["comments"], step["because"]) for step in shown] == [
        (True, 0, "older than 30 days"),
        (True, 0, "older than 30 days"),
        (False, 1, "older than 30 days"),
    ]
    put(cast, keep_texts_days=30)
    assert retention_apply(cast.support) == 3
    assert retention_apply(cast.support) == 0
    assert set(Comparison.objects.values_list("name", flat=True)) == {"old and at work", "young"}
    old.refresh_from_db()
    young.refresh_from_db()
    assert (old.rating, old.comment, young.comment) == (1, "", "It was right.")
    deleted = AuditEvent.objects.filter(action="comparison.delete").first()
    assert deleted is not None
    assert (deleted.actor_name, deleted.details["because"]) == ("polygraft", "older than 30 days")


@pytest.mark.usefixtures("versions")
def test_the_pages_of_a_preview_are_those_of_what_is_previewed(cast: Cast) -> None:
    for number in range(40):
        ended(cast, f"number {number}", days_ago=31)
    client = Client()
    client.force_login(cast.people["olga"])
    page = "/departments/support/retention/"
    wished = {"keep_texts_days": 30, "grace_days": 14}
    first = client.post(page, {**wished, "preview": "1"}).content.decode()
    assert first.count("older than 30 days") == 25
    assert '<button class="btn btn-sm" form="policy" name="preview" value="2">More</button>' in first
    second = client.post(page, {**wished, "preview": "2"}).content.decode()
    assert "26–40 of 40" in second
    assert 'value="30"' in second
    assert not RetentionPolicy.objects.exists()
