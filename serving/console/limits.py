"""The console's pages of limits: what may be used, by whom, and how much of it is used now."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from polygraft.answers import add_problems, ask, go_to, person
from serving.console.callables import callables_of
from serving.console.limit_rows import limit_groups
from serving.console.limits_form import LimitsForm, WeightForm
from serving.console.quotas import quota_meters
from tenants.access import Right, department_for, require
from tenants.departments import department_limit, platform_limit
from tenants.keys import key_limit
from tenants.limits import levels_of
from tenants.models import Department, Platform


@require_safe
def department_limits(request: HttpRequest, slug: str) -> HttpResponse:
    """A department's limits, those of its keys, and what is used of them now."""
    department = department_for(person(request), slug, Right.DEPARTMENT_VIEW)
    keys = [key for key in department.api_keys.all() if key.state in ("active", "expiring")]
    return render(
        request,
        "serving/limits.html",
        {
            "department": department,
            "tab": "limits",
            "meters": quota_meters(department),
            "groups": limit_groups(levels_of(f"department:{department.pk}", "department", department.limits)),
            "keys": [(key, limit_groups(levels_of(f"key:{key.pk}", "API key", key.limits))) for key in keys],
        },
    )


@require_http_methods(["GET", "POST"])
def department_limits_change(request: HttpRequest, slug: str) -> HttpResponse:
    """Change what a department may use, in all or of one model (`?model=`)."""
    department = department_for(person(request), slug, Right.DEPARTMENT_LIMIT)
    return _change(
        request,
        whose=department.name,
        kept=department.limits,
        models=_models(department),
        back=reverse("department-limits", args=[slug]),
        save=lambda limits: department_limit(department=department, limits=limits, by=person(request)),
    )


@require_http_methods(["GET", "POST"])
def department_weight(request: HttpRequest, slug: str) -> HttpResponse:
    """Change a department's share of engines that are full."""
    department = department_for(person(request), slug, Right.DEPARTMENT_LIMIT)
    back = reverse("department-limits", args=[slug])
    form = WeightForm(request.POST or None, initial={"weight": department.weight})
    if form.is_valid():
        department_limit(department=department, weight=form.cleaned_data["weight"], by=person(request))
        return go_to(request, back)
    return ask(request, "serving/weight.html", {"department": department}, back=back, form=form)


@require_http_methods(["GET", "POST"])
def key_limits_change(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Change what a key may use, in all or of one model (`?model=`)."""
    department = department_for(person(request), slug, Right.KEYS_LIMIT)
    key = get_object_or_404(department.api_keys, pk=pk)
    return _change(
        request,
        whose=f"the key {key.name}",
        kept=key.limits,
        models=_models(department),
        back=reverse("department-limits", args=[slug]),
        save=lambda limits: key_limit(key=key, limits=limits, by=person(request)),
    )


@require_safe
def platform_limits(request: HttpRequest) -> HttpResponse:
    """The limits of all departments together, and who of them has limits or a weight of their own."""
    require(person(request), Right.PLATFORM_VIEW)
    departments = Department.objects.exclude(limits={}, weight=100)
    return render(
        request,
        "serving/platform_limits.html",
        {
            "groups": limit_groups(levels_of("platform", "platform", Platform.load().limits)),
            "departments": [
                (one, limit_groups(levels_of(f"department:{one.pk}", "department", one.limits))) for one in departments
            ],
        },
    )


@require_http_methods(["GET", "POST"])
def platform_limits_change(request: HttpRequest) -> HttpResponse:
    """Change what all departments together may use."""
    require(person(request), Right.PLATFORM_MANAGE)
    return _change(
        request,
        whose="the platform",
        kept=Platform.load().limits,
        models=[],
        back=reverse("platform-limits"),
        save=lambda limits: platform_limit(limits=limits, by=person(request)),
    )


def _models(department: Department) -> list[str]:
    return [model.name for model in callables_of(department)]


def _change(
    request: HttpRequest,
    *,
    whose: str,
    kept: dict[str, Any],
    models: list[str],
    back: str,
    save: Callable[[dict[str, Any]], object],
) -> HttpResponse:
    """Ask for limits, and keep them: those of one model beside what is kept for all requests and for other models."""
    asked = request.POST if request.method == "POST" else request.GET
    form = LimitsForm(kept, models, asked.get("model"), request.POST or None)
    if form.is_valid():
        try:
            save(form.merged())
        except ValidationError as error:
            add_problems(form, error)
        else:
            messages.success(request, f"The limits of {whose} are changed. They are in force within a second.")
            return go_to(request, back)
    return ask(request, "serving/limits_change.html", {"whose": whose}, back=back, form=form)
