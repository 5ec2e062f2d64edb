"""Placements over the management API."""

from rest_framework.test import APIClient

from cast import Cast


def client(cast: Cast) -> APIClient:
    api = APIClient()
    api.force_authenticate(cast.people["ada"])
    return api


def test_an_adapter_tells_its_placement_and_tier(cast: Cast) -> None:
    url = "/api/v1/departments/support/adapters/support-bot"
    assert client(cast).get(f"{url}/placement").json() == {"placement": "", "tier": "lightweight"}
    client(cast).put("/api/v1/departments/support/placement", {"placement": "standard"}, format="json")
    assert client(cast).get(f"{url}/placement").json() == {"placement": "", "tier": "standard"}
    adapter = client(cast).get(url).json()
    assert (adapter["placement"], adapter["tier"]) == ("", "standard")
    assert client(cast).put(f"{url}/placement", {"placement": "cloud"}, format="json").status_code == 400
