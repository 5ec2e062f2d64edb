"""Says where departments and adapters are at home: which kind of engine answers for them first."""

from django.core.exceptions import ValidationError
from django.db import transaction

from polygraft.live import Change, announce
from serving.models import Adapter
from serving.placement.tiers import Tier, tier_of
from tenants.audit import audit_record
from tenants.models import Department, Placement, User


def department_tier(department_id: int) -> Tier:
    """Which kind of engine answers a department's calls to base models first, now."""
    placement, promoted_at = Department.objects.values_list("placement", "promoted_at").get(pk=department_id)
    return tier_of(placement, promoted=promoted_at is not None)


@transaction.atomic
def department_place(*, department: Department, placement: str, by: User | None) -> None:
    """Say which kind of engine answers first for a department, and for those of its adapters that do not say.

    Raises:
        ValidationError: there is no such placement.
    """
    if placement not in Placement.values:
        raise ValidationError({"placement": f"The placement is one of: {', '.join(Placement.values)}."})
    before, department.placement = department.placement, Placement(placement)
    department.save(update_fields=["placement"])
    audit_record(
        action="department.place",
        target=department.slug,
        by=by,
        department=department,
        before=before,
        after=placement,
    )
    transaction.on_commit(lambda: announce(Change.MODELS))


@transaction.atomic
def adapter_place(*, adapter: Adapter, placement: str, by: User | None) -> None:
    """Say which kind of engine answers first for an adapter; empty: as its department says.

    Raises:
        ValidationError: there is no such placement.
    """
    if placement and placement not in Placement.values:
        raise ValidationError({"placement": f"The placement is empty or one of: {', '.join(Placement.values)}."})
    before, adapter.placement = adapter.placement, placement
    adapter.save(update_fields=["placement"])
    audit_record(
        action="adapter.place",
        target=adapter.name,
        by=by,
        department=adapter.department,
        before=before,
        after=placement,
    )
    transaction.on_commit(lambda: announce(Change.MODELS))
