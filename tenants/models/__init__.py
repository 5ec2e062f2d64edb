"""Who may ask: departments, the people in them, their API keys, and the audit of every write."""

from tenants.models.api_key import APIKey
from tenants.models.audit import AuditEvent
from tenants.models.department import Department, Fallback, Membership, Placement, Role
from tenants.models.platform import Platform
from tenants.models.user import PlatformRole, User

__all__ = [
    "APIKey",
    "AuditEvent",
    "Department",
    "Fallback",
    "Membership",
    "Placement",
    "Platform",
    "PlatformRole",
    "Role",
    "User",
]
