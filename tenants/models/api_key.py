"""A department's secret for the inference API, of which only the hash is kept."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from tenants.models.department import Department


class APIKeyQuerySet(models.QuerySet["APIKey"]):
    """Queries over keys."""

    def usable(self, now: datetime) -> Self:
        """The keys that open the door at this moment."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), Q(revoked_at=None) | Q(revoked_at__gt=now))


class APIKey(models.Model):
    """One key. `revoked_at` may lie in the future: a rotated key works until its grace period ends."""

    department = models.ForeignKey(Department, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=20, editable=False, help_text="How the key begins and ends.")
    models_allowed = models.JSONField(
        default=list,
        blank=True,
        help_text="Model names that the key may use; empty: all of the department's.",
    )
    scopes = models.JSONField(
        default=list, blank=True, help_text="What the key may do; empty: everything on the inference API."
    )
    allowed_ips = models.JSONField(
        default=list, blank=True, help_text="Networks that the key may be used from; empty: any."
    )
    limits = models.JSONField(default=dict, blank=True, help_text="What it may use, see `tenants.limits`.")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    objects = APIKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint})"

    @property
    def state(self) -> str:
        """One word for people: active, expiring, expired or revoked."""
        now = timezone.now()
        if self.revoked_at is not None:
            return "revoked" if self.revoked_at <= now else "expiring"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active"
