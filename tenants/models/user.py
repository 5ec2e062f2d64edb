"""A person who signs in to the console."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class PlatformRole(models.TextChoices):
    """What a person may do on the whole platform; most people have no such role."""

    NONE = "", "None"
    AUDITOR = "auditor", "Auditor"
    ADMIN = "admin", "Admin"


class User(AbstractUser):
    """A person; departments are joined through memberships."""

    platform_role = models.CharField(max_length=16, choices=PlatformRole, default=PlatformRole.NONE, blank=True)

    @property
    def is_platform_admin(self) -> bool:
        """Whether this person administers the whole platform."""
        return self.platform_role == PlatformRole.ADMIN

    @property
    def sees_every_department(self) -> bool:
        """Whether this person may read every department."""
        return self.platform_role in (PlatformRole.ADMIN, PlatformRole.AUDITOR)
