"""What a credential entitles a request to, resolved from the database for the gateway to cache."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network

from django.core import signing
from django.utils import timezone

from tenants.access import Right, may
from tenants.key_format import PREFIX, hash_key, is_well_formed
from tenants.limits import Level, levels_of
from tenants.models import APIKey, Department, Platform, User

TICKET_PREFIX = "pgs_"
TICKET_SECONDS = 600
_TICKET_SALT = "polygraft.console-ticket"


@dataclass(frozen=True, slots=True)
class Grant:
    """A key's or a console ticket's entitlement.

    `models` and `scopes` are allow-lists, empty meaning everything; `ends_at` is None for a grant without an end.
    `levels` are all the limits that its requests count against; `weight` is the department's against others.
    """

    department_id: int
    department: str
    cache_salt: str
    key_id: int | None = None
    user_id: int | None = None
    models: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = field(default=())
    ends_at: datetime | None = None
    levels: tuple[Level, ...] = ()
    weight: int = 100


def grant_resolve(credential: str) -> Grant | None:
    """Turn an API key or a console ticket into its grant; None for anything else."""
    if credential.startswith(TICKET_PREFIX):
        return _from_ticket(credential)
    if credential.startswith(PREFIX) and is_well_formed(credential):
        return _from_key(credential)
    return None


def ticket_issue(*, user: User, department: Department) -> str:
    """A short-lived credential with which the console's pages call the gateway as any other client does."""
    ends_at = int(timezone.now().timestamp()) + TICKET_SECONDS
    return TICKET_PREFIX + signing.dumps([user.pk, department.pk, ends_at], salt=_TICKET_SALT)


def _from_key(secret: str) -> Grant | None:
    key = (
        APIKey.objects.usable(timezone.now()).select_related("department").filter(secret_hash=hash_key(secret)).first()
    )
    if key is None:
        return None
    ends = [end for end in (key.expires_at, key.revoked_at) if end is not None]
    return Grant(
        department_id=key.department_id,
        department=key.department.slug,
        cache_salt=key.department.cache_salt,
        key_id=key.pk,
        models=frozenset(key.models_allowed),
        scopes=frozenset(key.scopes),
        networks=tuple(ip_network(network, strict=False) for network in key.allowed_ips),
        ends_at=min(ends) if ends else None,
        levels=(*_department_levels(key.department), *levels_of(f"key:{key.pk}", "API key", key.limits)),
        weight=key.department.weight,
    )


def _from_ticket(ticket: str) -> Grant | None:
    try:
        user_id, department_id, ends_at = signing.loads(
            ticket.removeprefix(TICKET_PREFIX), salt=_TICKET_SALT, max_age=TICKET_SECONDS
        )
    except (signing.BadSignature, ValueError):
        return None
    user = User.objects.filter(pk=user_id).first()
    department = Department.objects.filter(pk=department_id).first()
    if user is None or department is None or not may(user, Right.MODELS_TRY, department):
        return None
    return Grant(
        department_id=department.pk,
        department=department.slug,
        cache_salt=department.cache_salt,
        user_id=user.pk,
        ends_at=datetime.fromtimestamp(ends_at, UTC),
        levels=_department_levels(department),
        weight=department.weight,
    )


def _department_levels(department: Department) -> tuple[Level, ...]:
    return (
        *levels_of("platform", "platform", Platform.load().limits),
        *levels_of(f"department:{department.pk}", "department", department.limits),
    )
