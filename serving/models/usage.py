"""What one request used: a row per request, whatever became of it."""

from decimal import Decimal

from django.conf import settings
from django.db import models

from serving.models.adapter import AdapterVersion
from serving.models.base_model import BaseModel
from tenants.models import APIKey, Department


class Outcome(models.TextChoices):
    """How a request ended."""

    FINISHED = "finished", "Finished"
    REFUSED = "refused", "Refused"  # by the gateway or the engine, with a 4xx
    FAILED = "failed", "Failed"  # by the engine or the gateway
    ABORTED = "aborted", "Aborted"  # the client left
    LOST = "lost", "Lost"  # the gateway process was killed before the request's end was on its account


class UsageRecord(models.Model):
    """One request. Written once; a second delivery of the same request id is ignored."""

    request_id = models.CharField(max_length=64, unique=True)
    at = models.DateTimeField(db_index=True, help_text="When the request arrived.")
    department = models.ForeignKey(Department, on_delete=models.CASCADE, related_name="usage_records")
    key = models.ForeignKey(APIKey, on_delete=models.SET_NULL, null=True, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    endpoint = models.CharField(max_length=64)
    model = models.CharField(max_length=200, help_text="As resolved, such as support-bot:3.")
    base_model = models.ForeignKey(BaseModel, on_delete=models.SET_NULL, null=True, related_name="+")
    adapter_version = models.ForeignKey(AdapterVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    engine_kind = models.CharField(max_length=16, blank=True)
    engine_id = models.UUIDField(null=True, blank=True)
    outcome = models.CharField(max_length=16, choices=Outcome)
    status = models.PositiveIntegerField(help_text="HTTP status; 0 when it is not known.")
    fallback = models.CharField(max_length=32, blank=True, help_text="Why another engine than the first one answered.")
    streamed = models.BooleanField(default=False)
    prompt_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cost = models.DecimalField(
        max_digits=24,
        decimal_places=12,
        default=Decimal(0),
        help_text="In the platform's currency, at the prices then.",
    )
    first_token_ms = models.FloatField(null=True, blank=True, help_text="From arrival to the first byte of content.")
    queue_ms = models.FloatField(null=True, blank=True, help_text="Of that, what the request spent in the queue.")
    duration_ms = models.FloatField()

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["department", "at"])]

    def __str__(self) -> str:
        return self.request_id
