"""The management API's views of departments, members, keys, limits and the audit."""

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response

from polygraft.api.problems import Conflict
from tenants.access import Right, require
from tenants.api.scoping import DepartmentView, PlatformView
from tenants.api.serializers import (
    AuditEventSerializer,
    DepartmentChangeSerializer,
    DepartmentSerializer,
    KeyCreateSerializer,
    KeyLimitSerializer,
    KeyRotateSerializer,
    KeySerializer,
    KeyWithSecretSerializer,
    MembershipSerializer,
    MembershipWriteSerializer,
    PlatformLimitsSerializer,
)
from tenants.departments import (
    department_create,
    department_fall_back,
    department_limit,
    department_rename,
    membership_remove,
    membership_set,
    platform_limit,
)
from tenants.keys import key_create, key_limit, key_revoke, key_rotate
from tenants.models import APIKey, AuditEvent, Department, Fallback, Membership, Platform, Role


class DepartmentList(PlatformView, generics.ListAPIView[Department]):
    """The departments that the caller may see; admins create them here."""

    rights = {"POST": Right.DEPARTMENT_CREATE}
    serializer_class = DepartmentSerializer
    search_fields = ["slug", "name"]
    ordering_fields = ["slug", "name", "created_at"]

    def get_queryset(self) -> QuerySet[Department]:
        """Those visible to the caller."""
        return Department.objects.visible_to(self.person)

    @extend_schema(request=DepartmentSerializer, responses={201: DepartmentSerializer})
    def post(self, request: Request) -> Response:
        """Create a department."""
        data = DepartmentSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        department = department_create(**data.validated_data, by=self.person)
        return Response(DepartmentSerializer(department).data, status=status.HTTP_201_CREATED)


class DepartmentDetail(DepartmentView):
    """One department."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "PATCH": Right.DEPARTMENT_CHANGE}

    @extend_schema(responses=DepartmentSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """Read a department."""
        return Response(DepartmentSerializer(self.department).data)

    @extend_schema(request=DepartmentChangeSerializer, responses=DepartmentSerializer)
    def patch(self, request: Request, slug: str) -> Response:
        """Rename a department, or change its fallback policy; admins also change its limits and its weight."""
        data = DepartmentChangeSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        change = dict(data.validated_data)
        name, fallback = change.pop("name", None), change.pop("fallback", None)
        if change:
            require(self.person, Right.DEPARTMENT_LIMIT, self.department)
            department_limit(department=self.department, by=self.person, **change)
        if name is not None:
            department_rename(department=self.department, name=name, by=self.person)
        if fallback is not None:
            department_fall_back(department=self.department, fallback=Fallback(fallback), by=self.person)
        return Response(DepartmentSerializer(self.department).data)


class MemberList(DepartmentView, generics.ListAPIView[Membership]):
    """A department's members."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "POST": Right.MEMBERS_MANAGE}
    serializer_class = MembershipSerializer
    search_fields = ["user__username"]
    ordering_fields = ["user__username", "role", "created_at"]

    def get_queryset(self) -> QuerySet[Membership]:
        """Those of the department in the URL."""
        return self.department.memberships.select_related("user")

    @extend_schema(request=MembershipWriteSerializer, responses={201: MembershipSerializer})
    def post(self, request: Request, slug: str) -> Response:
        """Add a member, or change a member's role."""
        data = MembershipWriteSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        membership = membership_set(
            department=self.department,
            user=data.validated_data["username"],
            role=Role(data.validated_data["role"]),
            by=self.person,
        )
        return Response(MembershipSerializer(membership).data, status=status.HTTP_201_CREATED)


