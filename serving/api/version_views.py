"""The management API's views of one version, and of taking versions and adapters out of service and back."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from polygraft.api.problems import Conflict
from serving.adapters.lineage import Lineage, differences, lineages
from serving.adapters.retirement import (
    adapter_archive,
    adapter_restore,
    version_archive,
    version_delete,
    version_restore,
)
from serving.adapters.uses import Uses, uses_of_adapter, uses_of_version
from serving.adapters.versions import version_describe
from serving.api.adapter_views import AdapterView
from serving.api.serializers import AdapterSerializer, VersionSerializer
from serving.models import AdapterVersion
from tenants.access import Right


class UsesSerializer(serializers.Serializer[Uses]):
    """What uses an adapter or a version; `sentences` says the same for people."""

    rollout = serializers.DictField(child=serializers.IntegerField(), help_text="Version → share in percent.")
    requests = serializers.IntegerField(help_text="In the last 7 days.")
    pinned = serializers.IntegerField(help_text="Those of them that named the version.")
    shared_with = serializers.ListField(child=serializers.CharField())
    engines = serializers.IntegerField(allow_null=True, help_text="How many hold it; null: Redis is away.")
    deployments = serializers.IntegerField(help_text="How many pin it to their engines.")
    comparisons = serializers.IntegerField(help_text="Comparisons of it that still run.")
    sentences = serializers.ListField(child=serializers.CharField())


class LineageSerializer(serializers.Serializer[Lineage]):
    """How a version relates to others of its adapter; `sentence` says the same for people."""

    same_as = serializers.ListField(child=serializers.IntegerField(), help_text="Versions with the same bytes.")
    before = serializers.IntegerField(allow_null=True, help_text="The next older version.")
    differs_in = serializers.ListField(child=serializers.CharField(), help_text="What of its training differs.")
    sentence = serializers.CharField()


class VersionDetailSerializer(VersionSerializer):
    """A version with what uses it and how it relates to others."""

    uses = serializers.SerializerMethodField()
    lineage = serializers.SerializerMethodField()

    class Meta(VersionSerializer.Meta):
        fields = [*VersionSerializer.Meta.fields, "uses", "lineage"]

    @extend_schema_field(LineageSerializer)
    def get_lineage(self, version: AdapterVersion) -> dict[str, Any]:
        """Within its adapter."""
        return LineageSerializer(lineages(version.adapter, [version])[version.number]).data

    @extend_schema_field(UsesSerializer)
    def get_uses(self, version: AdapterVersion) -> dict[str, Any]:
        """As of now."""
        return UsesSerializer(uses_of_version(version)).data


class VersionChangeSerializer(serializers.Serializer[Any]):
    """What may change of a version; what is left out stays."""

    notes = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    keep = serializers.BooleanField(required=False, help_text="Retention never retires a version that is kept.")


class VersionView(AdapterView):
    """A view of one version of an adapter of the department in the URL."""

    def version(self, name: str, number: int) -> AdapterVersion:
        """The version of this number."""
        adapter = self.adapter(name)
        version = get_object_or_404(adapter.versions.select_related("uploaded_by"), number=number)
        version.adapter = adapter
        return version


class VersionDetail(VersionView):
    """One version."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "PATCH": Right.ADAPTERS_MANAGE, "DELETE": Right.ADAPTERS_MANAGE}

    @extend_schema(responses=VersionDetailSerializer)
    def get(self, request: Request, slug: str, name: str, number: int) -> Response:
        """Read a version, its report, and what uses it."""
        return Response(VersionDetailSerializer(self.version(name, number)).data)

    @extend_schema(request=VersionChangeSerializer, responses=VersionDetailSerializer)
    def patch(self, request: Request, slug: str, name: str, number: int) -> Response:
        """Change a version's notes, or whether retention must keep it."""
        data = VersionChangeSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        version = self.version(name, number)
        version_describe(version=version, by=self.person, **data.validated_data)
        return Response(VersionDetailSerializer(version).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, slug: str, name: str, number: int) -> Response:
        """Delete a version for good; 409 while the bare name leads to it."""
        version = self.version(name, number)
        _or_conflict(lambda: version_delete(version=version, by=self.person))
        return Response(status=status.HTTP_204_NO_CONTENT)


