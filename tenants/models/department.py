"""A department, the tenant, and who belongs to it."""

import secrets
from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from tenants.models.user import User

slug_validator = RegexValidator(
    r"^[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?\Z",
    "Use 1 to 50 lower-case letters, digits and hyphens, with no hyphen at either end.",
)


def new_cache_salt() -> str:
    """A secret that keeps this department's prefix cache apart from all others'."""
    return secrets.token_hex(16)


class Placement(models.TextChoices):
    """Which kind of engine answers first; `serving.placement.tiers` says what follows from it."""

    LIGHTWEIGHT = "lightweight", "Lightweight: llama.cpp first"
    STANDARD = "standard", "Standard: vLLM first"
    AUTO = "auto", "Automatic: by its traffic"


class Fallback(models.TextChoices):
    """Whether another kind of engine may answer when the first one cannot."""

    NEVER = "never", "Never: rather an error than an answer from another kind of engine"
    LIGHTWEIGHT_ONLY = "lightweight_only", "Lightweight only: llama.cpp may stand in for vLLM"
    ALWAYS = "always", "Always: either kind may stand in for the other"


class DepartmentQuerySet(models.QuerySet["Department"]):
    """Queries over departments; the console and the management API reach departments through `visible_to`."""

    def visible_to(self, user: User) -> Self:
        """The departments that this person may know of."""
        if user.sees_every_department:
            return self
        return self.filter(memberships__user=user).distinct()


class Department(models.Model):
    """A tenant. The slug is its identity in URLs and logs and never changes."""

    slug = models.CharField(max_length=50, unique=True, validators=[slug_validator])
    name = models.CharField(max_length=100)
    cache_salt = models.CharField(max_length=64, default=new_cache_salt, editable=False)
    placement = models.CharField(max_length=16, choices=Placement, default=Placement.AUTO)
    promoted_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when its calls to base models go to vLLM first, under `auto`."
    )
    limits = models.JSONField(default=dict, blank=True, help_text="What it may use, see `tenants.limits`.")
    weight = models.PositiveIntegerField(
        default=100,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
        help_text="Its share of an engine that several departments want at once, in proportion to theirs.",
    )
    fallback = models.CharField(max_length=16, choices=Fallback, default=Fallback.ALWAYS)
    quota_bytes = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Most bytes of adapters that it may hold; empty: without limit."
    )
    quota_adapters = models.PositiveIntegerField(
        null=True, blank=True, help_text="Most adapters that it may have; empty: without limit."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="tenants.Membership", related_name="departments")

    objects = DepartmentQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class Role(models.TextChoices):
    """What a person may do in one department; each role includes those before it."""

    VIEWER = "viewer", "Viewer"
    DEVELOPER = "developer", "Developer"
    OWNER = "owner", "Owner"


class Membership(models.Model):
    """A user in a department, with one role."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    department = models.ForeignKey(Department, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["department", "user"]
        constraints = [models.UniqueConstraint(fields=["user", "department"], name="one_membership_per_department")]

    def __str__(self) -> str:
        return f"{self.user} in {self.department} as {self.role}"
