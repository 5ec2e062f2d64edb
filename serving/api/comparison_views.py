"""The management API's views of comparisons, their results, and the policy that asks for them."""

import uuid
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, parsers, status
from rest_framework.request import Request
from rest_framework.response import Response

from polygraft.api.parsers import BoundedJSONParser
from polygraft.api.problems import Conflict
from serving.api.adapter_views import AdapterView
from serving.api.comparison_serializers import (
    ComparisonDetailSerializer,
    ComparisonFileSerializer,
    ComparisonPolicySerializer,
    ComparisonResultSerializer,
    ComparisonSerializer,
    ComparisonWishSerializer,
)
from serving.comparisons.download import FORMATS, results_as_csv, results_as_jsonl
from serving.comparisons.lifecycle import comparison_cancel, comparison_create, comparison_delete, comparison_run_again
from serving.comparisons.policy import policy_as_json, policy_of, policy_set
from serving.comparisons.prompts import prompts_from_jsonl, prompts_from_list
from serving.comparisons.results import SHOWS, results_of
from serving.comparisons.sampling import sampling_of
from serving.models import Comparison, ComparisonPrompt
from serving.models.comparison import Proof
from tenants.access import Right
from tenants.api.scoping import DepartmentView


class ComparisonList(AdapterView, generics.ListAPIView[Comparison]):
    """The comparisons of an adapter; new ones are posted here."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "POST": Right.ADAPTERS_MANAGE}
    parser_classes = [parsers.MultiPartParser, BoundedJSONParser]
    serializer_class = ComparisonSerializer
    search_fields = ["name"]
    ordering_fields = ["name", "created_at", "finished_at"]

    def get_queryset(self) -> QuerySet[Comparison]:
        """Those of the adapter in the URL."""
        return self.adapter(self.kwargs["name"]).comparisons.select_related("created_by")

    @extend_schema(
        request={"multipart/form-data": ComparisonFileSerializer, "application/json": ComparisonWishSerializer},
        responses={202: ComparisonSerializer},
    )
    def post(self, request: Request, slug: str, name: str) -> Response:
        """Begin a comparison. Its prompts are checked at once, all of them; it then runs in the background."""
        adapter = self.adapter(name)
        is_file = (request.content_type or "").startswith("multipart/")
        data: ComparisonWishSerializer = (ComparisonFileSerializer if is_file else ComparisonWishSerializer)(
            data=request.data
        )
        data.is_valid(raise_exception=True)
        wished: dict[str, Any] = data.validated_data
        sent = wished.pop("prompts")
        title, candidates = wished.pop("name"), wished.pop("candidates")
        comparison = comparison_create(
            adapter=adapter,
            name=title or (sent.name[:100] if is_file else "Comparison"),
            candidates=candidates,
            prompts=prompts_from_jsonl(sent.read()) if is_file else prompts_from_list(sent),
            sampling=sampling_of(**wished),
            by=self.person,
        )
        return Response(ComparisonSerializer(comparison).data, status=status.HTTP_202_ACCEPTED)


class ComparisonView(AdapterView):
    """A view of one comparison of the adapter in the URL."""

    def comparison(self, name: str, pk: uuid.UUID) -> Comparison:
        """The adapter's comparison of this id."""
        return get_object_or_404(self.adapter(name).comparisons.select_related("created_by", "adapter"), pk=pk)


