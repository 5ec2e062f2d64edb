"""The management API's view of which adapters a deployment's engines hold."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from serving.fleet.holding import deployment_hold, pinned_names
from serving.models import Deployment, Residency
from tenants.access import Right
from tenants.api.scoping import PlatformView


class ResidencySerializer(serializers.Serializer[Any]):
    """Which adapters a deployment's engines hold."""

    residency = serializers.ChoiceField(choices=Residency.choices)
    adapter_slots = serializers.IntegerField(
        min_value=1, max_value=100_000, default=32, help_text="The most adapters that an engine holds; not for eager."
    )
    pinned = serializers.ListField(
        child=serializers.CharField(max_length=130),
        default=list,
        max_length=1000,
        help_text="The adapters that stay under `pinned`, each as department/adapter.",
    )


class DeploymentResidency(PlatformView):
    """Which adapters the engines of a deployment hold."""

    rights = {"GET": Right.PLATFORM_VIEW, "PUT": Right.PLATFORM_MANAGE}

    @extend_schema(responses=ResidencySerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Read the policy."""
        return Response(_shown(get_object_or_404(Deployment, pk=pk)))

    @extend_schema(request=ResidencySerializer, responses=ResidencySerializer)
    def put(self, request: Request, pk: int) -> Response:
        """Change the policy; engines load and unload within seconds, without a restart."""
        data = ResidencySerializer(data=request.data)
        data.is_valid(raise_exception=True)
        deployment = get_object_or_404(Deployment.objects.select_related("base_model"), pk=pk)
        wished = data.validated_data
        deployment_hold(
            deployment=deployment,
            residency=Residency(wished["residency"]),
            adapter_slots=wished["adapter_slots"],
            pinned=wished["pinned"],
            by=self.person,
        )
        return Response(_shown(deployment))


def _shown(deployment: Deployment) -> dict[str, object]:
    return {
        "residency": deployment.residency,
        "adapter_slots": deployment.adapter_slots,
        "pinned": pinned_names(deployment),
    }
