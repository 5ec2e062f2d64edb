"""Rollouts over the management API."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from cast import Cast
from serving.models import Rollout, VersionState
from serving.rollouts.thresholds import Thresholds

ADAPTER = "/api/v1/departments/support/adapters/support-bot"


@pytest.fixture
def dan(cast: Cast) -> APIClient:
    client = APIClient()
    client.force_authenticate(cast.people["dan"])
    return client


def put(client: APIClient, **body: Any) -> Any:
    return client.put(f"{ADAPTER}/rollout", body, format="json")


def test_a_canary_is_watched_as_usual_as_wished_or_not_at_all(dan: APIClient) -> None:
    versions = {"1": 90, "2": 10}
    assert put(dan, versions=versions).status_code == 200
    assert dan.get(f"{ADAPTER}/rollout").json()["step_back"] == Thresholds().as_json()
    put(dan, versions=versions, step_back={"slower": 3})
    assert dan.get(f"{ADAPTER}/rollout").json()["step_back"] == Thresholds(slower=3.0).as_json()
    put(dan, versions=versions, step_back=None)
    now = dan.get(f"{ADAPTER}/rollout").json()
    assert (now["versions"], now["stable"], now["step_back"], now["changed_by"]) == (versions, 1, None, "dan")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"versions": {"one": 100}}, "versions"),
        ({"versions": {"1": 100}, "step_back": {"requests": 1}}, "step_back"),
        ({"versions": {"1": 100}, "step_back": {"slower": 0.5}}, "step_back"),
        ({"versions": {"1": 100}, "reason": "x" * 1001}, "reason"),
        ({"versions": {"7": 100}}, "versions"),
    ],
)
def test_a_senseless_wish_is_refused_by_its_field(dan: APIClient, body: dict[str, Any], field: str) -> None:
    answer = put(dan, **body)
    assert answer.status_code == 400
    assert field in answer.json()["errors"]


def test_going_back_and_the_history_of_it(dan: APIClient, cast: Cast) -> None:
    put(dan, versions={"2": 100}, reason="Knows the new prices.")
    answer = dan.post(f"{ADAPTER}/rollout/rollback", {"reason": "It does not."}, format="json")
    assert answer.json()["rollout"] == {"1": 100}
    newest, middle, *_ = dan.get(f"{ADAPTER}/rollout/history").json()["results"]
    assert (newest["by"], newest["versions"], newest["is_rollback"]) == ("dan", {"1": 100}, True)
    assert (middle["reason"], middle["is_rollback"]) == ("Knows the new prices.", False)


def test_without_a_way_back_there_is_a_reason(dan: APIClient, cast: Cast) -> None:
    cast.adapter.versions.filter(number=2).update(state=VersionState.ARCHIVED)
    answer = dan.post(f"{ADAPTER}/rollout/rollback")
    assert answer.status_code == 400
    assert "no earlier rollout" in answer.json()["errors"]["versions"][0]


def test_before_the_first_rollout_there_is_none(dan: APIClient) -> None:
    Rollout.objects.all().delete()
    assert dan.get(f"{ADAPTER}/rollout").status_code == 404


def test_numbers_are_there_for_known_windows(dan: APIClient) -> None:
    (row,) = dan.get(f"{ADAPTER}/numbers").json()["versions"]
    assert (row["version"], row["share"], row["requests"], row["error_rate"], row["up"]) == (1, 100, 0, None, 0)
    assert dan.get(f"{ADAPTER}/numbers?window=1y").status_code == 400