class MemberDetail(DepartmentView):
    """One member."""

    rights = {"DELETE": Right.MEMBERS_MANAGE}

    @extend_schema(responses={204: None})
    def delete(self, request: Request, slug: str, username: str) -> Response:
        """Take a person out of the department."""
        membership = get_object_or_404(self.department.memberships, user__username=username)
        membership_remove(membership=membership, by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class KeyList(DepartmentView, generics.ListAPIView[APIKey]):
    """A department's keys, without their secrets."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "POST": Right.KEYS_MANAGE}
    serializer_class = KeySerializer
    search_fields = ["name", "hint"]
    ordering_fields = ["name", "created_at", "expires_at"]

    def get_queryset(self) -> QuerySet[APIKey]:
        """Those of the department in the URL."""
        return self.department.api_keys.all()

    @extend_schema(request=KeyCreateSerializer, responses={201: KeyWithSecretSerializer})
    def post(self, request: Request, slug: str) -> Response:
        """Make a key. Its secret is in this response and nowhere else."""
        data = KeyCreateSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        key, secret = key_create(department=self.department, by=self.person, **data.validated_data)
        return Response({**KeySerializer(key).data, "key": secret}, status=status.HTTP_201_CREATED)


class KeyDetail(DepartmentView):
    """One key."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "PATCH": Right.KEYS_LIMIT, "DELETE": Right.KEYS_MANAGE}

    @extend_schema(responses=KeySerializer)
    def get(self, request: Request, slug: str, pk: int) -> Response:
        """Read a key, without its secret."""
        return Response(KeySerializer(get_object_or_404(self.department.api_keys, pk=pk)).data)

    @extend_schema(request=KeyLimitSerializer, responses=KeySerializer)
    def patch(self, request: Request, slug: str, pk: int) -> Response:
        """Change what a key may use. It is in force within a second."""
        key = get_object_or_404(self.department.api_keys, pk=pk)
        data = KeyLimitSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        key_limit(key=key, limits=data.validated_data["limits"], by=self.person)
        return Response(KeySerializer(key).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, slug: str, pk: int) -> Response:
        """Revoke a key. It stops working within a second."""
        key_revoke(key=get_object_or_404(self.department.api_keys, pk=pk), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class KeyRotation(DepartmentView):
    """The replacement of a key by a new one."""

    rights = {"POST": Right.KEYS_MANAGE}

    @extend_schema(request=KeyRotateSerializer, responses={201: KeyWithSecretSerializer})
    def post(self, request: Request, slug: str, pk: int) -> Response:
        """Make a new key of the same rights; the old one works for `grace_seconds` more."""
        data = KeyRotateSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        key = get_object_or_404(self.department.api_keys, pk=pk)
        try:
            replacement, secret = key_rotate(key=key, by=self.person, **data.validated_data)
        except ValueError as error:
            raise Conflict(str(error)) from error
        return Response({**KeySerializer(replacement).data, "key": secret}, status=status.HTTP_201_CREATED)


class PlatformLimits(PlatformView):
    """What all departments together may use."""

    rights = {"GET": Right.PLATFORM_VIEW, "PUT": Right.PLATFORM_MANAGE}

    @extend_schema(responses=PlatformLimitsSerializer)
    def get(self, request: Request) -> Response:
        """Read the platform's limits."""
        return Response(Platform.load().limits)

    @extend_schema(request=PlatformLimitsSerializer, responses=PlatformLimitsSerializer)
    def put(self, request: Request) -> Response:
        """Replace the platform's limits. They are in force within a second."""
        data = PlatformLimitsSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        return Response(platform_limit(limits=data.validated_data, by=self.person).limits)


class AuditList(PlatformView, generics.ListAPIView[AuditEvent]):
    """The audit: everything for admins and auditors, their own departments for owners."""

    serializer_class = AuditEventSerializer
    filterset_fields = {"department__slug": ["exact"], "action": ["exact"], "at": ["gte", "lt"]}
    search_fields = ["actor_name", "target", "action"]
    ordering_fields = ["at"]

    def get_queryset(self) -> QuerySet[AuditEvent]:
        """Those visible to the caller."""
        return AuditEvent.objects.visible_to(self.person).select_related("department")
