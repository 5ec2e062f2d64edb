"""Says whether this process lives, can serve, and how it has been doing."""

import os

import redis
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from polygraft.live import redis_client
from tenants.access import Right, may
from tenants.models import User


def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers at all."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """200 once this process can serve: its database and its Redis answer; otherwise 503 naming what is away."""
    away = []
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        away.append("database")
    try:
        redis_client().ping()
    except redis.RedisError:
        away.append("redis")
    if away:
        return JsonResponse({"status": "unavailable", "away": away}, status=503)
    return JsonResponse({"status": "ok"})


class MayReadMetrics(BasePermission):
    """Scrapers on this machine, and people who may see the platform; metrics name departments."""

    message = "Scrape from this machine, or send the management token of an admin or auditor."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """A forwarded request comes from elsewhere, however near the proxy is."""
        if request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1") and "HTTP_X_FORWARDED_FOR" not in request.META:
            return True
        return isinstance(request.user, User) and may(request.user, Right.PLATFORM_VIEW)


class Metrics(APIView):
    """Prometheus metrics of every gateway process on this machine."""

    permission_classes = [MayReadMetrics]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """The text format, version 0.0.4."""
        registry = REGISTRY
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
