"""What people thought of an answer."""

from django.conf import settings
from django.db import models

from serving.models.adapter import AdapterVersion
from tenants.models import APIKey, Department


class Rating(models.IntegerChoices):
    """A thumb."""

    UP = 1, "Up"
    DOWN = -1, "Down"


class Feedback(models.Model):
    """A thumb for the answer to one request, the latest that was given. `request_id` is that of its usage record."""

    request_id = models.CharField(max_length=64, unique=True)
    department = models.ForeignKey(Department, on_delete=models.CASCADE, related_name="feedback")
    adapter_version = models.ForeignKey(AdapterVersion, on_delete=models.SET_NULL, null=True, related_name="feedback")
    key = models.ForeignKey(APIKey, on_delete=models.SET_NULL, null=True, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    rating = models.SmallIntegerField(choices=Rating)
    comment = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["adapter_version", "at"])]

    def __str__(self) -> str:
        return f"{self.request_id}: {self.rating}"
