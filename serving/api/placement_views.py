"""The management API's views of placements: which kind of engine answers first."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from serving.api.adapter_views import AdapterView
from serving.placement.placements import adapter_place, department_place, department_tier
from serving.placement.tiers import Tier
from tenants.access import Right
from tenants.api.scoping import DepartmentView
from tenants.models import Placement


class DepartmentPlacementSerializer(serializers.Serializer[Any]):
    """A department's placement, and what it means for calls to base models now."""

    placement = serializers.ChoiceField(choices=Placement.choices)
    tier = serializers.ChoiceField(choices=[tier.value for tier in Tier], read_only=True)


class AdapterPlacementSerializer(DepartmentPlacementSerializer):
    """An adapter's placement, empty for the department's, and what it means now."""

    placement = serializers.ChoiceField(choices=[("", "As the department"), *Placement.choices], allow_blank=True)


class DepartmentPlacement(DepartmentView):
    """Which kind of engine answers first for a department, and for those of its adapters that do not say."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "PUT": Right.PLATFORM_MANAGE}

    @extend_schema(responses=DepartmentPlacementSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """Read the placement."""
        return Response({"placement": self.department.placement, "tier": department_tier(self.department.pk)})

    @extend_schema(request=DepartmentPlacementSerializer, responses=DepartmentPlacementSerializer)
    def put(self, request: Request, slug: str) -> Response:
        """Set the placement; it takes hold within a second."""
        data = DepartmentPlacementSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        department_place(department=self.department, placement=data.validated_data["placement"], by=self.person)
        return self.get(request, slug)


class AdapterPlacement(AdapterView):
    """Which kind of engine answers first for an adapter."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "PUT": Right.PLATFORM_MANAGE}

    @extend_schema(responses=AdapterPlacementSerializer)
    def get(self, request: Request, slug: str, name: str) -> Response:
        """Read the placement."""
        adapter = self.adapter(name)
        return Response({"placement": adapter.placement, "tier": adapter.tier})

    @extend_schema(request=AdapterPlacementSerializer, responses=AdapterPlacementSerializer)
    def put(self, request: Request, slug: str, name: str) -> Response:
        """Set the placement; it takes hold within a second."""
        data = AdapterPlacementSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        adapter = self.adapter(name)
        adapter_place(adapter=adapter, placement=data.validated_data["placement"], by=self.person)
        return self.get(request, slug, name)
