"""What the platform decided or noticed by itself, one readable sentence each."""

from django.db import models

from serving.models.adapter import Adapter
from serving.models.base_model import BaseModel
from serving.models.deployment import Deployment
from serving.models.engine import Engine
from serving.models.node import Node
from tenants.models import Department


class PlatformEvent(models.Model):
    """One event; what it is about may be deleted later, the sentence names it all the same.

    An event that repeats itself is one row: `times` counts, `at` is the first time and `last_at` the latest.
    """

    at = models.DateTimeField(help_text="When it happened first.")
    last_at = models.DateTimeField(db_index=True, help_text="When it happened last.")
    times = models.PositiveIntegerField(default=1)
    kind = models.CharField(max_length=64, db_index=True, help_text="<object>.<what happened>, such as engine.failed.")
    is_problem = models.BooleanField(default=False, help_text="Whether somebody should look at it.")
    sentence = models.TextField()
    base_model = models.ForeignKey(BaseModel, on_delete=models.SET_NULL, null=True, related_name="events")
    deployment = models.ForeignKey(Deployment, on_delete=models.SET_NULL, null=True, related_name="events")
    engine = models.ForeignKey(Engine, on_delete=models.SET_NULL, null=True, related_name="events")
    node = models.ForeignKey(Node, on_delete=models.SET_NULL, null=True, related_name="events")
    department = models.ForeignKey(Department, on_delete=models.SET_NULL, null=True, related_name="platform_events")
    adapter = models.ForeignKey(Adapter, on_delete=models.SET_NULL, null=True, related_name="events")

    class Meta:
        ordering = ["-last_at", "-id"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}"
