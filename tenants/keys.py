"""Makes, limits, rotates and revokes API keys."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.utils import timezone

from polygraft.live import Change, announce
from tenants.audit import audit_record
from tenants.key_format import hash_key, key_hint, new_key
from tenants.limits import limits_checked
from tenants.models import APIKey, Department, User


class Scope(StrEnum):
    """What a key may be limited to."""

    INFERENCE = "inference"  # whatever a model answers
    MODELS = "models"  # listing the models


@transaction.atomic
def key_create(
    *,
    department: Department,
    name: str,
    by: User | None,
    models: Sequence[str] = (),
    scopes: Sequence[str] = (),
    allowed_ips: Sequence[str] = (),
    expires_at: datetime | None = None,
    limits: dict[str, Any] | None = None,
) -> tuple[APIKey, str]:
    """Make a key for a department.

    Returns:
        The stored key and its secret, which exists nowhere else from now on.

    Raises:
        django.core.exceptions.ValidationError: a limit is none, see `limits_checked`.
    """
    secret = new_key()
    key = APIKey.objects.create(
        department=department,
        name=name,
        secret_hash=hash_key(secret),
        hint=key_hint(secret),
        models_allowed=list(models),
        scopes=list(scopes),
        allowed_ips=list(allowed_ips),
        expires_at=expires_at,
        limits=limits_checked(limits or {}),
        created_by=by,
    )
    audit_record(action="api_key.create", target=str(key), by=by, department=department, key_id=key.pk)
    return key, secret


@transaction.atomic
def key_rotate(*, key: APIKey, grace_seconds: int, by: User | None) -> tuple[APIKey, str]:
    """Replace a key by a new one of the same rights; the old one works for `grace_seconds` more.

    Raises:
        ValueError: the key is revoked or expired already.
    """
    if key.state in ("revoked", "expired"):
        raise ValueError(f"This key is {key.state}; make a new one instead.")
    replacement, secret = key_create(
        department=key.department,
        name=key.name,
        by=by,
        models=key.models_allowed,
        scopes=key.scopes,
        allowed_ips=key.allowed_ips,
        expires_at=key.expires_at,
        limits=key.limits,
    )
    _end(key, timezone.now() + timedelta(seconds=grace_seconds))
    audit_record(
        action="api_key.rotate",
        target=str(key),
        by=by,
        department=key.department,
        key_id=key.pk,
        replaced_by=replacement.pk,
        grace_seconds=grace_seconds,
    )
    return replacement, secret


@transaction.atomic
def key_limit(*, key: APIKey, limits: dict[str, Any], by: User | None) -> None:
    """Change what a key may use. Gateways go by it within a second.

    Raises:
        django.core.exceptions.ValidationError: a limit is none, see `limits_checked`.
    """
    before, key.limits = key.limits, limits_checked(limits)
    key.save(update_fields=["limits"])
    audit_record(
        action="api_key.limit",
        target=str(key),
        by=by,
        department=key.department,
        key_id=key.pk,
        before=before,
        after=key.limits,
    )
    transaction.on_commit(lambda: announce(Change.GRANTS))


@transaction.atomic
def key_revoke(*, key: APIKey, by: User | None) -> None:
    """End a key now. Gateways learn of it within a second. Revoking twice is no error."""
    if key.state == "revoked":
        return
    _end(key, timezone.now())
    audit_record(action="api_key.revoke", target=str(key), by=by, department=key.department, key_id=key.pk)


def _end(key: APIKey, at: datetime) -> None:
    key.revoked_at = at if key.revoked_at is None else min(at, key.revoked_at)
    key.save(update_fields=["revoked_at"])
    transaction.on_commit(lambda: announce(Change.GRANTS))
