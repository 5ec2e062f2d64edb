"""The management API's view of usage: sums over requests, as JSON or CSV."""

import csv
import io
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDay
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from serving.models import UsageRecord
from tenants.access import Right, department_for
from tenants.api.scoping import PlatformView
from tenants.models import Department

GROUPS = {
    "day": TruncDay("at"),
    "department": F("department__slug"),
    "model": F("model"),
    "key": F("key__name"),
    "engine": F("engine_kind"),
    "status": F("status"),
}
SUMS = {
    "requests": Count("id"),
    "failed": Count("id", filter=Q(outcome__in=("failed", "lost"))),
    "prompt_tokens": Sum("prompt_tokens"),
    "cached_tokens": Sum("cached_tokens"),
    "completion_tokens": Sum("completion_tokens"),
    "cost": Sum("cost"),
}


class UsageQuery(serializers.Serializer[Any]):
    """What to sum up."""

    department = serializers.CharField(required=False)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    group_by = serializers.CharField(default="day")

    def validate_group_by(self, value: str) -> list[str]:
        """A comma-separated list of known groups."""
        groups = [part.strip() for part in value.split(",") if part.strip()]
        if unknown := [group for group in groups if group not in GROUPS]:
            raise serializers.ValidationError(f"Cannot group by {unknown[0]}. Known are: {', '.join(GROUPS)}.")
        return groups


def usage_summary(records: QuerySet[UsageRecord], groups: Iterable[str]) -> list[dict[str, Any]]:
    """Sum up requests, tokens and money, a row per group, in the order of the groups; money as text, to a millionth."""
    named = {f"by_{group}": GROUPS[group] for group in groups}
    rows = records.order_by().annotate(**named).values(*named).annotate(**{f"sum_{k}": v for k, v in SUMS.items()})
    return [
        {
            **{name.removeprefix("by_"): _plain(row[name]) for name in named},
            **{name: _plain(row[f"sum_{name}"] or 0) for name in SUMS},
        }
        for row in rows.order_by(*named)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:.6f}"
    return value.date().isoformat() if isinstance(value, datetime) else value


class CSVRenderer(BaseRenderer):
    """Usage as a table, for `?format=csv` or `Accept: text/csv`."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """The rows as CSV; a problem as JSON, since it is no table."""
        if "results" not in data:
            return JSONRenderer().render(data)
        text = io.StringIO()
        if data["results"]:
            writer = csv.DictWriter(text, list(data["results"][0]))
            writer.writeheader()
            writer.writerows(data["results"])
        return text.getvalue().encode()


class UsageView(PlatformView):
    """Usage of the departments that the caller may see."""

    renderer_classes = [JSONRenderer, CSVRenderer]

    @extend_schema(
        parameters=[
            OpenApiParameter("department", OpenApiTypes.STR, description="One department's slug."),
            OpenApiParameter("from", OpenApiTypes.DATETIME, description="First moment; default: 30 days ago."),
            OpenApiParameter("to", OpenApiTypes.DATETIME, description="The moment before which; default: now."),
            OpenApiParameter("group_by", OpenApiTypes.STR, description=f"Comma-separated: {', '.join(GROUPS)}."),
            OpenApiParameter("format", OpenApiTypes.STR, enum=["json", "csv"]),
        ],
        responses={200: OpenApiTypes.OBJECT},
    )
    def get(self, request: Request) -> Response:
        """Sum up requests and tokens."""
        params = request.query_params
        asked = {"since": params.get("from"), "until": params.get("to"), **params.dict()}
        query = UsageQuery(data={key: value for key, value in asked.items() if value is not None})
        query.is_valid(raise_exception=True)
        wished: dict[str, Any] = query.validated_data
        since = wished.get("since", timezone.now() - timedelta(days=30))
        until = wished.get("until", timezone.now())
        if slug := wished.get("department"):
            departments = Department.objects.filter(pk=department_for(self.person, slug, Right.USAGE_VIEW).pk)
        else:
            departments = Department.objects.visible_to(self.person)
        records = UsageRecord.objects.filter(department__in=departments, at__gte=since, at__lt=until)
        rows = usage_summary(records, wished["group_by"])
        return Response({"from": since, "to": until, "results": rows})
