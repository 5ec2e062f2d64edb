"""A department's named LoRA, and its immutable versions."""

from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from serving.models.base_model import BaseModel
from serving.placement.tiers import Tier, tier_of
from tenants.models import Department, Placement

if TYPE_CHECKING:
    from serving.models.rollout import Rollout

adapter_name_validator = RegexValidator(
    r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?\Z",
    "Use 1 to 64 lower-case letters, digits, dots, hyphens and underscores, with a letter or digit at both ends.",
)


class VersionState(models.TextChoices):
    """Where a version stands on its way from upload to use, and out of it."""

    UPLOADED = "uploaded", "Uploaded"
    VALIDATING = "validating", "Validating"
    READY = "ready", "Ready"
    REJECTED = "rejected", "Rejected"
    ARCHIVED = "archived", "Archived"
    DELETED = "deleted", "Deleted"


class AdapterQuerySet(models.QuerySet["Adapter"]):
    """Queries over adapters."""

    def alive(self) -> Self:
        """The adapters that are not deleted."""
        return self.filter(deleted_at=None)

    def in_service(self) -> Self:
        """The adapters that can be called: neither deleted nor archived."""
        return self.alive().filter(archived_at=None)

    def shared_with(self, department_id: int, slug: str) -> Self:
        """The adapters of others that a department may call: shared with its slug, on base models granted to it."""
        granted = BaseModel.objects.granted_to(department_id).values("pk")
        shared = self.in_service().filter(shares__receiver=slug, shares__declined_at=None, base_model__in=granted)
        return shared.exclude(department=department_id)


class Adapter(models.Model):
    """A name that a department calls. Deleting keeps the row, since usage and audit refer to it."""

    department = models.ForeignKey(Department, on_delete=models.CASCADE, related_name="adapters")
    name = models.CharField(max_length=64, validators=[adapter_name_validator])
    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="adapters")
    placement = models.CharField(max_length=16, choices=Placement, blank=True, help_text="Empty: the department's.")
    promoted_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when it is answered by vLLM first, under `auto`."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = AdapterQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["department", "name"],
                condition=models.Q(deleted_at=None),
                name="one_living_adapter_per_name",
            )
        ]

    def __str__(self) -> str:
        return f"{self.department}/{self.name}"

    @property
    def tier(self) -> Tier:
        """Which kind of engine answers for it first, now."""
        return tier_of(self.placement or self.department.placement, promoted=self.promoted_at is not None)

    @property
    def weights(self) -> dict[int, int]:
        """Version number → share of the bare name's traffic; empty before the first rollout."""
        rollout: Rollout | None = getattr(self, "rollout", None)
        return {int(number): share for number, share in rollout.weights.items()} if rollout else {}


class VersionQuerySet(models.QuerySet["AdapterVersion"]):
    """Queries over versions."""

    def wanted_on_engines(self, base_model_id: int) -> Self:
        """The versions that every engine of this base model should hold: stored, and neither rejected nor archived."""
        return self.filter(
            adapter__base_model=base_model_id,
            adapter__deleted_at=None,
            adapter__archived_at=None,
            state__in=[VersionState.VALIDATING, VersionState.READY],
        ).exclude(digest="")

    def count_wanted_by_base_model(self) -> dict[int, int]:
        """Base model → how many different adapters its engines should hold."""
        wanted = self.filter(
            adapter__deleted_at=None,
            adapter__archived_at=None,
            state__in=[VersionState.VALIDATING, VersionState.READY],
        )
        counts = (
            wanted.exclude(digest="")
            .order_by()
            .values("adapter__base_model")
            .annotate(count=models.Count("digest", distinct=True))
        )
        return {row["adapter__base_model"]: row["count"] for row in counts}


class AdapterVersion(models.Model):
    """Immutable content with a number. `digest` is empty until the checks have passed and the bytes are stored."""

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=16, choices=VersionState, default=VersionState.UPLOADED, db_index=True)
    digest = models.CharField(max_length=64, blank=True, db_index=True, help_text="SHA-256 of the content.")
    size_bytes = models.PositiveBigIntegerField(default=0)
    report = models.JSONField(default=dict, blank=True)
    source = models.JSONField(default=dict, blank=True, help_text="Where it came from, see `serving.imports`.")
    notes = models.TextField(blank=True)
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    uploaded_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True, blank=True)
    keep = models.BooleanField(default=False, help_text="Retention never retires it.")
    archived_at = models.DateTimeField(null=True, blank=True)
    archived_because = models.CharField(
        max_length=200, blank=True, help_text="Why retention has archived it; empty: a person has."
    )
    deleted_at = models.DateTimeField(null=True, blank=True)
    released_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when its bytes are kept for others only, or for nobody."
    )

    objects = VersionQuerySet.as_manager()

    class Meta:
        ordering = ["adapter", "-number"]
        constraints = [models.UniqueConstraint(fields=["adapter", "number"], name="one_version_per_number")]

    def __str__(self) -> str:
        return f"{self.adapter}:{self.number}"
