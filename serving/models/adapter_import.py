"""An adapter that is being brought in from another place."""

import uuid

from django.conf import settings
from django.db import models

from serving.models.adapter import AdapterVersion
from serving.models.base_model import BaseModel
from tenants.models import Department


class ImportState(models.TextChoices):
    """Where an import stands; once it is done, its version goes the way of all versions."""

    WAITING = "waiting", "Waiting"
    FETCHING = "fetching", "Fetching"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class AdapterImport(models.Model):
    """One wish to import; `size_bytes` is known once the place has been looked at."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    department = models.ForeignKey(Department, on_delete=models.CASCADE, related_name="imports")
    name = models.CharField(max_length=64)
    base_model = models.ForeignKey(BaseModel, on_delete=models.CASCADE, related_name="+")
    notes = models.TextField(blank=True)
    source = models.JSONField(help_text="Where from, as it was asked for.")
    state = models.CharField(max_length=16, choices=ImportState, default=ImportState.WAITING)
    size_bytes = models.PositiveBigIntegerField(default=0)
    arrived_bytes = models.PositiveBigIntegerField(default=0)
    problem = models.TextField(blank=True, help_text="Why it failed, for the person who asked.")
    version = models.ForeignKey(AdapterVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    moved_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    @property
    def is_moving(self) -> bool:
        """Whether it is still to come."""
        return self.state in (ImportState.WAITING, ImportState.FETCHING)
