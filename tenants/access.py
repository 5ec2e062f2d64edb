"""Who may do what: the one table of rights, and the one way to reach a department on the control plane."""

from enum import StrEnum

from django.core.exceptions import PermissionDenied
from django.http import Http404

from tenants.models import Department, PlatformRole, Role, User

VIEWERS = frozenset({Role.VIEWER, Role.DEVELOPER, Role.OWNER})
DEVELOPERS = frozenset({Role.DEVELOPER, Role.OWNER})
OWNERS = frozenset({Role.OWNER})
NOBODY: frozenset[Role] = frozenset()


class Right(StrEnum):
    """One thing that a person may be allowed to do."""

    DEPARTMENT_VIEW = "department.view"
    DEPARTMENT_CREATE = "department.create"
    DEPARTMENT_CHANGE = "department.change"
    DEPARTMENT_LIMIT = "department.limit"
    MEMBERS_MANAGE = "members.manage"
    KEYS_MANAGE = "keys.manage"
    KEYS_LIMIT = "keys.limit"
    ADAPTERS_MANAGE = "adapters.manage"
    ADAPTERS_SHARE = "adapters.share"
    MODELS_TRY = "models.try"
    USAGE_VIEW = "usage.view"
    AUDIT_VIEW = "audit.view"
    PLATFORM_VIEW = "platform.view"  # nodes, engines, deployments
    PLATFORM_MANAGE = "platform.manage"  # base models, deployments


# Right → the roles in a department that carry it. A platform admin has every right everywhere.
DEPARTMENT_ROLES: dict[Right, frozenset[Role]] = {
    Right.DEPARTMENT_VIEW: VIEWERS,
    Right.DEPARTMENT_CREATE: NOBODY,
    Right.DEPARTMENT_CHANGE: OWNERS,
    Right.DEPARTMENT_LIMIT: NOBODY,
    Right.MEMBERS_MANAGE: OWNERS,
    Right.KEYS_MANAGE: DEVELOPERS,
    Right.KEYS_LIMIT: OWNERS,
    Right.ADAPTERS_MANAGE: DEVELOPERS,
    Right.ADAPTERS_SHARE: OWNERS,
    Right.MODELS_TRY: VIEWERS,
    Right.USAGE_VIEW: VIEWERS,
    Right.AUDIT_VIEW: OWNERS,
    Right.PLATFORM_VIEW: NOBODY,
    Right.PLATFORM_MANAGE: NOBODY,
}
# An auditor reads everything, changes nothing, and spends nobody's tokens.
AUDITOR_RIGHTS = frozenset({Right.DEPARTMENT_VIEW, Right.USAGE_VIEW, Right.AUDIT_VIEW, Right.PLATFORM_VIEW})


def may(user: User, right: Right, department: Department | None = None) -> bool:
    """Whether this person has a right, in this department or on the platform as a whole."""
    if not user.is_active:
        return False
    if user.platform_role == PlatformRole.ADMIN:
        return True
    if user.platform_role == PlatformRole.AUDITOR and right in AUDITOR_RIGHTS:
        return True
    if department is None:
        return False
    roles = DEPARTMENT_ROLES[right]
    return bool(roles) and department.memberships.filter(user=user, role__in=roles).exists()


def require(user: User, right: Right, department: Department | None = None) -> None:
    """Refuse who lacks a right.

    Raises:
        PermissionDenied: the person may know of the department but not do this.
    """
    if not may(user, right, department):
        raise PermissionDenied("Your role does not allow this. Ask an owner of the department or an admin.")


def department_for(user: User, slug: str, right: Right) -> Department:
    """The department of a URL, for somebody with a right in it.

    Raises:
        Http404: there is none, or this person must not know that there is one.
        PermissionDenied: the person belongs to it but lacks the right.
    """
    department = Department.objects.visible_to(user).filter(slug=slug).first()
    if department is None:
        raise Http404("There is no such department.")
    require(user, right, department)
    return department
