"""The management API's views of an adapter's rollout: what it is, was and does, and what people think of it."""

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from serving.api.adapter_views import AdapterView
from serving.api.rollout_serializers import (
    FeedbackSerializer,
    PresentRolloutSerializer,
    RollbackSerializer,
    RolloutChangeSerializer,
    RolloutSerializer,
)
from serving.api.serializers import AdapterSerializer
from serving.models import Feedback, Rollout, RolloutChange
from serving.rollouts import rollout_back, rollout_set
from serving.rollouts.numbers import USUAL_WINDOW, WINDOWS, version_numbers
from tenants.access import Right, require


class AdapterRollout(AdapterView):
    """What an adapter's bare name means."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "PUT": Right.ADAPTERS_MANAGE}

    @extend_schema(responses=PresentRolloutSerializer)
    def get(self, request: Request, slug: str, name: str) -> Response:
        """Read the rollout, its stable version, and from where on a canary is taken back."""
        rollout = Rollout.objects.select_related("changed_by").filter(adapter=self.adapter(name)).first()
        if rollout is None:
            raise Http404("Nothing is rolled out yet.")
        return Response(PresentRolloutSerializer(rollout).data)

    @extend_schema(request=RolloutSerializer, responses=AdapterSerializer)
    def put(self, request: Request, slug: str, name: str) -> Response:
        """Roll out one version, or several by shares, once engines hold them."""
        data = RolloutSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        despite_gates = data.validated_data["despite_gates"]
        if despite_gates:
            require(self.person, Right.PLATFORM_MANAGE)
        rollout_set(
            adapter=self.adapter(name),
            weights=data.validated_data["versions"],
            by=self.person,
            step_back=data.thresholds(),
            reason=data.validated_data["reason"],
            despite_gates=despite_gates,
        )
        return Response(AdapterSerializer(self.adapter(name)).data)


class AdapterRollback(AdapterView):
    """The way back."""

    rights = {"POST": Right.ADAPTERS_MANAGE}

    @extend_schema(request=RollbackSerializer, responses=AdapterSerializer)
    def post(self, request: Request, slug: str, name: str) -> Response:
        """Go back to the rollout before this one; again, and it goes further back."""
        data = RollbackSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        rollout_back(adapter=self.adapter(name), by=self.person, reason=data.validated_data["reason"])
        return Response(AdapterSerializer(self.adapter(name)).data)


class RolloutHistory(AdapterView, generics.ListAPIView[RolloutChange]):
    """The history of an adapter's rollouts, the newest first."""

    rights = {"GET": Right.DEPARTMENT_VIEW}
    serializer_class = RolloutChangeSerializer
    search_fields = ["reason", "by__username"]
    ordering_fields = ["at"]

    def get_queryset(self) -> QuerySet[RolloutChange]:
        """Those of the adapter in the URL."""
        return self.adapter(self.kwargs["name"]).rollout_changes.select_related("by")


class VersionNumbersView(AdapterView):
    """How an adapter's versions do, side by side."""

    rights = {"GET": Right.USAGE_VIEW}

    @extend_schema(
        parameters=[OpenApiParameter("window", OpenApiTypes.STR, enum=list(WINDOWS), default=USUAL_WINDOW)],
        responses={200: OpenApiTypes.OBJECT},
    )
    def get(self, request: Request, slug: str, name: str) -> Response:
        """Requests, errors, times, tokens a second and thumbs of each version."""
        window = request.query_params.get("window", USUAL_WINDOW)
        if window not in WINDOWS:
            raise ValidationError({"window": f"The window is one of: {', '.join(WINDOWS)}."})
        rows = version_numbers(self.adapter(name), window)
        return Response({"window": window, "versions": [row.as_json() for row in rows]})


class FeedbackList(AdapterView, generics.ListAPIView[Feedback]):
    """What the department thought of an adapter's answers, the newest first."""

    rights = {"GET": Right.USAGE_VIEW}
    serializer_class = FeedbackSerializer
    search_fields = ["comment", "request_id"]
    ordering_fields = ["at"]

    def get_queryset(self) -> QuerySet[Feedback]:
        """Its own words only: what others say of a shared adapter is theirs."""
        return Feedback.objects.filter(
            adapter_version__adapter=self.adapter(self.kwargs["name"]), department=self.department
        ).select_related("adapter_version")
