"""Creates departments and says who belongs to them."""

from django.db import transaction

from polygraft.live import Change, announce
from tenants.audit import audit_record
from tenants.models import Department, Membership, Role, User


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
