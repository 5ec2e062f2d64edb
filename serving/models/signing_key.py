"""A department's public keys: once it has some, only what was signed with one of them is taken in."""

from django.conf import settings
from django.db import models

from tenants.models import Department


class SigningKey(models.Model):
    """One minisign public key. Removing it deletes the row; the audit keeps its id."""

    department = models.ForeignKey(Department, on_delete=models.CASCADE, related_name="signing_keys")
    name = models.CharField(max_length=100)
    key_id = models.CharField(max_length=16, help_text="As minisign prints it: 16 hexadecimal digits.")
    public_key = models.CharField(max_length=64, help_text="Base64, as in the last line of minisign.pub.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["department", "public_key"], name="one_row_per_key_of_a_department")
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.key_id})"
