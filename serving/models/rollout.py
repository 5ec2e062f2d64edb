"""What an adapter's bare name means now, and what it meant before."""

from django.conf import settings
from django.db import models

from serving.models.adapter import Adapter


class Rollout(models.Model):
    """What an adapter's bare name means now: version numbers and their shares, which sum to 100."""

    adapter = models.OneToOneField(Adapter, on_delete=models.CASCADE, related_name="rollout")
    weights = models.JSONField(help_text='Version number → percentage, such as {"3": 90, "4": 10}.')
    spans = models.JSONField(
        default=list,
        blank=True,
        help_text="Which version has which part of all conversations, such as [[3, 90], [4, 10]]; empty: by number.",
    )
    stable = models.PositiveIntegerField(
        null=True, blank=True, help_text="The version that the others are measured against, and stepped back to."
    )
    step_back = models.JSONField(
        null=True, blank=True, help_text="From where on a canary is taken back by itself; null: never."
    )
    changed_at = models.DateTimeField(auto_now=True)
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    def __str__(self) -> str:
        return f"{self.adapter}: {self.weights}"


class RolloutChange(models.Model):
    """One entry of an adapter's history of rollouts. Written once."""

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="rollout_changes")
    weights = models.JSONField(help_text="As in the rollout that began here.")
    at = models.DateTimeField(auto_now_add=True)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text="Null: the platform by itself.",
    )
    reason = models.TextField(blank=True)
    restores = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, related_name="+", help_text="Which one was gone back to, if any."
    )

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.adapter}: {self.weights}"
