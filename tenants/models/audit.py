"""The record of every write: who did what to which object, when and from where."""

from typing import Self

from django.conf import settings
from django.db import models

from tenants.models.department import Department
from tenants.models.user import User


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """Queries over the audit."""

    def visible_to(self, user: User) -> Self:
        """What this person may read: everything, or the departments that they own."""
        if user.sees_every_department:
            return self
        return self.filter(department__memberships__user=user, department__memberships__role="owner").distinct()


class AuditEvent(models.Model):
    """One write. Never changed and never deleted by the platform."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    actor_name = models.CharField(max_length=150, help_text="Kept when the person is deleted.")
    department = models.ForeignKey(
        Department, on_delete=models.SET_NULL, null=True, blank=True, related_name="audit_events"
    )
    action = models.CharField(max_length=64, help_text="<object>.<verb>, such as api_key.create.")
    target = models.CharField(max_length=200, help_text="The object's name at that time.")
    details = models.JSONField(default=dict, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.actor_name}: {self.action} {self.target}"
