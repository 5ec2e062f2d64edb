"""The management API's representation of rollouts, their history, versions' numbers, and feedback."""

from typing import Any

from rest_framework import serializers

from serving.models import Feedback, Rollout, RolloutChange
from serving.rollouts.thresholds import Thresholds, thresholds_from_json

_USUAL = Thresholds()


class StepBackSerializer(serializers.Serializer[Any]):
    """From where on a canary is taken back by itself."""

    requests = serializers.IntegerField(
        min_value=10,
        max_value=1_000_000,
        default=_USUAL.requests,
        help_text="Requests that the canary and the stable version must both have had.",
    )
    error_rate = serializers.FloatField(
        min_value=0.1,
        max_value=100,
        default=_USUAL.error_rate,
        help_text="Percentage points by which more of the canary's requests may fail.",
    )
    slower = serializers.FloatField(
        min_value=1.1,
        max_value=100,
        default=_USUAL.slower,
        help_text="How many times as long 95 of 100 of its first tokens, or whole answers, may take.",
    )


class RolloutSerializer(serializers.Serializer[Any]):
    """A wished rollout."""

    versions = serializers.DictField(
        child=serializers.IntegerField(min_value=1, max_value=100),
        allow_empty=False,
        help_text='Version number → share in percent, such as {"3": 90, "4": 10}; the shares sum to 100.',
    )
    step_back = StepBackSerializer(
        required=False,
        allow_null=True,
        help_text="Left out: the usual thresholds. Null: a canary stays whatever it does.",
    )
    reason = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=1000, help_text="Why, for the history."
    )

    despite_gates = serializers.BooleanField(
        default=False, help_text="Roll out what the department's policy keeps out. For admins; the audit says so."
    )

    def validate_versions(self, value: dict[str, int]) -> dict[int, int]:
        """Version numbers are whole numbers."""
        try:
            return {int(number): share for number, share in value.items()}
        except ValueError:
            raise serializers.ValidationError("Version numbers are whole numbers, such as 3.") from None

    def thresholds(self) -> Thresholds | None:
        """From where on the canary is taken back, as wished or as usual."""
        wished = self.validated_data.get("step_back", _USUAL.as_json())
        return thresholds_from_json(wished)


class RollbackSerializer(serializers.Serializer[Any]):
    """A wish to go back."""

    reason = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=1000, help_text="Why, for the history."
    )


class PresentRolloutSerializer(serializers.ModelSerializer[Rollout]):
    """What an adapter's bare name means now."""

    versions = serializers.JSONField(source="weights", help_text="Version number → share in percent.")
    step_back = StepBackSerializer(allow_null=True)
    changed_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)

    class Meta:
        model = Rollout
        fields = ["versions", "stable", "step_back", "changed_at", "changed_by"]


class RolloutChangeSerializer(serializers.ModelSerializer[RolloutChange]):
    """One entry of the history; `by` is null where the platform stepped back by itself."""

    versions = serializers.JSONField(source="weights", help_text="Version number → share in percent.")
    by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    is_rollback = serializers.SerializerMethodField()

    class Meta:
        model = RolloutChange
        fields = ["at", "by", "versions", "reason", "is_rollback"]

    def get_is_rollback(self, change: RolloutChange) -> bool:
        """Whether an earlier rollout was gone back to."""
        return change.restores_id is not None


class FeedbackSerializer(serializers.ModelSerializer[Feedback]):
    """What somebody thought of an answer."""

    version = serializers.IntegerField(source="adapter_version.number", allow_null=True)
    rating = serializers.SerializerMethodField()

    class Meta:
        model = Feedback
        fields = ["at", "request_id", "version", "rating", "comment"]

    def get_rating(self, feedback: Feedback) -> str:
        """`up` or `down`."""
        return "up" if feedback.rating > 0 else "down"
