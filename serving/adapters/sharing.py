"""Lets other departments call an adapter, read-only, takes that back, and lets them decline it.

An adapter is shared with a slug. Whether a department of that slug exists is not looked up, neither by the answer nor
by what is listed later: it would tell one department about others. A share takes hold for whoever has the slug, and
only where that department may use the adapter's base model.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from polygraft.live import Change, announce
from serving.models import Adapter, AdapterShare, UsageRecord
from tenants.audit import audit_record
from tenants.models import Department, User
from tenants.models.department import slug_validator

COUNTED_DAYS = 30
# More receivers than any platform has departments; a bound on what one owner can have stored.
MOST_SHARES = 1000


@transaction.atomic
def adapter_share(*, adapter: Adapter, receiver: str, by: User | None) -> AdapterShare:
    """Let the department of this slug call an adapter as `owner/name`; it can within a second. Twice does no harm.

    Raises:
        ValidationError: the slug is malformed or the owner's own, the department has declined the adapter, or it is
            shared with very many already.
    """
    try:
        slug_validator(receiver)
    except ValidationError as error:
        raise ValidationError({"department": error.messages}) from None
    if receiver == adapter.department.slug:
        raise ValidationError({"department": "This is your own department, which can call the adapter anyway."})
    if adapter.shares.count() >= MOST_SHARES:
        raise ValidationError({"department": f"An adapter can be shared with {MOST_SHARES} departments at most."})
    share, is_new = AdapterShare.objects.get_or_create(adapter=adapter, receiver=receiver, defaults={"created_by": by})
    if share.declined_at is not None:
        raise ValidationError({"department": f"{receiver} has declined it. Revoke that share to offer it once more."})
    if is_new:
        _audit(share, by, owners="adapter.share", receivers="shared_adapter.receive")
        transaction.on_commit(lambda: announce(Change.MODELS))
    return share


@transaction.atomic
def share_revoke(*, share: AdapterShare, by: User | None) -> None:
    """Take a share back: the receiver's new requests get 404 within a second, those that run finish."""
    deleted, _ = AdapterShare.objects.filter(pk=share.pk).delete()
    if deleted:
        _audit(share, by, owners="adapter.unshare", receivers="" if share.declined_at else "shared_adapter.lose")
        transaction.on_commit(lambda: announce(Change.MODELS))


@transaction.atomic
def share_decline(*, adapter: Adapter, receiver: Department, by: User | None) -> None:
    """Do without an adapter of another department: it leaves the receiver's lists, and calls get 404 within a second.

    The owner sees that it was declined, and by which department, but not by whom.
    """
    shares = adapter.shares.filter(receiver=receiver.slug, declined_at=None)
    if shares.update(declined_at=timezone.now()) == 1:
        audit_record(action="shared_adapter.decline", target=shared_name(adapter), by=by, department=receiver)
        audit_record(
            action="adapter.share_declined",
            target=adapter.name,
            by=None,
            department=adapter.department,
            receiver=receiver.slug,
        )
        transaction.on_commit(lambda: announce(Change.MODELS))


@dataclass(frozen=True, slots=True)
class ShareUse:
    """A share, and what its receiver has used of the adapter in the last `COUNTED_DAYS` days: counts, nothing else."""

    receiver: str
    created_at: datetime
    created_by: str
    declined_at: datetime | None
    requests: int
    prompt_tokens: int
    completion_tokens: int


def share_uses(shares: list[AdapterShare]) -> list[ShareUse]:
    """How much each of these shares, all of one adapter, is used."""
    if not shares:
        return []
    counted = (
        UsageRecord.objects.filter(
            adapter_version__adapter=shares[0].adapter_id,
            department__slug__in=[share.receiver for share in shares],
            at__gte=timezone.now() - timedelta(days=COUNTED_DAYS),
        )
        .order_by()
        .values("department__slug")
        .annotate(requests=Count("pk"), prompt=Sum("prompt_tokens"), completion=Sum("completion_tokens"))
    )
    by_slug = {row["department__slug"]: row for row in counted}
    none = {"requests": 0, "prompt": 0, "completion": 0}
    return [
        ShareUse(
            receiver=share.receiver,
            created_at=share.created_at,
            created_by=str(share.created_by or ""),
            declined_at=share.declined_at,
            requests=row["requests"],
            prompt_tokens=row["prompt"],
            completion_tokens=row["completion"],
        )
        for share in shares
        for row in [by_slug.get(share.receiver, none)]
    ]


def shared_name(adapter: Adapter) -> str:
    """What receivers call an adapter: `owner/name`."""
    return f"{adapter.department.slug}/{adapter.name}"


def _audit(share: AdapterShare, by: User | None, *, owners: str, receivers: str) -> None:
    """Record it for both sides, or the owner's alone; the receiver learns which department it was, and no name."""
    adapter = share.adapter
    audit_record(action=owners, target=adapter.name, by=by, department=adapter.department, receiver=share.receiver)
    receiver = Department.objects.filter(slug=share.receiver).first() if receivers else None
    if receiver is not None:
        audit_record(action=receivers, target=shared_name(adapter), by=None, department=receiver)
