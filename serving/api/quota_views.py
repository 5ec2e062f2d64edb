"""The management API's view of what a department may hold, and holds."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from serving.adapters.quotas import quota_check, quota_use
from tenants.access import Right
from tenants.api.scoping import DepartmentView
from tenants.departments import department_quota
from tenants.models import Department

_LARGEST = 2**63 - 1


class QuotaSerializer(serializers.Serializer[Any]):
    """A quota and its use; without a limit, null."""

    limit = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField()


class QuotasSerializer(serializers.Serializer[Any]):
    """What a department may hold, and holds."""

    bytes = QuotaSerializer(
        help_text="Of all versions that are neither rejected nor deleted, and of uploads under way."
    )
    adapters = QuotaSerializer()


class QuotasChangeSerializer(serializers.Serializer[Any]):
    """What a department may hold; null is without limit."""

    bytes = serializers.IntegerField(min_value=0, max_value=_LARGEST, allow_null=True)
    adapters = serializers.IntegerField(min_value=0, max_value=1_000_000, allow_null=True)


class RoomSerializer(serializers.Serializer[Any]):
    """How much more there should be room for."""

    bytes = serializers.IntegerField(min_value=0, max_value=_LARGEST, default=0, help_text="413 unless so many fit.")


class Quotas(DepartmentView):
    """A department's quotas."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "PUT": Right.DEPARTMENT_LIMIT}

    @extend_schema(parameters=[RoomSerializer], responses=QuotasSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """Read the quotas and their use; with `bytes`, ask whether an upload of so many would fit."""
        asked = RoomSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        quota_check(self.department, asked.validated_data["bytes"])
        return Response(_quotas(self.department))

    @extend_schema(request=QuotasChangeSerializer, responses=QuotasSerializer)
    def put(self, request: Request, slug: str) -> Response:
        """Set both quotas. What the department has stays, also when it is more."""
        data = QuotasChangeSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        department_quota(
            department=self.department,
            most_bytes=data.validated_data["bytes"],
            most_adapters=data.validated_data["adapters"],
            by=self.person,
        )
        return Response(_quotas(self.department))


def _quotas(department: Department) -> dict[str, dict[str, int | None]]:
    use = quota_use(department)
    return {
        "bytes": {"limit": department.quota_bytes, "used": use.bytes},
        "adapters": {"limit": department.quota_adapters, "used": use.adapters},
    }
