"""What one department lets another use, read-only: an adapter, shared with whoever has a slug."""

from django.conf import settings
from django.db import models

from serving.models.adapter import Adapter
from tenants.models.department import slug_validator


class AdapterShare(models.Model):
    """One adapter shared with one department, until it is revoked, which deletes the row.

    A receiver that does not want it declines it: for them it is gone, for the owner it stands there as declined.

    The receiver is a slug and no reference: whether a department of this slug exists is nobody's business here, and
    the one that shares must not be able to find out.
    """

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="shares")
    receiver = models.CharField(max_length=50, validators=[slug_validator], db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    declined_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["receiver"]
        constraints = [models.UniqueConstraint(fields=["adapter", "receiver"], name="one_share_per_receiver")]

    def __str__(self) -> str:
        return f"{self.adapter} with {self.receiver}"
