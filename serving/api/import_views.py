"""The management API's views of imports: adapters brought in from folders, buckets and Hugging Face."""

import uuid
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from serving.base_models import base_model_granted
from serving.imports.lifecycle import import_create, import_delete
from serving.imports.sources import BUCKET, FOLDER, HUGGING_FACE, sources_of
from serving.models import AdapterImport, BaseModel
from tenants.access import Right
from tenants.api.scoping import DepartmentView


class SourceSerializer(serializers.Serializer[Any]):
    """Where from. A folder and a bucket are named as the platform's settings name them; paths lie below them."""

    kind = serializers.ChoiceField(choices=[FOLDER, BUCKET, HUGGING_FACE])
    name = serializers.CharField(required=False, max_length=64, help_text="Of the folder or bucket.")
    path = serializers.CharField(
        required=False,
        max_length=1000,
        allow_blank=True,
        help_text="Where the adapter's files lie below it, or an archive of them; empty: right there.",
    )
    repo = serializers.CharField(required=False, max_length=200, help_text="On Hugging Face, such as acme/support-bot.")
    revision = serializers.CharField(
        required=False, max_length=100, allow_blank=True, help_text="A branch, tag or commit; empty: main."
    )


class ImportSerializer(serializers.ModelSerializer[AdapterImport]):
    """An import and how far it has come; `version` is the number of the version that it has become."""

    base_model = serializers.SlugRelatedField[BaseModel](slug_field="name", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True, default=None, allow_null=True)
    source = serializers.JSONField(read_only=True)  # type: ignore[assignment]  # a field of that name

    class Meta:
        model = AdapterImport
        fields = [
            "id",
            "name",
            "base_model",
            "source",
            "state",
            "size_bytes",
            "arrived_bytes",
            "problem",
            "version",
            "notes",
            "created_at",
        ]


class ImportCreateSerializer(serializers.Serializer[Any]):
    """What is to be imported, as what."""

    name = serializers.CharField(max_length=64, help_text="The adapter's name, new or existing.")
    base_model = serializers.CharField(max_length=64, help_text="The name of the base model it was trained on.")
    notes = serializers.CharField(required=False, default="", allow_blank=True, max_length=10_000)
    source = SourceSerializer()  # type: ignore[assignment]  # a field of that name


class OpenSourceSerializer(serializers.Serializer[Any]):
    """A place that may be imported from."""

    kind = serializers.CharField()
    name = serializers.CharField(allow_blank=True)


class ImportList(DepartmentView, generics.ListAPIView[AdapterImport]):
    """A department's imports, the newest first; new ones are posted here."""

    rights = {"GET": Right.ADAPTERS_MANAGE, "POST": Right.ADAPTERS_MANAGE}
    serializer_class = ImportSerializer
    search_fields = ["name", "state"]
    ordering_fields = ["created_at", "name", "size_bytes"]

    def get_queryset(self) -> QuerySet[AdapterImport]:
        """Those of the department in the URL."""
        return self.department.imports.select_related("base_model", "version")

    @extend_schema(request=ImportCreateSerializer, responses={202: ImportSerializer})
    def post(self, request: Request, slug: str) -> Response:
        """Begin an import; it is carried out in the background, and its files go the way of all uploads."""
        data = ImportCreateSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        wished = data.validated_data
        wish = import_create(
            department=self.department,
            name=wished["name"],
            base_model=base_model_granted(self.department, wished["base_model"]),
            source=wished["source"],
            notes=wished["notes"],
            by=self.person,
        )
        return Response(ImportSerializer(wish).data, status=status.HTTP_202_ACCEPTED)


class ImportDetail(DepartmentView):
    """One import."""

    rights = {"GET": Right.ADAPTERS_MANAGE, "DELETE": Right.ADAPTERS_MANAGE}

    @extend_schema(responses=ImportSerializer)
    def get(self, request: Request, slug: str, pk: uuid.UUID) -> Response:
        """Read how far it has come."""
        return Response(ImportSerializer(self._import(pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, slug: str, pk: uuid.UUID) -> Response:
        """Cancel it, or forget it when it has ended; a version that it made stays."""
        import_delete(self._import(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _import(self, pk: uuid.UUID) -> AdapterImport:
        return get_object_or_404(self.department.imports.select_related("base_model", "version"), pk=pk)


class SourceList(DepartmentView):
    """The places that one may import from."""

    rights = {"GET": Right.ADAPTERS_MANAGE}

    @extend_schema(responses=OpenSourceSerializer(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """List the folders, the buckets and Hugging Face, as far as they are open to you in this department."""
        sources = sources_of(self.person, self.department)
        return Response([{"kind": source.kind, "name": source.name} for source in sources])
