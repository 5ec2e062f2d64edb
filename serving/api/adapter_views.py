"""The management API's views of a department's adapters."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, parsers, status
from rest_framework.request import Request
from rest_framework.response import Response

from serving.adapters.intake import adapter_upload
from serving.adapters.retirement import adapter_delete
from serving.api.serializers import (
    AdapterDetailSerializer,
    AdapterSerializer,
    FromUploadsSerializer,
    UploadedSerializer,
    UploadSerializer,
)
from serving.base_models import base_model_granted
from serving.models import Adapter
from serving.uploads.lifecycle import uploads_complete
from tenants.access import Right
from tenants.api.scoping import DepartmentView


class AdapterList(DepartmentView, generics.ListAPIView[Adapter]):
    """A department's adapters; uploads are posted here."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "POST": Right.ADAPTERS_MANAGE}
    parser_classes = [parsers.MultiPartParser, parsers.JSONParser]
    serializer_class = AdapterSerializer
    search_fields = ["name", "base_model__name"]
    ordering_fields = ["name", "created_at"]

    def get_queryset(self) -> QuerySet[Adapter]:
        """Those of the department in the URL."""
        return self.department.adapters.alive().select_related("base_model", "rollout", "department")

    @extend_schema(
        request={"multipart/form-data": UploadSerializer, "application/json": FromUploadsSerializer},
        responses={202: UploadedSerializer},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Upload a version of an adapter; its checks run in the background."""
        wished = self._wish(request)
        uploads = uploads_complete(self.department, [str(pk) for pk in wished.get("uploads", ())])
        version = adapter_upload(
            department=self.department,
            name=wished["name"],
            base_model=base_model_granted(self.department, wished["base_model"]),
            files=[(part.name, part.file) for parts in request.FILES.lists() for part in parts[1]],
            uploads=uploads,
            by=self.person,
            notes=wished["notes"],
        )
        return Response(
            {"name": wished["name"], "version": version.number, "state": version.state},
            status=status.HTTP_202_ACCEPTED,
        )

    def _wish(self, request: Request) -> dict[str, Any]:
        """What is to be uploaded: a form with files, or JSON that names files which came in pieces."""
        data: UploadSerializer | FromUploadsSerializer
        if (request.content_type or "").startswith("multipart/"):
            data = UploadSerializer(data={key: request.POST.get(key, "") for key in ("name", "base_model", "notes")})
        else:
            data = FromUploadsSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        wished: dict[str, Any] = data.validated_data
        return wished


class AdapterView(DepartmentView):
    """A view of one adapter of the department in the URL."""

    def adapter(self, name: str) -> Adapter:
        """The living adapter of this name."""
        return get_object_or_404(
            self.department.adapters.alive().select_related("base_model", "rollout", "department"),
            name=name,
        )


class AdapterDetail(AdapterView):
    """One adapter."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "DELETE": Right.ADAPTERS_MANAGE}

    @extend_schema(responses=AdapterDetailSerializer)
    def get(self, request: Request, slug: str, name: str) -> Response:
        """Read an adapter with its versions and their reports."""
        return Response(AdapterDetailSerializer(self.adapter(name)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, slug: str, name: str) -> Response:
        """Delete an adapter: new requests get 404 within a second, running ones finish."""
        adapter_delete(adapter=self.adapter(name), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)
