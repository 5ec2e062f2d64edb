"""The management API's views of the platform's own objects: base models and deployments."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from serving.api.serializers import (
    BaseModelAdminSerializer,
    BaseModelPricesSerializer,
    BaseModelSerializer,
    DeploymentChangeSerializer,
    DeploymentSerializer,
)
from serving.base_models import base_model_create, base_model_reprice
from serving.engines.kinds import EngineKind
from serving.fleet.deployments import deployment_change, deployment_create, deployment_delete
from serving.fleet.restarts import deployment_start_again
from serving.models import BaseModel, Deployment
from tenants.access import Right, may
from tenants.api.scoping import PlatformView


class BaseModelList(PlatformView, generics.ListAPIView[BaseModel]):
    """The base models that the caller's departments may use; admins add them here."""

    rights = {"POST": Right.PLATFORM_MANAGE}
    search_fields = ["name", "source"]
    ordering_fields = ["name", "created_at"]

    def get_queryset(self) -> QuerySet[BaseModel]:
        """Those visible to the caller."""
        return BaseModel.objects.visible_to(self.person).prefetch_related("departments")

    def get_serializer_class(self) -> type[BaseSerializer[BaseModel]]:
        """Paths are nobody's business but the platform's."""
        return BaseModelAdminSerializer if may(self.person, Right.PLATFORM_VIEW) else BaseModelSerializer

    @extend_schema(request=BaseModelAdminSerializer, responses={201: BaseModelAdminSerializer})
    def post(self, request: Request) -> Response:
        """Add a base model whose files lie on the nodes."""
        data = BaseModelAdminSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        model = base_model_create(**data.validated_data, by=self.person)
        return Response(BaseModelAdminSerializer(model).data, status=status.HTTP_201_CREATED)


class BaseModelDetail(PlatformView):
    """One base model."""

    rights = {"PATCH": Right.PLATFORM_MANAGE}

    @extend_schema(responses=BaseModelAdminSerializer)
    def get(self, request: Request, name: str) -> Response:
        """Read a base model."""
        model = get_object_or_404(BaseModel.objects.visible_to(self.person), name=name)
        serializer = BaseModelAdminSerializer if may(self.person, Right.PLATFORM_VIEW) else BaseModelSerializer
        return Response(serializer(model).data)

    @extend_schema(request=BaseModelPricesSerializer, responses=BaseModelAdminSerializer)
    def patch(self, request: Request, name: str) -> Response:
        """Change what its tokens cost, from now on."""
        model = get_object_or_404(BaseModel, name=name)
        data = BaseModelPricesSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        base_model_reprice(model=model, prices=data.validated_data["prices"], by=self.person)
        return Response(BaseModelAdminSerializer(model).data)


class DeploymentList(PlatformView, generics.ListAPIView[Deployment]):
    """The wished engines."""

    rights = {"GET": Right.PLATFORM_VIEW, "POST": Right.PLATFORM_MANAGE}
    serializer_class = DeploymentSerializer
    queryset = Deployment.objects.select_related("base_model")
    filterset_fields = {"base_model__name": ["exact"], "engine_kind": ["exact"]}
    ordering_fields = ["id", "created_at"]

    @extend_schema(request=DeploymentSerializer, responses={201: DeploymentSerializer})
    def post(self, request: Request) -> Response:
        """Wish for engines; nodes start them within seconds."""
        data = DeploymentSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        wished: dict[str, Any] = data.validated_data
        kind = EngineKind(wished.pop("engine_kind"))
        deployment = deployment_create(**wished, engine_kind=kind, by=self.person)
        return Response(DeploymentSerializer(deployment).data, status=status.HTTP_201_CREATED)


class DeploymentDetail(PlatformView):
    """One deployment."""

    rights = {"GET": Right.PLATFORM_VIEW, "PATCH": Right.PLATFORM_MANAGE, "DELETE": Right.PLATFORM_MANAGE}

    @extend_schema(responses=DeploymentSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Read a deployment."""
        return Response(DeploymentSerializer(get_object_or_404(Deployment, pk=pk)).data)

    @extend_schema(request=DeploymentChangeSerializer(partial=True), responses=DeploymentSerializer)
    def patch(self, request: Request, pk: int) -> Response:
        """Change what is wished for: engines start, drain or get successors."""
        deployment = get_object_or_404(Deployment.objects.select_related("base_model"), pk=pk)
        data = DeploymentChangeSerializer(deployment, data=request.data, partial=True)
        data.is_valid(raise_exception=True)
        deployment_change(deployment=deployment, by=self.person, **data.validated_data)
        return Response(DeploymentSerializer(deployment).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Remove a deployment that has no living engines."""
        deployment_delete(deployment=get_object_or_404(Deployment, pk=pk), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class DeploymentStartAgain(PlatformView):
    """A deployment whose engines failed too often."""

    rights = {"POST": Right.PLATFORM_MANAGE}

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, pk: int) -> Response:
        """Forget its failures and start what is missing, at once."""
        deployment_start_again(deployment=get_object_or_404(Deployment, pk=pk), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)
