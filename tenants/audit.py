"""Records writes in the audit."""

from typing import Any

import structlog

from tenants.models import AuditEvent, Department, User

SYSTEM = "polygraft"


def audit_record(
    *, action: str, target: str, by: User | None, department: Department | None = None, **details: Any
) -> AuditEvent:
    """Record one write, in the transaction of that write.

    Args:
        action: `<object>.<verb>`, such as "api_key.create".
        target: the object's name, as people know it.
        by: who did it; None: the platform itself.
        details: what changed, as JSON values; never secrets.
    """
    return AuditEvent.objects.create(
        actor=by,
        actor_name=by.get_username() if by else SYSTEM,
        department=department,
        action=action,
        target=target,
        details=details,
        request_id=structlog.contextvars.get_contextvars().get("request_id", ""),
    )
