"""The wish: this base model, on this kind of engine, so many replicas."""

from django.db import models

from serving.engines.kinds import EngineKind
from serving.models.base_model import BaseModel


class Deployment(models.Model):
    """Desired state; the reconciler makes nodes agree with it."""

    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="deployments")
    engine_kind = models.CharField(max_length=16, choices=[(kind.value, kind.value) for kind in EngineKind])
    replicas = models.PositiveIntegerField(default=1)
    options = models.JSONField(default=dict, blank=True, help_text="Options of the engine, by its kind.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["base_model__name", "engine_kind", "id"]

    def __str__(self) -> str:
        return f"{self.base_model} on {self.engine_kind}"