class ComparisonDetail(ComparisonView):
    """One comparison."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "DELETE": Right.ADAPTERS_MANAGE}

    @extend_schema(responses=ComparisonDetailSerializer)
    def get(self, request: Request, slug: str, name: str, pk: uuid.UUID) -> Response:
        """Read a comparison: its progress and its figures."""
        return Response(ComparisonDetailSerializer(self.comparison(name, pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, slug: str, name: str, pk: uuid.UUID) -> Response:
        """Delete a comparison with its prompts and answers; one that runs ends."""
        comparison_delete(comparison=self.comparison(name, pk), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ComparisonCancel(ComparisonView):
    """The end of a comparison before it is finished."""

    rights = {"POST": Right.ADAPTERS_MANAGE}

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, slug: str, name: str, pk: uuid.UUID) -> Response:
        """Cancel a comparison; what has been answered stays."""
        comparison = self.comparison(name, pk)
        if not comparison_cancel(comparison=comparison, by=self.person):
            raise Conflict(f"It is {comparison.state} already.")
        return Response(status=status.HTTP_204_NO_CONTENT)


class ComparisonRunAgain(ComparisonView):
    """The other end of a comparison that failed or was cancelled."""

    rights = {"POST": Right.ADAPTERS_MANAGE}

    @extend_schema(request=None, responses={202: ComparisonSerializer})
    def post(self, request: Request, slug: str, name: str, pk: uuid.UUID) -> Response:
        """Have it go on, in your name; what has been answered stays, errors are asked once more."""
        comparison = self.comparison(name, pk)
        if not comparison_run_again(comparison=comparison, by=self.person):
            raise Conflict(f"It is {comparison.state}; what failed or was cancelled can be run again.")
        return Response(ComparisonSerializer(self.comparison(name, pk)).data, status=status.HTTP_202_ACCEPTED)


class ComparisonResults(ComparisonView, generics.ListAPIView[ComparisonPrompt]):
    """The prompts of a comparison with the answers of each candidate."""

    rights = {"GET": Right.DEPARTMENT_VIEW}
    serializer_class = ComparisonResultSerializer
    filter_backends: list[Any] = []

    def get_queryset(self) -> QuerySet[ComparisonPrompt]:
        """Those of the comparison in the URL, narrowed as the query asks."""
        asked = self.request.query_params
        return results_of(self._comparison(), asked.get("show", ""), asked.get("search", ""))

    def get_serializer_context(self) -> dict[str, Any]:
        """The comparison, whose candidates have the names."""
        return {**super().get_serializer_context(), "comparison": self._comparison()}

    @extend_schema(
        parameters=[
            OpenApiParameter("show", OpenApiTypes.STR, enum=[show for show in SHOWS if show]),
            OpenApiParameter("search", OpenApiTypes.STR, description="A text in the question, an answer or the id."),
            OpenApiParameter("download", OpenApiTypes.STR, enum=list(FORMATS), description="All of them, as a file."),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]  # a file
        """Read the results, paged, or download all of them."""
        wanted = request.query_params.get("download", "")
        if wanted not in FORMATS:
            return super().get(request, *args, **kwargs)
        comparison = self._comparison()
        rows = results_as_csv(comparison) if wanted == "csv" else results_as_jsonl(comparison)
        file_name = f"{comparison.adapter.name}-{comparison.pk.hex[:8]}.{wanted}"
        headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
        return HttpResponse(b"".join(rows), content_type=FORMATS[wanted], headers=headers)

    def _comparison(self) -> Comparison:
        return self.comparison(self.kwargs["name"], self.kwargs["pk"])


class DepartmentComparisonPolicy(DepartmentView):
    """Whether a comparison comes before a rollout."""

    rights = {"GET": Right.DEPARTMENT_VIEW, "PUT": Right.DEPARTMENT_CHANGE}

    @extend_schema(responses=ComparisonPolicySerializer)
    def get(self, request: Request, slug: str) -> Response:
        """Read the policy."""
        return Response(policy_as_json(policy_of(self.department)))

    @extend_schema(request=ComparisonPolicySerializer, responses=ComparisonPolicySerializer)
    def put(self, request: Request, slug: str) -> Response:
        """Set the policy."""
        data = ComparisonPolicySerializer(data=request.data)
        data.is_valid(raise_exception=True)
        wished = dict(data.validated_data)
        policy = policy_set(department=self.department, proof=Proof(wished.pop("proof")), by=self.person, **wished)
        return Response(policy_as_json(policy))
