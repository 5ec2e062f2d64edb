"""The management API's views of retention: a department's policy and what it would do, and the platform's."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from serving.adapters.retention import Step, retention_inherit, retention_plan, retention_set
from serving.models import RetentionPolicy
from tenants.access import Right
from tenants.api.scoping import DepartmentView, PlatformView


class PolicySerializer(serializers.ModelSerializer[RetentionPolicy]):
    """What stays; without both of the first two, every version does."""

    class Meta:
        model = RetentionPolicy
        fields = RetentionPolicy.FIELDS


class StepSerializer(serializers.Serializer[Step]):
    """What retention would do with a version, a comparison, or the comments on an adapter's answers."""

    adapter = serializers.CharField(source="adapter.name")
    version = serializers.IntegerField(source="version.number", allow_null=True, default=None)
    comparison = serializers.UUIDField(source="comparison.pk", allow_null=True, default=None)
    comments = serializers.IntegerField(help_text="How many.")
    action = serializers.ChoiceField(choices=["archive", "delete"])
    because = serializers.CharField()


class RetentionSerializer(serializers.Serializer[Any]):
    """A department's policy, and what it would do now."""

    policy = PolicySerializer()
    is_own = serializers.BooleanField(help_text="False: it is the platform's.")
    steps = StepSerializer(many=True)


class DepartmentRetention(DepartmentView):
    """How long a department's old versions are kept."""

    rights = {
        "GET": Right.DEPARTMENT_VIEW,
        "PUT": Right.DEPARTMENT_CHANGE,
        "DELETE": Right.DEPARTMENT_CHANGE,
    }

    @extend_schema(parameters=[PolicySerializer], responses=RetentionSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """Read the policy and what it would do now; with its fields as parameters, what another one would do."""
        policy = RetentionPolicy.of(self.department)
        if request.query_params.keys() & set(RetentionPolicy.FIELDS):
            asked = PolicySerializer(data=request.query_params.dict())
            asked.is_valid(raise_exception=True)
            policy = RetentionPolicy(department=self.department, **asked.validated_data)
        return Response(self._told(policy))

    @extend_schema(request=PolicySerializer, responses=RetentionSerializer)
    def put(self, request: Request, slug: str) -> Response:
        """Give the department a policy of its own; it is followed within the hour."""
        return Response(self._told(retention_set(department=self.department, wished=_wished(request), by=self.person)))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, slug: str) -> Response:
        """Have the platform's policy hold again."""
        retention_inherit(department=self.department, by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _told(self, policy: RetentionPolicy) -> dict[str, Any]:
        steps = retention_plan(self.department, policy)
        told = {"policy": policy, "is_own": policy.department_id is not None, "steps": steps}
        return RetentionSerializer(told).data


class PlatformRetention(PlatformView):
    """The policy of departments that have none of their own."""

    rights = {"GET": Right.PLATFORM_VIEW, "PUT": Right.PLATFORM_MANAGE}

    @extend_schema(responses=PolicySerializer)
    def get(self, request: Request) -> Response:
        """Read it."""
        policy = RetentionPolicy.of_platform()
        return Response(PolicySerializer(policy).data)

    @extend_schema(request=PolicySerializer, responses=PolicySerializer)
    def put(self, request: Request) -> Response:
        """Replace it; it is followed within the hour."""
        policy = retention_set(department=None, wished=_wished(request), by=self.person)
        return Response(PolicySerializer(policy).data)


def _wished(request: Request) -> RetentionPolicy:
    """What is left out is as in a new one."""
    data = PolicySerializer(data=request.data)
    data.is_valid(raise_exception=True)
    return RetentionPolicy(**data.validated_data)
