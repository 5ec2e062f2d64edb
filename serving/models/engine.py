"""One running process that fulfils a deployment."""

import uuid
from typing import Self

from django.db import models

from serving.models.deployment import Deployment
from serving.models.node import Node


class EngineState(models.TextChoices):
    """The life of an engine. Transitions: starting → ready → draining → stopped; from any living state → failed."""

    STARTING = "starting", "Starting"
    READY = "ready", "Ready"
    DRAINING = "draining", "Draining"
    STOPPED = "stopped", "Stopped"
    FAILED = "failed", "Failed"


LIVING_STATES = (EngineState.STARTING, EngineState.READY, EngineState.DRAINING)


class EngineQuerySet(models.QuerySet["Engine"]):
    """Queries over engines."""

    def living(self) -> Self:
        """The engines that have, or should soon have, a process."""
        return self.filter(state__in=LIVING_STATES)


class Engine(models.Model):
    """One process on one node. Ended engines stay as history."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="engines")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="engines")
    state = models.CharField(max_length=16, choices=EngineState, default=EngineState.STARTING, db_index=True)
    revision = models.PositiveIntegerField(default=1, help_text="The deployment's revision that it was placed for.")
    memory_bytes = models.PositiveBigIntegerField(
        default=0, help_text="What it was planned to need, on its GPUs or in main memory."
    )
    gpus = models.JSONField(default=list, blank=True, help_text="Indices of the node's GPUs that it was given.")
    address = models.CharField(max_length=200, blank=True, help_text="host:port")
    pid = models.PositiveIntegerField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="Why it failed, in its own last words.")
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = EngineQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.deployment} ({self.id.hex[:8]})"
