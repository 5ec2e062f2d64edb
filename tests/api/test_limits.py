"""Limits through the management API: of keys, departments and the platform."""

import pytest
from rest_framework.test import APIClient

from cast import Cast
from tenants.grants import grant_resolve
from tenants.models import AuditEvent

LIMITS = {
    "requests_per_minute": 600,
    "tokens_per_minute": 90_000,
    "concurrent_requests": 8,
    "tokens_per_day": 10**6,
    "tokens_per_month": 10**7,
    "money_per_month": "99.5",
    "models": {"support-bot": {"tokens_per_day": 10_000}},
}


def client_of(cast: Cast, person: str) -> APIClient:
    client = APIClient()
    client.force_authenticate(cast.people[person])
    return client


def test_a_key_is_made_with_limits_and_keeps_them_when_it_is_rotated(cast: Cast) -> None:
    client = client_of(cast, "olga")
    made = client.post("/api/v1/departments/support/keys", {"name": "new", "limits": LIMITS}, format="json").json()
    assert made["limits"] == LIMITS
    rotated = client.post(f"/api/v1/departments/support/keys/{made['id']}/rotate", {}, format="json").json()
    assert rotated["limits"] == LIMITS


@pytest.mark.parametrize(
    ("limits", "where"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"requests_per_minute": "many"}, "requests_per_minute"),
        ({"requests_per_minute": True}, "requests_per_minute"),
        ({"requests_per_hour": 1}, "requests_per_hour"),
        ({"tokens_per_day": 1.5}, "tokens_per_day"),
        ({"money_per_month": "0"}, "money_per_month"),
        ({"money_per_month": "NaN"}, "money_per_month"),
        ({"money_per_month": "0.0000001"}, "money_per_month"),
        ({"models": {"support-bot": {"tokens_per_hour": 1}}}, "models.support-bot.tokens_per_hour"),
        ({"models": {"support-bot": {"models": {}}}}, "models.support-bot.models"),
        ({"models": {"support-bot:3": {"tokens_per_day": 1}}}, "models.support-bot:3"),
        ({"models": ["support-bot"]}, "models"),
        ([], "limits"),
    ],
)
def test_what_is_no_limit_is_refused_by_its_name(cast: Cast, limits: object, where: str) -> None:
    body = {"name": "new", "limits": limits}
    answer = client_of(cast, "olga").post("/api/v1/departments/support/keys", body, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["errors"]["limits"]) == [where]


def test_an_owner_limits_a_key_and_null_takes_a_limit_away(cast: Cast) -> None:
    client = client_of(cast, "olga")
    url = f"/api/v1/departments/support/keys/{cast.key.pk}"
    assert client.patch(url, {"limits": LIMITS}, format="json").json()["limits"] == LIMITS
    answer = client.patch(url, {"limits": {"requests_per_minute": None, "tokens_per_day": 5}}, format="json")
    assert answer.json()["limits"] == {"tokens_per_day": 5}
    assert AuditEvent.objects.filter(action="api_key.limit").first().details["before"] == LIMITS  # type: ignore[union-attr]


def test_an_owner_may_rename_a_department_but_neither_limit_nor_weigh_it(cast: Cast) -> None:
    client = client_of(cast, "olga")
    for change in ({"limits": {}}, {"weight": 900}, {"name": "New", "weight": 900}):
        assert client.patch("/api/v1/departments/support", change, format="json").status_code == 403
    cast.support.refresh_from_db()
    assert (cast.support.name, cast.support.weight) == ("Support", 100)


def test_a_grant_carries_every_level_that_limits_and_the_weight(cast: Cast) -> None:
    admin = client_of(cast, "ada")
    admin.put("/api/v1/limits", {"concurrent_requests": 100}, format="json")
    body = {"limits": {"requests_per_minute": 60, "models": {"support-bot": {"tokens_per_day": 9}}}, "weight": 300}
    admin.patch("/api/v1/departments/support", body, format="json")
    admin.patch(f"/api/v1/departments/support/keys/{cast.key.pk}", {"limits": {"money_per_month": 2}}, format="json")
    grant = grant_resolve(cast.secret)
    assert grant is not None
    assert grant.weight == 300
    assert [(level.name, level.model, {k: str(v) for k, v in level.limits}) for level in grant.levels] == [
        ("platform", "", {"concurrent_requests": "100"}),
        ("department", "", {"requests_per_minute": "60"}),
        ("department", "support-bot", {"tokens_per_day": "9"}),
        ("API key", "", {"money_per_month": "2"}),
    ]
    legal = grant_resolve(cast.legal_secret)
    assert legal is not None
    assert [level.name for level in legal.levels] == ["platform"]


def test_the_platform_has_no_limits_for_single_models(cast: Cast) -> None:
    answer = client_of(cast, "ada").put("/api/v1/limits", {"models": {"support-bot": {}}}, format="json")
    assert answer.status_code == 400
