"""Makes accounts for people, renews their passwords, and closes and reopens accounts."""

import secrets

from django.db import transaction

from polygraft.live import Change, announce
from tenants.audit import audit_record
from tenants.models import PlatformRole, User

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is easily mistaken when read aloud


def new_password() -> str:
    """A password of 20 characters (99 random bits) in groups of five, which can be read out and typed."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))


@transaction.atomic
def user_create(*, username: str, platform_role: PlatformRole, by: User | None) -> tuple[User, str]:
    """Make an account.

    Returns:
        The user and a first password, which exists nowhere else from now on.

    Raises:
        django.core.exceptions.ValidationError: the user name is taken or malformed.
    """
    password = new_password()
    user = User(username=username, platform_role=platform_role)
    user.set_password(password)
    user.full_clean()
    user.save()
    audit_record(action="user.create", target=username, by=by, platform_role=platform_role)
    return user, password


@transaction.atomic
def user_password_renew(*, user: User, by: User | None) -> str:
    """Replace a forgotten password by a new one and end the person's sessions.

    Returns:
        The new password, which exists nowhere else from now on.
    """
    password = new_password()
    user.set_password(password)
    user.save(update_fields=["password"])
    audit_record(action="user.password_renew", target=user.get_username(), by=by)
    return password


@transaction.atomic
def user_set_active(*, user: User, is_active: bool, by: User | None) -> None:
    """Close an account, so that nobody can sign in with it, or open it again. Memberships stay."""
    user.is_active = is_active
    user.save(update_fields=["is_active"])
    audit_record(action="user.open" if is_active else "user.close", target=user.get_username(), by=by)
    transaction.on_commit(lambda: announce(Change.GRANTS))
