"""Deployments over the management API."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from cast import Cast
from serving.models import Deployment


def client(cast: Cast) -> APIClient:
    api = APIClient()
    api.force_authenticate(cast.people["ada"])
    return api


def test_a_deployment_is_made_with_everything_and_read_back(cast: Cast) -> None:
    wished = {
        "base_model": "smollm2",
        "engine_kind": "llamacpp",
        "min_replicas": 1,
        "max_replicas": 4,
        "idle_minutes": 30,
        "concurrency": 16,
        "node_selector": {"zone": "eu"},
        "residency": "pinned",
        "adapter_slots": 8,
        "pinned": ["support/support-bot"],
        "options": {"ctx_size": 4096},
    }
    made = client(cast).post("/api/v1/deployments", wished, format="json")
    assert made.status_code == 201
    read = client(cast).get(f"/api/v1/deployments/{made.json()['id']}").json()
    assert {name: read[name] for name in wished} == wished
    assert (read["replicas"], read["asleep_since"]) == (1, None)


def test_only_what_is_given_changes(cast: Cast) -> None:
    Deployment.objects.update(options={"ctx_size": 512})
    url = f"/api/v1/deployments/{cast.deployment.pk}"
    answer = client(cast).patch(url, {"max_replicas": 3, "base_model": "other"}, format="json").json()
    assert (answer["max_replicas"], answer["options"], answer["base_model"]) == (3, {"ctx_size": 512}, "smollm2")
    assert client(cast).patch(url, {"max_replicas": None}, format="json").json()["max_replicas"] is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"min_replicas": 3, "max_replicas": 2}, "max_replicas"),
        ({"options": {"nonsense": 1}}, "options"),
        ({"pinned": ["support/nobody"]}, "pinned"),
        ({"residency": "sometimes"}, "residency"),
        ({"node_selector": {"zone": ""}}, "node_selector"),
        ({"idle_minutes": 0}, "idle_minutes"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_with_its_field(cast: Cast, change: dict[str, Any], field: str) -> None:
    answer = client(cast).patch(f"/api/v1/deployments/{cast.deployment.pk}", change, format="json")
    assert answer.status_code == 400
    assert field in answer.json()["errors"]
