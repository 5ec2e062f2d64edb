"""Making, rotating and revoking keys, and what they grant."""

from datetime import timedelta

import pytest
from django.utils import timezone

from cast import Cast
from tenants import grants
from tenants.departments import membership_remove
from tenants.grants import grant_resolve, ticket_issue
from tenants.keys import key_create, key_revoke, key_rotate
from tenants.models import APIKey, AuditEvent


def test_a_key_grants_its_department_what_it_says(cast: Cast) -> None:
    end = timezone.now() + timedelta(days=1)
    _, secret = key_create(
        department=cast.support,
        name="ci",
        by=cast.people["olga"],
        models=["support-bot"],
        scopes=["inference"],
        allowed_ips=["10.0.0.0/8"],
        expires_at=end,
    )
    grant = grant_resolve(secret)
    assert grant is not None
    assert (grant.department, grant.models, grant.scopes) == ("support", {"support-bot"}, {"inference"})
    assert [str(network) for network in grant.networks] == ["10.0.0.0/8"]
    assert grant.ends_at == end


def test_the_secret_is_nowhere_in_the_database(cast: Cast) -> None:
    stored = [str(value) for row in APIKey.objects.values() for value in row.values()]
    audited = [str(row) for row in AuditEvent.objects.values()]
    assert not any(cast.secret in text for text in stored + audited)


@pytest.mark.parametrize("junk", ["", "pg_", "pg_" + "a" * 49, "sk-abc", "pgs_a:b:c", "pgs_", "\0", "pg_ü"])
def test_junk_grants_nothing(junk: str, cast: Cast) -> None:
    assert grant_resolve(junk) is None


def test_a_revoked_key_grants_nothing(cast: Cast) -> None:
    key_revoke(key=cast.key, by=cast.people["olga"])
    assert grant_resolve(cast.secret) is None
    assert cast.key.state == "revoked"


def test_an_expired_key_grants_nothing(cast: Cast) -> None:
    APIKey.objects.filter(pk=cast.key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert grant_resolve(cast.secret) is None


def test_a_rotated_key_works_until_its_grace_period_ends(cast: Cast) -> None:
    replacement, secret = key_rotate(key=cast.key, grace_seconds=60, by=cast.people["olga"])
    old, new = grant_resolve(cast.secret), grant_resolve(secret)
    assert old is not None
    assert old.ends_at is not None
    assert old.ends_at <= timezone.now() + timedelta(seconds=60)
    assert new is not None
    assert new.key_id == replacement.pk


def test_a_rotation_without_grace_ends_the_old_key_at_once(cast: Cast) -> None:
    key_rotate(key=cast.key, grace_seconds=0, by=None)
    assert grant_resolve(cast.secret) is None


def test_a_revoked_key_cannot_be_rotated(cast: Cast) -> None:
    key_revoke(key=cast.key, by=None)
    with pytest.raises(ValueError, match="revoked"):
        key_rotate(key=cast.key, grace_seconds=60, by=None)


def test_revoking_during_the_grace_period_ends_it(cast: Cast) -> None:
    key_rotate(key=cast.key, grace_seconds=3600, by=None)
    key_revoke(key=cast.key, by=None)
    assert grant_resolve(cast.secret) is None


def test_every_write_is_in_the_audit(cast: Cast) -> None:
    before = AuditEvent.objects.count()
    _, _ = key_rotate(key=cast.key, grace_seconds=1, by=cast.people["olga"])
    actions = list(AuditEvent.objects.order_by("id").values_list("action", "actor_name")[before:])
    assert actions == [("api_key.create", "olga"), ("api_key.rotate", "olga")]


def test_a_ticket_grants_a_member_the_department(cast: Cast) -> None:
    vera = cast.people["vera"]
    assert vera is not None
    grant = grant_resolve(ticket_issue(user=vera, department=cast.support))
    assert grant is not None
    assert (grant.department, grant.user_id, grant.key_id) == ("support", vera.pk, None)
    assert grant.ends_at is not None


def test_a_ticket_ends_with_the_membership(cast: Cast) -> None:
    vera = cast.people["vera"]
    assert vera is not None
    ticket = ticket_issue(user=vera, department=cast.support)
    membership_remove(membership=vera.memberships.get(), by=None)
    assert grant_resolve(ticket) is None


def test_a_ticket_ends_after_ten_minutes(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    vera = cast.people["vera"]
    assert vera is not None
    ticket = ticket_issue(user=vera, department=cast.support)
    monkeypatch.setattr(grants, "TICKET_SECONDS", -1)
    assert grant_resolve(ticket) is None


@pytest.mark.parametrize("who", ["lena", "audrey"])
def test_a_ticket_for_somebody_without_the_right_grants_nothing(who: str, cast: Cast) -> None:
    person = cast.people[who]
    assert person is not None
    assert grant_resolve(ticket_issue(user=person, department=cast.support)) is None
