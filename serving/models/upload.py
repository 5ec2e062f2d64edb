"""A file on its way to the platform, which may come in several pieces."""

import uuid

from django.conf import settings
from django.db import models

from tenants.models import Department


class Upload(models.Model):
    """One file of an adapter, sent by the tus protocol; how far it has come is the size of its file on disk."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    department = models.ForeignKey(Department, on_delete=models.CASCADE, related_name="uploads")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True)
    file_name = models.CharField(max_length=200)
    size_bytes = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"{self.file_name} ({self.id})"
