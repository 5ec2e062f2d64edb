"""Creates departments, says who belongs to them and what they may use."""

from typing import Any

from django.db import transaction

from polygraft.live import Change, announce
from tenants.audit import audit_record
from tenants.limits import limits_checked
from tenants.models import Department, Fallback, Membership, Platform, Role, User


@transaction.atomic
def department_create(*, slug: str, name: str, by: User | None) -> Department:
    """Create a department.

    Raises:
        django.core.exceptions.ValidationError: the slug is taken or malformed.
    """
    department = Department(slug=slug, name=name)
    department.full_clean()
    department.save()
    audit_record(action="department.create", target=slug, by=by, department=department, name=name)
    return department


@transaction.atomic
def department_rename(*, department: Department, name: str, by: User | None) -> None:
    """Change the name that people see; the slug stays."""
    before, department.name = department.name, name
    department.full_clean()
    department.save(update_fields=["name"])
    audit_record(
        action="department.rename",
        target=department.slug,
        by=by,
        department=department,
        before=before,
        after=name,
    )


@transaction.atomic
def department_limit(
    *, department: Department, by: User | None, limits: dict[str, Any] | None = None, weight: int | None = None
) -> None:
    """Change what a department may use, or its weight against others; None leaves either as it is.

    Gateways go by it within a second.

    Raises:
        django.core.exceptions.ValidationError: the weight or a limit is none, see `limits_checked`.
    """
    before = {"limits": department.limits, "weight": department.weight}
    if limits is not None:
        department.limits = limits_checked(limits)
    if weight is not None:
        department.weight = weight
    department.full_clean()
    department.save(update_fields=["limits", "weight"])
    after = {"limits": department.limits, "weight": department.weight}
    audit_record(
        action="department.limit", target=department.slug, by=by, department=department, before=before, after=after
    )
    transaction.on_commit(lambda: announce(Change.GRANTS))


@transaction.atomic
def department_quota(
    *, department: Department, most_bytes: int | None, most_adapters: int | None, by: User | None
) -> None:
    """Say how many bytes of adapters, and how many adapters, a department may hold; None is without limit."""
    before = {"bytes": department.quota_bytes, "adapters": department.quota_adapters}
    department.quota_bytes, department.quota_adapters = most_bytes, most_adapters
    department.save(update_fields=["quota_bytes", "quota_adapters"])
    after = {"bytes": most_bytes, "adapters": most_adapters}
    audit_record(
        action="department.quota", target=department.slug, by=by, department=department, before=before, after=after
    )


@transaction.atomic
def platform_limit(*, limits: dict[str, Any], by: User | None) -> Platform:
    """Change what all departments together may use. Gateways go by it within a second.

    Raises:
        django.core.exceptions.ValidationError: a limit is none, see `limits_checked`.
    """
    platform = Platform.load()
    before, platform.limits = platform.limits, limits_checked(limits, with_models=False)
    platform.save(update_fields=["limits"])
    audit_record(action="platform.limit", target="platform", by=by, before=before, after=platform.limits)
    transaction.on_commit(lambda: announce(Change.GRANTS))
    return platform


@transaction.atomic
def department_fall_back(*, department: Department, fallback: Fallback, by: User | None) -> None:
    """Say whether another kind of engine may answer when the first one cannot; gateways know within a second."""
    before, department.fallback = department.fallback, fallback
    department.save(update_fields=["fallback"])
    audit_record(
        action="department.fall_back",
        target=department.slug,
        by=by,
        department=department,
        before=before,
        after=fallback.value,
    )
    transaction.on_commit(lambda: announce(Change.MODELS))


@transaction.atomic
def membership_set(*, department: Department, user: User, role: Role, by: User | None) -> Membership:
    """Make a person a member of a department, or change the role they have in it."""
    membership, created = Membership.objects.update_or_create(department=department, user=user, defaults={"role": role})
    audit_record(
        action="membership.create" if created else "membership.change",
        target=user.get_username(),
        by=by,
        department=department,
        role=role,
    )
    return membership


@transaction.atomic
def membership_remove(*, membership: Membership, by: User | None) -> None:
    """Take a person out of a department. Their console tickets end within a second."""
    audit_record(
        action="membership.remove",
        target=membership.user.get_username(),
        by=by,
        department=membership.department,
    )
    membership.delete()
    transaction.on_commit(lambda: announce(Change.GRANTS))
