"""How long old versions and texts are kept: a department's policy, or the platform's for departments without one."""

from typing import Self

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from tenants.models import Department

_LONGEST_DAYS = 3650


class RetentionPolicy(models.Model):
    """What stays of old versions and texts; `serving.adapters.retention` says how. The platform's has no department.

    Without `keep_newest` and without `keep_used_days` all versions stay.
    """

    FIELDS = ("keep_newest", "keep_used_days", "grace_days", "keep_texts_days")

    department = models.OneToOneField(
        Department, on_delete=models.CASCADE, related_name="retention_policy", null=True, blank=True
    )
    keep_newest = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100_000)],
        help_text="So many of each adapter's versions stay, the newest; empty: age does not count.",
    )
    keep_used_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(_LONGEST_DAYS)],
        help_text="Versions that answered a request in so many days stay; empty: use does not count.",
    )
    grace_days = models.PositiveIntegerField(
        default=14,
        validators=[MaxValueValidator(_LONGEST_DAYS)],
        help_text="Days between archiving and deleting.",
    )
    keep_texts_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(_LONGEST_DAYS)],
        help_text="Comparisons that ended and comments on answers are deleted after so many days; empty: they stay.",
    )

    def __str__(self) -> str:
        return f"retention of {self.department or 'the platform'}"

    @property
    def keeps_all_versions(self) -> bool:
        """Whether no version is ever retired by it."""
        return self.keep_newest is None and self.keep_used_days is None

    @classmethod
    def of(cls, department: Department) -> Self:
        """What holds for a department: its own policy, else the platform's, else one that keeps everything."""
        found = cls.objects.filter(models.Q(department=department) | models.Q(department=None))
        return found.order_by(models.F("department").desc(nulls_last=True)).first() or cls()

    @classmethod
    def of_platform(cls) -> Self:
        """The platform's, else one that keeps everything."""
        return cls.objects.filter(department=None).first() or cls()

    def as_json(self) -> dict[str, int | None]:
        """What it says, by the names of its fields."""
        return {name: getattr(self, name) for name in self.FIELDS}
