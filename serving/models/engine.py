"""One running process that fulfils a deployment."""

import uuid
from typing import Any, Self

from django.db import models

from serving.models.deployment import Deployment
from serving.models.node import Node


class EngineState(models.TextChoices):
    """The life of an engine; what may follow on what is in `TRANSITIONS`."""

    STARTING = "starting", "Starting"
    READY = "ready", "Ready"
    DRAINING = "draining", "Draining"
    STOPPED = "stopped", "Stopped"
    FAILED = "failed", "Failed"


# State → the states that may follow. An engine ends once: what takes its place is another engine. But one that was
# given up with its node may come back with it (`EngineQuerySet.take_back`).
TRANSITIONS: dict[EngineState, frozenset[EngineState]] = {
    EngineState.STARTING: frozenset({EngineState.READY, EngineState.DRAINING, EngineState.STOPPED, EngineState.FAILED}),
    # To stopped without draining: together with its worker, where engines are tethered.
    EngineState.READY: frozenset({EngineState.DRAINING, EngineState.STOPPED, EngineState.FAILED}),
    EngineState.DRAINING: frozenset({EngineState.STOPPED, EngineState.FAILED}),
    EngineState.STOPPED: frozenset(),
    EngineState.FAILED: frozenset(),
}
LIVING_STATES = tuple(state for state in EngineState if TRANSITIONS[state])


class Failure(models.TextChoices):
    """What an engine failed of."""

    CRASHED = "crashed", "It crashed"
    OUT_OF_MEMORY = "out_of_memory", "It ran out of memory"
    PORT_TAKEN = "port_taken", "Its port was taken"
    DISK_FULL = "disk_full", "The disk is full"
    STUCK_START = "stuck_start", "It did not answer in time after its start"
    HUNG = "hung", "It is reachable, but no tokens come"
    NOT_STARTED = "not_started", "It could not be started"
    LOST = "lost", "It is lost with its node"


class EngineQuerySet(models.QuerySet["Engine"]):
    """Queries over engines."""

    def living(self) -> Self:
        """The engines that have, or should soon have, a process."""
        return self.filter(state__in=LIVING_STATES)

    def lost(self) -> Self:
        """The engines that were given up with their node."""
        return self.filter(state=EngineState.FAILED, failure=Failure.LOST)

    def take_back(self, state: EngineState) -> int:
        """Put engines that were given up with their node into a living state again; others stay as they are."""
        return super(EngineQuerySet, self.lost()).update(state=state, failure="", error="", ended_at=None)

    def update(self, **values: Any) -> int:
        """As ever, but a new state reaches only engines whose present one it may follow; others stay as they are."""
        if "state" not in values:
            return super().update(**values)
        before = [state for state, after in TRANSITIONS.items() if values["state"] in after]
        return super(EngineQuerySet, self.filter(state__in=before)).update(**values)


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
    failure = models.CharField(max_length=16, choices=Failure, blank=True, help_text="What it failed of, if it did.")
    error = models.TextField(blank=True, help_text="Why it failed, in its own last words.")
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = EngineQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.deployment} ({self.id.hex[:8]})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write a new engine, or anything but the state of one that exists: states move by `Engine.objects.update`.

        Raises:
            ValueError: the state is among what would be written over.
        """
        fields = kwargs.get("update_fields")
        if not self._state.adding and (fields is None or "state" in fields):
            raise ValueError("The state of an engine moves by Engine.objects.filter(…).update(state=…) alone.")
        super().save(*args, **kwargs)
