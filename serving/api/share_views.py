"""The management API's views of sharing: whom an adapter is shared with, and what is shared with a department."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from serving.adapters.sharing import (
    COUNTED_DAYS,
    adapter_share,
    share_decline,
    share_revoke,
    share_uses,
    shared_name,
)
from serving.api.adapter_views import AdapterView
from serving.models import Adapter, AdapterShare, VersionState
from tenants.access import Right
from tenants.api.scoping import DepartmentView
from tenants.models.department import slug_validator


class ShareSerializer(serializers.Serializer[Any]):
    """A share, and what its receiver has used of the adapter lately."""

    department = serializers.CharField(
        source="receiver",
        max_length=50,
        validators=[slug_validator],
        help_text="The receiver's slug. The answer is the same whether or not a department has it.",
    )
    created_at = serializers.DateTimeField(read_only=True)
    created_by = serializers.CharField(read_only=True)
    declined_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="When its receiver declined it, and could call it no more."
    )
    requests = serializers.IntegerField(read_only=True, help_text=f"In the last {COUNTED_DAYS} days.")
    prompt_tokens = serializers.IntegerField(read_only=True, help_text="The same.")
    completion_tokens = serializers.IntegerField(read_only=True, help_text="The same.")


class SharedAdapterSerializer(serializers.ModelSerializer[Adapter]):
    """An adapter of another department as its receiver sees it."""

    name = serializers.SerializerMethodField(help_text="What to write as model, such as legal/contracts.")
    base_model = serializers.CharField(source="base_model.name", read_only=True)
    versions = serializers.SerializerMethodField(help_text="The versions that can be pinned, the newest first.")

    class Meta:
        model = Adapter
        fields = ["name", "base_model", "versions"]

    def get_name(self, adapter: Adapter) -> str:
        """With its owner in front."""
        return shared_name(adapter)

    def get_versions(self, adapter: Adapter) -> list[int]:
        """Their numbers."""
        ready = (version.number for version in adapter.versions.all() if version.state == VersionState.READY)
        return sorted(ready, reverse=True)


class ShareList(AdapterView, generics.GenericAPIView[AdapterShare]):
    """Whom an adapter is shared with."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "POST": Right.ADAPTERS_SHARE}
    serializer_class = ShareSerializer
    search_fields = ["receiver"]
    ordering_fields = ["receiver", "created_at"]

    def get_queryset(self) -> QuerySet[AdapterShare]:
        """Those of the adapter in the URL."""
        return self.adapter(self.kwargs["name"]).shares.select_related("created_by")

    @extend_schema(responses=ShareSerializer(many=True))
    def get(self, request: Request, slug: str, name: str) -> Response:
        """List the shares of an adapter, each with how much it is used."""
        page: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(ShareSerializer(share_uses(page), many=True).data)

    @extend_schema(request=ShareSerializer, responses={201: ShareSerializer})
    def post(self, request: Request, slug: str, name: str) -> Response:
        """Share an adapter with a department, which can call it within a second as `{slug}/{name}`."""
        data = ShareSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        share = adapter_share(adapter=self.adapter(name), receiver=data.validated_data["receiver"], by=self.person)
        return Response(ShareSerializer(share_uses([share])[0]).data, status=status.HTTP_201_CREATED)


class ShareDetail(AdapterView):
    """One share."""

    rights = {"DELETE": Right.ADAPTERS_SHARE}

    @extend_schema(responses={204: None})
    def delete(self, request: Request, slug: str, name: str, receiver: str) -> Response:
        """Revoke a share: the receiver's new requests get 404 within a second."""
        share = get_object_or_404(self.adapter(name).shares, receiver=receiver)
        share_revoke(share=share, by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class SharedList(DepartmentView, generics.ListAPIView[Adapter]):
    """What other departments share with a department."""

    rights = {"GET": Right.DEPARTMENT_VIEW}
    serializer_class = SharedAdapterSerializer
    search_fields = ["name", "department__slug", "base_model__name"]
    ordering_fields = ["name", "department__slug"]

    def get_queryset(self) -> QuerySet[Adapter]:
        """Those that the department in the URL may call."""
        shared = Adapter.objects.shared_with(self.department.pk, self.department.slug)
        return shared.select_related("department", "base_model").prefetch_related("versions")


class SharedDetail(DepartmentView):
    """One adapter that another department shares with a department."""

    rights = {"DELETE": Right.ADAPTERS_SHARE}

    @extend_schema(responses={204: None})
    def delete(self, request: Request, slug: str, owner: str, name: str) -> Response:
        """Decline a shared adapter: it leaves the lists, and calls get 404 within a second; the owner sees it."""
        shared = Adapter.objects.shared_with(self.department.pk, self.department.slug).select_related("department")
        adapter = get_object_or_404(shared, department__slug=owner, name=name)
        share_decline(adapter=adapter, receiver=self.department, by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)
