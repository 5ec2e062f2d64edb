"""Who is let in, from where, to what, and how soon no longer."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.utils import timezone

from cast import Cast
from deadline import wait_until
from polygraft.live import redis_client
from serving.gateway import auth
from tenants.departments import membership_remove
from tenants.grants import ticket_issue
from tenants.key_format import new_key
from tenants.keys import key_create, key_revoke, key_rotate
from tenants.models import APIKey, Membership

from .served import CHAT, Served, question

Serve = Callable[..., Served]


def is_refused(client: httpx.Client) -> bool:
    answer = client.get("/v1/models")
    assert answer.status_code in (200, 401)
    return answer.status_code == 401


@pytest.fixture
def look_ups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The credentials that were looked up in the database, in order."""
    seen: list[str] = []
    resolve = auth.grant_resolve

    def counted(credential: str) -> auth.Grant | None:
        seen.append(credential)
        return resolve(credential)

    monkeypatch.setattr(auth, "grant_resolve", counted)
    return seen


def test_without_a_key_the_answer_says_how_to_send_one(serve: Serve) -> None:
    answer = serve().client(None).post(CHAT, json=question())
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    error = answer.json()["error"]
    assert error["code"] == "invalid_api_key"
    assert "Authorization: Bearer" in error["message"]


@pytest.mark.parametrize(
    "header",
    [
        "Bearer pg_nonsense",
        "Bearer sk-0123456789",
        "Bearer pg_" + "0" * 49,  # its checksum is wrong
        "Bearer pgs_" + "x" * 5000,
        "Bearer \xff\xfe",
        "Basic cGc6cGc=",
        "pg_without_scheme",
    ],
)
def test_junk_is_refused_without_a_look_up(serve: Serve, look_ups: list[str], header: str) -> None:
    client = serve().client(None)
    answer = client.get("/v1/models", headers={"authorization": header.encode("latin-1")})  # type: ignore[dict-item]
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert look_ups == []


def test_an_unknown_key_is_refused_and_looked_up_once(serve: Serve, look_ups: list[str]) -> None:
    client = serve().client(new_key())
    assert [is_refused(client) for _ in range(5)] == [True] * 5
    assert len(look_ups) == 1


def test_a_known_key_is_looked_up_once(serve: Serve, cast: Cast, look_ups: list[str]) -> None:
    client = serve().client(cast.secret)
    gateway_hears(client)
    look_ups.clear()
    assert [is_refused(client) for _ in range(5)] == [False] * 5
    assert len(look_ups) <= 1


def gateway_hears(client: httpx.Client) -> None:
    """Wait until the gateway's subscription stands; before it, cached grants live for a second only."""
    wait_until(lambda: redis_client().pubsub_numsub("polygraft:changes")[0][1] >= 1, what="it listens")
    assert not is_refused(client)


@pytest.mark.parametrize("header", ["x-api-key", "X-API-Key"])
def test_a_key_may_come_in_the_header_that_anthropic_clients_send(serve: Serve, cast: Cast, header: str) -> None:
    assert serve().client(None).get("/v1/models", headers={header: cast.secret}).status_code == 200


def test_the_scheme_is_read_in_any_case(serve: Serve, cast: Cast) -> None:
    answer = serve().client(None).get("/v1/models", headers={"authorization": f"bearer {cast.secret}"})
    assert answer.status_code == 200


def test_a_revoked_key_is_refused_within_a_second(serve: Serve, cast: Cast) -> None:
    client = serve().client(cast.secret)
    gateway_hears(client)
    key_revoke(key=cast.key, by=None)
    wait_until(lambda: is_refused(client), seconds=1, what="the key is refused")


def test_a_key_revoked_while_nobody_listened_is_refused_once_the_subscription_is_back(serve: Serve, cast: Cast) -> None:
    client = serve().client(cast.secret)
    gateway_hears(client)
    APIKey.objects.filter(pk=cast.key.pk).update(revoked_at=timezone.now())
    assert not is_refused(client), "nothing was announced, so the grant is still cached"
    redis_client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    wait_until(lambda: is_refused(client), seconds=1, what="the cache is dropped with the subscription")


