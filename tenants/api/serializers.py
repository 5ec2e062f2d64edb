"""The management API's representation of departments, members, keys and audit events."""

from ipaddress import ip_network
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework import serializers

from tenants.keys import Scope
from tenants.limits import limits_checked
from tenants.models import APIKey, AuditEvent, Department, Fallback, Membership, Role, User


def _limits_checked(value: object, *, with_models: bool = True) -> object:
    try:
        return limits_checked(value, with_models=with_models)
    except ValidationError as error:
        raise serializers.ValidationError(error.message_dict) from None


class DepartmentSerializer(serializers.ModelSerializer[Department]):
    """A department."""

    class Meta:
        model = Department
        fields = ["slug", "name", "fallback", "limits", "weight", "created_at"]
        read_only_fields = ["fallback", "limits", "weight"]


class DepartmentChangeSerializer(serializers.Serializer[Department]):
    """What may change of a department."""

    name = serializers.CharField(max_length=100, required=False)
    fallback = serializers.ChoiceField(
        choices=Fallback.choices, required=False, help_text="Whether another kind of engine may stand in."
    )
    limits = serializers.JSONField(required=False, help_text="Replaces all its limits. For admins.")
    weight = serializers.IntegerField(
        required=False, min_value=1, max_value=10_000, help_text="Its share of a busy engine. For admins."
    )

    def validate_limits(self, value: object) -> object:
        """Limits are what `tenants.limits` knows."""
        return _limits_checked(value)


class PlatformLimitsSerializer(serializers.Serializer[Any]):
    """The limits of all departments together; what is left out or null is not limited."""

    requests_per_minute = serializers.IntegerField(required=False, allow_null=True)
    tokens_per_minute = serializers.IntegerField(required=False, allow_null=True)
    concurrent_requests = serializers.IntegerField(required=False, allow_null=True)
    tokens_per_day = serializers.IntegerField(required=False, allow_null=True)
    tokens_per_month = serializers.IntegerField(required=False, allow_null=True)
    money_per_month = serializers.DecimalField(max_digits=20, decimal_places=6, required=False, allow_null=True)

    def to_internal_value(self, data: Any) -> Any:
        """The limits, checked as all limits are."""
        return _limits_checked(data, with_models=False)


class MembershipSerializer(serializers.ModelSerializer[Membership]):
    """A person in a department."""

    username = serializers.CharField(source="user.username")

    class Meta:
        model = Membership
        fields = ["username", "role", "created_at"]


class MembershipWriteSerializer(serializers.Serializer[Membership]):
    """Whom to add, and as what."""

    username = serializers.SlugRelatedField(slug_field="username", queryset=User.objects.filter(is_active=True))
    role = serializers.ChoiceField(choices=Role.choices)


class KeySerializer(serializers.ModelSerializer[APIKey]):
    """A key without its secret."""

    models = serializers.ListField(source="models_allowed", child=serializers.CharField())
    state = serializers.CharField(read_only=True)

    class Meta:
        model = APIKey
        fields = [
            "id",
            "name",
            "hint",
            "state",
            "models",
            "scopes",
            "allowed_ips",
            "limits",
            "expires_at",
            "revoked_at",
            "created_at",
        ]


class KeyCreateSerializer(serializers.Serializer[APIKey]):
    """What a new key may do."""

    name = serializers.CharField(max_length=100)
    models = serializers.ListField(child=serializers.CharField(max_length=130), default=list, max_length=100)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=[s.value for s in Scope]), default=list)
    allowed_ips = serializers.ListField(child=serializers.CharField(max_length=50), default=list, max_length=100)
    expires_at = serializers.DateTimeField(default=None, allow_null=True)
    limits = serializers.JSONField(default=dict, help_text='What it may use, such as {"requests_per_minute": 600}.')

    def validate_limits(self, value: object) -> object:
        """Limits are what `tenants.limits` knows."""
        return _limits_checked(value)

    def validate_allowed_ips(self, value: list[str]) -> list[str]:
        """Accept addresses and networks in CIDR notation."""
        for network in value:
            try:
                ip_network(network, strict=False)
            except ValueError:
                raise serializers.ValidationError(
                    f"{network} is no IP address and no network such as 10.0.0.0/8."
                ) from None
        return value

    def validate_expires_at(self, value: object) -> object:
        """An expiry lies in the future."""
        if value is not None and value <= timezone.now():  # type: ignore[operator]  # a datetime by its field
            raise serializers.ValidationError("This moment has passed.")
        return value

    def to_internal_value(self, data: object) -> object:
        """Refuse fields that would be ignored: a key with fewer limits than its maker believes is a danger."""
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError(dict.fromkeys(unknown, "There is no such field."))
        return super().to_internal_value(data)


class KeyLimitSerializer(serializers.Serializer[APIKey]):
    """What may change of a key."""

    limits = serializers.JSONField(help_text="Replaces all its limits.")

    def validate_limits(self, value: object) -> object:
        """Limits are what `tenants.limits` knows."""
        return _limits_checked(value)


class KeyWithSecretSerializer(KeySerializer):
    """A key just made, with the secret that is shown this once."""

    key = serializers.CharField(read_only=True, help_text="The secret. It is shown only now.")

    class Meta(KeySerializer.Meta):
        fields = [*KeySerializer.Meta.fields, "key"]


class KeyRotateSerializer(serializers.Serializer[APIKey]):
    """How long the old key goes on working beside the new one."""

    grace_seconds = serializers.IntegerField(min_value=0, max_value=90 * 24 * 3600, default=0)


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    """One write."""

    department = serializers.SlugRelatedField[Department](slug_field="slug", read_only=True)

    class Meta:
        model = AuditEvent
        fields = ["id", "at", "actor_name", "department", "action", "target", "details", "request_id"]
