"""The management API's views of the keys with which a department's adapters must be signed."""

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from serving.adapters.signing import signing_key_add, signing_key_remove
from serving.models import SigningKey
from tenants.access import Right
from tenants.api.scoping import DepartmentView


class SigningKeySerializer(serializers.ModelSerializer[SigningKey]):
    """A minisign public key."""

    public_key = serializers.CharField(max_length=1000, help_text="minisign.pub, or its second line.")

    class Meta:
        model = SigningKey
        fields = ["id", "name", "key_id", "public_key", "created_at"]
        read_only_fields = ["key_id"]


class SigningKeyList(DepartmentView, generics.ListAPIView[SigningKey]):
    """A department's signing keys."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "POST": Right.DEPARTMENT_CHANGE}
    serializer_class = SigningKeySerializer
    search_fields = ["name", "key_id"]
    ordering_fields = ["name", "created_at"]

    def get_queryset(self) -> QuerySet[SigningKey]:
        """Those of the department in the URL."""
        return self.department.signing_keys.all()

    @extend_schema(request=SigningKeySerializer, responses={201: SigningKeySerializer})
    def post(self, request: Request, slug: str) -> Response:
        """Add a key; from the first one on, what is not signed with one of them is refused."""
        data = SigningKeySerializer(data=request.data)
        data.is_valid(raise_exception=True)
        key = signing_key_add(department=self.department, by=self.person, **data.validated_data)
        return Response(SigningKeySerializer(key).data, status=status.HTTP_201_CREATED)


class SigningKeyDetail(DepartmentView):
    """One signing key."""

    rights = {"DELETE": Right.DEPARTMENT_CHANGE}

    @extend_schema(responses={204: None})
    def delete(self, request: Request, slug: str, pk: int) -> Response:
        """Remove a key; without any, adapters need no signature."""
        signing_key_remove(key=get_object_or_404(self.department.signing_keys, pk=pk), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)