@pytest.fixture
def let_minutes_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock by which the gateway judges what it has cached."""

    def pass_by(minutes: float) -> None:
        later = SimpleNamespace(now=lambda: timezone.now() + timedelta(minutes=minutes))
        monkeypatch.setattr("serving.gateway.auth.timezone", later)

    return pass_by


def test_a_key_that_expires_while_it_is_cached_is_refused(
    serve: Serve, cast: Cast, let_minutes_pass: Callable[[float], None]
) -> None:
    _, secret = key_create(
        department=cast.support, name="short", by=None, expires_at=timezone.now() + timedelta(minutes=5)
    )
    client = serve().client(secret)
    gateway_hears(client)
    let_minutes_pass(5)
    assert is_refused(client)


def test_a_rotated_key_works_until_its_grace_ends(
    serve: Serve, cast: Cast, let_minutes_pass: Callable[[float], None]
) -> None:
    gateway = serve()
    old = gateway.client(cast.secret)
    gateway_hears(old)
    _, secret = key_rotate(key=cast.key, grace_seconds=300, by=None)
    assert not is_refused(old)
    assert not is_refused(gateway.client(secret))
    let_minutes_pass(5)
    assert is_refused(old)
    assert not is_refused(gateway.client(secret))


@pytest.mark.parametrize(
    ("networks", "status"),
    [
        (["127.0.0.0/8"], 200),
        (["10.0.0.0/8", "127.0.0.1"], 200),
        (["10.0.0.0/8"], 403),
        (["2001:db8::/32"], 403),
    ],
)
def test_a_key_works_only_from_its_networks(serve: Serve, cast: Cast, networks: Sequence[str], status: int) -> None:
    _, secret = key_create(department=cast.support, name="bound", by=None, allowed_ips=networks)
    # What a caller claims about its address counts for nothing.
    claims = {"x-forwarded-for": "10.0.0.1", "x-real-ip": "10.0.0.1", "forwarded": "for=10.0.0.1"}
    answer = serve().client(secret).get("/v1/models", headers=claims)
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["code"] == "ip_not_allowed"


@pytest.mark.parametrize(
    ("scopes", "listing", "asking"), [([], 200, 404), (["models"], 200, 403), (["inference"], 403, 404)]
)
def test_a_key_does_only_what_its_scopes_say(
    serve: Serve, cast: Cast, scopes: Sequence[str], listing: int, asking: int
) -> None:
    _, secret = key_create(department=cast.support, name="scoped", by=None, scopes=scopes)
    client = serve().client(secret)
    assert client.get("/v1/models").status_code == listing
    answer = client.post(CHAT, json=question("never-was"))
    assert answer.status_code == asking
    assert asking == 404 or answer.json()["error"]["code"] == "scope_missing"


def test_a_key_uses_and_sees_only_the_models_on_its_list(serve: Serve, cast: Cast) -> None:
    _, secret = key_create(department=cast.support, name="narrow", by=None, models=["support-bot"])
    client = serve().client(secret)
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["support-bot"]
    statuses = {
        name: client.get(f"/v1/models/{name}").status_code for name in ("support-bot", "support-bot:2", "smollm2")
    }
    assert statuses == {"support-bot": 200, "support-bot:2": 200, "smollm2": 404}


def test_a_console_ticket_opens_the_gateway_until_its_holder_leaves_the_department(serve: Serve, cast: Cast) -> None:
    dan: Any = cast.people["dan"]
    client = serve().client(ticket_issue(user=dan, department=cast.support))
    gateway_hears(client)
    membership_remove(membership=Membership.objects.get(user=dan, department=cast.support), by=None)
    wait_until(lambda: is_refused(client), seconds=1, what="the ticket is refused")


def test_a_forged_ticket_is_refused(serve: Serve, cast: Cast) -> None:
    dan: Any = cast.people["dan"]
    ticket = ticket_issue(user=dan, department=cast.support)
    assert is_refused(serve().client(ticket[:-1] + ("A" if ticket[-1] != "A" else "B")))
