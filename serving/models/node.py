"""A machine that runs a Celery worker and hosts engines."""

from django.db import models


class Node(models.Model):
    """A node as it last described itself; whether it lives now is in Redis."""

    name = models.CharField(max_length=200, unique=True)
    address = models.CharField(max_length=200, help_text="Where its engines are reached.")
    facts = models.JSONField(
        default=dict, blank=True, help_text="Processors, memory and engine kinds, as the node reported them."
    )
    turn = models.PositiveBigIntegerField(
        default=0, help_text="Counts the engines placed here; who places one claims the next by a conditional update."
    )
    first_seen_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
