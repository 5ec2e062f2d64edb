"""Health, readiness and metrics."""

import pytest
import redis
from django.test import Client
from knox.models import AuthToken

from cast import Cast


def test_a_process_that_answers_is_healthy(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.django_db
def test_a_process_with_its_database_and_redis_is_ready(client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_what_is_away_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = redis.Redis(port=1)
    monkeypatch.setattr("polygraft.health.redis_client", lambda: nowhere)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["away"]) == (503, ["redis"])


@pytest.mark.django_db
def test_a_scraper_on_this_machine_reads_metrics(client: Client) -> None:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert b"# HELP" in answer.content


@pytest.mark.parametrize(
    ("person", "status"), [("nobody", 401), ("vera", 403), ("olga", 403), ("audrey", 200), ("ada", 200)]
)
def test_from_elsewhere_only_who_sees_the_platform_reads_metrics(cast: Cast, person: str, status: int) -> None:
    user = cast.people[person]
    headers = {"Authorization": f"Bearer {AuthToken.objects.create(user)[1]}"} if user else {}
    assert Client(REMOTE_ADDR="203.0.113.7").get("/metrics", headers=headers).status_code == status
    assert Client().get("/metrics", headers={**headers, "X-Forwarded-For": "203.0.113.7"}).status_code == status
