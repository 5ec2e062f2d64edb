"""The management API's views of engines and nodes."""

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from polygraft.live import redis_client
from serving.api.serializers import EngineLogSerializer, EngineSerializer, NodeSerializer
from serving.fleet.engine_logs import engine_log_read
from serving.fleet.registry import living_engines, living_nodes
from serving.models import Engine, Node
from tenants.access import Right
from tenants.api.scoping import PlatformView

_LINES = 100


class EngineList(PlatformView, generics.ListAPIView[Engine]):
    """Engines, living and ended, the newest first."""

    rights = {"GET": Right.PLATFORM_VIEW}
    serializer_class = EngineSerializer
    queryset = Engine.objects.select_related("node", "deployment__base_model")
    filterset_fields = {"state": ["exact", "in"], "node__name": ["exact"], "deployment": ["exact"]}
    ordering_fields = ["created_at"]

    def get_serializer_context(self) -> dict[str, Any]:
        """What the live registry knows of each."""
        return {**super().get_serializer_context(), **_known_engines()}


class EngineDetail(PlatformView):
    """One engine."""

    rights = {"GET": Right.PLATFORM_VIEW}

    @extend_schema(responses=EngineSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read an engine."""
        engine = get_object_or_404(Engine.objects.select_related("node", "deployment__base_model"), pk=pk)
        return Response(EngineSerializer(engine, context=_known_engines()).data)


class EngineLog(PlatformView):
    """The end of one engine's log."""

    rights = {"GET": Right.PLATFORM_VIEW}

    @extend_schema(
        parameters=[OpenApiParameter("lines", int, description="How many, at most 400; 100 unless told.")],
        responses=EngineLogSerializer,
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """Read its last lines, without secrets; none when it ended more than a day ago."""
        get_object_or_404(Engine, pk=pk)
        query = EngineLogSerializer.Query(data=request.query_params)
        query.is_valid(raise_exception=True)
        lines = engine_log_read(redis_client(), str(pk))
        return Response({"lines": lines[-query.validated_data.get("lines", _LINES) :]})


class NodeList(PlatformView, generics.ListAPIView[Node]):
    """Nodes, living and lost."""

    rights = {"GET": Right.PLATFORM_VIEW}
    serializer_class = NodeSerializer
    queryset = Node.objects.all()
    search_fields = ["name"]
    ordering_fields = ["name", "last_seen_at"]

    def get_serializer_context(self) -> dict[str, Any]:
        """The names of the nodes whose agents speak."""
        return {**super().get_serializer_context(), **_known_nodes()}


class NodeDetail(PlatformView):
    """One node."""

    rights = {"GET": Right.PLATFORM_VIEW}

    @extend_schema(responses=NodeSerializer)
    def get(self, request: Request, name: str) -> Response:
        """Read a node."""
        return Response(NodeSerializer(get_object_or_404(Node, name=name), context=_known_nodes()).data)


def _known_engines() -> dict[str, Any]:
    return {"entries": {entry.id: entry for entry in living_engines(redis_client())}}


def _known_nodes() -> dict[str, Any]:
    return {"living": {node.name for node in living_nodes(redis_client())}}
