"""The console's pages about a department's adapters: the list, one adapter, its rollout, its end."""

from datetime import timedelta

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Max, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from polygraft.answers import ask, go_to, person
from polygraft.listing import listing
from polygraft.live_fragment import asks_for_fragment, fragment_answer, live_fragment
from serving.adapters.retirement import adapter_delete
from serving.adapters.uses import uses_of_adapter
from serving.console.engine_rows import registry
from serving.console.events import newest_events
from serving.console.forms import DeleteForm
from serving.console.version_numbers import numbers_fragment
from serving.console.version_rows import MOVING, is_moving, version_rows
from serving.models import Adapter, AdapterVersion, UsageRecord
from tenants.access import Right, department_for
from tenants.models import Department

_VERSIONS_PER_PAGE = 10


@require_safe
def adapter_list(request: HttpRequest, slug: str) -> HttpResponse:
    """A department's page: its adapters, and how they are doing."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    newest = AdapterVersion.objects.filter(adapter=OuterRef("pk")).order_by("-number")
    recent = (
        UsageRecord.objects.filter(adapter_version__adapter=OuterRef("pk"), at__gte=timezone.now() - timedelta(days=1))
        .order_by()
        .values("adapter_version__adapter")
    )
    rows = (
        department.adapters.alive()
        .select_related("base_model", "rollout")
        .annotate(
            newest_number=Max("versions__number"),
            newest_state=Subquery(newest.values("state")[:1]),
            newest_at=Max("versions__uploaded_at"),
            request_count=Subquery(recent.annotate(n=Count("pk")).values("n")),
        )
    )
    sorts = {"name": "name", "base": "base_model__name", "uploaded": "newest_at", "requests": "request_count"}
    shown = listing(request, rows, search=["name", "base_model__name"], sorts=sorts, default="name")
    return render(
        request,
        "serving/adapter_list.html",
        {
            "department": department,
            "tab": "adapters",
            "listing": shown,
            "is_moving": any(adapter.newest_state in MOVING for adapter in shown.page),  # type: ignore[attr-defined]  # annotated
        },
    )


@require_safe
def adapter_page(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """One adapter: its versions and their reports, what its name means now, and how to call it."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    adapter = adapter_of(department, name)
    versions = adapter.versions.select_related("uploaded_by").order_by("-number")
    page = Paginator(versions, _VERSIONS_PER_PAGE).get_page(request.GET.get("page"))
    rows = version_rows(adapter, page, registry())
    context = {"department": department, "adapter": adapter, "tab": "adapters", "rows": rows, "page": page}
    context["is_refresh"] = asks_for_fragment(request)
    live = live_fragment(
        request, "serving/adapter_live.html", context, seconds=1 if any(map(is_moving, page)) else None
    )
    if asks_for_fragment(request):
        return fragment_answer(request, live)
    shown = {"live": live, "numbers": numbers_fragment(request, adapter), "moves": newest_events(adapter=adapter)}
    return render(request, "serving/adapter_page.html", {**context, **shown})


@require_http_methods(["GET", "POST"])
def adapter_deletion(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Delete an adapter, after its name has been typed."""
    department = department_for(person(request), slug, Right.ADAPTERS_MANAGE)
    adapter = adapter_of(department, name)
    form = DeleteForm(adapter.name, request.POST or None)
    if form.is_valid():
        adapter_delete(adapter=adapter, by=person(request))
        messages.success(request, f"{adapter.name} is deleted.")
        return go_to(request, reverse("department", args=[slug]))
    context = {"department": department, "adapter": adapter, "uses": uses_of_adapter(adapter)}
    return ask(request, "serving/adapter_delete.html", context, back=reverse("adapter", args=[slug, name]), form=form)


def existing_adapter(department: Department, name: str) -> Adapter | None:
    """The adapter that a further version is for; None when the name is new."""
    return department.adapters.alive().select_related("base_model").filter(name=name).first()


def adapter_of(department: Department, name: str) -> Adapter:
    """The living adapter of this name, or 404."""
    living = department.adapters.alive().select_related("base_model", "rollout", "department")
    return get_object_or_404(living, name=name)
