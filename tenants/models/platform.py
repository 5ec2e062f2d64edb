"""What the platform as a whole is set to, as opposed to how a machine is configured: one row."""

from typing import Self

from django.db import models


class Platform(models.Model):
    """The one row; `load` finds or makes it."""

    limits = models.JSONField(default=dict, blank=True, help_text="Limits of all departments together.")

    def __str__(self) -> str:
        return "platform"

    @classmethod
    def load(cls) -> Self:
        """The row, as it is now."""
        return cls.objects.get_or_create(pk=1)[0]
