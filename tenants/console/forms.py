"""What people fill in about departments, members, keys and users."""

from datetime import UTC, date, datetime, time, timedelta
from ipaddress import ip_network
from typing import Any

from django import forms
from django.utils import timezone

from tenants.keys import Scope
from tenants.models import Department, Fallback, PlatformRole, Role, User
from tenants.models.department import slug_validator

_GRACE_PERIODS = [
    (0, "at once"),
    (3600, "after 1 hour"),
    (24 * 3600, "after 1 day"),
    (7 * 24 * 3600, "after 7 days"),
    (30 * 24 * 3600, "after 30 days"),
]


class DepartmentForm(forms.Form):
    """A new department."""

    name = forms.CharField(max_length=100, help_text="What people read, such as Customer Support.")
    slug = forms.CharField(
        max_length=50,
        validators=[slug_validator],
        help_text="Its identity in URLs and logs, such as support. It never changes.",
    )

    def clean_slug(self) -> str:
        """A slug is taken once."""
        slug: str = self.cleaned_data["slug"]
        if Department.objects.filter(slug=slug).exists():
            raise forms.ValidationError(f"“{slug}” is taken. Choose another slug.")
        return slug


class RenameForm(forms.Form):
    """A department's new name."""

    name = forms.CharField(max_length=100)


class FallbackForm(forms.Form):
    """A department's fallback policy."""

    fallback = forms.ChoiceField(choices=Fallback.choices, label="May another kind of engine answer?")


class MemberForm(forms.Form):
    """Whom to take into a department, and as what."""

    username = forms.CharField(max_length=150, label="User name")
    role = forms.ChoiceField(
        choices=Role.choices,
        initial=Role.DEVELOPER,
        help_text="Viewers try models and read usage. Developers also manage keys and adapters. "
        "Owners also manage members.",
    )

    def __init__(self, department: Department, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._department = department

    def clean_username(self) -> User:
        """The person of this name, who is not a member yet."""
        username = self.cleaned_data["username"]
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            raise forms.ValidationError(f"There is no user “{username}”. An admin can create one under Users.")
        if self._department.memberships.filter(user=user).exists():
            raise forms.ValidationError(f"{username} is a member already. Change the role in the list instead.")
        return user


class RoleForm(forms.Form):
    """A member's new role."""

    role = forms.ChoiceField(choices=Role.choices, help_text=MemberForm.base_fields["role"].help_text)


class NameList(forms.Field):
    """Several values of one name, from check boxes that the template draws."""

    widget = forms.SelectMultiple

    def to_python(self, value: Any) -> list[str]:
        """The names, each at most as long as `department/adapter:version` may be."""
        names = [str(name) for name in value or []]
        if wrong := next((name for name in names if len(name) > 130), None):
            raise forms.ValidationError(f"{wrong[:40]}… is too long for a model's name.")
        return names


class KeyForm(forms.Form):
    """A new API key and its limits; everything but the name may stay empty."""

    name = forms.CharField(max_length=100, help_text="Who or what uses it, such as helpdesk-production.")
    models = NameList(required=False)
    scopes = forms.MultipleChoiceField(
        choices=[(Scope.INFERENCE, "Call models"), (Scope.MODELS, "List models")],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    expires_on = forms.DateField(
        required=False,
        label="Works until",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="The end of this day, UTC. Empty: until it is revoked.",
    )
    allowed_ips = forms.CharField(
        required=False,
        label="Allowed networks",
        widget=forms.Textarea(attrs={"placeholder": "10.0.0.0/8\n192.0.2.17"}),
        help_text="One address or network a line. Empty: from anywhere.",
    )

    def clean_allowed_ips(self) -> list[str]:
        """The networks, one a line."""
        lines = [line.strip() for line in self.cleaned_data["allowed_ips"].splitlines() if line.strip()]
        for line in lines:
            try:
                ip_network(line, strict=False)
            except ValueError:
                raise forms.ValidationError(
                    f"{line[:50]} is no IP address and no network such as 10.0.0.0/8."
                ) from None
        return lines

    def clean_expires_on(self) -> datetime | None:
        """The end of the chosen day."""
        day: date | None = self.cleaned_data["expires_on"]
        if day is None:
            return None
        moment = datetime.combine(day + timedelta(days=1), time.min, UTC)
        if moment <= timezone.now():
            raise forms.ValidationError("This day has passed.")
        return moment


class RotateForm(forms.Form):
    """How long a replaced key goes on working."""

    grace_seconds = forms.TypedChoiceField(
        choices=_GRACE_PERIODS, coerce=int, initial=24 * 3600, label="The old key stops working"
    )


class UserForm(forms.Form):
    """A new user."""

    username = forms.CharField(
        max_length=150, label="User name", validators=User._meta.get_field("username").validators
    )
    platform_role = forms.ChoiceField(
        choices=[(PlatformRole.NONE, "None: sees only own departments"), *PlatformRole.choices[1:]],
        required=False,
        help_text="Admins may do everything everywhere. Auditors may read everything and change nothing.",
    )

    def clean_username(self) -> str:
        """A user name is taken once."""
        username: str = self.cleaned_data["username"]
        if User.objects.filter(username__iexact=username).exists():
            raise forms.ValidationError(f"“{username}” is taken.")
        return username
