"""The wish: this base model, on this kind of engine, so many replicas, there."""

from django.core.validators import MinValueValidator
from django.db import models

from serving.engines.kinds import KIND_NAMES, EngineKind
from serving.models.base_model import BaseModel


class Residency(models.TextChoices):
    """Which adapter versions an engine holds."""

    EAGER = "eager", "Eager: all of them, before the first request"
    ON_DEMAND = "on_demand", "On demand: loaded by the first request, the least recently used leave"
    PINNED = "pinned", "Pinned: the listed ones stay, others come on demand"


class Deployment(models.Model):
    """Desired state; the reconciler makes nodes agree with it.

    With `max_replicas` the platform itself moves `replicas` between `min_replicas` and it; with `idle_minutes` it puts
    the deployment to sleep (no replicas, `asleep_since` set) until somebody asks for its base model.
    """

    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="deployments")
    engine_kind = models.CharField(max_length=16, choices=[(kind.value, kind.value) for kind in EngineKind])
    replicas = models.PositiveIntegerField(default=1)
    min_replicas = models.PositiveIntegerField(default=1, help_text="Fewest engines while it is awake.")
    max_replicas = models.PositiveIntegerField(
        null=True, blank=True, help_text="Most engines under load; empty: the number of replicas is fixed."
    )
    idle_minutes = models.PositiveIntegerField(
        null=True, blank=True, help_text="Minutes without a request after which it sleeps; empty: it never does."
    )
    asleep_since = models.DateTimeField(null=True, blank=True)
    concurrency = models.PositiveIntegerField(
        default=4, help_text="Requests of full context length that the KV cache of each engine has room for."
    )
    node_selector = models.JSONField(default=dict, blank=True, help_text="Labels that a node must have.")
    residency = models.CharField(max_length=16, choices=Residency, default=Residency.EAGER)
    adapter_slots = models.PositiveIntegerField(
        default=32,
        validators=[MinValueValidator(1)],
        help_text="Most adapters that an engine holds, unless it holds all of them.",
    )
    pinned = models.ManyToManyField(
        "serving.Adapter", blank=True, related_name="pinned_on", help_text="The adapters that stay, under `pinned`."
    )
    options = models.JSONField(default=dict, blank=True, help_text="Options of the engine, by its kind.")
    revision = models.PositiveIntegerField(default=1, help_text="Counts the changes that engines must restart for.")
    started_again_at = models.DateTimeField(
        null=True, blank=True, help_text="Failures of its engines before this do not count any more."
    )
    turn = models.PositiveBigIntegerField(
        default=0, help_text="Counts the reconciler's steps; who acts claims the next one by a conditional update."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["base_model__name", "engine_kind", "id"]

    def __str__(self) -> str:
        return f"{self.base_model} on {KIND_NAMES[EngineKind(self.engine_kind)]}"