class VersionArchive(VersionView):
    """A version's way out of service."""

    rights = {"POST": Right.ADAPTERS_MANAGE}

    @extend_schema(request=None, responses=VersionDetailSerializer)
    def post(self, request: Request, slug: str, name: str, number: int) -> Response:
        """Archive a version: out of routing and engines, bytes kept; 409 while the bare name leads to it."""
        version = self.version(name, number)
        _or_conflict(lambda: version_archive(version=version, by=self.person))
        return Response(VersionDetailSerializer(self.version(name, number)).data)


class VersionRestore(VersionView):
    """An archived version's way back."""

    rights = {"POST": Right.ADAPTERS_MANAGE}

    @extend_schema(request=None, responses=VersionDetailSerializer)
    def post(self, request: Request, slug: str, name: str, number: int) -> Response:
        """Restore an archived version."""
        version = self.version(name, number)
        _or_conflict(lambda: version_restore(version=version, by=self.person))
        return Response(VersionDetailSerializer(self.version(name, number)).data)


class AdapterUses(AdapterView):
    """What uses an adapter."""

    rights = {"GET": Right.DEPARTMENT_VIEW}

    @extend_schema(responses=UsesSerializer)
    def get(self, request: Request, slug: str, name: str) -> Response:
        """Read what uses an adapter, to be asked before it is archived or deleted."""
        return Response(UsesSerializer(uses_of_adapter(self.adapter(name))).data)


class AdapterArchive(AdapterView):
    """An adapter's way out of service."""

    rights = {"POST": Right.ADAPTERS_MANAGE}

    @extend_schema(request=None, responses=AdapterSerializer)
    def post(self, request: Request, slug: str, name: str) -> Response:
        """Archive an adapter with all its versions; new requests get 404 within a second."""
        adapter_archive(adapter=self.adapter(name), by=self.person)
        return Response(AdapterSerializer(self.adapter(name)).data)


class AdapterRestore(AdapterView):
    """An archived adapter's way back."""

    rights = {"POST": Right.ADAPTERS_MANAGE}

    @extend_schema(request=None, responses=AdapterSerializer)
    def post(self, request: Request, slug: str, name: str) -> Response:
        """Restore an archived adapter, with its rollout and shares as they were."""
        adapter_restore(adapter=self.adapter(name), by=self.person)
        return Response(AdapterSerializer(self.adapter(name)).data)


class DifferenceSerializer(serializers.Serializer[Any]):
    """One property of two versions."""

    group = serializers.CharField()
    name = serializers.CharField()
    values = serializers.ListField(child=serializers.CharField(allow_blank=True))
    differs = serializers.BooleanField()


class PairSerializer(serializers.Serializer[Any]):
    """Which two versions are held against each other."""

    first = serializers.IntegerField(min_value=1)
    second = serializers.IntegerField(min_value=1)


class Differences(VersionView):
    """Two versions side by side."""

    rights = {"GET": Right.DEPARTMENT_VIEW}

    @extend_schema(parameters=[PairSerializer], responses=DifferenceSerializer(many=True))
    def get(self, request: Request, slug: str, name: str) -> Response:
        """Hold two versions against each other: training, configuration, files, checks and use."""
        query = PairSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        pair = [self.version(name, query.validated_data[key]) for key in ("first", "second")]
        return Response(DifferenceSerializer(differences(*pair), many=True).data)


def _or_conflict(act: Callable[[], None]) -> None:
    try:
        act()
    except ValidationError as error:
        raise Conflict(" ".join(error.messages)) from error
