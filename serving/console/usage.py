"""The console's page of a department's usage, by day and model."""

from django.core.paginator import Paginator
from django.db.models import Case, Count, F, Q, Sum, When
from django.db.models.functions import TruncDay
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from polygraft.answers import person
from polygraft.listing import PER_PAGE
from serving.console.period import period
from serving.models import Outcome, UsageRecord
from tenants.access import Right, department_for

_PERIODS = {"24h": ("24 hours", 24), "7d": ("7 days", 7 * 24), "30d": ("30 days", 30 * 24)}
_DEFAULT = "7d"


@require_safe
def usage(request: HttpRequest, slug: str) -> HttpResponse:
    """What a department has used lately."""
    department = department_for(person(request), slug, Right.USAGE_VIEW)
    chosen = request.GET.get("period", _DEFAULT)
    if chosen not in _PERIODS:
        chosen = _DEFAULT
    records = UsageRecord.objects.filter(department=department)
    summed = period(records, hours=_PERIODS[chosen][1])
    rows = (
        records.filter(at__gte=summed.since)
        .order_by()
        # Some requests, such as thumbs, ask no model.
        .annotate(day=TruncDay("at"), asked=Case(When(model="", then=F("endpoint")), default=F("model")))
        .values("day", "asked")
        .annotate(
            requests=Count("pk"),
            failed=Count("pk", filter=Q(outcome__in=(Outcome.FAILED, Outcome.LOST))),
            fallbacks=Count("pk", filter=~Q(fallback="")),
            prompt=Sum("prompt_tokens"),
            completion=Sum("completion_tokens"),
            cost=Sum("cost"),
        )
        .order_by("-day", "-requests", "asked")
    )
    return render(
        request,
        "serving/usage.html",
        {
            "department": department,
            "tab": "usage",
            "period": summed,
            "page": Paginator(rows, PER_PAGE).get_page(request.GET.get("page")),
            "periods": [(key, label) for key, (label, _) in _PERIODS.items()],
            "chosen": chosen,
        },
    )
