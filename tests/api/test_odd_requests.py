"""Bodies and queries that no description would lead to: the management API refuses them in good order."""

import pytest
from rest_framework.test import APIClient

from cast import Cast

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture
def client(cast: Cast) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(cast.people["ada"])
    return client


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        '{"slug": ' + DEEP + "}",
        '{"slug": "a", "name": "\\u0000"}',
        '{"slug": "a", "name": "\\ud800"}',
        '{"slug": "a", "name": ' + "9" * 10_000 + "}",
        '{"slug": NaN, "name": Infinity}',
        '{"slug": "a", "slug": "b", "name": "c"}',
        "\ufeff{}",
        "{",
        b"\xff\xfe",
        b"",
    ],
)
def test_no_body_makes_the_management_api_fail(client: APIClient, body: str | bytes) -> None:
    answer = client.post("/api/v1/departments", data=body, content_type="application/json")
    assert answer.status_code in (400, 201), answer.content[:300]


QUERIES = ["9" * 400, "-1", "0", "1e9", "\0", "\ud800".encode("utf-8", "surrogatepass"), "%", "💥", "a" * 5000]
FIELDS = ["page", "page_size", "search", "ordering", "department", "from", "to", "group_by"]


@pytest.mark.parametrize("path", ["usage", "audit", "departments", "base-models", "engines", "events"])
def test_no_query_makes_the_management_api_fail(client: APIClient, path: str) -> None:
    for field in FIELDS:
        for value in QUERIES:
            assert client.get(f"/api/v1/{path}", {field: value}).status_code < 500, (field, value)


@pytest.mark.parametrize("name", ["%00", "%ff", "9" * 400, "..", "%2e%2e%2f", "a" * 5000, "💥"])
def test_no_path_makes_the_management_api_fail(client: APIClient, name: str) -> None:
    for folder in ("departments", "departments/support/adapters", "departments/support/keys", "base-models"):
        assert client.get(f"/api/v1/{folder}/{name}").status_code < 500
